//! What a file is, by its first bytes: a compression that is undone, something that a person must undo first, or nothing known.
//!
//! Pure. The formats inside belong to the engines (`EngineEntry::recognise`).

use super::Recognition;
use crate::registry;
use model::manifest::Compression;

/// The bytes that say what else it is, and what to do.
const FOREIGN: &[(&[u8], &str)] = &[
    (
        b"\xfd7zXZ\0",
        "compressed with xz, which is not read here: unpack it with `xz -d` first",
    ),
    (
        b"BZh",
        "compressed with bzip2, which is not read here: unpack it with `bunzip2` first",
    ),
    (
        b"\x04\x22\x4d\x18",
        "compressed with lz4, which is not read here: unpack it with `lz4 -d` first",
    ),
    (b"PK\x03\x04", "a zip archive: unpack it with `unzip` first"),
    (
        b"7z\xbc\xaf\x27\x1c",
        "a 7z archive: unpack it with `7z x` first",
    ),
    (
        b"\x1f\x9d",
        "compressed with compress, which is not read here: unpack it with `uncompress` first",
    ),
    (
        b"age-encryption.org/",
        "encrypted with age: decrypt it first (`age -d`), the series encrypts it anew",
    ),
    (
        b"-----BEGIN AGE ENCRYPTED FILE-----",
        "encrypted with age: decrypt it first (`age -d`), the series encrypts it anew",
    ),
    (
        b"-----BEGIN PGP MESSAGE-----",
        "encrypted with GnuPG: decrypt it first (`gpg -d`), the series encrypts it anew",
    ),
    (
        b"Salted__",
        "encrypted with openssl: decrypt it first (`openssl enc -d`), the series encrypts it anew",
    ),
    (
        b"\xff\xfe",
        "UTF-16 text, as PowerShell's `>` writes it: convert it to UTF-8 first",
    ),
    (
        b"-- MySQL dump",
        "a dump of MySQL, for which there is no engine",
    ),
    (
        b"-- MariaDB dump",
        "a dump of MariaDB, for which there is no engine",
    ),
    (
        b"/*!999999\\- enable the sandbox mode */",
        "a dump of MariaDB, for which there is no engine",
    ),
];

/// First bytes of packets of `GnuPG` that hold encrypted data (RFC 9580, section 4.2: public-key or symmetric session keys, old and new form).
const PGP: &[u8] = &[0x84, 0x85, 0x8c, 0xc1, 0xc3];

/// The compression around a file; an error says what a person must undo first.
pub(super) fn compression(head: &[u8]) -> Result<Compression, String> {
    if head.starts_with(b"\x1f\x8b") {
        return Ok(Compression::Gzip);
    }
    // A skippable frame may come first, as pzstd writes it.
    if head.starts_with(b"\x28\xb5\x2f\xfd")
        || (head.len() > 4 && head[0] & 0xf0 == 0x50 && head[1..4] == *b"\x2a\x4d\x18")
    {
        return Ok(Compression::Zstd);
    }
    match foreign(head) {
        Some(words) => Err(words),
        None => Ok(Compression::None),
    }
}

fn foreign(head: &[u8]) -> Option<String> {
    let known = FOREIGN.iter().find(|(magic, _)| head.starts_with(magic));
    known.map(|(_, words)| (*words).to_owned())
}

/// What stands inside: the engine that knows it, and its words; `None`: nobody knows it.
pub(super) fn inside(head: &[u8]) -> Option<(&'static str, Recognition)> {
    let mut engines = registry::engines().into_iter();
    let known = engines.find_map(|entry| Some((entry.kind, (entry.recognise)(head)?)));
    known.or_else(|| {
        let words = foreign(head).or_else(|| match compression(head) {
            Ok(Compression::None) | Err(_) => None,
            Ok(_) => Some("compressed twice: unpack it once first".to_owned()),
        });
        let pgp = || {
            let first = head.first().is_some_and(|first| PGP.contains(first));
            let binary = head.iter().take(512).any(|byte| *byte >= 0x80 || *byte == 0);
            (first && binary).then(|| {
                "probably encrypted with GnuPG: decrypt it first (`gpg -d`), the series encrypts it anew".to_owned()
            })
        };
        words.or_else(pgp).map(|words| ("", Recognition::Not(words)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_must_undo_first_is_named() {
        for (head, word) in [
            (&b"\xfd7zXZ\0\0\x04"[..], "xz -d"),
            (b"BZh91AY", "bunzip2"),
            (b"age-encryption.org/v1\n", "age -d"),
            (b"Salted__abc", "openssl"),
            (b"-----BEGIN PGP MESSAGE-----\n", "gpg -d"),
            (b"PK\x03\x04\x14", "unzip"),
            (b"\xff\xfe-\0-\0", "PowerShell"),
        ] {
            let why = compression(head).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
        assert_eq!(compression(b"\x1f\x8b\x08"), Ok(Compression::Gzip));
        assert_eq!(compression(b"\x28\xb5\x2f\xfd\x04"), Ok(Compression::Zstd));
        assert_eq!(compression(b"PGDMP"), Ok(Compression::None));
        assert_eq!(compression(b""), Ok(Compression::None));
    }

    #[test]
    fn a_format_is_known_by_its_engine_and_others_are_named() {
        let told = |head: &[u8]| match inside(head) {
            Some((engine, Recognition::Point(known))) => format!("{engine}: {}", known.words),
            Some((engine, Recognition::Not(why))) => format!("{engine} not: {why}"),
            None => "unknown".to_owned(),
        };
        assert_eq!(told(b"SQLite format 3\0more"), "sqlite: SQLite file");
        assert_eq!(told(b"hello"), "unknown");
        assert!(told(b"\x1f\x8b\x08\0").contains("compressed twice"));
        assert!(told(b"\x85\x01\x0c\x03\xff\xff").contains("GnuPG"));
        assert!(told(b"-- MySQL dump 10.13\n").contains("no engine"));
        assert!(told(b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n").contains("sqlite not"));
    }
}
