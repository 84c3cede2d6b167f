//! Data directories: whole or not at all, and startable by a person.

use crate::past::{archived, ask, only, passed, past, place};
use crate::support::cluster::{BasePoint, Cluster, FolderArchive, HELD};
use crate::support::points::{failed, phases};
use mainstay_providers::api::AfterRecovery;
use model::RecoveryTarget;
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_starts_the_directory_and_is_at_the_moment_with_archiving_off() {
    let past = past();
    let parent = place();
    let target = parent.path().join("main");
    let mut recover = past
        .base
        .recover(RecoveryTarget::Time(past.middle))
        .to(&target, AfterRecovery::Leave);
    let script = parent.path().join("it's a script");
    std::fs::write(
        &script,
        format!("cp \"{}/$1\" \"$2\"\n", past.cluster.archive.display()),
    )
    .unwrap();
    recover.recovery.restore_command = [
        "/bin/sh".to_owned(),
        script.display().to_string(),
        "%f".to_owned(),
        "%p".to_owned(),
    ]
    .to_vec();
    let restored = recover.run(&past.cluster.engine()).await.unwrap();
    assert_eq!(
        restored.target,
        format!("data directory `{}`", target.display())
    );
    assert!(
        restored
            .notes
            .iter()
            .any(|note| note.contains("archive_mode is off")),
        "{:?}",
        restored.notes
    );
    assert_eq!(
        std::fs::read_dir(parent.path()).unwrap().count(),
        2,
        "nothing is left beside it"
    );
    let before = archived(&past.cluster);
    let answer = ask(
        &past.cluster,
        &target,
        &format!(
            "SELECT ({HELD}) || ' ' || current_setting('archive_mode') || ' ' || current_setting('recovery_target_name')"
        ),
    );
    assert_eq!(answer, format!("{} off", past.held));
    assert_eq!(archived(&past.cluster), before);
    assert!(!past.poison.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_directory_starts_without_a_target_and_nothing_reached_the_archive() {
    let past = past();
    let parent = place();
    let target = parent.path().join("main");
    let before = archived(&past.cluster);
    let restored = past
        .base
        .recover(RecoveryTarget::Time(past.middle))
        .wal(&past.cluster.wal())
        .equals(HELD, &past.held)
        .to(&target, AfterRecovery::Promote)
        .run(&past.cluster.engine())
        .await
        .unwrap();
    passed(&restored);
    assert!(
        restored.notes.iter().any(|note| note.contains("pg_cron")),
        "{:?}",
        restored.notes
    );
    assert!(
        restored
            .notes
            .iter()
            .any(|note| note.contains("not_on_this_machine")),
        "{:?}",
        restored.notes
    );
    assert_eq!(
        phases(&restored),
        [
            "prepare", "load", "start", "replay", "checks", "promote", "stop", "settle", "sync",
            "rename"
        ]
    );
    assert!(!target.join("recovery.signal").exists());
    let answer = ask(
        &past.cluster,
        &target,
        &format!("SELECT ({HELD}) || ' ' || timeline_id FROM pg_control_checkpoint()"),
    );
    assert_eq!(answer, format!("{} 2", past.held));
    assert_eq!(
        archived(&past.cluster),
        before,
        "a new timeline must not reach the archive"
    );
    assert!(!past.poison.exists());
    assert!(!Path::new("/tmp/mainstay-test-end-command").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_directory_stays_without_replace_and_is_exchanged_with_it() {
    let past = past();
    let parent = place();
    let target = parent.path().join("main");
    let make = || {
        past.base
            .recover(RecoveryTarget::Immediate)
            .wal(&past.cluster.wal())
            .to(&target, AfterRecovery::Promote)
    };
    make().run(&past.cluster.engine()).await.unwrap();
    let old = target.join("mine");
    std::fs::write(&old, "").unwrap();
    let error = make().run(&past.cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::restore::target-exists");
    let broken = FolderArchive::broken_from(&past.cluster, "0");
    let error = make()
        .wal(&broken)
        .replace()
        .run(&past.cluster.engine())
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::tier::unreachable");
    assert!(old.exists(), "a failed recovery changes nothing");
    let restored = make().replace().run(&past.cluster.engine()).await.unwrap();
    assert!(restored.target.ends_with("replaced"), "{}", restored.target);
    assert!(!old.exists() && target.join("PG_VERSION").exists());
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_leaves_no_target() {
    let past = past();
    let parent = place();
    let target = parent.path().join("main");
    let mut recover = past
        .base
        .recover(RecoveryTarget::Immediate)
        .wal(&past.cluster.wal())
        .to(&target, AfterRecovery::Leave);
    recover.recovery.restore_command = vec!["false".to_owned()];
    let whole = past.base.objects[0].2.clone();
    let half = whole.len() / 2;
    recover.objects[0].stream = Box::new(std::io::Cursor::new(whole[..half].to_vec()));
    let error = recover.run(&past.cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::postgres::damaged");
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tablespaces_go_beside_the_target_or_where_they_are_mapped_and_never_to_the_source() {
    let cluster = Cluster::start(&[]);
    let source = cluster.tablespace("fast disk");
    let base = cluster.base(true);
    let count = "SELECT count(*) FROM quick";
    let scratch = base
        .recover(RecoveryTarget::Immediate)
        .equals(count, "1000");
    passed(&scratch.run(&cluster.engine()).await.unwrap());
    let parent = place();
    let target = parent.path().join("main");
    let restored = base
        .recover(RecoveryTarget::Immediate)
        .equals(count, "1000")
        .to(&target, AfterRecovery::Promote)
        .run(&cluster.engine())
        .await
        .unwrap();
    passed(&restored);
    let link = std::fs::read_dir(target.join("pg_tblspc"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let place_of = std::fs::read_link(link.path()).unwrap();
    assert_eq!(
        place_of.parent().unwrap(),
        parent.path().join("main-tablespaces")
    );
    assert_eq!(ask(&cluster, &target, count), "1000");
    let mapped = parent.path().join("elsewhere");
    let mut recover = base
        .recover(RecoveryTarget::Immediate)
        .to(&parent.path().join("second"), AfterRecovery::Leave);
    recover
        .recovery
        .tablespaces
        .insert(source.display().to_string(), mapped.clone());
    recover.run(&cluster.engine()).await.unwrap();
    assert!(mapped.is_dir());
    assert_eq!(ask(&cluster, &parent.path().join("second"), count), "1000");
    assert_eq!(cluster.sql(count), "1000");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_chain_becomes_one_directory_and_a_damaged_link_none() {
    let cluster = Cluster::start_18(&[]);
    cluster.tablespace("fast");
    cluster.write(20);
    let full = cluster.base_of(true, None);
    cluster.write(10);
    cluster.sql("INSERT INTO quick VALUES (0)");
    let second = cluster.base_of(true, Some(&full));
    cluster.write(5);
    let third = cluster.base_of(true, Some(&second));
    let held = cluster.held();
    let link = |point: &BasePoint| mainstay_providers::api::ChainLink {
        manifest: point.manifest.clone(),
        objects: point.plain(),
    };
    let make = || {
        let mut recover = third
            .recover(RecoveryTarget::Immediate)
            .equals(HELD, &held)
            .equals("SELECT count(*) FROM quick", "1001");
        recover.chain = vec![link(&full), link(&second)];
        recover
    };
    let restored = make().run(&cluster.engine()).await.unwrap();
    passed(&restored);
    let parent = place();
    let target = parent.path().join("main");
    let restored = make()
        .to(&target, AfterRecovery::Promote)
        .run(&cluster.engine())
        .await
        .unwrap();
    passed(&restored);
    assert_eq!(phases(&restored)[..3], ["prepare", "load", "combine"]);
    assert_eq!(ask(&cluster, &target, HELD), held);
    let mut wrong = make().to(&parent.path().join("wrong"), AfterRecovery::Leave);
    wrong.chain.remove(1);
    let error = wrong.run(&cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::recovery::combine-failed", "{error}");
    let mut cut = make().to(&parent.path().join("cut"), AfterRecovery::Leave);
    let bytes = second.objects[0].2.clone();
    let half = bytes.len() / 2;
    cut.chain[1].objects[0].stream = Box::new(std::io::Cursor::new(bytes[..half].to_vec()));
    let error = cut.run(&cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::postgres::damaged", "{error}");
    let mut names: Vec<_> = std::fs::read_dir(parent.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["main", "main-tablespaces"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_keeps_its_configuration_elsewhere_still_gives_a_directory_that_starts() {
    let past = past();
    let parent = place();
    let target = parent.path().join("main");
    let mut recover = past
        .base
        .recover(RecoveryTarget::Time(past.middle))
        .to(&target, AfterRecovery::Leave);
    let copy = format!("cp {}/\"$1\" \"$2\"", past.cluster.archive.display());
    recover.recovery.restore_command = ["sh", "-c", &copy, "sh", "%f", "%p"]
        .map(str::to_owned)
        .to_vec();
    let kept =
        |path: &Path| path != Path::new("postgresql.conf") && path != Path::new("pg_hba.conf");
    recover.objects[0].stream = Box::new(std::io::Cursor::new(only(&past.base, kept)));
    let restored = recover.run(&past.cluster.engine()).await.unwrap();
    assert!(
        restored
            .notes
            .iter()
            .any(|note| note.contains("small postgresql.conf"))
    );
    let text = std::fs::read_to_string(target.join("postgresql.conf")).unwrap();
    assert!(text.contains("max_connections = '60'"), "{text}");
    std::fs::write(target.join("pg_hba.conf"), "local all all trust\n").unwrap();
    assert_eq!(ask(&past.cluster, &target, HELD), past.held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_database_cannot_be_opened_replaces_nothing() {
    let cluster = Cluster::start(&[]);
    let broken = cluster.server.create_database("broken");
    let oid = cluster.sql(&format!(
        "SELECT oid FROM pg_database WHERE datname = '{broken}'"
    ));
    let base = cluster.base(true);
    let parent = place();
    let target = parent.path().join("main");
    let make = || {
        let mut recover = base
            .recover(RecoveryTarget::Immediate)
            .to(&target, AfterRecovery::Promote);
        let kept = |path: &Path| !path.starts_with(format!("base/{oid}"));
        recover.objects[0].stream = Box::new(std::io::Cursor::new(only(&base, kept)));
        recover
    };
    let restored = make().run(&cluster.engine()).await.unwrap();
    let bad: Vec<_> = failed(&restored.checks)
        .iter()
        .map(|check| check.what.clone())
        .collect();
    assert_eq!(
        bad,
        [format!("database {broken}")],
        "a doubtful copy may be the last"
    );
    std::fs::write(target.join("mine"), "").unwrap();
    let error = make().replace().run(&cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::restore::checks-failed");
    assert!(error.to_string().contains(&broken), "{error}");
    assert!(target.join("mine").exists());
}
