//! What may happen to a whole server of PostgreSQL whose points are base backups, and the commands for each.

use super::{Disaster, Shell, quoted, step};
use crate::runbook::{ClusterFacts, LogArchive, Step};

/// Where an example puts a new data directory.
const FOLDER: &str = "/var/lib/postgresql/restored";

const NO_LOG: &str = "Without an archived log only the moment of the base backup can be had.";

impl Shell<'_> {
    pub(super) fn physical(&self, cluster: &ClusterFacts) -> Vec<Disaster> {
        let has_log = cluster.log != LogArchive::None;
        let at = self.moment();
        // With dumps beside base backups only the series says which of them is meant.
        let series = cluster.series.as_deref();
        let series = series.map_or(Vec::new(), |series| vec!["--series", series]);
        let moment: &[&str] = if has_log { &["--at", &at] } else { &[] };
        let newest: &[&str] = if has_log { &["--latest"] } else { &[] };
        let (then, loss) = if has_log {
            (
                "Put the moment just before the accident for the time in the first command.",
                "What was committed after the last archived log is lost: `mainstay wal status` says how much that is.",
            )
        } else {
            (
                NO_LOG,
                "Everything after the base backup is lost: its log is not archived.",
            )
        };
        let part = [&series[..], moment].concat();
        let rows = [&part[..], &["--table", &cluster.table]].concat();
        let whole = [&series[..], newest, &["--to", FOLDER, "--promote"]].concat();
        vec![
            self.table_lost(
                &cluster.database,
                &cluster.table,
                &part,
                &format!("Everything that was written to the table after the moment that is restored is lost. {then}"),
            ),
            self.rows_deleted(
                &cluster.database,
                &cluster.table,
                &rows,
                &format!(
                    "Restore the table as it was before the mistake into a database beside it. Put your table for `{}`. {then}",
                    cluster.table
                ),
            ),
            self.database_dropped(&part, has_log),
            Disaster {
                title: "The server or its data directory is gone".to_owned(),
                when: format!("{loss} Programs of the same major version are needed."),
                steps: self.new_server(cluster, self.restore(&whole, "server gone")),
            },
            self.machine(self.restore(&whole, "machine gone")),
        ]
    }

    fn database_dropped(&self, part: &[&str], has_log: bool) -> Disaster {
        let then = if has_log {
            // A replay stops at a commit, and DROP DATABASE removes the files before its own: the last moment before it is too late.
            "Put a moment for the time in the first command between which and the drop something else was committed, so rather some minutes too early: a replay ends at the first commit after the moment, and by that of `DROP DATABASE` the files are gone."
        } else {
            NO_LOG
        };
        Disaster {
            title: "A database of the cluster was dropped".to_owned(),
            when: format!("The server runs. {then}"),
            steps: vec![
                step(
                    "Start a temporary server with the state from before it. It prints its URL, touches nothing of production, and is gone after Ctrl-C.",
                    self.restore(&[part, &["--scratch"]].concat(), "database dropped"),
                ),
                step(
                    "In a second shell copy the database over: put the printed URL with the database's name into `SCRATCH_URL`, and its URL on the server into `PRODUCTION_URL` (make it empty first with `createdb`).",
                    "pg_dump --dbname=\"$SCRATCH_URL\" --format=custom | pg_restore --exit-on-error --dbname=\"$PRODUCTION_URL\"",
                ),
            ],
        }
    }

    /// From nothing to a server that is backed up again.
    fn new_server(&self, cluster: &ClusterFacts, restore: String) -> Vec<Step> {
        let pg_ctl =
            |what: &str| format!("pg_ctl {what} --wait --pgdata={FOLDER} --log={FOLDER}.log");
        let mut steps = vec![
            step(
                "Restore the newest state into a new, empty folder, as the user that runs the server, and make it writable on a new timeline.",
                restore,
            ),
            step(
                "Start it, as that user; where a service starts it, point the service at that folder instead. It takes writes, and does not archive yet: that was switched off so that nothing could be written into the archive by mistake.",
                pg_ctl("start"),
            ),
        ];
        match cluster.log {
            LogArchive::None => {}
            LogArchive::Streamed => steps.push(step(
                "Start `mainstay wal run` again where it runs: from now on it receives the log of this server.",
                "",
            )),
            LogArchive::Pushed => {
                let push = ["wal", "push", "--database", &self.facts.database, "%p"];
                let push = self.mainstay(&push).replace('\'', "''");
                steps.push(step(
                    "When it has taken the place of the old one, let it archive again; both take effect with a restart.",
                    format!(
                        "psql --dbname=postgres --command={} --command={}",
                        quoted("alter system reset archive_mode"),
                        quoted(&format!("alter system set archive_command = '{push}'"))
                    ),
                ));
                steps.push(step("Restart it.", pg_ctl("restart")));
            }
        }
        steps.push(step(
            "Make a new base backup at once: it is on a new timeline.",
            self.mainstay(&["backup", &self.facts.database]),
        ));
        steps
    }
}
