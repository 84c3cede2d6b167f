//! Where a policy comes from: the commit that its files lie in, who wrote it, and whether the files are as committed.
//!
//! A policy outside Git has no source, and one whose repository cannot be read neither: that stops no backup, and where it matters who
//! wrote the policy, an unknown author never counts in favour (`model::approval`).

use crate::{
    arguments::Global,
    failure::Result,
    git::{Repository, Revision},
    session,
};
use model::{
    ApprovalRules, PolicySource,
    approval::{GIT_NAMESPACE, SshSignature},
};
use policy_schema::{Disk, Files, Policy, gather};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The source of the policy on the disk, with the authors since it was applied last as far as the catalog tells.
pub(crate) async fn at(
    global: &Global,
    path: &Path,
    policy: &Policy,
) -> Result<Option<PolicySource>> {
    let Some(source) = of(path, policy, None) else {
        return Ok(None);
    };
    let Some(catalog) = session::catalog_if_any(global, path).await? else {
        return Ok(Some(source));
    };
    let applied = catalog.applied_source().await;
    catalog.close().await;
    let since = applied?.map(|applied| applied.revision);
    Ok(since.map_or(Some(source), |since| of(path, policy, Some(&since))))
}

/// The source of the policy on the disk, with the authors since a revision.
pub(crate) fn of(path: &Path, policy: &Policy, since: Option<&str>) -> Option<PolicySource> {
    let path = std::fs::canonicalize(path).ok()?;
    let folder = if path.is_dir() { &path } else { path.parent()? };
    let repository = Repository::around(folder).ok()??;
    let root = std::fs::canonicalize(repository.folder()?).ok()?;
    let inside = path.strip_prefix(&root).ok()?;
    let head = repository.revision("HEAD").ok()?;
    let mut source = of_revision(&repository, &head, inside, policy, since)?;
    source.dirty = texts(&path, &Disk, &root)? != texts(inside, &head, Path::new(""))?;
    Some(source)
}

/// The source of the policy in a revision.
pub(crate) fn of_revision(
    repository: &Repository,
    revision: &Revision<'_>,
    path: &Path,
    policy: &Policy,
    since: Option<&str>,
) -> Option<PolicySource> {
    let commit = revision.commit.as_deref()?;
    let mut paths: Vec<PathBuf> = texts(path, revision, Path::new(""))?.into_keys().collect();
    // A file that was taken away changed the folder; the root of a repository has other things in it.
    paths.extend(Some(plain(path)).filter(|folder| !folder.as_os_str().is_empty()));
    // A link stays as it is when somebody changes what it leads to.
    let linked: Vec<PathBuf> = paths
        .iter()
        .filter_map(|path| revision.real(path))
        .collect();
    paths.extend(
        linked
            .into_iter()
            .filter(|path| !path.as_os_str().is_empty()),
    );
    let changes = repository.changes(commit, &paths, since).ok()?;
    let rules = policy.approval.as_ref();
    Some(PolicySource {
        author: changes.author,
        changed_at: changes.at,
        changed_in: changes.commit,
        dirty: false,
        earlier_authors: changes.earlier_authors,
        revision: commit.to_owned(),
        signed_by: rules.and_then(|rules| signer_of_commit(repository, commit, rules).ok()),
    })
}

/// The allowed signer of a commit; else why there is none.
pub(crate) fn signer_of_commit(
    repository: &Repository,
    commit: &str,
    rules: &ApprovalRules,
) -> std::result::Result<String, String> {
    let Some((signature, signed)) = repository.signature(commit) else {
        return Err("it is not signed".to_owned());
    };
    let signature = SshSignature::parse(&signature)
        .map_err(|_| "it is signed, but not with an SSH key".to_owned())?;
    signature
        .verify(GIT_NAMESPACE, &signed)
        .map_err(|error| format!("its signature is wrong: {error}"))?;
    let name = rules.name_of(signature.key());
    name.map(str::to_owned).ok_or_else(|| {
        format!(
            "it is signed with {}, which belongs to no allowed signer",
            signature.key().fingerprint()
        )
    })
}

/// The texts of a policy's files, by their paths from the root of the repository; `None`: one lies outside of it.
fn texts(policy: &Path, files: &dyn Files, root: &Path) -> Option<BTreeMap<PathBuf, String>> {
    let (sources, _) = gather(policy, files);
    sources
        .into_iter()
        .map(|source| {
            let path = source.path.strip_prefix(root).ok()?;
            Some((plain(path), source.text))
        })
        .collect()
}

/// Without `.` and `..`, so that both sides call a file by one name.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::ParentDir => {
                plain.pop();
            }
            std::path::Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    plain
}
