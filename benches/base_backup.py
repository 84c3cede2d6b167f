#!/usr/bin/env python3
"""Backs one cluster up and restores it with Mainstay, with pgBackRest (2 processes, zst, aes-256-cbc, local repository) and with
plain `pg_basebackup` (tar, neither compressed nor encrypted), in turn, and prints medians and ratios of the wall times and
Mainstay's peak memory.

`--scale 200` is about 3 GB. A backup of Mainstay is timed as the whole command `mainstay backup` (plan, capture, encryption, read-back, manifest,
catalog); with `--without-verify` only its step `backup`, because pgBackRest verifies nothing after writing. The log that a backup needs is inside
Mainstay's and pg_basebackup's; pgBackRest has it pushed into its archive. A restore is timed up to complete, synced files; every restored
cluster is started once at the end and its rows are compared.
"""

import argparse, json, os, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Work, as_postgres, built, machine, measured, report, run, settle

ROWS = "select count(*), sum(abalance), (select count(*) from pgbench_history) from pgbench_accounts"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--scale", type=int, default=200, help="pgbench scale (200 is about 3 GB)")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--level", type=int, default=3, help="zstd level of both")
    arguments.add_argument("--without-verify", action="store_true", help="time Mainstay's step `backup` alone")
    arguments.add_argument("--place", default="/var/tmp", help="folder for everything; needs about four times the cluster")
    arguments.add_argument("--binary", help="program to measure instead of a fresh release build")
    arguments = arguments.parse_args()
    mainstay = built(arguments.binary)
    work = Work(mainstay, arguments.level, arguments.level, arguments.place)
    try:
        measure(work, arguments)
    finally:
        work.close()


def measure(work, arguments):
    work.settings += f" -c \"archive_command=pgbackrest --config {work.rest} --stanza=bench archive-push %p\""
    work.start()
    run(["pgbackrest", *work.rest_options, "stanza-create"])
    work.pgbench("-i", "-q", "-s", str(arguments.scale))
    # Rows that were changed, so that pages are not all alike.
    work.pgbench("-c", "4", "-T", "10", "-n")
    work.psql("vacuum")
    work.psql("checkpoint")
    while work.psql("select count(*) from pg_ls_archive_statusdir() where name like '%.ready'") != "0":
        time.sleep(0.5)
    rows = work.psql(ROWS)
    size = int(work.psql("select sum(pg_database_size(oid)) from pg_database"))
    print(f"cluster {size / 2**20:.0f} MiB, zstd level {arguments.level}, {arguments.rounds} rounds, {machine()}", flush=True)

    backups, restores, memory = {}, {}, {"backup": 0, "restore": 0}
    note = lambda table, name, seconds: table.setdefault(name, []).append(seconds)
    for number in range(arguments.rounds):
        settle()
        before = len(events(work))
        seconds, peak = measured([work.mainstay, "backup", "bench", "-p", work.policy, "--auto-approve"])
        if arguments.without_verify:
            seconds = sum(event["milliseconds"] for event in events(work)[before:]
                          if event["event"] == "step-finished" and event["step"].startswith("backup:")) / 1000
        memory["backup"] = max(memory["backup"], peak)
        note(backups, "mainstay", seconds)
        settle()
        note(backups, "pgbackrest", measured(["pgbackrest", *work.rest_options, "--type=full", "backup"])[0])
        settle()
        plain = f"{work.path}/plain"
        note(backups, "pg_basebackup", measured([f"{work.bin}/pg_basebackup", "-h", work.path, "-p", str(work.port), "-U", "postgres",
                                                "-D", plain, "-Ft", "-X", "fetch", "-c", "fast"])[0])

        target = f"{work.path}/restored-mainstay"
        settle()
        seconds, peak = measured([work.mainstay, "restore", "bench", "-p", work.policy, "--to", target, "--yes"])
        memory["restore"] = max(memory["restore"], peak)
        note(restores, "mainstay", seconds)
        settle()
        other = f"{work.path}/restored-pgbackrest"
        run(["mkdir", "-m", "700", other])
        note(restores, "pgbackrest", measured(["pgbackrest", *work.rest_options, f"--pg1-path={other}", "--archive-mode=off", "--type=immediate",
                                               "--target-action=promote", "restore"])[0])
        settle()
        third = f"{work.path}/restored-tar"
        note(restores, "pg_basebackup", measured(f"mkdir -m 700 {third} && tar -xf {plain}/base.tar -C {third} && sync -f {third}", shell=True)[0])
        latest = lambda table: "   ".join(f"{name} {times[-1]:6.2f} s" for name, times in table.items())
        print(f"round {number + 1}: backup  {latest(backups)}\n         restore {latest(restores)}", flush=True)
        if number + 1 == arguments.rounds:
            sizes = {name: folder_size(f"{work.path}/{folder}") / arguments.rounds for name, folder in
                     {"mainstay": "tier", "pgbackrest": "repo/backup"}.items()}
            sizes["pg_basebackup"] = folder_size(plain)
            for folder in (target, other, third):
                check(work, folder, rows)
        run(["rm", "-rf", plain, target, other, third])

    peers = lambda table: {name: times for name, times in table.items() if name != "mainstay"}
    report("base backup", backups["mainstay"], peers(backups))
    report("restore to a folder", restores["mainstay"], peers(restores))
    print("\nstored size of one backup: " + ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in sizes.items()))
    print(f"peak memory of mainstay (with pg_basebackup, which it starts): backup {memory['backup']:.0f} MiB, restore {memory['restore']:.0f} MiB")
    print(f"all restored clusters started and have the same rows; {machine()}")


def check(work, folder, rows):
    """Starts a restored cluster as it is and compares its rows."""
    options = f"-p {work.port} -k {folder} -c listen_addresses='' -c archive_mode=off -c archive_command='' -c fsync=off"
    run([f"{work.bin}/pg_ctl", "-D", folder, "-w", "-s", "-t", "300", "-l", f"{folder}/log", "-o", options, "start"])
    try:
        found = run([f"{work.bin}/psql", "-h", folder, "-p", str(work.port), "-U", "postgres", "-XAtqc", ROWS, "postgres"]).strip()
    finally:
        run([f"{work.bin}/pg_ctl", "-D", folder, "-s", "-m", "immediate", "stop"])
    if found != rows:
        sys.exit(f"{folder} has {found} and should have {rows}")


def folder_size(folder):
    return int(subprocess.run(["du", "-sb", folder], check=True, capture_output=True, text=True).stdout.split()[0])


def events(work):
    """All journaled events, run by run."""
    if not os.path.exists(f"{work.path}/policy/.mainstay/state.db"):
        return []
    catalog = ["-p", work.policy, "--json"]
    runs = json.loads(run([work.mainstay, "catalog", "runs", "--limit", "1000", *catalog]))
    found = []
    for one in sorted(runs["runs"], key=lambda one: one["started_at"]):
        found += [json.loads(line) for line in run([work.mainstay, "catalog", "events", one["id"], *catalog]).splitlines()]
    return found


if __name__ == "__main__":
    main()
