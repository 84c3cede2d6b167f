//! Points, copies, verifications, rebuild.

use crate::{
    fixture::{at, intent, lease, manifest, manifest_of, store, tier, verification},
    subject::Subject,
};
use mainstay_catalog::{CatalogError, FoundCopy};
use model::{
    ByteCount, Copy, CopyState, Inventory, PointState, RecoveryPoint, Verified, VerifyLevel,
    audit::Deletion,
};

pub(crate) async fn what_was_recorded_is_in_the_inventory(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let (mut first, mut second) = (manifest(1), manifest(2));
    // As of a file that was adopted: its state is that of its slot.
    first.captured_at = first.slot;
    let from = ("adopted_from".to_owned(), "/old/orders.db".to_owned());
    first.source.extend([from]);
    second.parent = Some(first.id.clone());
    store(&catalog, &lease, &second, "nas", 200).await;
    catalog.record_point(&lease, &first).await.unwrap();
    for (name, seconds) in [("nas", 100), ("disk", 110)] {
        let name = tier(name);
        let copied = catalog.record_copy(&lease, &name, &first.id, ByteCount(77), at(seconds));
        copied.await.unwrap();
    }
    catalog
        .add_hold(&first.id, "ada", "audit", None, at(300))
        .await
        .unwrap();
    let passed = verification(&second, "nas", VerifyLevel::FullRead, 400, true);
    catalog.record_verification(&passed).await.unwrap();

    assert!(first.is_adopted() && !second.is_adopted());
    let copy = |name: &str, bytes, seconds, held, verified| Copy {
        bytes: ByteCount(bytes),
        held,
        locked_until: None,
        state: CopyState::Present,
        stored_at: at(seconds),
        tier: tier(name),
        verified,
    };
    let point = |manifest: &model::Manifest, copies| RecoveryPoint {
        adopted: manifest.is_adopted(),
        wal: None,
        bytes: manifest.bytes(),
        captured_at: manifest.captured_at,
        copies,
        database: manifest.database.clone(),
        id: manifest.id.clone(),
        method: manifest.method.clone(),
        parent: manifest.parent.clone(),
        series: manifest.series.clone(),
        slot: manifest.slot,
        state: PointState::Complete,
    };
    let verified = Some(Verified {
        at: at(400),
        level: VerifyLevel::FullRead,
    });
    let expected = Inventory {
        last_activity: Some(at(205)),
        recovery_points: vec![
            point(
                &first,
                vec![
                    copy("disk", 77, 110, true, None),
                    copy("nas", 77, 100, true, None),
                ],
            ),
            point(&second, vec![copy("nas", 1002, 205, false, verified)]),
        ],
        ..Inventory::empty(at(500))
    };
    assert_eq!(catalog.inventory(at(500)).await.unwrap(), expected);
    assert_eq!(
        catalog.point(&second.id, at(500)).await.unwrap(),
        Some(expected.recovery_points[1].clone())
    );
    assert_eq!(catalog.manifest(&second.id).await.unwrap(), Some(second));
}

pub(crate) async fn a_begun_copy_is_incomplete_until_it_is_finished(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let new = manifest(1);
    let begun = intent(&new, "nas", 10);
    catalog.begin_copy(&lease, &begun).await.unwrap();
    let point = catalog.point(&new.id, at(11)).await.unwrap().unwrap();
    assert_eq!(
        (point.state, point.slot),
        (PointState::Incomplete, new.slot)
    );
    assert_eq!(point.copies, []);
    assert_eq!(catalog.manifest(&new.id).await.unwrap(), None);
    catalog
        .finish_copy(&lease, &new, &tier("nas"), at(20))
        .await
        .unwrap();
    let point = catalog.point(&new.id, at(21)).await.unwrap().unwrap();
    assert_eq!((point.state, point.copies.len()), (PointState::Complete, 1));
    // An upload of a complete point does not make it incomplete.
    catalog
        .begin_copy(&lease, &intent(&new, "disk", 30))
        .await
        .unwrap();
    let inventory = catalog.inventory(at(31)).await.unwrap();
    assert_eq!(inventory.recovery_points, [point]);
}

pub(crate) async fn what_a_crashed_run_began_is_listed_until_it_is_cleaned_up(subject: Subject) {
    let begun = intent(&manifest(1), "nas", 10);
    let dead = {
        let catalog = subject.open().await;
        let dead = lease(&catalog).await;
        catalog.begin_copy(&dead, &begun).await.unwrap();
        catalog.close().await;
        dead
    };
    let catalog = subject.open().await;
    let next = catalog
        .acquire_lease("next", at(60), dead.ttl)
        .await
        .unwrap();
    let left = catalog.unfinished().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((&left[0].intent, left[0].token), (&begun, dead.token));
    for _ in 0..2 {
        let cleared = catalog.clear_unfinished(&next, &begun.recovery_point, &begun.tier);
        cleared.await.unwrap();
    }
    assert_eq!(catalog.unfinished().await.unwrap(), []);
    assert_eq!(catalog.inventory(at(61)).await.unwrap().recovery_points, []);
}

pub(crate) async fn a_point_goes_with_its_last_copy(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let old = manifest(1);
    store(&catalog, &lease, &old, "nas", 10).await;
    store(&catalog, &lease, &old, "disk", 20).await;
    for (name, left) in [("nas", 1), ("disk", 0)] {
        let tier = tier(name);
        let deletion = Deletion::of(old.id.clone(), tier.clone());
        let forget = || catalog.forget_copy(&lease, &deletion, "run-2", "not kept", at(30));
        assert!(forget().await.unwrap());
        assert!(!forget().await.unwrap());
        let point = catalog.point(&old.id, at(31)).await.unwrap();
        assert_eq!(point.map_or(0, |point| point.copies.len()), left);
    }
    assert_eq!(catalog.point(&old.id, at(31)).await.unwrap(), None);
    assert_eq!(catalog.manifest(&old.id).await.unwrap(), None);
}

pub(crate) async fn a_second_manifest_of_a_point_is_refused_while_another_copy_exists(
    subject: Subject,
) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let first = manifest(1);
    let mut second = first.clone();
    second.captured_at = at(9999);
    store(&catalog, &lease, &first, "nas", 10).await;
    let refused = catalog
        .finish_copy(&lease, &second, &tier("disk"), at(20))
        .await;
    assert!(matches!(refused, Err(CatalogError::ManifestDiffers(id)) if id == first.id));
    // The only copy may be replaced as a whole.
    store(&catalog, &lease, &second, "nas", 30).await;
    assert_eq!(catalog.manifest(&first.id).await.unwrap(), Some(second));
}

pub(crate) async fn the_strongest_verification_since_the_copy_was_stored_counts(subject: Subject) {
    use VerifyLevel::{Checksum, FullRead, Restore};
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let point = manifest(1);
    store(&catalog, &lease, &point, "nas", 100).await;
    let mut seen = Vec::new();
    for (level, seconds) in [
        (Restore, 90),
        (FullRead, 110),
        (Checksum, 120),
        (FullRead, 130),
    ] {
        let passed = verification(&point, "nas", level, seconds, true);
        catalog.record_verification(&passed).await.unwrap();
        let known = catalog.point(&point.id, at(200)).await.unwrap().unwrap();
        seen.push(known.copies[0].verified.map(|v| (v.level, v.at)));
    }
    let strongest = |seconds| Some((FullRead, at(seconds)));
    assert_eq!(seen, [None, strongest(110), strongest(110), strongest(130)]);
    assert_eq!(catalog.verifications(&point.id).await.unwrap().len(), 4);
    // Written anew: nothing of it has been verified.
    store(&catalog, &lease, &point, "nas", 140).await;
    let known = catalog.point(&point.id, at(200)).await.unwrap().unwrap();
    assert_eq!(known.copies[0].verified, None);
}

pub(crate) async fn a_failed_verification_takes_earlier_ones_away(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let point = manifest(1);
    store(&catalog, &lease, &point, "nas", 100).await;
    let mut seen = Vec::new();
    for (level, seconds, passed) in [
        (VerifyLevel::Checksum, 110, true),
        (VerifyLevel::Restore, 130, false),
        (VerifyLevel::FullRead, 120, true),
        (VerifyLevel::Checksum, 140, true),
    ] {
        let done = verification(&point, "nas", level, seconds, passed);
        catalog.record_verification(&done).await.unwrap();
        let known = catalog.point(&point.id, at(200)).await.unwrap().unwrap();
        seen.push(known.copies[0].verified.map(|v| v.at));
    }
    assert_eq!(seen, [Some(at(110)), None, None, Some(at(140))]);
}

pub(crate) async fn a_damaged_copy_must_be_verified_anew(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let point = manifest(1);
    store(&catalog, &lease, &point, "nas", 100).await;
    let passed = verification(&point, "nas", VerifyLevel::Checksum, 110, true);
    catalog.record_verification(&passed).await.unwrap();
    let nas = tier("nas");
    for (state, verified) in [
        (CopyState::Missing, true),
        (CopyState::Present, true),
        (CopyState::Damaged, false),
        (CopyState::Present, false),
    ] {
        let set = catalog.set_copy_state(&lease, &point.id, &nas, state, at(150));
        set.await.unwrap();
        let known = catalog.point(&point.id, at(200)).await.unwrap().unwrap();
        let copy = &known.copies[0];
        assert_eq!((copy.state, copy.verified.is_some()), (state, verified));
    }
}

pub(crate) async fn one_series_does_not_contain_the_points_of_its_neighbours(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    for (database, series) in [
        ("orders", "hour"),
        ("orders", "hourly"),
        ("orders", "hourly-2"),
        ("orders-2", "hourly"),
        ("order", "hourly"),
    ] {
        for n in [2, 1] {
            store(
                &catalog,
                &lease,
                &manifest_of(database, series, n),
                "nas",
                10,
            )
            .await;
        }
    }
    let wanted = manifest(1);
    let found = catalog
        .series(&wanted.database, &wanted.series, at(20))
        .await
        .unwrap();
    let ids: Vec<_> = found.into_iter().map(|point| point.id).collect();
    assert_eq!(ids, [wanted.id, manifest(2).id]);
    assert_eq!(
        catalog
            .inventory(at(20))
            .await
            .unwrap()
            .recovery_points
            .len(),
        10
    );
}

pub(crate) async fn a_rebuilt_catalog_has_the_same_points(subject: Subject) {
    let catalog = subject.open().await;
    let old_lease = lease(&catalog).await;
    let mut found = Vec::new();
    for n in 0..20 {
        let manifest = manifest(n);
        for name in ["nas", "disk"] {
            store(&catalog, &old_lease, &manifest, name, 10 * n).await;
            found.push(FoundCopy {
                tier: tier(name),
                manifest: manifest.clone(),
                stored_at: at(10 * n + 5),
                bytes: manifest.bytes(),
            });
        }
    }
    let before = catalog.inventory(at(999)).await.unwrap();
    let place = subject.another();
    let rebuilt = place.open().await;
    let lease = lease(&rebuilt).await;
    for _ in 0..2 {
        let done = rebuilt.rebuild(&lease, &found).await.unwrap();
        assert_eq!((done.points, done.copies), (20, 40));
        assert_eq!(done.differing, []);
        assert_eq!(rebuilt.inventory(at(999)).await.unwrap(), before);
    }
    // Into the catalog that knows them already, verifications stay.
    let passed = verification(&manifest(3), "nas", VerifyLevel::Checksum, 500, true);
    catalog.record_verification(&passed).await.unwrap();
    let before = catalog.inventory(at(999)).await.unwrap();
    catalog.rebuild(&old_lease, &found).await.unwrap();
    assert_eq!(catalog.inventory(at(999)).await.unwrap(), before);
}

pub(crate) async fn a_rebuild_leaves_out_a_copy_whose_manifest_differs(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let (first, mut second) = (manifest(1), manifest(1));
    second.captured_at = at(9999);
    let found = |manifest: &model::Manifest, name: &str| FoundCopy {
        tier: tier(name),
        manifest: manifest.clone(),
        stored_at: at(10),
        bytes: manifest.bytes(),
    };
    let both = [found(&first, "nas"), found(&second, "disk")];
    let done = catalog.rebuild(&lease, &both).await.unwrap();
    assert_eq!(done.differing, [(first.id.clone(), tier("disk"))]);
    let known = catalog.point(&first.id, at(20)).await.unwrap().unwrap();
    assert_eq!(known.copies.len(), 1);
    assert_eq!(catalog.manifest(&first.id).await.unwrap(), Some(first));
}

pub(crate) async fn unknown_points_and_copies_are_named(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let (id, nas) = (manifest(1).id, tier("nas"));
    let copied = catalog.record_copy(&lease, &nas, &id, ByteCount(1), at(1));
    let codes = [
        copied.await.unwrap_err(),
        catalog
            .set_copy_state(&lease, &id, &nas, CopyState::Missing, at(1))
            .await
            .unwrap_err(),
        catalog
            .add_hold(&id, "ada", "audit", None, at(1))
            .await
            .unwrap_err(),
        catalog
            .record_verification(&verification(
                &manifest(1),
                "nas",
                VerifyLevel::Checksum,
                1,
                true,
            ))
            .await
            .unwrap_err(),
    ]
    .map(|error| error.to_string());
    insta::allow_duplicates! {
        insta::assert_snapshot!(codes.join("\n"), @r"
        recovery point `orders/hourly/20261121T030000Z` is not in the catalog
        the catalog has no copy of `orders/hourly/20261121T030000Z` on tier `nas`
        recovery point `orders/hourly/20261121T030000Z` is not in the catalog
        the catalog has no copy of `orders/hourly/20261121T030000Z` on tier `nas`
        ");
    }
}
