//! Key files: never readable by others, never overwritten, never lost by a replacement, and nothing opened by the wrong one.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use mainstay_providers as providers;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/moto.rs"]
#[expect(dead_code, reason = "only its Python is used here")]
mod moto;

use keys::{NOW, all_words, build, data_key, orders};
use model::Secret;
use providers::{
    api::{KeyProvider, KeyState},
    keys::local::{generate, replace},
};
use serde_json::json;
use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    sync::Arc,
};

fn key(folder: &Path) -> Arc<dyn KeyProvider> {
    build("prod", "local", &json!({"path": "keys/prod.key"}), folder)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_new_key_file_is_its_owners_alone_and_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/prod.key");
    let facts = generate(&path, None, NOW).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(&format!("id = \"{}\"", facts.key_id)));

    let error = generate(&path, None, NOW).unwrap_err();
    assert_eq!(error.code, "mainstay::key::exists");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "something was left behind: {names:?}");
}

#[test]
fn a_dangling_link_is_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("prod.key");
    symlink(folder.path().join("elsewhere"), &link).unwrap();
    assert_eq!(
        generate(&link, None, NOW).unwrap_err().code,
        "mainstay::key::exists"
    );
    assert!(!folder.path().join("elsewhere").exists());
}

#[test]
fn of_many_that_make_the_same_file_at_once_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prod.key");
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| generate(&path, None, NOW)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let winners: Vec<_> = made.into_iter().filter_map(Result::ok).collect();
    let [winner] = &winners[..] else {
        panic!("{} have won", winners.len());
    };
    assert!(fs::read_to_string(&path).unwrap().contains(&winner.key_id));
}

#[tokio::test]
async fn a_key_file_that_others_can_use_is_refused_also_behind_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/prod.key");
    generate(&path, None, NOW).unwrap();
    let key = key(folder.path());
    for refused in [0o640, 0o604, 0o620, 0o601, 0o666] {
        set_mode(&path, refused);
        let error = key.wrap(&data_key(), &orders()).await.unwrap_err();
        assert_eq!(
            error.code, "mainstay::key::readable-by-others",
            "{refused:o}"
        );
        assert!(error.help.unwrap().contains("chmod 600"));
        assert!(matches!(
            key.observe().await.unwrap().state,
            KeyState::Unusable(_)
        ));
    }
    fs::rename(&path, folder.path().join("real.key")).unwrap();
    symlink(folder.path().join("real.key"), &path).unwrap();
    let error = key.wrap(&data_key(), &orders()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::key::readable-by-others");
    for allowed in [0o600, 0o400] {
        set_mode(&path, allowed);
        key.wrap(&data_key(), &orders()).await.unwrap();
    }
}

#[tokio::test]
async fn what_lies_in_the_place_of_a_key_file_is_named_without_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/prod.key");
    generate(&path, None, NOW).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let hex = good.split_once("\nkey = \"").unwrap().1[..64].to_owned();
    let mut other_digit = good.clone();
    let at = good.find(&hex).unwrap();
    let digit = if hex.starts_with('0') { "1" } else { "0" };
    other_digit.replace_range(at..=at, digit);
    let key = key(folder.path());
    let mut said = String::new();
    for (case, text) in [
        ("another digit", other_digit),
        ("cut", good[..good.len() - 40].to_owned()),
        ("empty", String::new()),
        ("another file", format!("PASSWORD={hex}")),
        ("a broken line", good.replace("key = \"", "key = ")),
    ] {
        fs::write(&path, text).unwrap();
        let error = key.wrap(&data_key(), &orders()).await.unwrap_err();
        let words = all_words(&error);
        assert!(
            !words.contains(&hex[..12]) && !words.contains(&hex[52..]),
            "{words}"
        );
        writeln!(said, "{case}: {}: {error}", error.code).unwrap();
    }
    fs::remove_file(&path).unwrap();
    let error = key.wrap(&data_key(), &orders()).await.unwrap_err();
    writeln!(said, "gone: {}: {error}", error.code).unwrap();
    assert_eq!(key.observe().await.unwrap().state, KeyState::Missing);
    fs::create_dir(&path).unwrap();
    let error = key.wrap(&data_key(), &orders()).await.unwrap_err();
    writeln!(said, "a folder: {}: {error}", error.code).unwrap();
    let folder = folder.path().display().to_string();
    insta::assert_snapshot!(said.replace(&folder, "<folder>"));
}

#[tokio::test]
async fn a_passphrase_that_is_wrong_missing_or_absent_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/prod.key");
    generate(&path, Some(&Secret::new("right".to_owned())), NOW).unwrap();
    fs::write(folder.path().join("wrong"), "left\n").unwrap();
    fs::write(folder.path().join("right"), "right\n").unwrap();
    let with = |file: &str| {
        let table = json!({"path": "keys/prod.key", "passphrase": {"file": file}});
        build("prod", "local", &table, folder.path())
    };
    let code =
        async |key: Arc<dyn KeyProvider>| key.wrap(&data_key(), &orders()).await.unwrap_err().code;
    assert_eq!(code(with("wrong")).await, "mainstay::key::wrong-passphrase");
    assert_eq!(code(with("nowhere")).await, "mainstay::secret::unavailable");
    assert_eq!(
        code(key(folder.path())).await,
        "mainstay::key::passphrase-needed"
    );
    let facts = with("wrong").observe().await.unwrap();
    assert!(
        matches!(facts.state, KeyState::Unusable(_)) && !facts.opens,
        "{facts:?}"
    );
    with("right").wrap(&data_key(), &orders()).await.unwrap();
}

#[tokio::test]
async fn python_opens_a_protected_key_file_and_what_it_has_wrapped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/prod.key");
    let facts = generate(&path, Some(&Secret::new("pass phrase".to_owned())), NOW).unwrap();
    fs::write(folder.path().join("passphrase"), "pass phrase\n").unwrap();
    let table = json!({"path": "keys/prod.key", "passphrase": {"file": "passphrase"}});
    let key = build("prod", "local", &table, folder.path());
    let secret = data_key();
    let wrapped = key.wrap(&secret, &orders()).await.unwrap();
    assert_eq!(wrapped.key_id, facts.key_id);
    let script = r"
import base64, hashlib, re, sys
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
path, wrapped, bound = sys.argv[1:]
# No TOML reader in the Pythons of older systems; the file is simple.
file = dict(re.findall(r'^([a-z-]+) = \x22?([^\x22\n]*)\x22?$', open(path).read(), re.M))
under = hashlib.pbkdf2_hmac('sha512', b'pass phrase', bytes.fromhex(file['salt']), int(file['iterations']), 32)
sealed = bytes.fromhex(file['wrapped-key'])
key = AESGCM(under).decrypt(sealed[:12], sealed[12:], file['id'].encode())
assert hashlib.sha256(b'mainstay.key.v1' + key).hexdigest()[:32] == file['id']
sealed = base64.b64decode(wrapped)
sys.stdout.buffer.write(AESGCM(key).decrypt(sealed[:12], sealed[12:], bound.encode()))
";
    let output = moto::python()
        .args(["-c", script])
        .arg(&path)
        .args([&wrapped.wrapped, &orders().associated_data])
        .output()
        .unwrap();
    assert_eq!(
        output.stdout,
        secret.expose(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn a_replaced_key_leaves_the_old_one_readable_and_finishes_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/prod.key");
    let kept = folder.path().join("keys/prod-2025.key");
    let old = generate(&path, None, NOW).unwrap();
    let running = key(folder.path());
    let secret = data_key();
    let before = running.wrap(&secret, &orders()).await.unwrap();

    // As a crash between the two names leaves it.
    fs::hard_link(&path, &kept).unwrap();
    let new = replace(&path, &kept, None, NOW).unwrap();
    assert_ne!(old.key_id, new.key_id);
    assert_eq!((mode(&path), mode(&kept)), (0o600, 0o600));

    // A program that runs on sees the new file, and says what to do about what the old one has wrapped.
    assert_eq!(
        running.wrap(&secret, &orders()).await.unwrap().key_id,
        new.key_id
    );
    let error = running.unwrap(&before, &orders()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::key::cannot-open");
    assert!(error.help.unwrap().contains("previous"));

    let table =
        json!({"path": "keys/prod.key", "previous": ["keys/gone.key", "keys/prod-2025.key"]});
    let both = build("prod", "local", &table, folder.path());
    assert_eq!(both.unwrap(&before, &orders()).await.unwrap(), secret);
    let facts = both.observe().await.unwrap();
    assert_eq!(
        (facts.state, &facts.key_id),
        (KeyState::Usable, &new.key_id)
    );
    assert!(
        facts.detail.contains(&old.key_id) && facts.detail.contains("gone.key"),
        "{}",
        facts.detail
    );

    // Another key under the kept name is not thrown away.
    let error = replace(&path, &kept, None, NOW).unwrap_err();
    assert_eq!(error.code, "mainstay::key::exists");
    assert!(fs::read_to_string(&path).unwrap().contains(&new.key_id));
    assert!(fs::read_to_string(&kept).unwrap().contains(&old.key_id));
    assert_eq!(fs::read_dir(folder.path().join("keys")).unwrap().count(), 2);
}
