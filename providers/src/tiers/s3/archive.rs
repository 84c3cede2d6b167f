//! Archived objects: whether one can be read now, and asking the archive to make it so.
//!
//! A thaw makes a temporary copy that can be read for some days; the object itself stays in its class.

use super::{
    client::{Store, from_store},
    errors,
};
use crate::api::{ObjectKey, Readiness, Result};
use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput,
    primitives::{DateTime, DateTimeFormat},
    types::{GlacierJobParameters, RestoreRequest, StorageClass, Tier},
};
use jiff::Timestamp;
use model::{
    Disposition,
    tier_facts::{RetrievalSpeed, ThawOrder},
};

/// Whether an object can be read now.
pub(super) async fn readiness(store: &Store, key: &ObjectKey) -> Result<Readiness> {
    let head = store.head(key.as_str()).await?;
    let head = head.ok_or_else(|| errors::not_found(key.as_str()))?;
    Ok(of(&head, store.now(), store.facts.archive_is_readable))
}

/// Asks the archive, unless it was asked already.
pub(super) async fn thaw(store: &Store, key: &ObjectKey, order: &ThawOrder) -> Result<Readiness> {
    let head = store.head(key.as_str()).await?;
    let head = head.ok_or_else(|| errors::not_found(key.as_str()))?;
    let now = of(&head, store.now(), store.facts.archive_is_readable);
    if now != Readiness::Archived {
        return Ok(now);
    }
    let speed = match order.speed {
        RetrievalSpeed::Expedited => Tier::Expedited,
        RetrievalSpeed::Standard => Tier::Standard,
        RetrievalSpeed::Bulk => Tier::Bulk,
    };
    let speed = GlacierJobParameters::builder().tier(speed).build();
    let speed = speed
        .map_err(|error| errors::io(format!("cannot ask for a thaw of `{key}`")).source(error))?;
    // What `intelligent-tiering` froze comes back for good, and a number of days is refused.
    let days = (head.storage_class() != Some(&StorageClass::IntelligentTiering))
        .then(|| i32::try_from(order.days).unwrap_or(i32::MAX));
    let request = RestoreRequest::builder()
        .set_days(days)
        .glacier_job_parameters(speed)
        .build();
    let asked = store
        .client
        .restore_object()
        .bucket(store.bucket())
        .key(store.full(key.as_str()))
        .restore_request(request)
        .send()
        .await;
    match asked {
        Ok(_) => {}
        Err(error) => match errors::code_of(&error) {
            "RestoreAlreadyInProgress" => return Ok(Readiness::Thawing),
            "ObjectAlreadyInActiveTierError" => return Ok(Readiness::Ready { until: None }),
            "GlacierExpeditedRetrievalNotAvailable" => {
                return Err(crate::api::ProviderError::new(
                    "mainstay::tier::io",
                    Disposition::Retry,
                    format!("the archive has no room for an expedited thaw of `{key}` now"),
                )
                .help("try again later, or declare retrieval = \"standard\""));
            }
            _ => return Err(errors::failed(&format!("thaw `{key}`"), &error)),
        },
    }
    // Right after the question some stores still show the object as it was.
    Ok(match readiness(store, key).await? {
        Readiness::Archived => Readiness::Thawing,
        known => known,
    })
}

/// What a look says.
fn of(head: &HeadObjectOutput, now: Option<Timestamp>, readable: bool) -> Readiness {
    let class = head.storage_class();
    let frozen = matches!(
        class,
        Some(StorageClass::Glacier | StorageClass::DeepArchive)
    ) || head.archive_status().is_some();
    judge(frozen && !readable, head.restore(), now)
}

/// Reads the header `x-amz-restore`: `ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`.
fn judge(frozen: bool, restore: Option<&str>, now: Option<Timestamp>) -> Readiness {
    if !frozen {
        return Readiness::Ready { until: None };
    }
    let Some(restore) = restore else {
        return Readiness::Archived;
    };
    if restore.contains("ongoing-request=\"true\"") {
        return Readiness::Thawing;
    }
    let until = restore
        .split_once("expiry-date=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .and_then(|(date, _)| DateTime::from_str(date, DateTimeFormat::HttpDate).ok())
        .map(|date| from_store(&date));
    match (until, now) {
        (Some(until), Some(now)) if now >= until => Readiness::Archived,
        _ => Readiness::Ready { until },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_restore_header_says_how_far_a_thaw_is() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let done = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2012 00:00:00 GMT\"";
        let end = at("2012-12-21T00:00:00Z");
        let before = Some(at("2012-12-20T23:59:59Z"));
        assert_eq!(judge(false, None, before), Readiness::Ready { until: None });
        assert_eq!(judge(true, None, before), Readiness::Archived);
        assert_eq!(
            judge(true, Some("ongoing-request=\"true\""), before),
            Readiness::Thawing
        );
        assert_eq!(
            judge(true, Some(done), before),
            Readiness::Ready { until: Some(end) }
        );
        assert_eq!(judge(true, Some(done), Some(end)), Readiness::Archived);
    }
}
