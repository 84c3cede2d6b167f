//! What the user fears of a network: half a backup that looks whole, a success that is none, uploads that nobody sees and
//! somebody pays for. The n-th request of every call is disturbed in every way, for n = 1, 2, 3 … until a call is undisturbed.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

#[path = "support/fault_proxy.rs"]
mod fault_proxy;
#[path = "support/s3.rs"]
mod s3;
#[path = "support/s3_tier.rs"]
mod s3_tier;

use bytes::Bytes;
use fault_proxy::{FAULTS, Fault, FaultProxy, Rule};
use mainstay_providers as providers;
use providers::api::{Expected, Result, Tier};
use s3::{BucketKind, Rgw};
use s3_tier::{code, content, get, get_at, key, put, ready, tier_at};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// A bucket of the shared gateway with a marked tier.
#[derive(Clone)]
struct Place {
    bucket: String,
    /// Reaches the store past the proxy.
    direct: Arc<dyn Tier>,
}

impl Place {
    async fn new(name: &str) -> Self {
        let bucket = Rgw::shared().bucket(name, BucketKind::Plain);
        let direct = ready(Rgw::shared(), &bucket, &json!({})).await;
        Self { bucket, direct }
    }

    /// Nothing of an unfinished object is left after a clean-up, as boto3 sees it.
    async fn check_clean(&self) {
        // Uploads of writers that were dropped are aborted in the background.
        for _ in 0..100 {
            self.direct.clean_leftovers("").await.unwrap();
            if Rgw::shared().unfinished_uploads(&self.bucket).is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("unfinished uploads stay in `{}`", self.bucket);
    }
}

/// One call in one disturbance.
#[derive(Debug, Clone)]
struct Case {
    rule: Rule,
    /// Its own objects' names.
    name: String,
}

impl Case {
    /// Whether what the client saw may differ from what is there: only TLS, and the hashes of the stream above, know.
    fn lies(&self) -> bool {
        self.rule.fault == Fault::FlipResponse
    }
}

/// Calls `call` once per disturbance through a proxy of its own, then `check` past it, until a call was undisturbed.
async fn every_fault<T: Send + 'static, F, G>(
    place: &Place,
    prepare: impl Fn(Place, String) -> G + Clone + Send + 'static,
    call: impl Fn(Arc<dyn Tier>, String) -> F + Clone + Send + 'static,
    check: impl AsyncFn(&Place, &Case, Result<T>) + Clone + 'static,
) where
    F: Future<Output = Result<T>> + Send + 'static,
    G: Future<Output = ()> + Send + 'static,
{
    let once = FAULTS.map(|fault| Rule::once(fault, 1));
    let lasting = [Fault::DropBefore, Fault::DropAfter, Fault::SlowDown];
    let rules = once
        .into_iter()
        .chain(lasting.map(|fault| Rule::from(fault, 1)));
    let local = tokio::task::LocalSet::new();
    let mut running = JoinSet::new();
    for rule in rules {
        let (place, prepare, call, check) =
            (place.clone(), prepare.clone(), call.clone(), check.clone());
        running.spawn_local_on(
            async move {
                for nth in 1.. {
                    assert!(nth < 60, "{rule:?} never ends");
                    let rule = Rule {
                        nth,
                        ..rule.clone()
                    };
                    let name = format!("{:?}-{}-{nth}", rule.fault, rule.times.min(2))
                        .replace(['(', ')'], "");
                    prepare(place.clone(), name.clone()).await;
                    let proxy = FaultProxy::start(Rgw::shared().port);
                    let tier = tier_at(Rgw::shared(), &proxy.endpoint, &place.bucket, &json!({}));
                    proxy.disturb(rule.clone());
                    let said = call(tier, name.clone()).await;
                    let fired = proxy.calm();
                    let lasting_from_the_start = nth == 1 && rule.times > 1;
                    let case = Case { rule, name };
                    match &said {
                        Ok(_) => assert!(!lasting_from_the_start, "{case:?}"),
                        Err(error) => {
                            assert!(fired > 0, "{case:?} failed undisturbed: {error:?}");
                        }
                    }
                    check(&place, &case, said).await;
                    if fired == 0 {
                        return;
                    }
                }
            },
            &local,
        );
    }
    local
        .run_until(async {
            while let Some(ended) = running.join_next().await {
                ended.unwrap();
            }
        })
        .await;
    place.check_clean().await;
}

async fn nothing(_: Place, _: String) {}

/// The object is whole or not there; after a success it is there.
async fn whole_or_absent(place: &Place, case: &Case, said: Result<()>, bytes: &Bytes) {
    match get(&*place.direct, &case.name).await {
        Ok(there) => assert!(there == *bytes, "half an object is visible: {case:?}"),
        Err(error) => {
            assert_eq!(error.code, "mainstay::tier::not-found", "{case:?}");
            assert!(said.is_err(), "a success that is none: {case:?}");
        }
    }
    if let Err(error) = said {
        // A later apply has no trouble with what the failure left.
        assert_ne!(error.code, "mainstay::tier::exists", "{case:?}: {error:?}");
        let again = put(&*place.direct, &case.name, bytes).await;
        assert!(
            again.is_ok() || code(again) == "mainstay::tier::exists",
            "{case:?}"
        );
    }
}

#[tokio::test]
async fn a_small_object_is_whole_or_absent_whatever_the_network_does() {
    let place = Place::new("small").await;
    let bytes = content(100_000);
    let written = bytes.clone();
    every_fault(
        &place,
        nothing,
        move |tier, name| {
            let bytes = written.clone();
            async move { put(&*tier, &name, &bytes).await.map(drop) }
        },
        async move |place: &Place, case: &Case, said| {
            whole_or_absent(place, case, said, &bytes).await;
        },
    )
    .await;
}

#[tokio::test]
async fn an_object_of_several_parts_is_whole_or_absent_whatever_the_network_does() {
    let place = Place::new("large").await;
    let bytes = content((9 << 20) + 1);
    let written = bytes.clone();
    every_fault(
        &place,
        nothing,
        move |tier, name| {
            let bytes = written.clone();
            async move { put(&*tier, &name, &bytes).await.map(drop) }
        },
        async move |place: &Place, case: &Case, said| {
            whole_or_absent(place, case, said, &bytes).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_read_gives_every_byte_once_or_fails() {
    let place = Place::new("read").await;
    let bytes = content((3 << 20) + 5);
    put(&*place.direct, "object", &bytes).await.unwrap();
    for offset in [0, 1_234_567] {
        let rest = bytes.slice(usize::try_from(offset).unwrap()..);
        every_fault(
            &place,
            nothing,
            move |tier, _| async move { get_at(&*tier, "object", offset).await },
            async move |_: &Place, case: &Case, said: Result<Vec<u8>>| {
                if let Ok(read) = said
                    && !case.lies()
                {
                    assert!(read == rest, "{case:?}");
                }
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_list_is_complete_or_fails() {
    let place = Place::new("list").await;
    for name in ["a/1", "a/2", "b/3"] {
        put(&*place.direct, name, &content(10)).await.unwrap();
    }
    every_fault(
        &place,
        nothing,
        |tier, _| async move { tier.list("a/").await },
        async |_: &Place, case: &Case, said: Result<Vec<_>>| {
            if let Ok(listed) = said
                && !case.lies()
            {
                let names: Vec<_> = listed.iter().map(|info| info.key.as_str()).collect();
                assert_eq!(names, ["a/1", "a/2"], "{case:?}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_delete_that_succeeds_has_deleted() {
    let place = Place::new("delete").await;
    let bytes = content(1000);
    let prepared = bytes.clone();
    every_fault(
        &place,
        move |place: Place, name: String| {
            let bytes = prepared.clone();
            async move {
                put(&*place.direct, &name, &bytes).await.unwrap();
            }
        },
        |tier, name| async move { tier.delete(&key(&name)).await },
        async move |place: &Place, case: &Case, said: Result<bool>| match get(
            &*place.direct,
            &case.name,
        )
        .await
        {
            Ok(there) => {
                assert!(said.is_err(), "a success that is none: {case:?}");
                assert!(there == bytes, "{case:?}");
            }
            Err(error) => assert_eq!(error.code, "mainstay::tier::not-found", "{case:?}"),
        },
    )
    .await;
}

#[tokio::test]
async fn a_control_object_is_old_or_new_and_a_success_is_what_is_there() {
    let place = Place::new("control").await;
    let (old, new) = (
        Bytes::from_static(b"{\"old\": 1}"),
        Bytes::from_static(b"{\"new\": 22}"),
    );
    let (before, after) = (old.clone(), new.clone());
    every_fault(
        &place,
        move |place: Place, name: String| {
            let old = before.clone();
            async move {
                place
                    .direct
                    .write_control(&key(&name), old, Expected::Absent, None)
                    .await
                    .unwrap();
            }
        },
        move |tier, name| {
            let new = after.clone();
            async move {
                let (_, tag) = tier.read_control(&key(&name)).await?.unwrap();
                tier.write_control(&key(&name), new, Expected::Unchanged(tag), None)
                    .await
            }
        },
        async move |place: &Place, case: &Case, said: Result<_>| {
            let there = place.direct.read_control(&key(&case.name)).await.unwrap();
            let (bytes, tag) = there.unwrap();
            match said {
                Ok(said) => {
                    assert_eq!(bytes, new, "a success that is none: {case:?}");
                    assert!(case.lies() || said == tag, "{case:?}");
                }
                Err(error) => {
                    assert!(bytes == new || bytes == old, "{case:?}");
                    // Who reads "changed" believes that somebody else has the lease.
                    if error.code == "mainstay::tier::changed" {
                        assert!(case.lies() || bytes == old, "{case:?}");
                    }
                }
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_clean_up_that_succeeds_leaves_no_unfinished_upload() {
    let place = Place::new("cleanup").await;
    every_fault(
        &place,
        |place: Place, name: String| async move {
            Rgw::shared().python(
                "s3.create_multipart_upload(Bucket=args[0], Key=args[1] + '/half')",
                &[&place.bucket, &name],
            );
        },
        |tier, name| async move { tier.clean_leftovers(&format!("{name}/")).await },
        async |place: &Place, case: &Case, said: Result<Vec<String>>| {
            let half = format!("{}/half", case.name);
            let left = Rgw::shared().unfinished_uploads(&place.bucket);
            if said.is_ok() && !case.lies() {
                assert!(!left.contains(&half), "a success that is none: {case:?}");
            }
            place
                .direct
                .clean_leftovers(&format!("{}/", case.name))
                .await
                .unwrap();
        },
    )
    .await;
}
