//! An SQLite source that carries its own proof: whatever state a backup shows, one can tell whether it ever existed.
//!
//! Every change is one transaction that moves money between two accounts and writes one numbered entry with its own check
//! value. So in any true state the balances add up, the entries are numbered without a gap, and each agrees with its number.

use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

const ACCOUNTS: i64 = 16;

/// Makes the database with some entries.
pub fn create(path: &Path, entries: i64) {
    let mut shop = Connection::open(path).unwrap();
    shop.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
         CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
         CREATE TABLE entries (n INTEGER PRIMARY KEY, note TEXT NOT NULL);",
    )
    .unwrap();
    for id in 0..ACCOUNTS {
        shop.execute("INSERT INTO accounts VALUES (?1, 0)", [id])
            .unwrap();
    }
    trade(&mut shop, entries);
}

/// Makes the database and fills it with so many incompressible bytes.
pub fn create_large(path: &Path, megabytes: i64) {
    create(path, 10);
    let shop = Connection::open(path).unwrap();
    shop.execute_batch(&format!(
        "PRAGMA synchronous = OFF; CREATE TABLE ballast (b BLOB);
         INSERT INTO ballast WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {megabytes}) \
         SELECT randomblob(1000000) FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);"
    ))
    .unwrap();
}

/// Adds entries.
pub fn grow(path: &Path, entries: i64) {
    trade(&mut Connection::open(path).unwrap(), entries);
}

fn trade(shop: &mut Connection, entries: i64) {
    for _ in 0..entries {
        // Immediate: one that only becomes a writer later is turned away at once when another holds the lock for a moment.
        let change = shop
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .unwrap();
        let n: i64 = change
            .query_row("SELECT count(*) + 1 FROM entries", [], |row| row.get(0))
            .unwrap();
        for (account, sign) in [(n % ACCOUNTS, 1), ((n * 7 + 3) % ACCOUNTS, -1)] {
            change
                .execute(
                    "UPDATE accounts SET balance = balance + ?1 WHERE id = ?2",
                    [sign * n, account],
                )
                .unwrap();
        }
        change
            .execute("INSERT INTO entries VALUES (?1, ?2)", (n, note(n)))
            .unwrap();
        change.commit().unwrap();
    }
}

fn note(n: i64) -> String {
    format!("entry {n} of {}", n.wrapping_mul(2_654_435_761))
}

/// Fails unless the file shows a state in which the shop really was; gives the number of entries.
#[track_caller]
pub fn assert_true_state(path: &Path) -> i64 {
    let shop = Connection::open(path).unwrap();
    let check: String = shop
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    let (count, last): (i64, i64) = shop
        .query_row(
            "SELECT count(*), coalesce(max(n), 0) FROM entries",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(count, last, "entries are missing");
    let mut balances = vec![0_i64; usize::try_from(ACCOUNTS).unwrap()];
    let mut statement = shop
        .prepare("SELECT n, note FROM entries ORDER BY n")
        .unwrap();
    let entries = statement
        .query_map([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })
        .unwrap();
    for entry in entries {
        let (n, text) = entry.unwrap();
        assert_eq!(text, note(n));
        balances[usize::try_from(n % ACCOUNTS).unwrap()] += n;
        balances[usize::try_from((n * 7 + 3) % ACCOUNTS).unwrap()] -= n;
    }
    let mut statement = shop
        .prepare("SELECT balance FROM accounts ORDER BY id")
        .unwrap();
    let found: Vec<i64> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(found, balances);
    count
}

/// Number of entries now.
pub fn entries(path: &Path) -> i64 {
    Connection::open(path)
        .unwrap()
        .query_row("SELECT count(*) FROM entries", [], |row| row.get(0))
        .unwrap()
}
