//! `apply --from-git`: the policy of a branch, for a host that follows a repository.
//!
//! What was fetched (`fetch`) is read from the object store and never checked out. Relative paths of the policy start where they would if the repository were checked out in the current folder.
//! Invariants: a branch is followed only forward, from the commit that was applied last; where a signature is asked for, the commit is
//! judged by signers that do not come from that commit. Decision: `docs/decisions/0040-who-may-change-what.md`.

use super::fetch::{INCOMING, fetch};
use crate::{
    arguments::{FollowArguments, Global},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    git::{Repository, Revision},
    input, policy, policy_source, session, settings,
};
use catalog::{AuditDetails, AuditEntry, AuditKind, Catalog};
use model::{ApprovalRules, PolicySource, approval::PublicKey};
use policy_schema::{Files as _, Policy};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Names that a message lists.
const MOST_NAMES: usize = 10;

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
    if let Some(other) = &global.policy {
        return Err(Failure::new(
            "mainstay::git::two-policies",
            format!(
                "the policy of the branch and the one at `{}` cannot both be applied",
                other.display()
            ),
        )
        .help("leave out `--policy` and MAINSTAY_POLICY; `--path DIR` says where in the repository the policy lies"));
    }
    let path = arguments.path.clone();
    let global = with_state(global);
    let limit = Duration::from_secs(arguments.fetch_timeout);
    let fetched = fetch(url, branch, &cache(&global), limit).await?;
    let repository = &fetched.repository;
    let revision = repository.revision(INCOMING)?;
    let commit = revision.commit.clone().unwrap_or_default();
    check_path(&revision, &path)?;
    let catalog = session::catalog(&global, &path).await?;
    let last = catalog.followed(from).await?;
    check_history(
        repository,
        last.as_deref(),
        &commit,
        arguments.accept_history.as_deref(),
        from,
    )?;
    let signer = match &arguments.verify_signature {
        Some(file) => {
            let rules = allowed(file.as_deref(), &catalog).await?;
            Some(check_signature(repository, &commit, &rules)?)
        }
        None => None,
    };
    let policy = policy::load_revision(&revision, &path, &global)?;
    let applied = catalog.applied_source().await?;
    let since = applied.map(|applied| applied.revision).or(last.clone());
    let source =
        policy_source::of_revision(repository, &revision, &path, &policy, since.as_deref());
    let mut source = source.ok_or_else(|| {
        Failure::new(
            "mainstay::git::unreadable",
            format!("cannot tell who wrote the policy of `{from}`"),
        )
        .help("check the cache with `git fsck`, or remove it; it is fetched again")
    })?;
    source.signed_by = signer.or(source.signed_by);
    remember(&catalog, repository, from, last.as_deref(), &commit).await?;
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
    // First, because every other message names the address.
    refuse_secrets(from)?;
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
    Ok((url, branch))
}

/// An address with a password or a token in it is not even repeated.
fn refuse_secrets(from: &str) -> Result<()> {
    let Some((scheme, place)) = from.split_once("://") else {
        return Ok(());
    };
    let host = place.split('/').next().unwrap_or_default();
    let Some((user, _)) = host.rsplit_once('@') else {
        return Ok(());
    };
    // Over HTTP a token often stands in the place of the user.
    if user.contains(':') || scheme.to_ascii_lowercase().starts_with("http") {
        return Err(Failure::new(
            "mainstay::git::password",
            "there is a password, a token or a user in the address of the repository, which every user of this machine could read",
        )
        .help("let git know it: `git config --global credential.helper store`, or use a deploy key"));
    }
    Ok(())
}

/// Where what was fetched is kept.
fn cache(global: &Global) -> PathBuf {
    let state = global.state.clone().unwrap_or_default();
    let beside = if state.contains("://") {
        PathBuf::from(".mainstay")
    } else {
        settings::home(Path::new(&state))
    };
    beside.join("git")
}

fn check_path(revision: &Revision<'_>, path: &Path) -> Result<()> {
    if revision.has(path) {
        return Ok(());
    }
    let commit = revision.commit.as_deref().unwrap_or(&revision.name);
    let there = revision.list(Path::new("")).unwrap_or_default();
    let there: Vec<String> = there
        .iter()
        .take(MOST_NAMES)
        .map(|path| path.display().to_string())
        .collect();
    Err(Failure::new(
        "mainstay::git::no-path",
        format!("commit {commit} has nothing at `{}`", path.display()),
    )
    .help(format!(
        "`--path` is a folder or a file of the repository, which has: {}",
        there.join(", ")
    )))
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
        limits: None,
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
        for secret in [
            "https://me:hunter2@git.example.com/a.git@main",
            "https://me:hunter2@git.example.com/a.git",
            "https://hunter2@git.example.com/a.git@main",
            "HTTPS://hunter2@git.example.com/a.git@main",
            "ssh://me:hunter2@git.example.com/a.git@main",
            "https://me:hunter2@x.git.example.com",
        ] {
            let refused = split(secret).unwrap_err();
            assert_eq!(refused.code, "mainstay::git::password", "{secret}");
            assert!(!refused.message.contains("hunter2"));
        }
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
