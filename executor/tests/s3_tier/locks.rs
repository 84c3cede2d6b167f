//! Locks, legal holds and leases on a Ceph gateway.

use crate::{
    executor,
    s3::{BucketKind, Moto, Rgw},
    support::{
        self, World,
        plans::{backup, plan, point, prune, verify},
        tier,
    },
    world::{add, backed_up, lock, locked_tier, locked_until, locks, order, run, tomorrow},
};
use executor::{
    apply,
    audit::{Exporter, VerifyAudit, verify_audit},
    spread_hold,
};
use model::VerifyLevel;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_copy_is_not_pruned_and_nothing_of_it_goes() {
    let store = Rgw::shared();
    let bucket = store.bucket("locked", BucketKind::Lock);
    let mut world = World::new().await;
    add(&mut world, "vault", store, &bucket, &locked_tier());
    let until = tomorrow(store, 1);
    backed_up(&world, "vault", &[20, 21], Some(order(until))).await;
    let second = until.as_second();
    assert_eq!(
        locks(store, &bucket, "vault", &point(20)),
        [
            format!("data.txt.zst {second} OFF"),
            format!("globals.txt.gz {second} OFF"),
            format!("manifest.json {second} OFF"),
        ],
        "every file, as boto3 sees it"
    );
    assert_eq!(locked_until(&world, 20, "vault").await, Some(until));

    let before = store.versions(&bucket);
    let of_point = |versions: &[String]| {
        let folder = point(20).folder();
        versions
            .iter()
            .filter(|line| line.contains(&folder))
            .cloned()
            .collect::<Vec<_>>()
    };
    // The catalog has forgotten the lock: the store still knows.
    for forgotten in [false, true] {
        if forgotten {
            let lease = world
                .catalog
                .acquire_lease("test", world.clock().now(), executor::TIME_TO_LIVE)
                .await
                .unwrap();
            world
                .catalog
                .set_lock(&lease, &point(20), &tier("vault"), None)
                .await
                .unwrap();
            world.catalog.release(lease).await.unwrap();
        }
        assert_eq!(
            run(&world, vec![prune(20, "vault", &[21])]).await,
            ["prune:orders/daily/20261120T020000Z@vault blocked: locked"]
        );
        assert_eq!(
            of_point(&store.versions(&bucket)),
            of_point(&before),
            "nothing is gone, no marker is left"
        );
        assert_eq!(
            locked_until(&world, 20, "vault").await,
            Some(until),
            "known again"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_step_locks_every_file_and_never_shortens() {
    let store = Rgw::shared();
    let bucket = store.bucket("prolonged", BucketKind::Lock);
    let mut world = World::new().await;
    add(&mut world, "vault", store, &bucket, &serde_json::json!({}));
    backed_up(&world, "vault", &[21], None).await;
    assert_eq!(locked_until(&world, 21, "vault").await, None);
    let (short, long) = (tomorrow(store, 1), tomorrow(store, 3));
    let id = "lock:orders/daily/20261121T020000Z@vault";
    for (until, outcome, end) in [
        (short, "done", short),
        (long, "done", long),
        (short, "already done", long),
    ] {
        assert_eq!(
            run(&world, vec![lock(21, "vault", until)]).await,
            [format!("{id} {outcome}")]
        );
        assert_eq!(locked_until(&world, 21, "vault").await, Some(end));
        for file in locks(store, &bucket, "vault", &point(21)) {
            assert!(file.contains(&end.as_second().to_string()), "{file}");
        }
    }
    let audit = world.catalog.audit_entries(20).await.unwrap();
    let locks = audit.iter().filter(|entry| entry.kind.as_str() == "lock");
    assert_eq!(locks.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_legal_hold_is_set_found_after_a_rebuild_and_lifted() {
    let store = Rgw::shared();
    let bucket = store.bucket("held", BucketKind::Lock);
    let mut world = World::new().await;
    add(&mut world, "vault", store, &bucket, &locked_tier());
    let until = tomorrow(store, 2);
    backed_up(&world, "vault", &[20, 21], None).await;
    run(&world, vec![lock(21, "vault", until)]).await;
    let spread = async |world: &World, held| {
        spread_hold(
            &point(20),
            held,
            "auditor",
            &world.wiring,
            &world.catalog,
            &world.clock(),
        )
        .await
    };
    let held = spread(&world, true).await;
    assert_eq!((held.copies[0].files, held.copies[0].changed), (3, 3));
    assert!(held.not_done.is_empty() && held.gaps.is_empty(), "{held:?}");
    assert_eq!(spread(&world, true).await.copies[0].changed, 0, "a repeat");
    let pruning = || vec![prune(20, "vault", &[21])];
    let blocked = ["prune:orders/daily/20261120T020000Z@vault blocked: held"];
    // The catalog holds nothing; the store does.
    assert_eq!(run(&world, pruning()).await, blocked);

    let fresh = world.other_machine().await;
    let rebuilt = fresh.rebuild().await;
    assert_eq!(rebuilt.rebuilt.copies, 2);
    assert_eq!(rebuilt.held, [(point(20), tier("vault"))]);
    assert_eq!(locked_until(&fresh, 21, "vault").await, Some(until));
    assert_eq!(locked_until(&fresh, 20, "vault").await, None);
    assert_eq!(fresh.catalog.holds().await.unwrap().len(), 1);

    let lifted = spread(&world, false).await;
    assert_eq!(lifted.copies[0].changed, 3);
    assert_eq!(
        run(&world, pruning()).await,
        ["prune:orders/daily/20261120T020000Z@vault done"]
    );
    let left = store.versions(&bucket);
    assert!(
        !left.iter().any(|line| line.contains(&point(20).folder())),
        "deleted with all versions, no marker: {left:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_that_cannot_be_asked_for_a_hold_is_named() {
    let store = Rgw::shared();
    let bucket = store.bucket("hold-away", BucketKind::Lock);
    let mut world = World::new().await;
    add(&mut world, "vault", store, &bucket, &locked_tier());
    backed_up(&world, "vault", &[21], None).await;
    add(
        &mut world,
        "vault",
        store,
        "there-is-no-such-bucket",
        &locked_tier(),
    );
    let report = spread_hold(
        &point(21),
        true,
        "auditor",
        &world.wiring,
        &world.catalog,
        &world.clock(),
    )
    .await;
    assert!(report.copies.is_empty());
    assert_eq!(report.not_done.keys().collect::<Vec<_>>(), [&tier("vault")]);
}

/// On moto, which has every conditional write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_machines_never_prune_one_bucket_at_the_same_time() {
    {
        let store = &**Moto::shared();
        let bucket = store.bucket("leased", BucketKind::Versioned);
        let mut first = World::new().await;
        add(&mut first, "bucket", store, &bucket, &serde_json::json!({}));
        backed_up(&first, "bucket", &[19, 20, 21], None).await;
        let second = first.other_machine().await;
        second.rebuild().await;
        let checks = [19, 20, 21].map(|day| verify(day, "bucket", VerifyLevel::Checksum));
        run(&second, checks.to_vec()).await;
        // The first machine is at work on the tier, and hangs.
        first
            .engine
            .hang
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let mut options = first.options();
        options.tier_lease = executor::TierLeaseTimes {
            time_to_live: Duration::from_secs(3),
            beat: Duration::from_millis(300),
        };
        let (wiring, catalog) = (first.wiring.clone(), first.catalog.clone());
        first.clock.set(support::plans::slot(22));
        let hanging = plan(first.clock().now(), vec![backup(22, "bucket")]);
        let at_work =
            tokio::spawn(async move { apply(&hanging, &wiring, &catalog, options).await });
        let is_held = || {
            store.python(
                "try:\n    print(json.loads(s3.get_object(Bucket=args[0], Key='bucket/.mainstay-lease.json')['Body'].read())['free'])\n\
                 except ClientError:\n    print('none')",
                &[&bucket],
            ) == "False"
        };
        let since = Instant::now();
        while !is_held() {
            assert!(
                since.elapsed() < Duration::from_mins(1),
                "it takes no lease"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(
            run(&second, vec![prune(19, "bucket", &[21])]).await,
            ["prune:orders/daily/20261119T020000Z@bucket failed: mainstay::tier::leased"]
        );
        at_work.abort();
        let _ = at_work.await;
        assert_eq!(
            run(&second, vec![prune(19, "bucket", &[21])]).await,
            ["prune:orders/daily/20261119T020000Z@bucket done"]
        );
    }
}

/// The fear: who may delete on the tier deletes what tells of his deletions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_the_audit_is_locked_and_its_version_cannot_be_deleted() {
    let store = Rgw::shared();
    let bucket = store.bucket("audited", BucketKind::Lock);
    let mut world = World::new().await;
    add(&mut world, "vault", store, &bucket, &locked_tier());
    // Where the rule follows retention, of which an audit has none, it is a year.
    let by_retention =
        serde_json::json!({"object-lock": {"mode": "governance", "for": "retention"}});
    add(&mut world, "cellar", store, &bucket, &by_retention);
    let until = tomorrow(store, 1);
    for name in ["vault", "cellar"] {
        backed_up(&world, name, &[20], Some(order(until))).await;
    }
    let now = tomorrow(store, 0);
    world.clock.set(now);
    let key = world.folder.path().join("audit.key");
    let exporter = Exporter::open(&world.catalog, &key, "ada", &world.clock())
        .await
        .unwrap();
    let report = exporter.export(&world.wiring.tiers).await;
    for (name, days) in [("vault", 1), ("cellar", 365)] {
        assert!(report.stored.contains_key(&tier(name)), "{report:?}");
        let prefix = format!("{name}/mainstay-audit/");
        let tried = store.python(
            "for v in s3.list_object_versions(Bucket=args[0], Prefix=args[1])['Versions']:\n    \
                 end = s3.head_object(Bucket=args[0], Key=v['Key']).get('ObjectLockRetainUntilDate')\n    \
                 print(int(end.timestamp()) if end else '-')\n    \
                 try:\n        \
                     s3.delete_object(Bucket=args[0], Key=v['Key'], VersionId=v['VersionId'])\n        \
                     print('deleted')\n    \
                 except Exception as error:\n        \
                     print(error.response['Error']['Code'])",
            &[&bucket, &prefix],
        );
        let tried: Vec<&str> = tried.lines().collect();
        let end = now.as_second() + days * 86_400;
        assert_eq!(tried, [end.to_string().as_str(), "AccessDenied"], "{name}");
    }
    let check = verify_audit(VerifyAudit {
        catalog: Some(&world.catalog),
        tiers: &world.wiring.tiers,
        trusted: BTreeSet::new(),
        own_key: None,
    })
    .await
    .unwrap();
    assert!(check.is_sound(), "{check:?}");
    assert_eq!(check.tiers[&tier("vault")].objects, 1);
}
