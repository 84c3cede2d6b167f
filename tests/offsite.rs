//! The fear: the copies that are far away are not what everybody believes: not there, not sealed, not to be had back.
//!
//! The real program, a folder as the NAS, Ceph as the bucket elsewhere, moto as the deep archive, and boto3 as somebody else who
//! looks at what lies there.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../providers/tests/support/s3.rs"]
mod s3;
mod support;

use s3::{BucketKind, Moto, Rgw, Store};
use std::{collections::BTreeMap, fs, path::Path};
use support::{Site, bank::postgres, program::Ended, program::command, shop};

/// A tier in a bucket; credentials come from the environment.
fn bucket_tier(name: &str, store: &Store, bucket: &str, more: &str) -> String {
    format!(
        r#"
[tier.{name}]
kind = "s3"
bucket = "{bucket}"
prefix = "backups"
endpoint = "{}"
region = "{}"
credentials = {{ access-key-id = {{ env = "{variable}_ID" }}, secret-access-key = {{ env = "{variable}_SECRET" }} }}
{more}
"#,
        store.endpoint,
        store.region,
        variable = name.to_uppercase(),
    )
}

const KEYS: &str = r#"
[key.prod]
kind = "local"
path = "keys/prod.key"

[key.offline]
kind = "certificate"
path = "keys/recovery.crt"
"#;

/// A site whose program gets the credentials of its stores.
struct Offsite {
    site: Site,
    environment: Vec<(String, String)>,
}

impl Offsite {
    fn new(policy: &str, stores: &[(&str, &Store)]) -> Self {
        let site = Site::new(policy);
        let environment = stores
            .iter()
            .flat_map(|(name, store)| {
                let variable = name.to_uppercase();
                [
                    (format!("{variable}_ID"), store.access_key.clone()),
                    (format!("{variable}_SECRET"), store.secret_key.clone()),
                ]
            })
            .collect();
        Self { site, environment }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let environment: Vec<(&str, &str)> = self
            .environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.site.start(arguments, &environment).wait()
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        for (name, secret) in &self.environment {
            if name.ends_with("_SECRET") {
                ended.never_says(secret);
            }
        }
        ended
    }

    /// Makes the key file with the program and the certificate with openssl, whose private key goes elsewhere.
    fn make_keys(&self) {
        self.expect(0, &["key", "generate", "prod"])
            .says("keep a copy off this machine");
        let done = command("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "3650",
                "-subj",
                "/CN=recovery",
            ])
            .args(["-keyout", "offline.pem", "-out", "keys/recovery.crt"])
            .current_dir(self.site.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    fn newest(&self) -> String {
        let json = self.expect(0, &["inventory", "--json"]).json();
        let points = json["recovery_points"].as_array().unwrap();
        let ids = points.iter().map(|point| point["id"].as_str().unwrap());
        ids.max().unwrap().to_owned()
    }
}

/// The level of verification of each copy, by tier.
#[track_caller]
fn levels(offsite: &Offsite) -> BTreeMap<String, String> {
    let json = offsite.expect(0, &["inventory", "--json"]).json();
    let copies = json["recovery_points"][0]["copies"]
        .as_array()
        .unwrap()
        .clone();
    copies
        .iter()
        .map(|copy| {
            let level = copy["verified"]["level"].as_str().unwrap_or("none");
            (copy["tier"].as_str().unwrap().to_owned(), level.to_owned())
        })
        .collect()
}

#[test]
fn one_policy_keeps_a_point_on_a_nas_in_a_bucket_and_in_a_deep_archive() {
    let (rgw, moto) = (Rgw::shared(), Moto::start());
    let (near, far) = (
        rgw.bucket("near", BucketKind::Versioned),
        moto.bucket("far", BucketKind::Plain),
    );
    let policy = format!(
        r#"mainstay = 1
[tier.nas]
kind = "filesystem"
path = "tiers/nas"
min-free = "0%"
{}{}{KEYS}
[database.shop]
engine = "sqlite"
path = "shop.db"
encrypt-with = ["prod", "offline"]
[[database.shop.series]]
name = "yearly"
schedule = "@yearly"
verify = "full-read"
keep.nas = {{ last = 4 }}
keep.offsite = {{ yearly = 4 }}
keep.archive = {{ yearly = 7 }}
"#,
        bucket_tier(
            "offsite",
            rgw,
            &near,
            "storage-class = \"standard-ia\"\nexclusive = true"
        ),
        bucket_tier(
            "archive",
            &moto,
            &far,
            "storage-class = \"deep-archive\"\nretrieval = \"bulk\""
        ),
    );
    let offsite = Offsite::new(&policy, &[("offsite", rgw), ("archive", &moto)]);
    offsite.make_keys();
    offsite.expect(0, &["validate", "--strict"]);
    offsite.expect(0, &["apply", "--auto-approve"]);
    offsite
        .expect(0, &["apply", "--auto-approve"])
        .says("No changes");
    assert_eq!(
        levels(&offsite),
        BTreeMap::from([
            ("nas".to_owned(), "full-read".to_owned()),
            ("offsite".to_owned(), "full-read".to_owned()),
            ("archive".to_owned(), "attested".to_owned()),
        ])
    );

    // What somebody else sees: data in the declared class, what must be read at once in the ordinary one.
    for (store, bucket, class) in [
        (&**rgw, &near, "STANDARD_IA"),
        (&*moto, &far, "DEEP_ARCHIVE"),
    ] {
        let classes = store.classes(bucket, "backups/shop/");
        assert_eq!(classes.len(), 3, "{classes:?}");
        for line in classes {
            let (key, found) = line.split_once(' ').unwrap();
            let wanted = if key.contains("/data.") {
                class
            } else {
                "STANDARD"
            };
            assert_eq!(found, wanted, "{key}");
        }
        let plain = store.python(
            "for item in s3.list_objects_v2(Bucket=args[0])['Contents']:\n    \
                 if 'data.' in item['Key'] and item['StorageClass'] != 'DEEP_ARCHIVE':\n        \
                     print(b'SQLite format' in s3.get_object(Bucket=args[0], Key=item['Key'])['Body'].read())",
            &[bucket],
        );
        assert!(!plain.contains("True"), "plain data lies in {bucket}");
    }

    // From the archive: only when a person says so, then in two goes.
    moto.thaws_after_looks(3);
    let point = offsite.newest();
    let restore = [
        "restore",
        "shop",
        "--point",
        &point,
        "--from",
        "archive",
        "--to",
        "thawed.db",
    ];
    offsite.expect(10, &restore).says("--thaw").says("archived");
    let asked = [&restore[..], &["--thaw"]].concat();
    offsite.expect(10, &asked).says("typically");
    let mut tries = 0;
    while offsite.run(&asked).code != Some(0) {
        tries += 1;
        assert!(tries < 10, "it is never readable");
    }
    assert_eq!(
        shop::entries(&offsite.site.path().join("thawed.db")),
        shop::entries(&offsite.site.shop())
    );
}

/// `key etag version` of every data object, as boto3 sees it.
fn data_objects(store: &Store, bucket: &str) -> Vec<String> {
    let printed = store.python(
        "for item in s3.list_object_versions(Bucket=args[0]).get('Versions', []):\n    \
             if '/data.' in item['Key']:\n        \
                 print(item['Key'], item['ETag'], item['VersionId'], item['LastModified'])",
        &[bucket],
    );
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn keys_are_rotated_without_a_byte_of_data_written_again() {
    let rgw = Rgw::shared();
    let bucket = rgw.bucket("rotate", BucketKind::Versioned);
    // Ceph has no conditional writes in a bucket with versions.
    let tier = bucket_tier("offsite", rgw, &bucket, "exclusive = true");
    let policy = |keys: &str, recipients: &str| {
        format!(
            "mainstay = 1\n{tier}{keys}\n[database.shop]\nengine = \"sqlite\"\npath = \"shop.db\"\nencrypt-with = {recipients}\n\
             [[database.shop.series]]\nname = \"often\"\nevery = \"1s\"\nkeep.offsite = {{ last = 40 }}\n"
        )
    };
    let new_key = "[key.next]\nkind = \"local\"\npath = \"keys/next.key\"\n";
    let offsite = Offsite::new(&policy(KEYS, r#"["prod", "offline"]"#), &[("offsite", rgw)]);
    offsite.make_keys();
    offsite.expect(0, &["apply", "--auto-approve"]);
    let old = offsite.newest();
    let before = data_objects(rgw, &bucket);
    assert_eq!(before.len(), 1);

    offsite.site.write_policy(&policy(
        &format!("{KEYS}{new_key}"),
        r#"["next", "offline"]"#,
    ));
    offsite.expect(0, &["key", "generate", "next"]);
    offsite.expect(0, &["key", "list"]).says("prod");
    offsite
        .expect(0, &["key", "rotate", "--why", "a new year"])
        .says("1 copy wrapped anew");
    offsite.expect(0, &["key", "rotate"]).says("1 fine already");
    assert_eq!(data_objects(rgw, &bucket), before, "data was touched");
    offsite.site.next_second();
    offsite.expect(0, &["apply", "--auto-approve"]);
    let new = offsite.newest();
    assert_ne!(old, new);

    // The old key is gone: both points come back with the new one.
    fs::remove_file(offsite.site.path().join("keys/prod.key")).unwrap();
    offsite.site.write_policy(&policy(
        &format!("{new_key}[key.offline]\nkind = \"certificate\"\npath = \"keys/recovery.crt\"\n"),
        r#"["next", "offline"]"#,
    ));
    for (point, to) in [(&old, "old.db"), (&new, "new.db")] {
        offsite.expect(0, &["restore", "shop", "--point", point, "--to", to]);
        assert!(shop::entries(&offsite.site.path().join(to)) > 0);
    }
    // And without it, nothing does.
    fs::rename(
        offsite.site.path().join("keys/next.key"),
        offsite.site.path().join("away"),
    )
    .unwrap();
    offsite
        .expect(1, &["restore", "shop", "--point", &old, "--to", "never.db"])
        .says("next")
        .says("offline");
    assert!(!offsite.site.path().join("never.db").exists());
    offsite.expect(1, &["key", "list"]).says("it is not there");
}

#[test]
fn a_lost_machine_comes_back_from_a_bucket_and_a_key() {
    let rgw = Rgw::shared();
    let bucket = rgw.bucket("lost", BucketKind::Plain);
    let server = postgres::Server::start(&[]);
    server.psql("postgres", "create database orders");
    server.psql(
        "orders",
        "create table item as select n, md5(n::text) as text from generate_series(1, 5000) n",
    );
    let tier = bucket_tier("offsite", rgw, &bucket, "");
    let policy = format!(
        r#"mainstay = 1
{tier}{KEYS}
[defaults]
encrypt-with = ["prod", "offline"]
[database.shop]
engine = "sqlite"
path = "shop.db"
[[database.shop.series]]
name = "daily"
schedule = "@yearly"
keep.offsite = {{ last = 4 }}
[database.orders]
engine = "postgres"
url = "{}"
[[database.orders.series]]
name = "daily"
schedule = "@yearly"
keep.offsite = {{ last = 4 }}
[database.config]
engine = "files"
paths = ["etc"]
[[database.config.series]]
name = "daily"
schedule = "@yearly"
keep.offsite = {{ last = 4 }}
"#,
        server.url("orders"),
    );
    let offsite = Offsite::new(&policy, &[("offsite", rgw)]);
    fs::create_dir(offsite.site.path().join("etc")).unwrap();
    fs::write(offsite.site.path().join("etc/app.yaml"), "port: 80\n").unwrap();
    offsite.make_keys();
    offsite.expect(0, &["apply", "--auto-approve"]);
    let entries = shop::entries(&offsite.site.shop());

    // A new machine: a policy with nothing but the bucket and the key, and the key's file.
    let minimal =
        format!("mainstay = 1\n{tier}[key.prod]\nkind = \"local\"\npath = \"prod.key\"\n");
    let fresh = Offsite::new(&minimal, &[("offsite", rgw)]);
    let saved = fs::read(offsite.site.path().join("keys/prod.key")).unwrap();
    let etc = offsite.site.path().join("etc");
    let inside = etc.strip_prefix("/").unwrap().join("app.yaml");
    drop(offsite);
    fs::remove_file(fresh.site.shop()).unwrap();
    write_private(&fresh.site.path().join("prod.key"), &saved);

    fresh.expect(0, &["validate", "--strict"]);
    fresh
        .expect(0, &["catalog", "rebuild", "--tier", "offsite"])
        .says("3 recovery point(s)");
    fresh
        .expect(0, &["list"])
        .says("shop")
        .says("orders")
        .says("config");
    fresh.expect(0, &["info", "shop"]).says("prod");
    fresh.expect(0, &["restore", "shop", "--to", "back.db"]);
    assert_eq!(shop::entries(&fresh.site.path().join("back.db")), entries);
    fresh.expect(
        0,
        &["restore", "orders", "--to", &server.url("orders_back")],
    );
    let count = server.psql(
        "orders_back",
        "select count(*), md5(string_agg(text, ',' order by n)) from item",
    );
    assert_eq!(
        count,
        server.psql(
            "orders",
            "select count(*), md5(string_agg(text, ',' order by n)) from item"
        )
    );
    fresh.expect(0, &["restore", "config", "--to", "etc-back"]);
    assert_eq!(
        fs::read_to_string(fresh.site.path().join("etc-back").join(inside)).unwrap(),
        "port: 80\n"
    );
    // A target that does not say enough is refused with the way out.
    fresh
        .expect(1, &["restore", "orders", "--to", "orders_again"])
        .says("postgres://");
}

fn write_private(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
