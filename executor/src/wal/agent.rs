//! The long-running side of archiving: answers `wal push` in a few milliseconds because the file was sent before it was asked for.
//!
//! When a file is asked for, the files behind it that the server has marked (`archive_status/*.ready`) are sent as well, several
//! at once. Invariants: an answer "archived" is given only for a file whose own `push` has ended well; what is remembered of a
//! file counts only as long as it is the same file (inode, size, time); nothing is remembered on disk, so a kill loses nothing:
//! the next one sends again and finds what is there.
//!
//! One agent per database, by a lock file; a socket without a living agent is replaced.

use super::{
    archive::WalStore,
    protocol::{Answer, AnswerFailure, LONGEST_LINE, Request, SIGN_OF_LIFE, VERSION, short},
    push::{Pushed, push},
    server,
};
use crate::{cancel::Cancel, steps::error::chain};
use model::Disposition;
use providers::api::{ProviderError, Result};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// Files that wait to be sent, for each that is being sent: enough that nobody has to look into the folder all the time.
const AHEAD: usize = 4;
/// Pause between two looks into the spool.
const SPOOL_PAUSE: Duration = Duration::from_secs(5);
/// Files that are sent from the spool in one go.
const SPOOL_AT_ONCE: usize = 64;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long work under way may take when the agent is asked to end.
const GRACE: Duration = Duration::from_secs(10);

/// Tells one file from another under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let about = fs::metadata(path)?;
        Ok(Self {
            inode: about.ino(),
            size: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
        })
    }
}

/// `None` while it is on its way.
type Outcome = Option<std::result::Result<Pushed, AnswerFailure>>;

#[derive(Debug)]
struct Work {
    store: Arc<WalStore>,
    permits: Semaphore,
    known: Mutex<BTreeMap<PathBuf, (Stamp, watch::Receiver<Outcome>)>>,
}

/// The right to be the agent of a database; its socket is removed when it is dropped.
#[derive(Debug)]
pub struct WalAgent {
    work: Arc<Work>,
    listener: UnixListener,
    /// Whose process this is.
    owner: u32,
    socket: PathBuf,
    /// Held as long as this lives.
    _lock: File,
    _folder: File,
}

impl WalAgent {
    /// Listens in `folder`. `mainstay::wal::agent-runs` when another agent of the same database does.
    pub fn start(store: Arc<WalStore>, folder: &Path) -> Result<Self> {
        let fail = |error: io::Error| {
            ProviderError::new(
                "mainstay::wal::agent",
                Disposition::NeedsOperator,
                format!("cannot listen in `{}`", folder.display()),
            )
            .help("the user that archives must be able to write there; it lies in `.mainstay` beside the policy")
            .source(error)
        };
        let database = store.database().to_string();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(fail)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(format!("{database}.lock")))
            .map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(ProviderError::new(
                    "mainstay::wal::agent-runs",
                    Disposition::NeedsOperator,
                    format!("another `mainstay wal run` serves `{database}` already"),
                )
                .help("one is enough; `wal push` finds it by its socket"));
            }
            Err(fs::TryLockError::Error(error)) => return Err(fail(error)),
        }
        let name = super::protocol::socket_name(&database);
        let socket = folder.join(&name);
        // Whoever made it is dead, or it would hold the lock.
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        let folder_fd = File::open(folder).map_err(fail)?;
        let listener = UnixListener::bind(short(&folder_fd, &name)).map_err(fail)?;
        // Whoever may ask may have files archived. In a folder that others may enter this closes it to them.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).map_err(fail)?;
        let owner = fs::symlink_metadata(&socket).map_err(fail)?.uid();
        let permits = Semaphore::new(store.parallel());
        Ok(Self {
            work: Arc::new(Work {
                store,
                permits,
                known: Mutex::default(),
            }),
            listener,
            owner,
            socket,
            _lock: lock,
            _folder: folder_fd,
        })
    }

    /// Serves until `cancel` says so; then ends what is under way, within a grace. `tell` gets what a person should know.
    pub async fn serve(self, cancel: &Cancel, tell: Arc<dyn Fn(&str) + Send + Sync>) {
        let mut serving = JoinSet::new();
        let spooling = send_what_waits(&self.work.store, &tell);
        tokio::pin!(spooling);
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if is_trusted(&stream, self.owner) => {
                        let work = Arc::clone(&self.work);
                        serving.spawn(async move { converse(&work, stream).await });
                    }
                    Ok(_) => {}
                    // Out of descriptors: the clients do the work themselves meanwhile.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(_) = serving.join_next(), if !serving.is_empty() => {}
                // Never ends; beside the rest, for a tier that hangs must hold up nobody.
                () = &mut spooling => {}
            }
        }
        let _ = fs::remove_file(&self.socket);
        let ending = async { while serving.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, ending).await;
    }
}

/// Sends what waits in the spool, again and again.
async fn send_what_waits(store: &Arc<WalStore>, tell: &Arc<dyn Fn(&str) + Send + Sync>) {
    let Some(spool) = store.spool() else {
        return std::future::pending().await;
    };
    let mut last_trouble = String::new();
    loop {
        let (sent, trouble) = spool.send(store, SPOOL_AT_ONCE, |_| true).await;
        if sent > 0 {
            tell(&format!(
                "{sent} files that waited in the spool are archived now"
            ));
        }
        let text: Vec<String> = trouble
            .iter()
            .map(|(tier, error)| format!("tier `{tier}`: {}", chain(error)))
            .collect();
        let text = text.join("; ");
        if text != last_trouble && !text.is_empty() {
            tell(&format!("files wait in the spool: {text}"));
        }
        last_trouble = text;
        tokio::time::sleep(SPOOL_PAUSE).await;
    }
}

/// Who may have files archived: the user that archives, and root.
fn is_trusted(stream: &UnixStream, owner: u32) -> bool {
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0)
}

/// One request, one answer. A client that goes away changes nothing: the file is sent all the same.
async fn converse(work: &Arc<Work>, stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut lines = BufReader::new(read.take(LONGEST_LINE));
    let asked = tokio::time::timeout(PATIENCE, lines.read_line(&mut line)).await;
    if !matches!(asked, Ok(Ok(_))) {
        return;
    }
    let Ok(request) = serde_json::from_str::<Request>(&line) else {
        return;
    };
    let own = work.store.database().as_str();
    // Without an answer the client does the work itself.
    if request.version != VERSION
        || request.database.as_deref().is_some_and(|name| name != own)
        || !request.path.is_absolute()
    {
        return;
    }
    let answer = answer(work, &request);
    tokio::pin!(answer);
    let answer = loop {
        tokio::select! {
            answer = &mut answer => break answer,
            () = tokio::time::sleep(SIGN_OF_LIFE) => {
                if write.write_all(b"\n").await.is_err() {
                    return;
                }
            }
        }
    };
    if let Ok(mut text) = serde_json::to_vec(&answer) {
        text.push(b'\n');
        let _ = write.write_all(&text).await;
    }
}

async fn answer(work: &Arc<Work>, request: &Request) -> Answer {
    let outcome = match (request.system_identifier, Stamp::of(&request.path)) {
        (None, Ok(stamp)) => {
            // What failed ahead of its time gets another try now that somebody waits for it.
            let mut outcome = wait(start(work, &request.path, stamp)).await;
            if outcome.is_err() {
                outcome = wait(start(work, &request.path, stamp)).await;
            }
            outcome
        }
        _ => send(work, &request.path, request.system_identifier).await,
    };
    if let Some(pg_wal) = request.path.parent() {
        send_ahead(work, pg_wal);
    }
    match outcome {
        Ok(pushed) => Answer {
            archived: true,
            warnings: pushed.warnings,
            failure: None,
        },
        Err(failure) => Answer {
            archived: false,
            warnings: Vec::new(),
            failure: Some(failure),
        },
    }
}

async fn wait(mut outcome: watch::Receiver<Outcome>) -> std::result::Result<Pushed, AnswerFailure> {
    match outcome.wait_for(Option::is_some).await {
        Ok(found) => match &*found {
            Some(outcome) => outcome.clone(),
            None => Err(interrupted()),
        },
        Err(_) => Err(interrupted()),
    }
}

fn interrupted() -> AnswerFailure {
    AnswerFailure {
        code: "mainstay::wal::agent".to_owned(),
        message: "the agent ends, and the file was not archived".to_owned(),
        help: None,
    }
}

/// The work on a file: what is under way or done well, else begun now.
fn start(work: &Arc<Work>, path: &Path, stamp: Stamp) -> watch::Receiver<Outcome> {
    let mut known = work.known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((there, outcome)) = known.get(path)
        && *there == stamp
        && !matches!(&*outcome.borrow(), Some(Err(_)))
    {
        return outcome.clone();
    }
    let (done, outcome) = watch::channel(None);
    known.insert(path.to_owned(), (stamp, outcome.clone()));
    drop(known);
    let (work, path) = (Arc::clone(work), path.to_owned());
    tokio::spawn(async move {
        let result = send(&work, &path, None).await;
        // The file may have become another one while it was read.
        let same = Stamp::of(&path).is_ok_and(|now| now == stamp);
        let _ = done.send(Some(match result {
            Ok(_) if !same => Err(AnswerFailure {
                message: format!("`{}` was changed while it was archived", path.display()),
                ..interrupted()
            }),
            result => result,
        }));
    });
    outcome
}

async fn send(
    work: &Arc<Work>,
    path: &Path,
    system_identifier: Option<u64>,
) -> std::result::Result<Pushed, AnswerFailure> {
    let Ok(_permit) = work.permits.acquire().await else {
        return Err(interrupted());
    };
    push(&work.store, path, system_identifier)
        .await
        .map_err(|error| AnswerFailure {
            code: error.code.to_owned(),
            help: error.help.clone(),
            message: chain(&error),
        })
}

/// Begins with the files that the server will ask for next, and forgets those that are gone.
fn send_ahead(work: &Arc<Work>, pg_wal: &Path) {
    let most = work.store.parallel() * AHEAD;
    let on_their_way = {
        let mut known = work.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > 4 * most {
            known.retain(|path, (stamp, _)| Stamp::of(path).is_ok_and(|now| now == *stamp));
        }
        let running =
            |(_, outcome): &&(Stamp, watch::Receiver<Outcome>)| outcome.borrow().is_none();
        known.values().filter(running).count()
    };
    if on_their_way >= most / 2 {
        return;
    }
    let is_known = |path: &Path| {
        let known = work.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains_key(path)
    };
    let next = server::waiting(pg_wal);
    for path in next
        .iter()
        .filter(|path| !is_known(path))
        .take(most - on_their_way)
    {
        if let Ok(stamp) = Stamp::of(path) {
            drop(start(work, path, stamp));
        }
    }
}
