//! Clients that write numbered rows, one a transaction, and remember which were acknowledged, when, and where the log stood then.
//!
//! A row counts as acknowledged only when the server's answer to a statement after it has arrived. Whatever kills the server, a
//! client goes on with the same number as soon as it can connect again: a row that was committed and not acknowledged is there already.

use super::bank::postgres::Server;
use jiff::Timestamp;
use model::Lsn;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Makes the table; its rows do not compress, so that segments fill.
pub const TABLE: &str = "CREATE TABLE ledger (client int, n bigint, pad text, PRIMARY KEY (client, n)); \
     ALTER TABLE ledger ALTER pad SET STORAGE EXTERNAL";
/// All rows.
pub const ROWS: &str = "SELECT client, n FROM ledger ORDER BY 1, 2";

/// One acknowledged row.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    /// Which client.
    pub client: u32,
    /// Its number.
    pub n: u64,
    /// When the answer was here.
    pub at: Timestamp,
    /// The log of its commit ends here or before.
    pub end: Lsn,
}

/// Clients at work, until they are dropped.
pub struct Ledger {
    stop: Arc<AtomicBool>,
    known: Arc<Mutex<Vec<Acknowledged>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Ledger {
    /// Starts so many clients.
    pub fn start(server: &Server, clients: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let known = Arc::new(Mutex::new(Vec::new()));
        let clients = (0..clients)
            .map(|client| {
                let (stop, known) = (Arc::clone(&stop), Arc::clone(&known));
                let (bin, folder, port) = (server.bin.clone(), server.folder.clone(), server.port);
                std::thread::spawn(move || {
                    let mut n = 0;
                    while !stop.load(Ordering::SeqCst) {
                        let mut psql =
                            super::program::command(&bin.join("psql").display().to_string());
                        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
                            .env("PGHOST", &folder)
                            .env("PGPORT", port.to_string())
                            .env("PGUSER", "postgres")
                            .env("PGDATABASE", "postgres");
                        session(&mut psql, client, &mut n, &stop, &known);
                        std::thread::sleep(Duration::from_millis(50));
                    }
                })
            })
            .collect();
        Self {
            stop,
            known,
            clients,
        }
    }

    /// What is acknowledged so far.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.known.lock().unwrap().clone()
    }

    /// Ends the clients, and gives everything that was acknowledged.
    pub fn finish(mut self) -> Vec<Acknowledged> {
        self.end();
        self.acknowledged()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            let ended = client.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a client broke");
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.end();
    }
}

/// Writes over one connection until it breaks.
fn session(
    psql: &mut Command,
    client: u32,
    n: &mut u64,
    stop: &AtomicBool,
    known: &Mutex<Vec<Acknowledged>>,
) {
    let mut child = psql
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    while !stop.load(Ordering::SeqCst) {
        let sql = format!(
            "INSERT INTO ledger SELECT {client}, {n}, string_agg(md5(random()::text), '') FROM generate_series(1, 200) \
             ON CONFLICT DO NOTHING;\nSELECT {n}, pg_current_wal_insert_lsn();\n"
        );
        if stdin.write_all(sql.as_bytes()).is_err() {
            break;
        }
        let Some(Ok(answer)) = answers.next() else {
            break;
        };
        #[expect(clippy::disallowed_methods, reason = "the client's own clock")]
        let at = Timestamp::now();
        let (number, end) = answer.split_once('|').unwrap();
        assert_eq!(number, n.to_string());
        known.lock().unwrap().push(Acknowledged {
            client,
            n: *n,
            at,
            end: Lsn::parse(end).unwrap(),
        });
        *n += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(stdin);
    let _ = child.kill();
    let _ = child.wait();
}

/// The rows of an answer to [`ROWS`].
pub fn rows(text: &str) -> BTreeSet<(u32, u64)> {
    let row = |line: &str| {
        let (client, n) = line.split_once('|').unwrap();
        (client.parse().unwrap(), n.parse().unwrap())
    };
    text.lines().map(row).collect()
}

/// Fails when a client's row is there without all its rows before it: such a state never was.
#[track_caller]
pub fn assert_without_gaps(rows: &BTreeSet<(u32, u64)>) {
    let mut next: BTreeMap<u32, u64> = BTreeMap::new();
    for (client, n) in rows {
        let expected = next.entry(*client).or_default();
        assert_eq!(expected, n, "client {client} lost a row in the middle");
        *expected += 1;
    }
}
