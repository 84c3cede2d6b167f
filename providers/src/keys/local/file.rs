//! The key file: TOML text, format `mainstay.key.v1`, with the key itself or the key wrapped under a passphrase.
//!
//! Described for people in `docs/keys.md`. Invariants: the id is derived from the key, so a file whose id does not match is
//! damaged or edited; no error repeats anything of the file but the names of its keys.

use super::aes;
use crate::keys::encoding::{from_hex, hex};
use aws_lc_rs::{digest, error::Unspecified, pbkdf2};
use jiff::Timestamp;
use model::Secret;
use std::{fmt, fmt::Write as _, num::NonZeroU32};
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

const FORMAT: &str = "mainstay.key.v1";
const KDF: &str = "PBKDF2-HMAC-SHA512";
/// Rounds of PBKDF2 for new files: thrice what OWASP asks for HMAC-SHA512 (210,000).
const ITERATIONS: u32 = 600_000;
/// Fewer protect nothing; more would keep a program busy for minutes.
const ITERATIONS_READ: std::ops::RangeInclusive<u32> = 10_000..=20_000_000;

/// 32 bytes that are wiped when dropped.
pub(super) type KeyBytes = Zeroizing<[u8; 32]>;

/// A key file that was read; its key may still be wrapped.
pub(super) struct KeyFile {
    /// First 32 hex digits of SHA-256 over format and key.
    pub(super) id: String,
    pub(super) material: Material,
}

/// How the key stands in the file.
pub(super) enum Material {
    Plain(KeyBytes),
    Wrapped {
        iterations: NonZeroU32,
        salt: Vec<u8>,
        wrapped: Vec<u8>,
    },
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a file gives no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyFileError {
    /// Its text is not that of a key file.
    #[error("{0}")]
    Form(String),
    /// Its key needs a passphrase, and none is declared.
    #[error("its key is protected with a passphrase, and none is declared")]
    PassphraseNeeded,
    /// The passphrase does not open it.
    #[error("the passphrase is another one")]
    WrongPassphrase,
    /// The key is not the one that the id names.
    #[error("its `id` does not belong to its key")]
    OtherId,
}

/// The id of a key.
pub(super) fn id_of(key: &KeyBytes) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(FORMAT.as_bytes());
    context.update(&key[..]);
    hex(&context.finish().as_ref()[..16]).to_string()
}

impl KeyFile {
    /// Reads the text of a file.
    pub(super) fn parse(text: &str) -> Result<Self, KeyFileError> {
        // The parser's own words may repeat the text, and with it the key.
        let table = DeTable::parse(text)
            .map_err(|_| form("it is not TOML"))?
            .into_inner();
        for name in table.keys() {
            let name: &str = name.get_ref();
            if ![
                "format",
                "id",
                "key",
                "kdf",
                "iterations",
                "salt",
                "wrapped-key",
            ]
            .contains(&name)
            {
                return Err(form(&format!("`{name}` is not a key of this format")));
            }
        }
        let text = |name: &str| match table.get(name).map(toml::Spanned::get_ref) {
            Some(DeValue::String(text)) => Ok(&**text),
            Some(_) => Err(form(&format!("`{name}` is not a text"))),
            None => Err(form(&format!("`{name}` is missing"))),
        };
        let bytes = |name: &str, length: usize| {
            from_hex(text(name)?)
                .filter(|bytes| bytes.len() == length)
                .ok_or_else(|| form(&format!("`{name}` is not {} hex digits", length * 2)))
        };
        if text("format")? != FORMAT {
            return Err(form("it has a format that this version does not read"));
        }
        let id = hex(&bytes("id", 16)?).to_string();
        let material = if table.contains_key("key") {
            let key = bytes("key", 32)?;
            let mut fixed = Zeroizing::new([0; 32]);
            fixed.copy_from_slice(&key);
            Material::Plain(fixed)
        } else {
            if text("kdf")? != KDF {
                return Err(form("its `kdf` is not one that this version knows"));
            }
            let iterations = match table.get("iterations").map(toml::Spanned::get_ref) {
                Some(DeValue::Integer(number)) => {
                    u32::from_str_radix(number.as_str(), number.radix()).ok()
                }
                _ => None,
            };
            Material::Wrapped {
                iterations: iterations
                    .filter(|rounds| ITERATIONS_READ.contains(rounds))
                    .and_then(NonZeroU32::new)
                    .ok_or_else(|| form("its `iterations` are missing or out of range"))?,
                salt: bytes("salt", 16)?.to_vec(),
                wrapped: bytes("wrapped-key", 12 + 32 + 16)?.to_vec(),
            }
        };
        Ok(Self { id, material })
    }

    /// The key. Takes the better part of a second where a passphrase protects it: not for a thread that others wait for.
    pub(super) fn open(&self, passphrase: Option<&Secret>) -> Result<KeyBytes, KeyFileError> {
        let key = match &self.material {
            Material::Plain(key) => key.clone(),
            Material::Wrapped {
                iterations,
                salt,
                wrapped,
            } => {
                let passphrase = passphrase.ok_or(KeyFileError::PassphraseNeeded)?;
                let under = derive(passphrase, salt, *iterations);
                let plain = aes::open(&under, &self.id, wrapped)
                    .map_err(|Unspecified| KeyFileError::WrongPassphrase)?;
                let mut key = Zeroizing::new([0; 32]);
                key.copy_from_slice(plain.get(..32).ok_or(KeyFileError::OtherId)?);
                key
            }
        };
        if id_of(&key) == self.id {
            Ok(key)
        } else {
            Err(KeyFileError::OtherId)
        }
    }
}

fn form(why: &str) -> KeyFileError {
    KeyFileError::Form(why.to_owned())
}

fn derive(passphrase: &Secret, salt: &[u8], iterations: NonZeroU32) -> KeyBytes {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA512,
        iterations,
        salt,
        passphrase.expose().as_bytes(),
        &mut key[..],
    );
    key
}

/// The text of a new file.
pub(super) fn text(
    key: &KeyBytes,
    passphrase: Option<&Secret>,
    now: Timestamp,
) -> Result<Zeroizing<String>, Unspecified> {
    let id = id_of(key);
    // Reserved at once: a text that grows leaves unwiped copies behind.
    let mut text = Zeroizing::new(String::with_capacity(2048));
    let second = now.strftime("%Y-%m-%dT%H:%M:%SZ");
    // Writing to a text cannot fail.
    let _ = write!(
        text,
        "# A key of Mainstay, made {second}. It opens backups that were encrypted for it.\n\
         # Keep a copy elsewhere, away from this machine and from the backups: when every copy of this file is lost,\n\
         # what only this key opens is lost too, and nobody can bring it back.\n\
         # Show it to nobody: who has it{} can read those backups. Never edit it.\n\
         format = \"{FORMAT}\"\n\
         id = \"{id}\"\n",
        if passphrase.is_some() {
            " and its passphrase"
        } else {
            ""
        },
    );
    if let Some(passphrase) = passphrase {
        let mut salt = [0; 16];
        aws_lc_rs::rand::fill(&mut salt)?;
        let iterations = NonZeroU32::new(ITERATIONS).ok_or(Unspecified)?;
        let under = derive(passphrase, &salt, iterations);
        let wrapped = aes::seal(&under, &id, &key[..])?;
        let _ = write!(
            text,
            "kdf = \"{KDF}\"\niterations = {ITERATIONS}\nsalt = \"{}\"\nwrapped-key = \"{}\"\n",
            &*hex(&salt),
            &*hex(&wrapped)
        );
    } else {
        let _ = writeln!(text, "key = \"{}\"", &*hex(&key[..]));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_795_219_200, 0);

    fn key() -> KeyBytes {
        Zeroizing::new([7; 32])
    }

    #[test]
    fn a_key_file_reads_like_this() {
        insta::assert_snapshot!(*text(&key(), None, NOW).unwrap());
    }

    #[test]
    fn a_key_comes_back_from_its_file_with_and_without_passphrase() {
        let passphrase = Secret::new("correct horse".to_owned());
        for passphrase in [None, Some(&passphrase)] {
            let text = text(&key(), passphrase, NOW).unwrap();
            let file = KeyFile::parse(&text).unwrap();
            assert_eq!(file.id, id_of(&key()));
            assert_eq!(*file.open(passphrase).unwrap(), [7; 32]);
            assert!(!format!("{:?}", file.material).contains('7'));
        }
    }

    #[test]
    fn a_passphrase_that_is_wrong_or_missing_is_told_apart_from_a_damaged_file() {
        let right = Secret::new("right".to_owned());
        let text = text(&key(), Some(&right), NOW).unwrap();
        let file = KeyFile::parse(&text).unwrap();
        let wrong = Secret::new("wrong".to_owned());
        assert_eq!(file.open(Some(&wrong)), Err(KeyFileError::WrongPassphrase));
        assert_eq!(file.open(None), Err(KeyFileError::PassphraseNeeded));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_its_key() {
        let good = text(&key(), None, NOW).unwrap().to_string();
        let hex_key = "07".repeat(32);
        let table: Vec<(&str, String)> = vec![
            ("other digit in the key", good.replacen("0707", "0708", 1)),
            ("key too short", good.replacen("0707\"", "07\"", 1)),
            ("no digits", good.replacen("0707", "zz07", 1)),
            (
                "a line without its end",
                good.trim_end().trim_end_matches('"').to_owned(),
            ),
            ("cut", good[..good.len() - 30].to_owned()),
            (
                "key as a number",
                good.replace(&format!("\"{hex_key}\""), "7"),
            ),
            ("later format", good.replace("key.v1", "key.v2")),
            ("no id", good.replace("id = ", "# id = ")),
            ("another word", format!("{good}colour = \"{hex_key}\"\n")),
            ("twice", format!("{good}key = \"{hex_key}\"\n")),
            ("empty", String::new()),
            ("a certificate", "-----BEGIN CERTIFICATE-----".to_owned()),
        ];
        let said: Vec<String> = table
            .iter()
            .map(|(case, text)| {
                let error = KeyFile::parse(text)
                    .and_then(|file| file.open(None))
                    .unwrap_err();
                assert!(!format!("{error}{error:?}").contains("0707"), "{case}");
                format!("{case}: {error}")
            })
            .collect();
        insta::assert_snapshot!(said.join("\n"));
    }
}
