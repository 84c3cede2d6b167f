#!/usr/bin/env python3
"""Uploads the same stored object to the same S3 gateway with Mainstay and with boto3's managed multipart upload, in turn, and
prints the ratio of the wall times pair by pair (below 1.00: Mainstay is faster) and Mainstay's peak memory.

Mainstay's side is its `upload` step as its journal times it: it also checks the SHA-256 of the bytes on the way, writes the
manifest, and reads back what the store says of the object. boto3's side is `upload_file` alone, 8 MiB parts, its default ten threads.
The database is random bytes in SQLite, so that compression does not shrink what is uploaded.

Needs Ceph's radosgw (as the tests do), boto3, and a release build; starts its own gateway in a temporary folder.
"""

import argparse, os, shutil, signal, sqlite3, statistics, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "benches"))
from backup_vs_pipeline import events, free_port, run_measured  # noqa: E402


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--mib", type=int, default=512)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments = arguments.parse_args()
    import boto3
    from boto3.s3.transfer import TransferConfig

    subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", f"{ROOT}/Cargo.toml"], check=True)
    mainstay = os.path.join(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"), "release", "mainstay")
    work = tempfile.mkdtemp(prefix="mainstay-bench-")
    port = free_port()
    gateway = f"{work}/rgw"
    os.makedirs(gateway)
    store = None
    try:
        store = subprocess.Popen(["bash", f"{ROOT}/providers/tests/support/rgw-up.sh", gateway, str(free_port()), str(port)],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
        if not any("ready" in line for line in iter(store.stdout.readline, "")):
            sys.exit("the gateway did not start")
        access = dict(endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id="AK", aws_secret_access_key="SKSK", region_name="default")
        s3 = boto3.client("s3", **access)
        s3.create_bucket(Bucket="ours")
        s3.create_bucket(Bucket="theirs")
        environment = {**os.environ, "BENCH_AK": "AK", "BENCH_SK": "SKSK"}
        ours, theirs, memory = [], [], []
        for round_number in range(arguments.rounds + 1):
            site = f"{work}/site-{round_number}"
            os.makedirs(f"{site}/tier")
            source(f"{site}/big.db", arguments.mib)
            policy(site, port, round_number, offsite=False)
            subprocess.run([mainstay, "apply", "--auto-approve", "-p", f"{site}/mainstay.toml"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stored = next(os.path.join(folder, name) for folder, _, names in os.walk(f"{site}/tier") for name in names if name.startswith("data."))
            started = time.monotonic()
            s3.upload_file(stored, "theirs", f"object-{round_number}", Config=TransferConfig(multipart_chunksize=8 << 20))
            seconds = time.monotonic() - started
            policy(site, port, round_number, offsite=True)
            before = len(events(mainstay, site))
            _, peak = run_measured([mainstay, "apply", "--auto-approve", "-p", f"{site}/mainstay.toml"], env=environment)
            upload = sum(event["milliseconds"] for event in events(mainstay, site)[before:]
                         if event["event"] == "step-finished" and event["step"].startswith("upload:")) / 1000
            shutil.rmtree(site)
            s3.delete_object(Bucket="theirs", Key=f"object-{round_number}")
            for found in s3.list_objects_v2(Bucket="ours").get("Contents", []):
                s3.delete_object(Bucket="ours", Key=found["Key"])
            if round_number == 0:
                continue  # warm-up of both
            theirs.append(seconds); ours.append(upload); memory.append(peak)
            print(f"round {round_number}: boto3 {seconds:6.2f} s   mainstay upload step {upload:6.2f} s   ratio {upload / seconds:.2f}")
        ratios = [a / b for a, b in zip(ours, theirs)]
        print(f"\n{arguments.mib} MiB, {os.cpu_count()} cores (the gateway runs on them too), {arguments.rounds} rounds")
        print(f"boto3     median {statistics.median(theirs):.2f} s")
        print(f"mainstay  median {statistics.median(ours):.2f} s")
        print(f"ratio     median {statistics.median(ratios):.2f}  (min {min(ratios):.2f}, max {max(ratios):.2f})")
        print(f"peak memory of mainstay {max(memory) / 1024:.0f} MiB (upload and read-back of the copy)")
    finally:
        if store:
            os.killpg(store.pid, signal.SIGKILL)
        shutil.rmtree(work, ignore_errors=True)


def source(path, mebibytes):
    """An SQLite database of random bytes."""
    database = sqlite3.connect(path)
    database.execute("create table junk (id integer primary key, bytes blob)")
    for _ in range(mebibytes):
        database.execute("insert into junk (bytes) values (?)", (os.urandom(1 << 20),))
    database.commit()
    database.close()


def policy(site, port, round_number, offsite):
    """One database in a folder, and in the gateway too."""
    with open(f"{site}/mainstay.toml", "w") as file:
        file.write(f"""mainstay = 1
[tier.disk]
kind = "filesystem"
path = "tier"
min-free = "1%"
""")
        if offsite:
            file.write(f"""[tier.offsite]
kind = "s3"
bucket = "ours"
prefix = "round-{round_number}"
endpoint = "http://127.0.0.1:{port}"
region = "default"
credentials = {{ access-key-id = {{ env = "BENCH_AK" }}, secret-access-key = {{ env = "BENCH_SK" }} }}
""")
        file.write(f"""[database.big]
engine = "sqlite"
path = "big.db"
[[database.big.series]]
name = "s"
schedule = "@yearly"
keep.disk = {{ last = 100 }}
{"keep.offsite = { last = 100 }" if offsite else ""}
""")


if __name__ == "__main__":
    main()
