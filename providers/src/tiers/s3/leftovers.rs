//! Multipart uploads that nobody will complete: found by listing, told from running ones by a register of this process.
//!
//! Uploads of another machine's running writer look just like leftovers. Only who holds the tier's lease cleans up.

use super::{client::Store, errors};
use crate::api::Result;
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};
use tokio::sync::RwLock;

/// Uploads of this process's writers: bucket and id.
static OWNED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// Held for reading from before an upload is made until it stands in the register, and for writing while uploads are listed.
static STARTING: RwLock<()> = RwLock::const_new(());

/// An upload's place in the register.
pub(super) struct Owned((String, String));

impl Drop for Owned {
    fn drop(&mut self) {
        register(|owned| owned.remove(&self.0));
    }
}

fn register<T>(change: impl FnOnce(&mut BTreeSet<(String, String)>) -> T) -> T {
    change(&mut OWNED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Starts an upload and registers it.
pub(super) async fn own(
    store: &Store,
    start: impl Future<Output = Result<String>>,
) -> Result<(String, Owned)> {
    let _starting = STARTING.read().await;
    let id = start.await?;
    let entry = (store.bucket().to_owned(), id.clone());
    register(|owned| owned.insert(entry.clone()));
    Ok((id, Owned(entry)))
}

/// Aborts an upload; one that is gone is fine.
pub(super) async fn abort(store: &Store, key: &str, id: &str) -> Result<()> {
    let request = store
        .client
        .abort_multipart_upload()
        .bucket(store.bucket())
        .key(store.full(key))
        .upload_id(id);
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) if errors::is_not_found(&error) => Ok(()),
        Err(error) => Err(errors::failed(
            &format!("abort the upload of `{key}`"),
            &error,
        )),
    }
}

/// Aborts the uploads below `prefix` that no writer of this process owns, and names their keys.
pub(super) async fn clean(store: &Store, prefix: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    {
        let _nobody_starts = STARTING.write().await;
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let page = store
                .client
                .list_multipart_uploads()
                .bucket(store.bucket())
                .prefix(store.full(prefix))
                .set_key_marker(key_marker)
                .set_upload_id_marker(id_marker)
                .send()
                .await;
            let page = page.map_err(|error| {
                errors::failed(&format!("list the uploads below `{prefix}`"), &error)
            })?;
            for upload in page.uploads() {
                if let (Some(key), Some(id)) = (upload.key(), upload.upload_id())
                    && let Some(key) = key.strip_prefix(&*store.prefix)
                {
                    found.push((key.to_owned(), id.to_owned()));
                }
            }
            if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                break;
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
        register(|owned| {
            found.retain(|(_, id)| !owned.contains(&(store.bucket().to_owned(), id.clone())));
        });
    }
    let mut removed = Vec::new();
    for (key, id) in found {
        abort(store, &key, &id).await?;
        removed.push(key);
    }
    removed.sort();
    Ok(removed)
}
