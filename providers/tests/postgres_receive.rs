//! Receiving a server's log goes on wherever the receiver was killed, also while it was laying out a new file.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up shall say why and stop"
)]

#[path = "support/postgres.rs"]
mod postgres;

use mainstay_providers::{
    api::{Engine, WalReceive},
    registry,
};
use model::wal::SegmentHeader;
use postgres::Server;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

const SEGMENT: u64 = 16 << 20;

/// The only unfinished file, when it is as large as a segment.
fn unfinished(folder: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(folder).unwrap().flatten();
    let found = entries.find(|entry| entry.path().extension() == Some("partial".as_ref()))?;
    (found.metadata().ok()?.len() == SEGMENT).then(|| found.path())
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Receives until the test says stop; stopped, the program is killed.
fn start(engine: &Arc<dyn Engine>, folder: &Path) -> tokio::task::JoinHandle<()> {
    let (engine, folder) = (Arc::clone(engine), folder.to_owned());
    tokio::spawn(async move {
        let slot = "mainstay_test".to_owned();
        let ended = engine.receive_wal(WalReceive { folder, slot }).await;
        panic!("the receiver ended: {ended:?}");
    })
}

#[tokio::test]
async fn a_receiver_that_was_killed_while_it_laid_out_a_file_goes_on() {
    let server = Server::start(&[]);
    let table = json!({ "url": server.url("postgres") });
    let engine: Arc<dyn Engine> =
        registry::engine("postgres", &table, Path::new("/")).expect("a valid table");
    let folder = tempfile::tempdir().unwrap();
    let receiving = start(&engine, folder.path());
    let file = until("nothing is received", || unfinished(folder.path())).await;
    receiving.abort();
    assert!(receiving.await.unwrap_err().is_cancelled());

    fs::write(&file, vec![0; 3 << 20]).unwrap();
    server.psql("postgres", "CREATE TABLE t (a int); SELECT pg_switch_wal()");
    let receiving = start(&engine, folder.path());
    let whole = file.with_extension("");
    until("the file is not received again", || {
        assert!(!receiving.is_finished(), "the receiver ended");
        whole.is_file().then_some(())
    })
    .await;
    assert!(SegmentHeader::parse(&fs::read(&whole).unwrap()).is_ok());
    let next = until("no further file is begun", || unfinished(folder.path())).await;
    receiving.abort();
    assert!(receiving.await.unwrap_err().is_cancelled());

    // What holds log is never emptied; that nothing can be received then is said.
    let cut = fs::read(&whole).unwrap()[..1 << 20].to_vec();
    fs::write(&next, &cut).unwrap();
    let request = WalReceive {
        folder: folder.path().to_owned(),
        slot: "mainstay_test".to_owned(),
    };
    let ended = tokio::time::timeout(Duration::from_mins(1), engine.receive_wal(request)).await;
    let error = ended.expect("it says so").unwrap_err();
    assert!(error.message.contains("should be 0 or"), "{error:?}");
    assert_eq!(fs::read(&next).unwrap(), cut);
}
