//! All objects below a prefix: every page.

use super::{
    client::{Store, byte_count, from_store, is_hidden},
    errors,
};
use crate::api::{ObjectInfo, Result};
use jiff::Timestamp;

/// All finished objects whose key starts with `prefix`, sorted. What other programs left there under impossible keys is passed over.
pub(super) async fn objects(store: &Store, prefix: &str) -> Result<Vec<ObjectInfo>> {
    let mut found = Vec::new();
    let mut next = None;
    loop {
        let page = store
            .client
            .list_objects_v2()
            .bucket(store.bucket())
            .prefix(store.full(prefix))
            .set_continuation_token(next)
            .send()
            .await;
        let page = page.map_err(|error| errors::failed(&format!("list `{prefix}`"), &error))?;
        for object in page.contents() {
            let key = object.key().and_then(|key| store.relative(key));
            let Some(key) = key.filter(|key| !is_hidden(key.as_str())) else {
                continue;
            };
            found.push(ObjectInfo {
                key,
                bytes: byte_count(object.size()),
                stored_at: object
                    .last_modified()
                    .map_or(Timestamp::UNIX_EPOCH, from_store),
            });
        }
        if page.is_truncated() != Some(true) {
            break;
        }
        // A list that is cut short would look as if the rest had been deleted.
        next = Some(page.next_continuation_token.ok_or_else(|| {
            errors::io(format!(
                "cannot list `{prefix}`: the store says that there is more, but not where"
            ))
        })?);
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}
