"""What the physical benchmarks share: a cluster, Mainstay and pgBackRest set up side by side, and measured commands.

Everything runs as user `postgres` when started as root (servers refuse root, and their archive commands run as their user), in a
temporary folder that is removed at the end. Both sides compress with zstd at the same level and encrypt with AES-256 (Mainstay
authenticated, pgBackRest CBC), into a folder on the same disk.
"""

import glob, os, pwd, shutil, socket, statistics, subprocess, sys, tempfile, threading, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEVNULL = subprocess.DEVNULL


def newest_bin():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]))
    if not found:
        sys.exit("PostgreSQL's server programs are not installed")
    return os.path.dirname(found[-1])


def as_postgres(command):
    if os.getuid() != 0:
        return command
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "env", "HOME=/tmp", *command]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def built(binary):
    """The program: the given one, else a fresh release build."""
    if binary:
        return binary
    subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", f"{ROOT}/Cargo.toml"], check=True)
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"), "release", "mainstay")


def run(command, **more):
    """Runs as postgres; what it said is shown when it fails."""
    result = subprocess.run(as_postgres(command), capture_output=True, text=True, cwd="/", **more)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


class Memory(threading.Thread):
    """Peak of the resident memory of a process and all that it starts, together, looked at fifty times a second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.done = pid, 0, threading.Event()

    def run(self):
        page = os.sysconf("SC_PAGE_SIZE")
        while not self.done.wait(0.02):
            total, waiting = 0, [self.pid]
            while waiting:
                pid = waiting.pop()
                try:
                    with open(f"/proc/{pid}/statm") as file:
                        words = file.read().split()
                    # Shared pages (the program itself, a server's buffers) would be counted in every process.
                    total += (int(words[1]) - int(words[2])) * page
                    for task in glob.glob(f"/proc/{pid}/task/*/children"):
                        with open(task) as file:
                            waiting += [int(child) for child in file.read().split()]
                except (OSError, IndexError):
                    pass
            self.peak = max(self.peak, total)


def measured(command, ok=(0,), shell=False):
    """Wall seconds and peak private memory in MiB of a command with everything that it starts."""
    started = time.monotonic()
    command = as_postgres(["bash", "-c", command] if shell else command)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/")
    memory = Memory(process.pid)
    memory.start()
    said = process.stdout.read()
    process.wait()
    elapsed = time.monotonic() - started
    memory.done.set()
    memory.join()
    if process.returncode not in ok:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said.decode(errors='replace')}")
    return elapsed, memory.peak / 2**20


class Work:
    """A temporary folder of user postgres with a server in it, a policy of Mainstay and a stanza of pgBackRest."""

    def __init__(self, mainstay, level, wal_level, place, settings="", wal=False, keep_wal="7d"):
        self.bin = newest_bin()
        self.path = tempfile.mkdtemp(prefix="mainstay-bench-", dir=place)
        os.chmod(self.path, 0o755)
        self.data, self.port = f"{self.path}/data", free_port()
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.path, user.pw_uid, user.pw_gid)
        # The build's folder may be closed to postgres.
        self.mainstay = f"{self.path}/mainstay"
        shutil.copy(mainstay, self.mainstay)
        os.chmod(self.mainstay, 0o755)
        self.policy = f"{self.path}/policy/mainstay.toml"
        self.rest = f"{self.path}/pgbackrest.conf"
        self.rest_options = ["--config", self.rest, "--stanza=bench"]
        for folder in ("policy", "tier", "repo", "spool", "log"):
            run(["mkdir", f"{self.path}/{folder}"])
        run([f"{self.bin}/initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "-N"])
        self.settings = (f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.path} -c fsync=off -c shared_buffers=256MB "
                         f"-c max_wal_size=4GB -c wal_level=replica -c archive_mode=on {settings}")
        self.write(self.policy, f"""mainstay = 1
[tier.disk]
kind = "filesystem"
path = "{self.path}/tier"
min-free = "1%"
[key.bench]
kind = "local"
path = "bench.key"
[database.bench]
engine = "postgres"
url = "postgres://postgres@127.0.0.1:{self.port}/postgres"
encrypt-with = ["bench"]
{f'''[database.bench.wal]
keep.disk = "{keep_wal}"
compression-level = {wal_level}''' if wal else ""}
[[database.bench.series]]
name = "base"
method = "physical"
schedule = "@yearly"
compression-level = {level}
keep.disk = {{ last = 100 }}
[database.note]
engine = "files"
paths = ["mainstay.toml"]
encrypt-with = ["bench"]
[[database.note.series]]
name = "once"
schedule = "@yearly"
keep.disk = {{ last = 1 }}
""")
        self.write(self.rest, f"""[global]
repo1-path={self.path}/repo
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=a-pass-phrase-of-a-benchmark-only
repo1-retention-full=100
spool-path={self.path}/spool
log-path={self.path}/log
lock-path={self.path}/log
log-level-console=warn
log-level-file=off
compress-type=zst
compress-level={level}
process-max=2
start-fast=y
archive-async=y
[global:archive-push]
compress-level={wal_level}
[bench]
pg1-path={self.data}
pg1-port={self.port}
pg1-socket-path={self.path}
pg1-user=postgres
""")
        run([self.mainstay, "key", "generate", "bench", "-p", self.policy])
        # A tier is ready once something was stored on it.
        run([self.mainstay, "backup", "note", "-p", self.policy, "--auto-approve"])

    def write(self, path, text):
        subprocess.run(as_postgres(["tee", path]), input=text.encode(), stdout=DEVNULL, check=True)

    def start(self):
        run([f"{self.bin}/pg_ctl", "-D", self.data, "-w", "-s", "-l", f"{self.path}/log/server", "-o", self.settings, "start"])

    def stop(self, mode="fast"):
        subprocess.run(as_postgres([f"{self.bin}/pg_ctl", "-D", self.data, "-s", "-m", mode, "stop"]), stdout=DEVNULL, stderr=DEVNULL, cwd="/")

    def psql(self, sql):
        return run([f"{self.bin}/psql", "-h", self.path, "-p", str(self.port), "-U", "postgres", "-XAtqc", sql, "postgres"]).strip()

    def pgbench(self, *words):
        return run([f"{self.bin}/pgbench", "-h", self.path, "-p", str(self.port), "-U", "postgres", *words, "postgres"])

    def empty(self, *folders):
        """Removes what is in folders of ours."""
        for folder in folders:
            run(["find", f"{self.path}/{folder}", "-mindepth", "1", "-delete"])

    def close(self):
        self.stop("immediate")
        shutil.rmtree(self.path, ignore_errors=True)


def settle():
    """What one side left for the disk to do is not the other's to wait for."""
    os.sync()


def report(title, ours, peers, unit="s"):
    """Medians, and the ratio of each round: below 1.00 Mainstay needs less time."""
    print(f"\n{title}")
    print(f"  mainstay      median {statistics.median(ours):8.2f} {unit}   (min {min(ours):.2f}, max {max(ours):.2f})")
    for name, theirs in peers.items():
        ratios = [a / b for a, b in zip(ours, theirs)]
        print(f"  {name:<13} median {statistics.median(theirs):8.2f} {unit}   ratio of mainstay to it: median {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})")


def machine():
    load = os.getloadavg()
    return f"{os.cpu_count()} cores, load {load[0]:.1f} {load[1]:.1f} {load[2]:.1f}"
