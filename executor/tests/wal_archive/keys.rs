//! Keys of the archive: switched on and off, gone, rotated, and used by hand.

use crate::{
    executor::{self, wal::Put},
    support::{
        World,
        keys::{key, rotation_to},
        wal::{CLUSTER, name, open, segment},
    },
    world::{archiving, code, file, put, stored, wal},
};
use std::path::Path;

#[tokio::test]
async fn encryption_switched_on_or_off_does_not_make_a_file_twice() {
    let mut world = archiving(&[]).await;
    put(&open(&world), &file(5, 1)).await;
    wal(&mut world).encrypt_for = vec![key("prod")];
    let store = open(&world);
    assert_eq!(put(&store, &file(5, 1)).await, [Ok(Put::AlreadyThere); 2]);
    let refused = Err("mainstay::wal::different-content");
    assert_eq!(put(&store, &file(5, 2)).await, [refused, refused]);
    put(&store, &file(6, 1)).await;
    wal(&mut world).encrypt_for = Vec::new();
    let store = open(&world);
    assert_eq!(put(&store, &file(6, 1)).await, [Ok(Put::AlreadyThere); 2]);
    assert!(store.get(CLUSTER, name(5)).await.unwrap().is_some());
    assert!(store.get(CLUSTER, name(6)).await.unwrap().is_some());
}

#[tokio::test]
async fn keys_that_are_gone_come_from_the_other_tier_and_are_never_made_anew_over_files() {
    let mut world = archiving(&["prod"]).await;
    put(&open(&world), &file(5, 1)).await;
    let ring = |world: &World, tier: &str| {
        world.folder.path().join(tier).join(format!(
            "orders/wal/{CLUSTER}/00000001/0000000100000000/keys.json"
        ))
    };
    let (nas, disk) = (ring(&world, "nas"), ring(&world, "disk"));
    let good = std::fs::read(&nas).unwrap();
    assert!(
        good == std::fs::read(&disk).unwrap(),
        "one key for both tiers"
    );
    std::fs::remove_file(&nas).unwrap();
    assert_eq!(put(&open(&world), &file(6, 1)).await, [Ok(Put::Stored); 2]);
    assert!(good == std::fs::read(&nas).unwrap());
    std::fs::remove_file(&nas).unwrap();
    std::fs::remove_file(&disk).unwrap();
    let lost = Err("mainstay::wal::keys-lost");
    assert_eq!(put(&open(&world), &file(7, 1)).await, [lost, lost]);
    assert_eq!(
        code(open(&world).get(CLUSTER, name(5)).await),
        "mainstay::wal::keys-lost"
    );
    for path in [&nas, &disk] {
        std::fs::write(path, &good).unwrap();
    }
    // Without a key that opens, nothing can be told, and nothing is archived.
    let prod = world.wiring.keys.remove(&key("prod")).unwrap();
    assert_eq!(
        code(open(&world).get(CLUSTER, name(5)).await),
        "mainstay::key::none-opens"
    );
    wal(&mut world).encrypt_for = vec![key("offline")];
    let cannot = Err("mainstay::wal::cannot-open");
    assert_eq!(put(&open(&world), &file(7, 1)).await, [cannot, cannot]);
    world.wiring.keys.insert(key("prod"), prod);
    assert_eq!(put(&open(&world), &file(7, 1)).await, [Ok(Put::Stored); 2]);
}

/// The fear: the old key is destroyed after a rotation, and the log was forgotten.
#[tokio::test]
async fn after_a_rotation_the_new_key_alone_opens_the_log() {
    let mut world = archiving(&["prod"]).await;
    put(&open(&world), &file(5, 1)).await;
    world.add_key("next");
    let order = rotation_to(&["next"]);
    let before = stored(&world, "nas");
    for changed in [1, 0] {
        let clock = world.clock();
        let report = executor::rotate(&order, &world.wiring, &world.catalog, &clock, &|_, _| {});
        let report = report.await.unwrap();
        assert!(report.is_complete());
        for tier in report.tiers.values() {
            assert_eq!(
                (tier.rewrapped.len(), tier.already_fine.len()),
                (changed, 1 - changed)
            );
        }
    }
    let keys = executor::key_report(&world.wiring, None, world.clock().now(), &|_, _| {});
    let keys = keys.await.unwrap();
    assert_eq!(keys.copies, 2);
    let next = keys
        .keys
        .iter()
        .find(|used| used.names.contains(&key("next")))
        .unwrap();
    assert_eq!((next.copies, next.only.len()), (2, 1));
    let changed = stored(&world, "nas")
        .into_iter()
        .zip(before)
        .filter(|(now, before)| now != before)
        .map(|((path, _), _)| path)
        .collect::<Vec<_>>();
    assert_eq!(changed.len(), 1);
    assert!(changed[0].ends_with("keys.json"));
    world.wiring.keys.remove(&key("prod"));
    wal(&mut world).encrypt_for = vec![key("next")];
    let store = open(&world);
    assert!(store.get(CLUSTER, name(5)).await.unwrap() == Some(segment(CLUSTER, 1, 5, 1)));
    assert_eq!(put(&store, &file(6, 1)).await, [Ok(Put::Stored); 2]);
}

/// The emergency: no Mainstay, only the kit, the key file and a folder of the tier.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the scripts are programs, and which Python has `cryptography` is said by ./check"
)]
async fn the_kit_opens_a_segment_by_hand() {
    let world = archiving(&["prod"]).await;
    put(&open(&world), &file(5, 1)).await;
    put(&open(&world), &file(6, 2)).await;
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("recovery-kit");
    let python = std::env::var("MAINSTAY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let folder = world.folder.path().join(format!(
        "nas/orders/wal/{CLUSTER}/00000001/0000000100000000"
    ));
    let run = |program: &str, script: &str, name: &str| {
        std::process::Command::new(program)
            .arg(kit.join(script))
            .args([&folder, Path::new(name), Path::new("--key-file")])
            .arg(world.key_path("prod"))
            .output()
            .unwrap()
    };
    let own = "000000010000000000000005.zst.enc";
    for (program, script) in [(python.as_str(), "recover.py"), ("bash", "recover.sh")] {
        let done = run(program, script, own);
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{script}: {words}");
        let packed = bytes::Bytes::from(done.stdout);
        let plain = providers::stream::unpack_whole(&[packed], None, 1 << 30, "by hand");
        assert!(plain.unwrap() == segment(CLUSTER, 1, 5, 1), "{script}");
    }
    // Another file in its place.
    std::fs::copy(
        folder.join("000000010000000000000006.zst.enc"),
        folder.join(own),
    )
    .unwrap();
    assert!(!run(&python, "recover.py", own).status.success());
}
