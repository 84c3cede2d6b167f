//! Deletes one object with all its versions and delete markers: a delete marker alone would only hide it.
//!
//! A lock of any version refuses the whole, before anything is gone. Older versions go first and the newest last, so that a
//! crash between them never brings an older content to light. `BypassGovernanceRetention` is never sent.

use super::{
    client::{Store, from_store, is_hidden},
    errors,
};
use crate::api::{ObjectKey, Protection, Result};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;

/// One version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    id: Option<String>,
    newest: bool,
    /// A delete marker hides, and holds nothing.
    marker: bool,
}

/// Deletes; `false`: nothing was there.
pub(super) async fn delete(store: &Store, key: &ObjectKey) -> Result<bool> {
    // The marker and the lease are no objects.
    if is_hidden(key.as_str()) {
        return Ok(false);
    }
    let mut versions = versions(store, key.as_str()).await?;
    let held_content = versions.iter().any(|version| !version.marker);
    for version in versions.iter().filter(|version| !version.marker) {
        if let Some(why) = refusal(store, key.as_str(), version).await? {
            return Err(errors::locked(key.as_str(), &why));
        }
    }
    versions.sort_by_key(|version| version.newest);
    for version in versions {
        remove(store, key.as_str(), &version).await?;
    }
    Ok(held_content)
}

/// All versions of exactly this key.
async fn versions(store: &Store, key: &str) -> Result<Vec<Version>> {
    let full = store.full(key);
    let mut found = Vec::new();
    let (mut key_marker, mut id_marker) = (None, None);
    loop {
        let page = store
            .client
            .list_object_versions()
            .bucket(store.bucket())
            .prefix(&full)
            .set_key_marker(key_marker)
            .set_version_id_marker(id_marker)
            .send()
            .await;
        let page = match page {
            Ok(page) => page,
            // A store without versions.
            Err(error) if errors::is_unknown_call(&error) => {
                let there = store.head(key).await?.is_some();
                let only = Version {
                    id: None,
                    newest: true,
                    marker: false,
                };
                return Ok(there.then_some(only).into_iter().collect());
            }
            Err(error) => {
                return Err(errors::failed(
                    &format!("list the versions of `{key}`"),
                    &error,
                ));
            }
        };
        let content = page
            .versions()
            .iter()
            .filter(|one| one.key() == Some(&full));
        found.extend(content.map(|one| Version {
            id: one.version_id().map(str::to_owned),
            newest: one.is_latest() == Some(true),
            marker: false,
        }));
        let markers = page.delete_markers().iter();
        let markers = markers.filter(|one| one.key() == Some(&full));
        found.extend(markers.map(|one| Version {
            id: one.version_id().map(str::to_owned),
            newest: one.is_latest() == Some(true),
            marker: true,
        }));
        // Keys are sorted, and ours is the first of those that start with it.
        let more = page.is_truncated() == Some(true)
            && page
                .next_key_marker()
                .is_some_and(|next| next <= full.as_str());
        if !more {
            return Ok(found);
        }
        (key_marker, id_marker) = (page.next_key_marker, page.next_version_id_marker);
    }
}

/// Why the store would refuse to delete a version.
async fn refusal(store: &Store, key: &str, version: &Version) -> Result<Option<String>> {
    let request = store
        .client
        .head_object()
        .bucket(store.bucket())
        .key(store.full(key))
        .set_version_id(version.id.clone().filter(|id| id != "null"));
    match request.send().await {
        Ok(head) => Ok(words(store, &protection_of(&head))),
        Err(error) if errors::is_not_found(&error) => Ok(None),
        Err(error) => Err(errors::failed(
            &format!("look at a version of `{key}`"),
            &error,
        )),
    }
}

/// What a look tells of lock and hold.
pub(super) fn protection_of(head: &HeadObjectOutput) -> Protection {
    let hold = head.object_lock_legal_hold_status();
    Protection {
        locked_until: head.object_lock_retain_until_date().map(from_store),
        legal_hold: hold.is_some_and(|hold| hold.as_str() == "ON"),
    }
}

/// Why the store refuses now, by its own clock; a lock that has ended refuses nothing.
fn words(store: &Store, protection: &Protection) -> Option<String> {
    if protection.legal_hold {
        return Some("a legal hold lies on it".to_owned());
    }
    let until = protection.locked_until?;
    let ended = store.now().is_some_and(|now| now >= until);
    (!ended).then(|| format!("it is locked until {until}"))
}

async fn remove(store: &Store, key: &str, version: &Version) -> Result<()> {
    let request = store
        .client
        .delete_object()
        .bucket(store.bucket())
        .key(store.full(key))
        .set_version_id(version.id.clone());
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) if errors::is_not_found(&error) => Ok(()),
        // A lock that was set since we looked, or whose end the caller may not see.
        Err(error) if errors::status_of(&error) == 403 && !version.marker => {
            match refusal(store, key, version).await? {
                Some(why) => Err(errors::locked(key, &why)),
                None => Err(errors::failed(&format!("delete `{key}`"), &error)),
            }
        }
        Err(error) => Err(errors::failed(&format!("delete `{key}`"), &error)),
    }
}
