//! `apply --from-git`: the policy of a branch, for a host that follows a repository.
//!
//! The `git` program fetches, so that a user's credentials, keys and proxies work; what was fetched is read from the object store and
//! never checked out. Relative paths of the policy start where they would if the repository were checked out in the current folder.
//! Invariants: a branch is followed only forward, from the commit that was applied last; where a signature is asked for, the commit is
//! judged by signers that do not come from that commit. Decision: `docs/decisions/0040-who-may-change-what.md`.

use crate::{
    arguments::{FollowArguments, Global},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    git::Repository,
    input, policy, policy_source, session, settings,
};
use catalog::{AuditDetails, AuditEntry, AuditKind, Catalog};
use model::{ApprovalRules, PolicySource, approval::PublicKey};
use policy_schema::Policy;
use providers::process::Program;
use std::path::{Path, PathBuf};

/// Name of what was fetched, in the cache.
const INCOMING: &str = "refs/mainstay/incoming";

/// The policy of a branch.
pub(crate) struct Followed {
    pub(crate) path: PathBuf,
    pub(crate) policy: Policy,
    pub(crate) source: PolicySource,
    /// With the state where it lies for a policy that is not on the disk.
    pub(crate) global: Global,
}

/// Fetches, checks and reads the policy of `URL@BRANCH`.
pub(crate) async fn follow(
    from: &str,
    arguments: &FollowArguments,
    global: &Global,
) -> Result<Followed> {
    let (url, branch) = split(from)?;
    let path = arguments.path.clone();
    let global = with_state(global);
    let repository = fetch(url, branch, &global).await?;
    let revision = repository.revision(INCOMING)?;
    let commit = revision.commit.clone().unwrap_or_default();
    let catalog = session::catalog(&global, &path).await?;
    let last = catalog.followed(from).await?;
    check_history(
        &repository,
        last.as_deref(),
        &commit,
        arguments.accept_history.as_deref(),
        from,
    )?;
    let signer = match &arguments.verify_signature {
        Some(file) => {
            let rules = allowed(file.as_deref(), &catalog).await?;
            Some(check_signature(&repository, &commit, &rules)?)
        }
        None => None,
    };
    let policy = policy::load_revision(&revision, &path, &global)?;
    let source =
        policy_source::of_revision(&repository, &revision, &path, &policy, last.as_deref());
    let mut source = source.ok_or_else(|| {
        Failure::new(
            "mainstay::git::unreadable",
            format!("cannot tell who wrote the policy of `{from}`"),
        )
        .help("check the cache with `git fsck`, or remove it; it is fetched again")
    })?;
    source.signed_by = signer.or(source.signed_by);
    remember(&catalog, &repository, from, last.as_deref(), &commit).await?;
    catalog.close().await;
    Ok(Followed {
        path,
        policy,
        source,
        global,
    })
}

/// `URL@BRANCH`; an address has an `@` of its own where a user stands in it.
fn split(from: &str) -> Result<(&str, &str)> {
    let wrong = |message: &str| {
        Failure::new("mainstay::git::address", format!("`{from}` {message}"))
            .help("write URL@BRANCH, as in `git@git.example.com:ops/backups.git@main`")
    };
    let Some((url, branch)) = from.rsplit_once('@') else {
        return Err(wrong("names no branch"));
    };
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    let names_a_place = place.contains('/') || (place == url && place.contains(':'));
    if !names_a_place || branch.is_empty() || branch.contains(':') {
        return Err(wrong("names no branch"));
    }
    if url.starts_with('-') || branch.starts_with('-') {
        return Err(wrong("begins like an option"));
    }
    let user = place.split_once('@').map_or("", |(user, _)| user);
    if place != url && user.contains(':') {
        // Not with the address: there is a password in it.
        return Err(Failure::new(
            "mainstay::git::password",
            "there is a password in the address of the repository, which every user of this machine could read",
        )
        .help("let git know it: `git config --global credential.helper store`, or use a deploy key"));
    }
    Ok((url, branch))
}

/// State lies in the current folder, unless it is said where.
fn with_state(global: &Global) -> Global {
    let mut global = global.clone();
    let beside = Path::new(".mainstay");
    global
        .state
        .get_or_insert_with(|| beside.join("state.db").display().to_string());
    global.scratch.get_or_insert_with(|| beside.join("scratch"));
    global
}

/// Fetches the branch into a bare repository that holds nothing else.
async fn fetch(url: &str, branch: &str, global: &Global) -> Result<Repository> {
    let state = global.state.clone().unwrap_or_default();
    let beside = if state.contains("://") {
        PathBuf::from(".mainstay")
    } else {
        settings::home(Path::new(&state))
    };
    let digest = model::Digest::sha256_of(url.as_bytes());
    let name = digest.hex().get(..16).unwrap_or_default().to_owned();
    let cache = beside.join("git").join(name);
    let failed = |error: &providers::api::ProviderError| {
        Failure::from_error(
            "mainstay::git::fetch",
            Some(format!(
                "try it by hand, as the same user: `git ls-remote URL {branch}`; credentials and proxies are those of git"
            )),
            error,
        )
    };
    let git = || {
        Program::new("git")
            .env("GIT_TERMINAL_PROMPT", "0")
            // Set by hooks and by whoever runs in one; they would lead git elsewhere.
            .without_env("GIT_DIR")
            .without_env("GIT_WORK_TREE")
            .without_env("GIT_INDEX_FILE")
    };
    if !cache.join("HEAD").exists() {
        let program = git().args(["init", "--quiet", "--bare"]).arg(&cache);
        program.output().await.map_err(|error| failed(&error))?;
    }
    let program = git()
        .arg("-C")
        .arg(&cache)
        .args([
            "fetch",
            "--quiet",
            "--no-tags",
            "--force",
            "--no-auto-maintenance",
            "--",
        ])
        .arg(absolute(url))
        .arg(format!("refs/heads/{branch}:{INCOMING}"));
    program.output().await.map_err(|error| failed(&error))?;
    Repository::open(&cache)
}

/// A path is one of the current folder, not of the cache.
fn absolute(url: &str) -> PathBuf {
    let local = !url.contains("://") && Path::new(url).exists();
    let made = local.then(|| std::path::absolute(url).ok()).flatten();
    made.unwrap_or_else(|| PathBuf::from(url))
}

fn check_history(
    repository: &Repository,
    last: Option<&str>,
    commit: &str,
    accepted: Option<&str>,
    from: &str,
) -> Result<()> {
    if let Some(accepted) = accepted.filter(|accepted| *accepted != commit) {
        return Err(Failure::new(
            "mainstay::git::accepts-another",
            format!("`{from}` is at {commit}, not at {accepted}"),
        )
        .help("look at what is there now, and name that commit in full"));
    }
    let Some(last) = last else { return Ok(()) };
    if accepted.is_some() || repository.is_behind(last, commit) {
        return Ok(());
    }
    let (code, what) = if repository.is_behind(commit, last) {
        ("mainstay::git::backwards", "went back")
    } else {
        ("mainstay::git::rewritten", "was rewritten")
    };
    Err(Failure::new(
        code,
        format!("the history of `{from}` {what}: {last} was applied, now it is at {commit}, which does not contain that"),
    )
    .help(format!(
        "nothing was done; to undo a change, push a commit that reverts it; if this is meant: --accept-history {commit}"
    ))
    .exit(Exit::NeedsApproval))
}

/// Who may sign commits: as a file on this host says, else as the rules in force in its catalog.
async fn allowed(file: Option<&Path>, catalog: &Catalog) -> Result<ApprovalRules> {
    let Some(file) = file else {
        return catalog.approval_rules().await?.ok_or_else(|| {
            Failure::new(
                "mainstay::git::no-signers",
                "no approval rules are in force, so nobody is known who could sign",
            )
            .help("name them in a file: `--verify-signature ALLOWED_SIGNERS`, a line each: `alice@example.com ssh-ed25519 AAAA…`")
        });
    };
    let bytes = input::read(file).map_err(|error| {
        Failure::new(
            "mainstay::git::no-signers",
            format!(
                "cannot read the allowed signers `{}`: {error}",
                file.display()
            ),
        )
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let signers: std::collections::BTreeMap<String, String> =
        text.lines().filter_map(allowed_signer).collect();
    if signers.is_empty() {
        return Err(Failure::new(
            "mainstay::git::no-signers",
            format!("`{}` names no signer with a usable key", file.display()),
        )
        .help("a line each, as for git: `alice@example.com ssh-ed25519 AAAA…`"));
    }
    Ok(ApprovalRules {
        exclude_author: false,
        quorum: 1,
        signers,
    })
}

/// A line of an allowed signers file (`ssh-keygen(1)`) without options: who asks for conditions must not be believed without them.
fn allowed_signer(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let (name, key) = line.split_once(char::is_whitespace)?;
    let key = PublicKey::from_line(key).ok()?;
    Some((name.to_owned(), key.line()))
}

fn check_signature(repository: &Repository, commit: &str, rules: &ApprovalRules) -> Result<String> {
    policy_source::signer_of_commit(repository, commit, rules).map_err(|why| {
        let names: Vec<&str> = rules.signers.keys().map(String::as_str).collect();
        Failure::new(
            "mainstay::git::unsigned",
            format!("commit {commit} is not accepted: {why}"),
        )
        .help(format!(
            "nothing was done; allowed signers: {}; sign with `git commit -S` and `gpg.format = ssh`",
            names.join(", ")
        ))
        .exit(Exit::NeedsApproval)
    })
}

/// Before anything is carried out: also a run that is killed has used this commit.
async fn remember(
    catalog: &Catalog,
    repository: &Repository,
    from: &str,
    last: Option<&str>,
    commit: &str,
) -> Result<()> {
    if last == Some(commit) {
        return Ok(());
    }
    let now = clock::now();
    if let Some(last) = last.filter(|last| !repository.is_behind(last, commit)) {
        let entry = AuditEntry {
            at: now,
            who: settings::who(),
            kind: AuditKind::HistoryAccept,
            what: from.to_owned(),
            why: format!("follows {commit} although {last} was applied"),
            details: Some(AuditDetails::HistoryAccept {
                from: last.to_owned(),
                repository: from.to_owned(),
                to: commit.to_owned(),
            }),
        };
        catalog.audit(&entry).await?;
    }
    catalog.set_followed(from, commit, now).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_form_are_split_from_their_branch() {
        for (from, url, branch) in [
            (
                "https://git.example.com/a/b.git@main",
                "https://git.example.com/a/b.git",
                "main",
            ),
            (
                "git@git.example.com:a/b.git@feature/x",
                "git@git.example.com:a/b.git",
                "feature/x",
            ),
            (
                "ssh://git@git.example.com/a.git@main",
                "ssh://git@git.example.com/a.git",
                "main",
            ),
            ("/srv/policies.git@main", "/srv/policies.git", "main"),
        ] {
            assert_eq!(split(from).unwrap(), (url, branch));
        }
        for from in [
            "https://git.example.com/a/b.git",
            "git@git.example.com:a/b.git",
            "ssh://git@git.example.com/a.git",
            "/srv/policies.git",
            "/srv/policies.git@",
        ] {
            assert_eq!(
                split(from).unwrap_err().code,
                "mainstay::git::address",
                "{from}"
            );
        }
        let secret = split("https://me:hunter2@git.example.com/a.git@main").unwrap_err();
        assert_eq!(secret.code, "mainstay::git::password");
        assert!(!secret.message.contains("hunter2"));
    }

    #[test]
    fn lines_of_allowed_signers_with_conditions_are_not_believed() {
        const KEY: &str =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDNrmgnE7IAfPkCq0wbAPlOZ0fHSyTTI4PcnxKXcfBPY";
        let plain = allowed_signer(&format!("alice@example.com {KEY} a comment"));
        assert_eq!(
            plain,
            Some(("alice@example.com".to_owned(), KEY.to_owned()))
        );
        let limited = format!("alice@example.com valid-before=\"20200101\" {KEY}");
        assert_eq!(allowed_signer(&limited), None);
        assert_eq!(allowed_signer(&format!("# {KEY}")), None);
    }
}
