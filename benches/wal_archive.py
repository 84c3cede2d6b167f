#!/usr/bin/env python3
"""Archives the same segments of log with Mainstay (`wal push` beside `wal run`) and with pgBackRest (asynchronous archive-push),
then gets them back with Mainstay (`wal fetch`) and with pgBackRest (asynchronous archive-get), and prints rates and ratios.

The segments are real: pgbench writes while nothing archives them. Then the server is stopped and this script does what PostgreSQL's archiver and
its recovery do, one command after the other through `/bin/sh`, in the data folder, with the same `.ready` files; so every round has the
same input and nothing but the tools is measured. A push ends when every file is acknowledged; all files are then read back and compared in
the fetch. Both compress with zstd at the same level and encrypt with AES-256; pgBackRest has 2 processes.
"""

import argparse, filecmp, os, shutil, statistics, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import DEVNULL, Memory, Work, as_postgres, built, machine, report, run, settle


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--segments", type=int, default=200)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--level", type=int, default=1, help="zstd level of both")
    arguments.add_argument("--no-agent", action="store_true", help="without `wal run`: every push on its own")
    arguments.add_argument("--place", default="/var/tmp", help="folder for everything; needs about three times the segments")
    arguments.add_argument("--binary", help="program to measure instead of a fresh release build")
    arguments = arguments.parse_args()
    mainstay = built(arguments.binary)
    # Nothing is archived, and nothing that waits is recycled.
    work = Work(mainstay, 3, arguments.level, arguments.place, "-c archive_command=/bin/false", wal=True)
    try:
        measure(work, arguments)
    finally:
        work.close()


def measure(work, arguments):
    status = f"{work.data}/pg_wal/archive_status"
    waiting = lambda: sorted(name[:-6] for name in os.listdir(status) if name.endswith(".ready") and len(name) == 30)
    work.start()
    run(["pgbackrest", *work.rest_options, "stanza-create"])
    work.pgbench("-i", "-q", "-s", "20")
    while len(waiting()) < arguments.segments:
        work.pgbench("-c", "4", "-t", "10000", "-n")
    work.stop()
    files = waiting()[:arguments.segments]
    for name in os.listdir(status):
        if name[:-6] not in files:
            os.remove(f"{status}/{name}")
    print(f"{len(files)} segments of 16 MiB, zstd level {arguments.level}, {arguments.rounds} rounds, {machine()}", flush=True)

    # The pre-fetching of both looks for where recovery puts its files: a folder like pg_wal of a server that recovers.
    into = f"{work.path}/recovering"
    pushes = {"mainstay": [], "pgbackrest": []}
    fetches = {"mainstay": [], "pgbackrest": []}
    longest = {"mainstay": [], "pgbackrest": []}
    memory = {"push": 0, "fetch": 0}
    push = {"mainstay": f"{work.mainstay} wal push -p {work.policy} --database bench %p",
            "pgbackrest": f"pgbackrest --config {work.rest} --stanza=bench archive-push %p"}
    fetch = {"mainstay": f"{work.mainstay} wal fetch -p {work.policy} --database bench %f %p",
             "pgbackrest": f"pgbackrest --config {work.rest} --stanza=bench --archive-get-queue-max=256MiB archive-get %f %p"}
    for number in range(arguments.rounds):
        # Whoever begins finds the disk idle: turns.
        order = ["mainstay", "pgbackrest"] if number % 2 == 0 else ["pgbackrest", "mainstay"]
        for side in order:
            for name in files:
                if os.path.exists(f"{status}/{name}.done"):
                    os.rename(f"{status}/{name}.done", f"{status}/{name}.ready")
            settle()
            agent, watch = None, None
            if side == "mainstay" and not arguments.no_agent:
                agent = subprocess.Popen(as_postgres([work.mainstay, "wal", "run", "-p", work.policy, "--database", "bench"]), stdout=DEVNULL,
                                         stderr=open(f"{work.path}/log/agent", "wb"), cwd="/")
                watch = Memory(agent.pid)
                watch.start()
                time.sleep(1)
            seconds, slowest = archive(work, push[side], files, status)
            if agent:
                watch.done.set()
                if agent.poll() is not None:
                    sys.exit("`wal run` did not stay: " + open(f"{work.path}/log/agent").read())
                agent.terminate()
                agent.wait()
                memory["push"] = max(memory["push"], watch.peak / 2**20)
            pushes[side].append(len(files) * 16 / seconds)
            longest[side].append(slowest)
        for side in order:
            run(["mkdir", "-p", f"{into}/pg_wal", f"{into}/global"])
            run(["cp", f"{work.data}/PG_VERSION", into])
            run(["cp", f"{work.data}/global/pg_control", f"{into}/global/"])
            settle()
            command = fetch[side] if side == "mainstay" else fetch[side].replace("--stanza", f"--pg1-path={into} --stanza")
            seconds, peak = recover(work, command, files, into)
            if side == "mainstay":
                memory["fetch"] = max(memory["fetch"], peak)
            fetches[side].append(len(files) * 16 / seconds)
            stop_async(work, into)
            run(["rm", "-rf", into])
        both = lambda table: "   ".join(f"{side} {rates[-1]:6.0f} MiB/s" for side, rates in table.items())
        print(f"round {number + 1}: push {both(pushes)}   fetch {both(fetches)}", flush=True)
        forget(work, number + 1 == arguments.rounds)

    for title, rates in (("push", pushes), ("fetch", fetches)):
        ratios = [a / b for a, b in zip(rates["mainstay"], rates["pgbackrest"])]
        print(f"\n{title}: mainstay median {statistics.median(rates['mainstay']):.0f} MiB/s, pgbackrest median {statistics.median(rates['pgbackrest']):.0f} MiB/s, "
              f"{statistics.median(ratios):.2f} times its rate (min {min(ratios):.2f}, max {max(ratios):.2f})")
    print("slowest single push, median of the rounds: " + ", ".join(f"{side} {statistics.median(times):.2f} s" for side, times in longest.items()))
    print(f"peak memory of mainstay: wal run {memory['push']:.0f} MiB, wal fetch with what it starts {memory['fetch']:.0f} MiB; {machine()}")


def server_process(work, folder):
    """A shell of user postgres that runs commands one after the other in a data folder, as a server does, without `setpriv` each time."""
    return subprocess.Popen(as_postgres(["python3", "-u", "-c", SERVER]), cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


# What archiver and startup process do (pgarch.c, xlogarchive.c): system(3) with the placeholders filled in, in the data folder.
SERVER = """
import os, sys, time
for line in sys.stdin:
    folder, command = line.rstrip("\\n").split("\\t")
    os.chdir(folder)
    started = time.monotonic()
    code = os.system(command)
    print(os.waitstatus_to_exitcode(code), time.monotonic() - started, flush=True)
"""


def archive(work, command, files, status):
    """Seconds until every file is acknowledged, and of the slowest command."""
    server, slowest = server_process(work, work.data), 0
    started = time.monotonic()
    for name in files:
        for attempt in range(5):
            server.stdin.write(f"{work.data}\t{command.replace('%p', 'pg_wal/' + name)}\n")
            server.stdin.flush()
            code, seconds = server.stdout.readline().split()
            slowest = max(slowest, float(seconds))
            if code == "0":
                break
            time.sleep(1)  # as the archiver does
        else:
            sys.exit(f"{command} does not archive {name}: exit code {code}")
        os.rename(f"{status}/{name}.ready", f"{status}/{name}.done")
    elapsed = time.monotonic() - started
    server.stdin.close()
    server.wait()
    return elapsed, slowest


def recover(work, command, files, into):
    """Seconds until every file was fetched, one after the other, and the peak memory meanwhile; each is compared afterwards."""
    server, elapsed, pending = server_process(work, into), 0, []
    watch = Memory(server.pid)
    watch.start()
    for name in files:
        words = command.replace("%f", name).replace("%p", "pg_wal/RECOVERYXLOG")
        started = time.monotonic()
        server.stdin.write(f"{into}\t{words}\n")
        server.stdin.flush()
        code, _ = server.stdout.readline().split()
        elapsed += time.monotonic() - started
        if code != "0":
            sys.exit(f"{words} ended with {code}")
        if not filecmp.cmp(f"{into}/pg_wal/RECOVERYXLOG", f"{work.data}/pg_wal/{name}", shallow=False):
            sys.exit(f"{words} gave another content")
        os.remove(f"{into}/pg_wal/RECOVERYXLOG")
    watch.done.set()
    server.stdin.close()
    server.wait()
    return elapsed, watch.peak / 2**20


def stop_async(work, into):
    """Ends what still fetches ahead for a recovery that is over; both end by themselves."""
    time.sleep(2)


def forget(work, is_last):
    """Empties both archives, so that the next round begins anew."""
    if is_last:
        return
    work.empty("tier/bench", "spool")
    run(["rm", "-rf", f"{work.path}/policy/.mainstay"])
    work.empty("repo")
    run(["pgbackrest", *work.rest_options, "--no-online", "stanza-create"])


if __name__ == "__main__":
    main()
