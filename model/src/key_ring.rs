//! `keys.json`: the data keys of a recovery point, each wrapped for every recipient; beside the data on every tier.
//!
//! Format `mainstay.keys.v1`, JSON, described in `docs/formats/keys.md`. The only file of a point that may be replaced, and only
//! as a whole: so keys are rotated without touching the data. No manifest can hold its digest, so it carries its own, and only
//! the very bytes that it is written as are read: a flipped bit anywhere is noticed, not only in what happens to be used.
//! Invariant: every entry of an object opens the same data key.

use crate::{
    canonical, manifest::Encryption, manifest::Manifest, names::KeyName,
    recovery_point_id::RecoveryPointId, units::Digest,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Value of [`KeyRing::format`].
pub const FORMAT: &str = "mainstay.keys.v1";
/// Name of the file in a recovery point's folder.
pub const FILE_NAME: &str = "keys.json";

/// The wrapped data keys of one recovery point. Fields in alphabetical order, here and below: it is digested (`canonical`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRing {
    /// [`FORMAT`].
    pub format: String,
    /// By file name, every encrypted object of the point.
    pub objects: BTreeMap<String, SealedObject>,
    /// The point.
    pub recovery_point: RecoveryPointId,
}

/// What is stored: the ring, and SHA-256 over the canonical JSON of it.
#[derive(Serialize, Deserialize)]
struct Stored {
    digest: Digest,
    #[serde(flatten)]
    ring: KeyRing,
}

/// How one object can be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedObject {
    /// Bound to the ciphertext; see [`associated_data`].
    pub associated_data: String,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// The data key for each recipient. Never empty.
    pub recipients: Vec<WrappedKey>,
}

/// A data key that only the holder of one key can open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// Which key it really is, whatever its name: the id in the key file, the ARN, the fingerprint of the certificate.
    pub key_id: String,
    /// `local`, `aws-kms` or `certificate`.
    pub kind: String,
    /// Name of the key in the policy when it was wrapped.
    pub name: KeyName,
    /// The wrapped key, in base64; its form is its kind's (`docs/formats/keys.md`).
    pub wrapped: String,
}

/// What is bound to the ciphertext of an object, so that it cannot pass for another point's, or another object of its point.
pub fn associated_data(point: &RecoveryPointId, file: &str) -> String {
    format!(
        "mainstay.object.v1|{point}|{}|{}|{file}",
        point.database(),
        point.series()
    )
}

impl KeyRing {
    /// Reads a key ring and checks what serde cannot: that these are the bytes it was written as, format, that no object lacks
    /// recipients or names one twice, that the associated data is right.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyRingError> {
        let wrong = |why: String| Err(KeyRingError(why));
        let stored: Stored =
            serde_json::from_slice(bytes).map_err(|error| KeyRingError(error.to_string()))?;
        let ring = stored.ring;
        if ring.format != FORMAT {
            return wrong(format!(
                "its format is `{}`, this program reads `{FORMAT}`",
                ring.format
            ));
        }
        match ring.to_bytes() {
            Ok(written) if written == bytes => {}
            Ok(_) => {
                return wrong("its bytes are not those that its digest was taken of".to_owned());
            }
            Err(error) => return wrong(error.to_string()),
        }
        if ring.objects.is_empty() {
            return wrong("it holds no key".to_owned());
        }
        for (file, object) in &ring.objects {
            if object.recipients.is_empty() {
                return wrong(format!("`{file}` has no recipient"));
            }
            let mut seen = std::collections::BTreeSet::new();
            if let Some(twice) = object
                .recipients
                .iter()
                .find(|key| !seen.insert((&key.kind, &key.key_id)))
            {
                return wrong(format!("`{file}` names the key `{}` twice", twice.key_id));
            }
            if object.associated_data != associated_data(&ring.recovery_point, file) {
                return wrong(format!(
                    "the associated data of `{file}` is that of another object"
                ));
            }
        }
        Ok(ring)
    }

    /// Whether it is the ring of this very recovery point: the same id, and a key for each of its encrypted objects, no other.
    pub fn belongs_to(&self, manifest: &Manifest) -> Result<(), KeyRingError> {
        if self.recovery_point != manifest.id {
            return Err(KeyRingError(format!(
                "it is that of `{}`",
                self.recovery_point
            )));
        }
        for object in &manifest.objects {
            let sealed = self.objects.get(&object.file);
            if sealed.map(|sealed| sealed.encryption) != object.encryption {
                return Err(KeyRingError(format!(
                    "it does not agree with the manifest about `{}`",
                    object.file
                )));
            }
        }
        let known = |file: &String| manifest.objects.iter().any(|object| object.file == *file);
        match self.objects.keys().find(|file| !known(file)) {
            Some(file) => Err(KeyRingError(format!("the manifest knows no `{file}`"))),
            None => Ok(()),
        }
    }

    /// The bytes stored on a tier, with their digest: indented JSON, for people in an emergency.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let stored = Stored {
            digest: canonical::digest(self)?,
            ring: self.clone(),
        };
        let mut bytes = serde_json::to_vec_pretty(&stored)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// A file named `keys.json` that is no key ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid key ring: {0}")]
pub struct KeyRingError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> KeyRing {
        let point = RecoveryPointId::parse("orders/daily/20261121T020000Z").unwrap();
        let file = "data.dump.zst.enc".to_owned();
        let key = |name: &str| WrappedKey {
            key_id: format!("id-of-{name}"),
            kind: "local".to_owned(),
            name: KeyName::new(name).unwrap(),
            wrapped: "AAECAwQFBgcICQoLDA0ODw==".to_owned(),
        };
        let object = SealedObject {
            associated_data: associated_data(&point, &file),
            encryption: Encryption::Aes256GcmHkdf1Mb,
            recipients: vec![key("prod"), key("offline")],
        };
        KeyRing {
            format: FORMAT.to_owned(),
            objects: BTreeMap::from([(file, object)]),
            recovery_point: point,
        }
    }

    #[test]
    fn what_is_stored_looks_so() {
        let text = String::from_utf8(ring().to_bytes().unwrap()).unwrap();
        assert_eq!(KeyRing::parse(text.as_bytes()).unwrap(), ring());
        assert!(canonical::is_sorted(&ring()).unwrap());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let good = ring().to_bytes().unwrap();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(KeyRing::parse(&bad).is_err(), "byte {at}, bit {bit}");
            }
        }
        for length in 0..good.len() {
            assert!(KeyRing::parse(&good[..length]).is_err(), "cut at {length}");
        }
        let longer = [good.as_slice(), b"\n"].concat();
        assert!(KeyRing::parse(&longer).is_err());
    }

    #[test]
    fn a_ring_that_could_not_open_its_objects_is_none() {
        let spoilt: [fn(&mut KeyRing); 5] = [
            |ring| ring.format = "mainstay.keys.v2".to_owned(),
            |ring| ring.objects.clear(),
            |ring| ring.objects.values_mut().for_each(|o| o.recipients.clear()),
            |ring| {
                ring.objects
                    .values_mut()
                    .for_each(|o| o.associated_data.push('x'));
            },
            |ring| {
                for object in ring.objects.values_mut() {
                    let again = object.recipients[0].clone();
                    object.recipients.push(again);
                }
            },
        ];
        for (n, spoil) in spoilt.into_iter().enumerate() {
            let mut ring = ring();
            spoil(&mut ring);
            assert!(KeyRing::parse(&ring.to_bytes().unwrap()).is_err(), "{n}");
        }
    }
}
