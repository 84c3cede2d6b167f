//! Which disasters there are, and the commands for each: right for the engine and the method, with the database's own names.
//!
//! A command is written as a person would type it at 3 a.m.: nothing in it must be thought of first. Where the accident decides (which
//! table, which moment, which server), the command holds a real example, and the words beside it say what to put there.
//! Those of whole servers are in `physical.rs`.

mod physical;

use crate::runbook::{Disaster, EngineFacts, RunbookFacts, Step};
use jiff::Timestamp;

/// Every disaster, the smallest first.
pub(crate) fn disasters(facts: &RunbookFacts) -> Vec<Disaster> {
    let shell = Shell { facts };
    match &facts.engine {
        EngineFacts::PostgresLogical { database, table } => shell.logical(database, table),
        EngineFacts::PostgresPhysical(cluster) => shell.physical(cluster),
        EngineFacts::Sqlite { path, table } => shell.sqlite(path, table),
        EngineFacts::Files => shell.files(),
        EngineFacts::Other(_) => vec![
            shell.gone(
                "The database is gone",
                "TARGET",
                "Put the target's name for TARGET.",
            ),
            shell.machine(shell.restore(&["--to", "TARGET"], "machine gone")),
        ],
    }
}

const WHERE_PSQL: &str = "Run `psql`, `pg_dump` and `dropdb` against the database's server (`PGHOST`, `PGPORT`, `PGUSER`).";

struct Shell<'a> {
    facts: &'a RunbookFacts,
}

fn step(words: impl Into<String>, command: impl Into<String>) -> Step {
    Step {
        words: words.into(),
        command: command.into(),
    }
}

/// As a word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// As an identifier in SQL, `schema.table` as two.
fn identifier(name: &str) -> String {
    let part = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    match name.split_once('.') {
        Some((schema, table)) => format!("{}.{}", part(schema), part(table)),
        None => part(name),
    }
}

impl Shell<'_> {
    fn mainstay(&self, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        format!(
            "mainstay -p {} {}",
            quoted(&self.facts.policy),
            words.join(" ")
        )
    }

    fn restore(&self, words: &[&str], why: &str) -> String {
        let head = ["restore", self.facts.database.as_str()];
        self.mainstay(&[&head, words, &["--reason", why]].concat())
    }

    /// A moment for examples: one that can be restored.
    fn moment(&self) -> String {
        let newest = self.facts.newest.as_ref().map(|(_, at)| *at);
        let at = newest.unwrap_or(self.facts.at);
        // Whole seconds, and not before the point that is meant.
        let whole = Timestamp::from_second(at.as_second() + 1).unwrap_or(at);
        whole.to_string()
    }

    fn logical(&self, database: &str, table: &str) -> Vec<Disaster> {
        let at = self.moment();
        let url = format!("postgres://postgres@new-server.example.com:5432/{database}");
        vec![
            self.table_lost(
                database,
                table,
                &[],
                "Everything that was written to the table after the recovery point is lost.",
            ),
            self.rows_deleted(
                database,
                table,
                &["--at", &at],
                "Restore the newest state from before the mistake beside the database. Put the time of the mistake for the one below.",
            ),
            Disaster {
                title: "The database is gone or ruined, its server is there".to_owned(),
                when: "Everything that was written after the recovery point is lost.".to_owned(),
                steps: vec![step("Restore it under its name. What is still there under that name is replaced, once the new one is whole.", self.restore(&["--to", database, "--replace", "--yes"], "database gone"))],
            },
            Disaster {
                title: "The server is gone".to_owned(),
                when: "There is a new, empty PostgreSQL server, of the same major version or a newer one, with the roles that own the objects.".to_owned(),
                steps: vec![step("Restore to it. Put its address and a superuser for those below; the password comes from ~/.pgpass or PGPASSWORD.", self.restore(&["--to", &url], "server gone"))],
            },
            self.machine(self.restore(&["--to", database, "--replace", "--yes"], "machine gone")),
        ]
    }

    /// A table of a database that runs: restored beside it with these options, then put into its place.
    fn table_lost(&self, database: &str, table: &str, how: &[&str], loss: &str) -> Disaster {
        let (rescue, sql_table) = (format!("{database}_rescue"), identifier(table));
        let words = [how, &["--table", table, "--to", &rescue]].concat();
        Disaster {
            title: "One table is lost or corrupted".to_owned(),
            when: format!("The rest of the database is good. {loss} {WHERE_PSQL}"),
            steps: vec![
                step(
                    format!(
                        "Restore the table into a database beside it. Put your table for `{table}`."
                    ),
                    self.restore(&words, "one table lost"),
                ),
                step(
                    "Look at what came back.",
                    format!(
                        "psql --dbname={} --command={}",
                        quoted(&rescue),
                        quoted(&format!("select count(*) from {sql_table}"))
                    ),
                ),
                step(
                    "Put it in the place of the bad one. If other tables refer to it, drop their constraints first and make them again afterwards.",
                    format!(
                        "pg_dump --dbname={} --table={} --clean --if-exists | psql --dbname={} --set=ON_ERROR_STOP=1 --single-transaction",
                        quoted(&rescue),
                        quoted(&sql_table),
                        quoted(database)
                    ),
                ),
                step("Clear away.", format!("dropdb {}", quoted(&rescue))),
            ],
        }
    }

    /// Rows of a table of a database that runs: the state from before is restored beside it with these options.
    fn rows_deleted(&self, database: &str, table: &str, how: &[&str], first: &str) -> Disaster {
        let (before, sql_table) = (format!("{database}_before"), identifier(table));
        Disaster {
            title: "Rows were deleted or changed by mistake".to_owned(),
            when: format!("You know about when. {WHERE_PSQL}"),
            steps: vec![
                step(
                    first,
                    self.restore(
                        &[how, &["--to", &before]].concat(),
                        "rows deleted by mistake",
                    ),
                ),
                step(
                    format!("Take the rows out. Put your table for `{table}`."),
                    format!(
                        "psql --dbname={} --command={}",
                        quoted(&before),
                        quoted(&format!("\\copy {sql_table} to 'rescued-rows.csv' csv"))
                    ),
                ),
                step(
                    "Bring back those whose key is missing now. Rows that were changed are not touched: compare them in `mainstay_rescued` before it is dropped.",
                    format!(
                        "psql --dbname={} --set=ON_ERROR_STOP=1 --command={} --command={} --command={} --command={}",
                        quoted(database),
                        quoted(&format!("create table mainstay_rescued (like {sql_table})")),
                        quoted("\\copy mainstay_rescued from 'rescued-rows.csv' csv"),
                        quoted(&format!(
                            "insert into {sql_table} select * from mainstay_rescued on conflict do nothing"
                        )),
                        quoted("drop table mainstay_rescued"),
                    ),
                ),
                step("Clear away.", format!("dropdb {}", quoted(&before))),
            ],
        }
    }

    fn sqlite(&self, path: &str, table: &str) -> Vec<Disaster> {
        let (at, sql_table) = (self.moment(), identifier(table));
        let source = quoted(path);
        vec![
            Disaster {
                title: "One table is lost or corrupted".to_owned(),
                when: "The rest of the file is good. Stop the programs that write to it first."
                    .to_owned(),
                steps: vec![
                    step(
                        format!(
                            "Restore the table into a file beside it. Put your table for `{table}`."
                        ),
                        self.restore(&["--table", table, "--to", "rescue.db"], "one table lost"),
                    ),
                    step(
                        "Put its rows in the place of the bad ones.",
                        format!(
                            "sqlite3 -bail {source} {}",
                            quoted(&format!(
                                "attach 'rescue.db' as rescue; begin immediate; delete from main.{sql_table}; insert into main.{sql_table} select * from rescue.{sql_table}; commit;"
                            ))
                        ),
                    ),
                    step("Clear away.", "rm rescue.db"),
                ],
            },
            Disaster {
                title: "Rows were deleted or changed by mistake".to_owned(),
                when: "You know about when.".to_owned(),
                steps: vec![
                    step(
                        "Restore the newest state from before the mistake into a file beside it. Put the time of the mistake for the one below.",
                        self.restore(
                            &["--at", &at, "--to", "before.db"],
                            "rows deleted by mistake",
                        ),
                    ),
                    step(
                        format!(
                            "Bring back the rows whose key is missing now. Put your table for `{table}`."
                        ),
                        format!(
                            "sqlite3 -bail {source} {}",
                            quoted(&format!(
                                "attach 'before.db' as before; insert or ignore into main.{sql_table} select * from before.{sql_table};"
                            ))
                        ),
                    ),
                    step("Clear away.", "rm before.db"),
                ],
            },
            self.gone(
                "The file is gone or ruined",
                path,
                "Stop the programs that use it first.",
            ),
            Disaster {
                title: "The server is gone".to_owned(),
                when: "The programs move to another machine, which reaches the tiers.".to_owned(),
                steps: vec![step(
                    "Restore the file where they look for it.",
                    self.restore(&["--to", path, "--replace", "--yes"], "server gone"),
                )],
            },
            self.machine(self.restore(&["--to", path, "--replace", "--yes"], "machine gone")),
        ]
    }

    fn files(&self) -> Vec<Disaster> {
        vec![
            Disaster {
                title: "One file is lost or was changed by mistake".to_owned(),
                when: "You know about when.".to_owned(),
                steps: vec![step(
                    "Restore it into a folder of its own, look at it, and copy it back. Put its path for the one below, and the time of the mistake.",
                    self.restore(
                        &[
                            "--at",
                            &self.moment(),
                            "--path",
                            "etc/example.conf",
                            "--to",
                            "./rescued",
                        ],
                        "one file lost",
                    ),
                )],
            },
            Disaster {
                title: "All files are gone".to_owned(),
                when: "Everything since the recovery point is lost.".to_owned(),
                steps: vec![step(
                    "Restore all of them into a new folder, look, and move them to their places.",
                    self.restore(&["--to", "./restored"], "files gone"),
                )],
            },
            self.machine(self.restore(&["--to", "./restored"], "machine gone")),
        ]
    }

    fn gone(&self, title: &str, target: &str, words: &str) -> Disaster {
        Disaster {
            title: title.to_owned(),
            when: "Everything that was written after the recovery point is lost.".to_owned(),
            steps: vec![step(
                format!("{words} What is still there is replaced, once the new one is whole."),
                self.restore(&["--to", target, "--replace", "--yes"], "database gone"),
            )],
        }
    }

    fn machine(&self, restore: String) -> Disaster {
        let keys: Vec<String> = self
            .facts
            .keys
            .iter()
            .map(|key| format!("{} ({})", key.name, key.place))
            .collect();
        let keys = if keys.is_empty() {
            "No key is needed: the points are stored plain.".to_owned()
        } else {
            format!("One of these keys is needed: {}.", keys.join(", "))
        };
        Disaster {
            title: "The machine with Mainstay is gone".to_owned(),
            when: format!(
                "Nothing is left but the tiers, the policy and a key. {keys} Without Mainstay, `docs/recover-by-hand.md` does it with public tools."
            ),
            steps: vec![
                step(
                    format!(
                        "Install Mainstay, put the policy back to {} and the key to its place, mount or reach the tiers. Then learn from the tiers what there is.",
                        self.facts.policy
                    ),
                    self.mainstay(&["catalog", "rebuild"]),
                ),
                step(
                    "See what can be restored.",
                    self.mainstay(&["list", &self.facts.database]),
                ),
                step("Restore.", restore),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell_stay_whole() {
        assert_eq!(quoted("public.orders"), "public.orders");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
        assert_eq!(identifier("public.Orders"), "\"public\".\"Orders\"");
    }
}
