//! Opening: new, newer, damaged, and for reading only.

use crate::{
    fixture::{at, lease, manifest, store},
    subject::Subject,
};
use mainstay_catalog::{Catalog, CatalogError};
use std::path::Path;

pub(crate) async fn many_programs_may_open_a_new_catalog_at_once(subject: Subject) {
    let opened: Vec<_> = (0..6)
        .map(|_| {
            let url = subject.url().to_owned();
            tokio::spawn(async move { Catalog::open(&url).await })
        })
        .collect();
    for task in opened {
        let catalog = task.await.unwrap().unwrap();
        assert_eq!(catalog.lease().await.unwrap(), None);
    }
}

pub(crate) async fn a_catalog_of_a_newer_version_is_refused(subject: Subject) {
    subject.open().await.close().await;
    subject
        .by_hand(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT 999, 'from the future', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
        )
        .await
        .unwrap();
    for error in [
        Catalog::open(subject.url()).await.unwrap_err(),
        Catalog::open_read_only_if_exists(subject.url())
            .await
            .unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                CatalogError::NewerSchema {
                    found: 999,
                    known: 4..,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    assert!(Catalog::exists(subject.url()).await.unwrap());
}

pub(crate) async fn reading_creates_nothing(subject: Subject) {
    let open = || Catalog::open_read_only_if_exists(subject.url());
    assert!(!Catalog::exists(subject.url()).await.unwrap());
    assert!(open().await.unwrap().is_none());
    if let Some(file) = subject.file() {
        assert!(!file.parent().unwrap().exists());
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "").unwrap();
        assert!(open().await.unwrap().is_none());
    }
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    store(&catalog, &lease, &manifest(1), "nas", 1).await;
    assert!(Catalog::exists(subject.url()).await.unwrap());
    let reader = open().await.unwrap().unwrap();
    assert_eq!(
        reader.inventory(at(9)).await.unwrap(),
        catalog.inventory(at(9)).await.unwrap()
    );
}

pub(crate) async fn reading_cannot_write(subject: Subject) {
    let writer = subject.open().await;
    let reader = Catalog::open_read_only_if_exists(subject.url())
        .await
        .unwrap()
        .unwrap();
    let lease = lease(&writer).await;
    let refused = [
        reader.record_point(&lease, &manifest(1)).await,
        reader.heartbeat(&lease, at(1)).await,
        reader
            .remember_tier(
                &crate::fixture::tier("nas"),
                "x",
                "ada",
                crate::fixture::at(1),
            )
            .await,
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().code(), "mainstay::catalog::denied");
    }
}

fn shown(error: &CatalogError, folder: &Path) -> String {
    format!("{error}\nhelp: {}", error.help().unwrap_or_default())
        .replace(&folder.display().to_string(), "<folder>")
}

#[tokio::test]
async fn a_file_that_is_no_database_says_how_to_rebuild() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.db");
    std::fs::write(
        &file,
        "these are not the bytes you are looking for".repeat(99),
    )
    .unwrap();
    let error = Catalog::open(file.to_str().unwrap()).await.unwrap_err();
    assert_eq!(error.disposition(), model::Disposition::NeedsOperator);
    insta::assert_snapshot!(shown(&error, folder.path()), @r"
    the catalog at `<folder>/catalog.db` is damaged: the file is not a SQLite database
    help: move the file away (keep it) and run `mainstay catalog rebuild`, which reads everything back from the tiers' manifests
    ");
}

/// Truncated, overwritten in the middle, foreign bytes at the start: never a panic, never an empty catalog instead of an error.
#[tokio::test]
async fn a_damaged_file_is_never_taken_for_an_empty_catalog() {
    let subject = Subject::sqlite();
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    for n in 0..200 {
        store(&catalog, &lease, &manifest(n), "nas", n).await;
    }
    let whole = catalog.inventory(at(999)).await.unwrap();
    catalog.close().await;
    let file = subject.file().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let page = 4096;
    for damaged_page in 0..bytes.len() / page {
        for truncate in [false, true] {
            let mut damaged = bytes.clone();
            if truncate {
                // A file of no bytes at all is a new one.
                damaged.truncate(damaged_page * page + 100);
            } else {
                damaged[damaged_page * page..][..page].fill(0xa5);
            }
            let path = folder.path().join(format!("{damaged_page}-{truncate}.db"));
            std::fs::write(&path, damaged).unwrap();
            let seen = match Catalog::open(path.to_str().unwrap()).await {
                Ok(catalog) => catalog.inventory(at(999)).await,
                Err(error) => Err(error),
            };
            match seen {
                // The page held something that the inventory does not read.
                Ok(inventory) => assert_eq!(inventory, whole, "page {damaged_page}"),
                Err(error) => assert_eq!(error.code(), "mainstay::catalog::corrupt", "{error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_folder_of_a_new_catalog_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let subject = Subject::sqlite();
    subject.open().await;
    let file = subject.file().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    assert_eq!(mode(&file), 0o600);
}

#[tokio::test]
async fn a_place_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let blocker = folder.path().join("file");
    std::fs::write(&blocker, "x").unwrap();
    let inside = blocker.join("catalog.db");
    let error = Catalog::open(inside.to_str().unwrap()).await.unwrap_err();
    insta::assert_snapshot!(shown(&error, folder.path()), @r"
    cannot create the catalog at `<folder>/file/catalog.db`
    help: create the folder with write permission for this user, or choose another place with `--state`
    ");
    let error = Catalog::open("mysql://root:geheim@db/x").await.unwrap_err();
    insta::assert_snapshot!(shown(&error, folder.path()), @r"
    `mysql` is not a kind of catalog
    help: give `--state` a file path, `sqlite:///path/to/file` or `postgres://user@host/database`
    ");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_keeps_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!(
        "postgres://me:geheim@localhost/state?host={}",
        folder.path().display()
    );
    let error = Catalog::open(&url).await.unwrap_err();
    assert_eq!(error.code(), "mainstay::catalog::unavailable");
    assert!(!format!("{error:?} {error}").contains("geheim"));
}
