//! A catalog of an older version keeps everything when a newer program opens it.

use crate::{
    fixture::{at, lease, manifest, tier, verification},
    subject::Subject,
};
use jiff::Timestamp;
use mainstay_catalog::{Catalog, CatalogError};
use model::VerifyLevel;

/// The tables of version 1 with a point, two copies, a verification and a hold, as that version wrote them.
async fn version_one(subject: &Subject) {
    subject
        .migrate_to_first(
            include_str!("../../migrations/sqlite/0001_start.sql"),
            include_str!("../../migrations/postgres/0001_start.sql"),
        )
        .await;
    let micros = Timestamp::as_microsecond;
    let one = manifest(1);
    let text = serde_json::to_string(&one).unwrap();
    let sql = format!(
        "INSERT INTO points (id, captured_at, slot, method, parent, bytes) VALUES ('{id}', {captured}, {slot}, 'snapshot', NULL, 1001);
         INSERT INTO manifests (point, manifest) VALUES ('{id}', '{text}');
         INSERT INTO copies (point, tier, bytes, stored_at, state, locked_until, verified_level, verified_at) VALUES
             ('{id}', 'nas', 1001, {stored}, 'present', NULL, 3, {verified}),
             ('{id}', 'offsite', 1001, {stored}, 'damaged', {verified}, NULL, NULL);
         INSERT INTO verifications (point, tier, at, level, passed, detail, who) VALUES ('{id}', 'nas', {verified}, 3, {passed}, '2 checks', 'ada');
         INSERT INTO holds (point, who, why, until, at) VALUES ('{id}', 'ada', 'case 7', NULL, {verified});",
        id = one.id,
        captured = micros(one.captured_at),
        slot = micros(one.slot),
        stored = micros(at(3700)),
        verified = micros(at(3800)),
        passed = if subject.file().is_some() { "1" } else { "true" },
    );
    subject.by_hand(&sql).await.unwrap();
}

pub(crate) async fn a_catalog_of_version_1_keeps_everything(subject: Subject) {
    version_one(&subject).await;
    let refused = Catalog::open_read_only_if_exists(subject.url()).await;
    assert!(
        matches!(refused, Err(CatalogError::OlderSchema { found: 1, .. })),
        "{refused:?}"
    );
    let catalog = subject.open().await;
    let inventory = catalog.inventory(at(4000)).await.unwrap();
    let point = &inventory.recovery_points[0];
    assert_eq!(point.id, manifest(1).id);
    assert_eq!(
        catalog.manifest(&point.id).await.unwrap(),
        Some(manifest(1))
    );
    let copies: Vec<_> = point
        .copies
        .iter()
        .map(|copy| {
            let verified = copy.verified.map(|verified| (verified.level, verified.at));
            (copy.tier.as_str(), verified, copy.locked_until, copy.held)
        })
        .collect();
    assert_eq!(
        copies,
        [
            ("nas", Some((VerifyLevel::Restore, at(3800))), None, true),
            ("offsite", None, Some(at(3800)), true),
        ]
    );
    let history = catalog.verifications(&point.id).await.unwrap();
    assert_eq!(
        history.len(),
        1,
        "the history of verifications came along: {history:?}"
    );
    assert_eq!(history[0].detail, "2 checks");
    // A copy still belongs to a point.
    let orphan = "INSERT INTO copies (point, tier, bytes, stored_at, state) VALUES ('nobody', 'nas', 1, 1, 'present')";
    assert!(subject.by_hand(orphan).await.is_err());
}

pub(crate) async fn an_attested_copy_counts_less_than_any_other(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let one = manifest(1);
    crate::fixture::store(&catalog, &lease, &one, "glacier", 3700).await;
    let attested = verification(&one, "glacier", VerifyLevel::Attested, 3800, true);
    catalog.record_verification(&attested).await.unwrap();
    let verified = async |now| {
        let point = catalog.point(&one.id, at(now)).await.unwrap().unwrap();
        point
            .copies
            .first()
            .and_then(|copy| copy.verified)
            .map(|verified| verified.level)
    };
    assert_eq!(verified(3900).await, Some(VerifyLevel::Attested));
    let read = verification(&one, "glacier", VerifyLevel::Checksum, 3850, true);
    catalog.record_verification(&read).await.unwrap();
    let again = verification(&one, "glacier", VerifyLevel::Attested, 3860, true);
    catalog.record_verification(&again).await.unwrap();
    assert_eq!(verified(3900).await, Some(VerifyLevel::Checksum));
}

pub(crate) async fn a_lock_is_remembered_until_it_is_read_back_otherwise(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let one = manifest(1);
    crate::fixture::store(&catalog, &lease, &one, "glacier", 3700).await;
    let locked = async || {
        let point = catalog.point(&one.id, at(9000)).await.unwrap().unwrap();
        point.copies[0].locked_until
    };
    assert_eq!(locked().await, None);
    for until in [Some(at(99_999)), None] {
        for _ in 0..2 {
            catalog
                .set_lock(&lease, &one.id, &tier("glacier"), until)
                .await
                .unwrap();
        }
        assert_eq!(locked().await, until);
    }
    let unknown = catalog
        .set_lock(&lease, &one.id, &tier("nas"), None)
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), "mainstay::catalog::unknown-copy");
}

pub(crate) async fn two_catalogs_are_never_the_same(subject: Subject) {
    let other = subject.another().open().await.identity().await.unwrap();
    let first = subject.open().await.identity().await.unwrap();
    assert_ne!(first, other);
    assert_eq!(first.len(), 32);
    assert_eq!(
        subject.open().await.identity().await.unwrap(),
        first,
        "it is made once"
    );
}
