//! Files that lie in a bucket, and an archive that keeps what they become.

#[path = "../../providers/tests/support/s3.rs"]
mod s3;

use super::{SHOP, document, old, old_shop, states, untouched};
use crate::support::{Site, shop};
use s3::{BucketKind, Moto};

#[test]
fn files_in_a_bucket_become_points_also_in_a_deep_archive() {
    let moto = Moto::shared();
    let (old_bucket, archive) = (
        moto.bucket("old", BucketKind::Plain),
        moto.bucket("archive", BucketKind::Plain),
    );
    let tier = |name: &str, bucket: &str, more: &str| {
        format!(
            "[tier.{name}]\nkind = \"s3\"\nbucket = \"{bucket}\"\nendpoint = \"{}\"\nregion = \"{}\"\n\
             credentials = {{ access-key-id = {{ env = \"MOTO_ID\" }}, secret-access-key = {{ env = \"MOTO_SECRET\" }} }}\n{more}\n",
            moto.endpoint, moto.region
        )
    };
    let policy = format!(
        "{}{}{}",
        SHOP.replace(
            "keep.nas = { yearly = 10 }",
            "keep.far = { yearly = 10 }\nkeep.bucket = { monthly = 3 }"
        ),
        tier("bucket", &old_bucket, "prefix = \"backups\""),
        tier(
            "far",
            &archive,
            "storage-class = \"deep-archive\"\nretrieval = \"bulk\""
        )
    );
    let site = Site::new(&policy);
    let environment = [
        ("MOTO_ID", moto.access_key.as_str()),
        ("MOTO_SECRET", moto.secret_key.as_str()),
    ];
    let run = |code: i32, arguments: &[&str]| {
        let ended = site.start(arguments, &environment).wait();
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended.never_says(&moto.secret_key);
        ended
    };
    let folder = old(&site);
    for (name, entries) in [("shop-2022-01-01.db", 10), ("shop-2023-05-05.db", 20)] {
        old_shop(&folder.join(name), entries);
        let file = folder.join(name);
        moto.python(
            "s3.upload_file(args[0], args[1], 'backups/old/' + args[2])",
            &[file.to_str().unwrap(), &old_bucket, name],
        );
    }
    let before = untouched(&folder);
    run(1, &["catalog", "adopt", "shop", "bucket:elsewhere"]).says("nothing-found");
    let ended = run(0, &["catalog", "adopt", "shop", "bucket:old/", "--json"]);
    assert!(
        states(&document(&ended))
            .values()
            .all(|state| state == "adopted"),
        "{ended}"
    );
    assert_eq!(untouched(&folder), before);
    let known = run(0, &["inventory", "--json"]);
    let levels: Vec<(String, String)> = known.json()["recovery_points"][0]["copies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|copy| {
            let word = |value: &serde_json::Value| value.as_str().unwrap_or("none").to_owned();
            (word(&copy["tier"]), word(&copy["verified"]["level"]))
        })
        .collect();
    assert!(
        levels.contains(&("far".to_owned(), "attested".to_owned())),
        "{levels:?}"
    );
    assert!(
        levels.contains(&("bucket".to_owned(), "full-read".to_owned())),
        "{levels:?}"
    );
    // The originals lie where they lay, and what Mainstay has stored beside them is not taken for a file.
    run(0, &["catalog", "adopt", "shop", "bucket:"]).says("2 recovery points already");
    let keys = moto.python(
        "[print(o['Key']) for o in s3.list_objects_v2(Bucket=args[0], Prefix='backups/old/')['Contents']]",
        &[&old_bucket],
    );
    assert_eq!(
        keys,
        "backups/old/shop-2022-01-01.db\nbackups/old/shop-2023-05-05.db"
    );
    run(
        0,
        &[
            "restore",
            "shop",
            "--point",
            "shop/nightly/20220101T000000Z",
            "--to",
            "back.db",
            "--from",
            "bucket",
        ],
    );
    assert_eq!(shop::assert_true_state(&site.path().join("back.db")), 10);
}
