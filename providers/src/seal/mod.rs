//! Encryption of stored objects: one stream in Tink's published wire format `AES256_GCM_HKDF_1MB`, on aws-lc-rs.
//!
//! Invariant: a plain byte leaves here only after the segment that it stands in has been authenticated.
//! Not here: who may open the data key (`keys/`), where the bytes come from and go to (`stream/`).

mod data_key;

pub use data_key::{DataKey, Sealing};
