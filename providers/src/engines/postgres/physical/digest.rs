//! The checksums that a backup manifest may name, computed over a file's bytes. Source: `checksum_helper.c`.

use aws_lc_rs::digest;
use crc_fast::CrcAlgorithm;

/// Algorithm of a file's checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// The file has none.
    None,
    /// CRC-32C.
    Crc32c,
    /// SHA-2.
    Sha(&'static digest::Algorithm),
}

impl Algorithm {
    /// Reads its name in a manifest.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "NONE" => Self::None,
            "CRC32C" => Self::Crc32c,
            "SHA224" => Self::Sha(&digest::SHA224),
            "SHA256" => Self::Sha(&digest::SHA256),
            "SHA384" => Self::Sha(&digest::SHA384),
            "SHA512" => Self::Sha(&digest::SHA512),
            _ => return None,
        })
    }

    /// Length of a checksum in bytes.
    pub(super) fn length(self) -> usize {
        match self {
            Self::None => 0,
            Self::Crc32c => 4,
            Self::Sha(algorithm) => algorithm.output_len(),
        }
    }

    /// Begins with a file.
    pub(super) fn begin(self) -> Hashing {
        match self {
            Self::None => Hashing::None,
            Self::Crc32c => {
                Hashing::Crc32c(Box::new(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)))
            }
            Self::Sha(algorithm) => Hashing::Sha(Box::new(digest::Context::new(algorithm))),
        }
    }
}

/// A checksum under way.
pub(super) enum Hashing {
    None,
    Crc32c(Box<crc_fast::Digest>),
    Sha(Box<digest::Context>),
}

impl Hashing {
    /// Takes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Crc32c(digest) => digest.update(bytes),
            Self::Sha(context) => context.update(bytes),
        }
    }

    /// Whether the checksum is this one.
    pub(super) fn agrees(self, expected: &[u8]) -> bool {
        match self {
            Self::None => expected.is_empty(),
            Self::Crc32c(digest) => {
                let Ok(expected) = <[u8; 4]>::try_from(expected) else {
                    return false;
                };
                let found = u32::try_from(digest.finalize());
                // Servers write the number as it lies in their memory: it is the other way round on some processors.
                found == Ok(u32::from_le_bytes(expected))
                    || found == Ok(u32::from_be_bytes(expected))
            }
            Self::Sha(context) => context.finish().as_ref() == expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        let agrees = |word: &str, hex: &str| {
            let algorithm = Algorithm::of_word(word).unwrap();
            let expected: Vec<u8> = (0..hex.len() / 2)
                .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
                .collect();
            assert_eq!(expected.len(), algorithm.length());
            let mut hashing = algorithm.begin();
            hashing.update(b"1234");
            hashing.update(b"56789");
            hashing.agrees(&expected)
        };
        // The check value of CRC-32C is E3069283; a little-endian server writes it backwards.
        assert!(agrees("CRC32C", "839206e3"));
        assert!(agrees("CRC32C", "e3069283"));
        assert!(!agrees("CRC32C", "839206e4"));
        assert!(agrees(
            "SHA256",
            "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
        ));
        assert!(agrees(
            "SHA224",
            "9b3e61bf29f17c75572fae2e86e17809a4513d07c8a18152acf34521"
        ));
        assert!(agrees("NONE", ""));
        assert!(Algorithm::of_word("MD5").is_none());
    }
}
