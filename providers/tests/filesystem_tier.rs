//! What only a folder can suffer: full disks, vanished mounts, links, crashed writers.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test panics"
)]

use bytes::Bytes;
use mainstay_providers as providers;
use model::{ByteCount, TierName};
use providers::{
    api::{Expected, NewObject, ObjectKey, Result, Tier},
    registry,
};
use serde_json::json;
use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
};

fn tier(base: &Path, path: &str, min_free: &str) -> Arc<dyn Tier> {
    let table = json!({"path": path, "min-free": min_free});
    registry::tier(&TierName::new("nas").unwrap(), "filesystem", &table, base).unwrap()
}

async fn ready(base: &Path) -> Arc<dyn Tier> {
    let tier = tier(base, "tier", "0%");
    tier.initialise("id").await.unwrap();
    tier
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn code<T>(result: Result<T>) -> &'static str {
    result.err().expect("it should have failed").code
}

async fn put(tier: &dyn Tier, name: &str) -> Result<()> {
    let mut writer = tier.create(&key(name), NewObject::default()).await?;
    writer.write(Bytes::from_static(b"content")).await?;
    writer.finish().await.map(drop)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

#[tokio::test]
async fn too_little_room_is_refused_before_a_byte_is_written() {
    let base = tempfile::tempdir().unwrap();
    ready(base.path()).await;
    let greedy = tier(base.path(), "tier", "100000TiB");
    let error = greedy
        .create(&key("a"), NewObject::default())
        .await
        .err()
        .unwrap();
    assert_eq!(error.code, "mainstay::tier::full");
    assert_eq!(error.disposition, model::Disposition::NeedsOperator);
    let huge = ByteCount(1 << 60);
    assert_eq!(
        code(
            tier(base.path(), "tier", "0%")
                .create(&key("a"), NewObject::data(Some(huge)))
                .await
        ),
        "mainstay::tier::full"
    );
    assert_eq!(
        files_below(&base.path().join("tier")).len(),
        1,
        "only the marker"
    );
}

/// A small tmpfs, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

#[expect(
    clippy::disallowed_methods,
    reason = "a test of a full disk needs a small disk, and `mount` makes it"
)]
fn run(program: &str, arguments: &[&str]) -> bool {
    std::process::Command::new(program)
        .args(arguments)
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

impl SmallDisk {
    /// `None` where mounting is not permitted.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        run("mount", &["-t", "tmpfs", "-o", "size=8m", "tmpfs", &path]).then_some(Self(folder))
    }
    fn unmount(&self) {
        assert!(run("umount", &["-l", self.0.path().to_str().unwrap()]));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", self.0.path().to_str().unwrap()]);
    }
}

/// Writes until it fails; gives the error's code.
async fn fill(tier: &dyn Tier) -> &'static str {
    let mut writer = tier
        .create(&key("a/large"), NewObject::default())
        .await
        .unwrap();
    loop {
        if let Err(error) = writer.write(Bytes::from(vec![7; 1 << 20])).await {
            assert_eq!(
                code(writer.write(Bytes::from_static(b"x")).await),
                "mainstay::tier::io",
                "it was given up"
            );
            return error.code;
        }
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_while_writing_leaves_nothing_half_visible() {
    let Some(disk) = SmallDisk::mount() else {
        // Without the right to mount, what can be real is the margin: a margin just below what is free is reached while writing.
        let base = tempfile::tempdir().unwrap();
        let tier = ready(base.path()).await;
        let free = tier.observe().await.unwrap().space.unwrap().free.0;
        let tight = self::tier(
            base.path(),
            "tier",
            &format!("{}", free.saturating_sub(32 << 20)),
        );
        assert_eq!(fill(&*tight).await, "mainstay::tier::full");
        assert!(tight.list("").await.unwrap().is_empty());
        return;
    };
    let tier = ready(disk.0.path()).await;
    put(&*tier, "a/small").await.unwrap();
    assert_eq!(fill(&*tier).await, "mainstay::tier::full");
    assert_eq!(tier.list("").await.unwrap().len(), 1);
    assert!(tier.clean_leftovers("").await.unwrap().is_empty());
    put(&*tier, "a/after").await.unwrap();
}

#[tokio::test]
async fn an_unmounted_tier_is_unreachable_and_nothing_is_written_under_it() {
    let base = tempfile::tempdir().unwrap();
    let mut writer;
    let tier;
    let root = if let Some(disk) = SmallDisk::mount() {
        let root = disk.0.path().to_owned();
        tier = self::tier(&root, ".", "0%");
        tier.initialise("id").await.unwrap();
        put(&*tier, "a/before").await.unwrap();
        writer = tier
            .create(&key("a/during"), NewObject::default())
            .await
            .unwrap();
        writer.write(Bytes::from_static(b"half")).await.unwrap();
        disk.unmount();
        // The empty mount point stays; the guard's own unmounting then fails harmlessly.
        std::mem::forget(disk);
        root
    } else {
        tier = ready(base.path()).await;
        put(&*tier, "a/before").await.unwrap();
        writer = tier
            .create(&key("a/during"), NewObject::default())
            .await
            .unwrap();
        let root = base.path().join("tier");
        std::fs::rename(&root, base.path().join("away")).unwrap();
        std::fs::create_dir(&root).unwrap();
        root
    };
    assert_eq!(code(writer.finish().await), "mainstay::tier::unreachable");
    assert_eq!(tier.observe().await.unwrap().identity, None);
    assert_eq!(
        code(tier.create(&key("a/after"), NewObject::default()).await),
        "mainstay::tier::unreachable"
    );
    assert_eq!(code(tier.list("").await), "mainstay::tier::unreachable");
    assert_eq!(
        code(tier.stat(&key("a/before")).await),
        "mainstay::tier::unreachable"
    );
    assert_eq!(
        root.read_dir().unwrap().count(),
        0,
        "nothing under the mount point"
    );
    std::fs::remove_dir(&root).unwrap();
}

#[tokio::test]
async fn a_missing_folder_is_made_only_by_initialising_and_only_itself() {
    let base = tempfile::tempdir().unwrap();
    let shallow = tier(base.path(), "tier", "0%");
    assert_eq!(shallow.observe().await.unwrap().identity, None);
    assert_eq!(
        code(shallow.create(&key("a"), NewObject::default()).await),
        "mainstay::tier::unreachable"
    );
    assert!(!base.path().join("tier").exists());
    shallow.initialise("id").await.unwrap();
    assert!(base.path().join("tier").exists());
    let deep = tier(base.path(), "missing/tier", "0%");
    assert_eq!(code(deep.observe().await), "mainstay::tier::unreachable");
    assert_eq!(
        code(deep.initialise("id").await),
        "mainstay::tier::unreachable"
    );
    assert!(!base.path().join("missing").exists());
}

#[tokio::test]
async fn a_root_that_was_swapped_while_writing_is_noticed() {
    let base = tempfile::tempdir().unwrap();
    let tier = ready(base.path()).await;
    let writer = tier
        .create(&key("a/b"), NewObject::default())
        .await
        .unwrap();
    std::fs::rename(base.path().join("tier"), base.path().join("away")).unwrap();
    // Another marked folder: not unmounted, but not the same place either.
    tier.initialise("other").await.unwrap();
    assert_eq!(code(writer.finish().await), "mainstay::tier::unreachable");
    assert!(tier.list("").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_marker_that_is_no_marker_is_not_taken_for_one() {
    let base = tempfile::tempdir().unwrap();
    let tier = ready(base.path()).await;
    for text in [
        "",
        "{}",
        "{\"format\":\"mainstay.tier.v9\",\"identity\":\"x\"}",
    ] {
        std::fs::write(base.path().join("tier/.mainstay-tier.json"), text).unwrap();
        assert_eq!(code(tier.observe().await), "mainstay::tier::marker");
        assert_eq!(
            code(tier.create(&key("a"), NewObject::default()).await),
            "mainstay::tier::marker"
        );
    }
}

#[tokio::test]
async fn links_are_neither_followed_nor_listed_nor_deleted() {
    let base = tempfile::tempdir().unwrap();
    let tier = ready(base.path()).await;
    let outside = base.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "s").unwrap();
    let root = base.path().join("tier");
    symlink(&outside, root.join("folder")).unwrap();
    symlink(outside.join("secret"), root.join("file")).unwrap();
    symlink(outside.join("nothing"), root.join("broken")).unwrap();
    assert!(tier.list("").await.unwrap().is_empty());
    assert_eq!(
        code(tier.open(&key("folder/secret")).await),
        "mainstay::tier::not-found"
    );
    assert_eq!(
        code(tier.open(&key("file")).await),
        "mainstay::tier::not-found"
    );
    assert!(tier.stat(&key("file")).await.unwrap().is_none());
    assert!(!tier.delete(&key("file")).await.unwrap());
    assert!(!tier.delete(&key("folder/secret")).await.unwrap());
    assert_eq!(
        code(tier.create(&key("folder/new"), NewObject::default()).await),
        "mainstay::tier::io"
    );
    for name in ["file", "broken"] {
        assert_eq!(
            code(tier.create(&key(name), NewObject::default()).await),
            "mainstay::tier::exists"
        );
    }
    assert_eq!(files_below(&outside).len(), 1);
}

#[tokio::test]
async fn leftovers_of_a_killed_writer_are_removed_and_those_of_other_machines_are_kept_a_day() {
    let base = tempfile::tempdir().unwrap();
    let tier = ready(base.path()).await;
    let writer = tier
        .create(&key("db/daily/data"), NewObject::default())
        .await
        .unwrap();
    let folder = base.path().join("tier/db/daily");
    let alive = folder
        .read_dir()
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .file_name();
    let alive = alive.to_str().unwrap().to_owned();
    assert!(
        alive.starts_with(".tmp-") && alive.ends_with("-data"),
        "{alive}"
    );
    // What kill -9 leaves is the same file without its lock.
    std::fs::write(folder.join(format!("{alive}2")), "half").unwrap();
    std::fs::write(folder.join(".tmp-anotherhost-1-0-data"), "half").unwrap();
    let aged = folder.join(".tmp-anotherhost-1-1-data");
    std::fs::write(&aged, "half").unwrap();
    assert!(run(
        "touch",
        &["-d", "25 hours ago", aged.to_str().unwrap()]
    ));
    let other = base.path().join("tier/other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join(format!("{alive}2")), "half").unwrap();

    let mut expected = [
        format!("db/daily/{alive}2"),
        "db/daily/.tmp-anotherhost-1-1-data".to_owned(),
    ];
    expected.sort();
    assert_eq!(tier.clean_leftovers("db/").await.unwrap(), expected);
    assert!(tier.clean_leftovers("db/").await.unwrap().is_empty());
    assert_eq!(
        tier.clean_leftovers("").await.unwrap(),
        [format!("other/{alive}2")]
    );
    writer.finish().await.unwrap();
    assert_eq!(
        folder.read_dir().unwrap().count(),
        2,
        "the object, and the other machine's young file"
    );
}

#[tokio::test]
async fn only_the_owner_can_read_what_is_stored() {
    let base = tempfile::tempdir().unwrap();
    let tier = ready(base.path()).await;
    put(&*tier, "db/daily/data").await.unwrap();
    let mode = |path: &str| {
        base.path()
            .join(path)
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("tier/db/daily/data"), 0o600);
    assert_eq!(
        (mode("tier"), mode("tier/db"), mode("tier/db/daily")),
        (0o700, 0o700, 0o700)
    );
}

#[tokio::test]
async fn deleting_the_last_object_removes_empty_folders_but_never_the_root() {
    let base = tempfile::tempdir().unwrap();
    let tier = ready(base.path()).await;
    put(&*tier, "db/daily/2026/point/data").await.unwrap();
    put(&*tier, "db/kept").await.unwrap();
    tier.delete(&key("db/daily/2026/point/data")).await.unwrap();
    assert!(!base.path().join("tier/db/daily").exists());
    tier.delete(&key("db/kept")).await.unwrap();
    assert!(!base.path().join("tier/db").exists());
    assert_eq!(
        tier.observe().await.unwrap().identity.as_deref(),
        Some("id")
    );
}

#[test]
fn the_table_is_checked_and_places_are_recognised() {
    let base = tempfile::tempdir().unwrap();
    let entry = &registry::tiers()[0];
    let codes = |table: serde_json::Value| -> Vec<&str> {
        (entry.check)(&table, base.path())
            .iter()
            .map(|finding| finding.code)
            .collect()
    };
    assert!(codes(json!({"path": "/mnt/nas", "min-free": "20%"})).is_empty());
    assert_eq!(
        codes(json!({"path": "~/x", "min-free": "lots"})),
        ["filesystem::path-tilde", "filesystem::min-free"]
    );
    assert_eq!(codes(json!({"path": " "})), ["filesystem::path-empty"]);
    std::fs::create_dir(base.path().join("real")).unwrap();
    symlink(base.path().join("real"), base.path().join("link")).unwrap();
    let place = |path: &str| (entry.place)(&json!({"path": path}), base.path());
    assert_eq!(place("real/tier"), place("link/tier"));
    assert_eq!(place("real/./tier/"), place("real/tier"));
    assert_ne!(place("real/tier"), place("real/tier2"));
}

const LEASE: &str = ".mainstay-lease.json";

#[tokio::test]
async fn a_lease_is_not_looked_after_in_another_tier_that_is_mounted_instead() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tier");
    let tier = ready(folder.path()).await;
    let content = Bytes::from_static(b"{}");
    let tag = tier
        .write_control(&key(LEASE), content.clone(), Expected::Absent, None)
        .await
        .unwrap();
    std::fs::rename(&root, folder.path().join("away")).unwrap();
    ready(folder.path()).await;
    let before = files_below(&root);
    let written = tier
        .write_control(&key(LEASE), content, Expected::Unchanged(tag), None)
        .await;
    assert_eq!(code(written), "mainstay::tier::changed");
    assert_eq!(files_below(&root), before);
}

#[tokio::test]
async fn what_a_killed_writer_of_a_lease_left_goes_with_the_next_write() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tier");
    let tier = ready(folder.path()).await;
    let host = rustix::system::uname();
    let host: String = host
        .nodename()
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(24)
        .collect();
    let dead = root.join(format!(".tmp-{host}-1-0123456789abcdef-{LEASE}"));
    let alive = root.join(format!(".tmp-{host}-2-0123456789abcdef-{LEASE}"));
    let other = root.join(format!(".tmp-{host}-3-0123456789abcdef-other.json"));
    for path in [&dead, &alive, &other] {
        std::fs::write(path, b"half").unwrap();
    }
    let held = std::fs::File::open(&alive).unwrap();
    held.lock().unwrap();
    tier.write_control(
        &key(LEASE),
        Bytes::from_static(b"{}"),
        Expected::Absent,
        None,
    )
    .await
    .unwrap();
    assert!(!dead.exists());
    assert!(alive.exists(), "its writer still runs");
    assert!(other.exists(), "not of this name");
}
