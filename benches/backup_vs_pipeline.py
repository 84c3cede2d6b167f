#!/usr/bin/env python3
"""Backs up the same PostgreSQL database with Mainstay and with the shell pipeline people write, in turn, and prints the
ratio of the wall times pair by pair (below 1.00: Mainstay is faster) and Mainstay's peak memory.

Both sides do the same work: a plain dump, zstd level 3 on all cores, SHA-256 of what is stored, and everything on disk
(fsync / sync) at the end. Mainstay also hashes the plain bytes, writes a manifest and its catalog. What the pipeline has no
counterpart for is off or not timed unless asked for (--encrypt puts `openssl enc -aes-256-ctr` into the pipeline, which does not
even authenticate, and a local key into the policy): counting every row in the snapshot (--count-rows exact, Mainstay's
default below 1 GiB a table) and the verification of the copy, a step of its own (--verify-too).

Needs PostgreSQL's server programs and pgbench, zstd, and a release build; starts its own server in a temporary folder.
"""

import argparse, glob, json, os, pwd, shutil, socket, statistics, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


KEY = """
[key.bench]
kind = "local"
path = "bench.key"
"""


def newest_bin():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]))
    if not found:
        sys.exit("PostgreSQL's server programs are not installed")
    return os.path.dirname(found[-1])


def as_postgres(command):
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command] if os.getuid() == 0 else command


def run_measured(command, env=None, shell=False):
    """Wall seconds and peak memory (KiB, the largest single process) of a command with its children."""
    started = time.monotonic()
    process = subprocess.Popen(command, env=env, shell=shell, executable="/bin/bash" if shell else None,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.monotonic() - started
    if status != 0:
        sys.exit(f"{command} failed: {errors.decode()}")
    return elapsed, usage.ru_maxrss


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--scale", type=int, default=50, help="pgbench scale (50 is about 0.7 GiB)")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--verify-too", action="store_true", help="time the read-back as well")
    arguments.add_argument("--count-rows", choices=["off", "estimate", "exact"], default="off")
    arguments.add_argument("--encrypt", action="store_true", help="AES-256 on both sides")
    arguments = arguments.parse_args()

    subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", f"{ROOT}/Cargo.toml"], check=True)
    mainstay = os.path.join(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"), "release", "mainstay")
    bindir, work = newest_bin(), tempfile.mkdtemp(prefix="mainstay-bench-")
    data, port = f"{work}/data", free_port()
    os.chmod(work, 0o755)
    os.makedirs(data)
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(data, user.pw_uid, user.pw_gid)
    try:
        subprocess.run(as_postgres([f"{bindir}/initdb", "-D", data, "-U", "postgres", "--auth=trust", "-N"]), check=True, stdout=subprocess.DEVNULL)
        subprocess.run(as_postgres([f"{bindir}/pg_ctl", "-D", data, "-w", "-l", f"{data}/log", "-o",
                                    f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off -c shared_buffers=512MB",
                                    "start"]), check=True, stdout=subprocess.DEVNULL)
        url = f"postgres://postgres@127.0.0.1:{port}/bench"
        subprocess.run([f"{bindir}/createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "bench"], check=True)
        subprocess.run([f"{bindir}/pgbench", "-i", "-q", "-s", str(arguments.scale), url], check=True, stderr=subprocess.DEVNULL)
        with open(f"{work}/mainstay.toml", "w") as policy:
            policy.write(f"""mainstay = 1
[tier.disk]
kind = "filesystem"
path = "tier"
min-free = "1%"
{KEY if arguments.encrypt else ""}
[database.bench]
engine = "postgres"
url = "{url}"
{'encrypt-with = ["bench"]' if arguments.encrypt else ""}
[[database.bench.series]]
name = "s"
schedule = "@yearly"
format = "plain"
count-rows = "{arguments.count_rows}"
keep.disk = {{ last = 100 }}
""")
        if arguments.encrypt:
            subprocess.run([mainstay, "key", "generate", "bench", "-p", f"{work}/mainstay.toml"], check=True, stdout=subprocess.DEVNULL)
        encrypt = f"| openssl enc -aes-256-ctr -K {os.urandom(32).hex()} -iv {os.urandom(16).hex()} " if arguments.encrypt else ""
        pipeline = (f"set -o pipefail; {bindir}/pg_dump {url} | zstd -q -T0 -3 {encrypt}| tee >(sha256sum > {work}/sum) > {work}/dump.zst; sync {work}/dump.zst")
        ours, theirs, memory, whole = [], [], [], []
        for round_number in range(arguments.rounds + 1):
            seconds, _ = run_measured(pipeline, shell=True)
            os.remove(f"{work}/dump.zst")
            before = len(events(mainstay, work))
            total, peak = run_measured([mainstay, "backup", "bench", "-p", f"{work}/mainstay.toml", "--auto-approve"])
            backup = sum(event["milliseconds"] for event in events(mainstay, work)[before:]
                         if event["event"] == "step-finished" and event["step"].startswith("backup:")) / 1000
            time.sleep(1)  # a slot is a second; the next backup needs another one
            if round_number == 0:
                continue  # warm-up of both
            theirs.append(seconds); whole.append(total); ours.append(total if arguments.verify_too else backup); memory.append(peak)
            print(f"round {round_number}: pipeline {seconds:6.2f} s   mainstay backup {backup:6.2f} s (whole command {total:6.2f} s)   ratio {ours[-1] / seconds:.2f}")
        ratios = [a / b for a, b in zip(ours, theirs)]
        size = subprocess.run([f"{bindir}/psql", url, "-Atc", "select pg_database_size('bench')"], check=True, capture_output=True, text=True).stdout.strip()
        print(f"\ndatabase {int(size) / 2**20:.0f} MiB, {os.cpu_count()} cores, {arguments.rounds} rounds")
        print(f"pipeline  median {statistics.median(theirs):.2f} s")
        print(f"mainstay  median {statistics.median(ours):.2f} s   whole command with verification {statistics.median(whole):.2f} s")
        print(f"ratio     median {statistics.median(ratios):.2f}  (min {min(ratios):.2f}, max {max(ratios):.2f})")
        print(f"peak memory of mainstay {max(memory) / 1024:.0f} MiB")
    finally:
        subprocess.run(as_postgres([f"{bindir}/pg_ctl", "-D", data, "-m", "immediate", "stop"]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(work)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def events(mainstay, work):
    """All journaled events, run by run."""
    catalog = ["-p", f"{work}/mainstay.toml", "--json"]
    if not os.path.exists(f"{work}/.mainstay/state.db"):
        return []
    runs = json.loads(subprocess.run([mainstay, "catalog", "runs", "--limit", "1000", *catalog], check=True, capture_output=True).stdout)
    found = []
    for run in sorted(runs["runs"], key=lambda run: run["started_at"]):
        lines = subprocess.run([mainstay, "catalog", "events", run["id"], *catalog], check=True, capture_output=True, text=True).stdout
        found += [json.loads(line) for line in lines.splitlines()]
    return found


if __name__ == "__main__":
    main()
