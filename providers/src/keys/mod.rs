//! The kinds of keys that data keys are wrapped for: a file of one's own, a key service, an offline certificate.
//!
//! Each kind is a folder with the same files: `mod` its entry for the registry, `config` its keys in a policy, then its work.
//! Invariant: key material is wiped when it is dropped, and stands in no error, no log and no argument of a program. (What a
//! library copies while it works, such as the body of a request to a key service, is beyond our reach.)
//! Not here: which keys an object is wrapped for (the policy), the file they stand in (`model::key_ring`).

pub mod aws_kms;
pub mod certificate;
mod encoding;
mod errors;
pub mod local;
mod path;
#[cfg(test)]
mod tests;
