//! One run at a time.

use crate::{
    fixture::{TTL, at, intent, lease, manifest, store, tier},
    subject::Subject,
};
use mainstay_catalog::{CatalogError, FoundCopy};
use model::{ByteCount, CopyState, audit::Deletion};
use std::collections::BTreeMap;

pub(crate) async fn of_two_that_want_the_lease_one_gets_it(subject: Subject) {
    // Two programs: each opens the catalog for itself.
    let (one, two) = (subject.open().await, subject.open().await);
    for round in 0..20 {
        let now = at(round * 100);
        let (a, b) = tokio::join!(
            tokio::spawn({
                let one = one.clone();
                async move { one.acquire_lease("a", now, TTL).await }
            }),
            tokio::spawn({
                let two = two.clone();
                async move { two.acquire_lease("b", now, TTL).await }
            }),
        );
        let (won, lost) = match (a.unwrap(), b.unwrap()) {
            (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
            other => panic!("exactly one must win: {other:?}"),
        };
        let CatalogError::Locked {
            holder,
            since,
            expires,
            token,
        } = lost
        else {
            panic!("{lost:?}");
        };
        assert_eq!((holder, since, token), (won.holder.clone(), now, won.token));
        assert_eq!(expires, at(round * 100 + 30));
        one.release(won).await.unwrap();
    }
}

pub(crate) async fn the_token_grows_with_every_change_of_hands(subject: Subject) {
    let catalog = subject.open().await;
    let mut last = 0;
    for round in 0..3 {
        let lease = catalog.acquire_lease("a", at(round), TTL).await.unwrap();
        assert!(lease.token > last);
        last = lease.token;
        catalog.release(lease.clone()).await.unwrap();
        catalog.release(lease).await.unwrap();
        assert_eq!(catalog.lease().await.unwrap(), None);
    }
}

pub(crate) async fn a_lease_ends_by_itself_unless_renewed(subject: Subject) {
    let catalog = subject.open().await;
    let first = catalog.acquire_lease("a", at(0), TTL).await.unwrap();
    catalog.heartbeat(&first, at(20)).await.unwrap();
    let early = catalog.acquire_lease("b", at(49), TTL).await;
    assert!(matches!(early, Err(CatalogError::Locked { .. })));
    let second = catalog.acquire_lease("b", at(50), TTL).await.unwrap();
    let state = catalog.lease().await.unwrap().unwrap();
    assert_eq!((state.token, state.holder.as_str()), (second.token, "b"));
    let late = catalog.heartbeat(&first, at(51)).await.unwrap_err();
    assert_eq!(late.code(), "mainstay::catalog::lease-lost");
    // The loser's release does not end the winner's lease.
    catalog.release(first).await.unwrap();
    catalog.ensure_current(&second).await.unwrap();
}

pub(crate) async fn a_dead_holder_is_replaced_once(subject: Subject) {
    let catalog = subject.open().await;
    let dead = catalog.acquire_lease("dead", at(0), TTL).await.unwrap();
    let (a, b) = tokio::join!(
        catalog.break_lease(dead.token, "a", at(1), TTL),
        catalog.break_lease(dead.token, "b", at(1), TTL),
    );
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1);
    let won = a.or(b).unwrap();
    assert!(won.token > dead.token);
    assert!(catalog.ensure_current(&dead).await.is_err());
}

pub(crate) async fn nothing_is_written_under_a_lost_lease(subject: Subject) {
    let catalog = subject.open().await;
    let stale = lease(&catalog).await;
    let (known, new, nas) = (manifest(1), manifest(2), tier("nas"));
    store(&catalog, &stale, &known, "nas", 1).await;
    let current = catalog
        .break_lease(stale.token, "next", at(2), TTL)
        .await
        .unwrap();
    let before = catalog.inventory(at(3)).await.unwrap();
    let found = [FoundCopy {
        tier: nas.clone(),
        manifest: new.clone(),
        stored_at: at(3),
        bytes: ByteCount(1),
    }];
    let refused = [
        catalog.record_point(&stale, &new).await,
        catalog
            .record_copy(&stale, &nas, &known.id, ByteCount(9), at(3))
            .await,
        catalog.begin_copy(&stale, &intent(&new, "nas", 3)).await,
        catalog.finish_copy(&stale, &new, &nas, at(3)).await,
        catalog.clear_unfinished(&stale, &known.id, &nas).await,
        catalog
            .set_copy_state(&stale, &known.id, &nas, CopyState::Missing, at(1))
            .await,
        catalog
            .forget_copy(
                &stale,
                &Deletion::of(known.id.clone(), nas.clone()),
                "a",
                "b",
                at(3),
            )
            .await
            .map(drop),
        catalog.rebuild(&stale, &found).await.map(drop),
        catalog
            .set_retention_in_force(&stale, &BTreeMap::new())
            .await,
        catalog.ensure_current(&stale).await,
        catalog.heartbeat(&stale, at(3)).await,
    ];
    for (index, result) in refused.into_iter().enumerate() {
        assert!(
            matches!(result, Err(CatalogError::LeaseLost { token }) if token == stale.token),
            "call {index}"
        );
    }
    assert_eq!(catalog.inventory(at(3)).await.unwrap(), before);
    catalog.release(current.clone()).await.unwrap();
    let after_release = catalog.record_point(&current, &new).await;
    assert!(matches!(after_release, Err(CatalogError::LeaseLost { .. })));
}
