//! Canonical JSON: the bytes a digest is taken of.
//!
//! The subset of RFC 8785 that our data needs: UTF-8, no white space, keys sorted by their bytes, integers only.
//! Anybody can recompute it: `json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)`.
//! Types that are digested declare their fields in alphabetical order, so that serde writes them sorted without a
//! second tree in memory; [`is_sorted`] is the test's check of that.

use crate::units::Digest;
use serde::Serialize;
use std::io::{self, Write};

/// Writes `value` as JSON without white space; canonical if its fields are declared in order.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(value)
}

/// SHA-256 of the canonical JSON of `value`, without holding the text in memory.
pub fn digest<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Digest> {
    let mut sink = HashWriter(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256));
    serde_json::to_writer(io::BufWriter::with_capacity(64 << 10, &mut sink), value)?;
    Ok(Digest::sha256(sink.0.finish().as_ref()))
}

/// Whether every object in `value`'s JSON has its keys in order.
pub fn is_sorted<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<bool> {
    let written = serde_json::to_vec(value)?;
    // serde_json's map sorts its keys, so reading and writing again gives the canonical form.
    let sorted = serde_json::to_vec(&serde_json::from_slice::<Sorted>(&written)?)?;
    Ok(written == sorted)
}

/// JSON with sorted keys, whatever features other crates switch on in `serde_json`.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum Sorted {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    Array(Vec<Sorted>),
    Object(std::collections::BTreeMap<String, Sorted>),
}

/// A JSON value with all its object keys sorted, for data whose types are not ours.
pub fn sorted(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Array(items) => items.iter().map(sorted).collect(),
        serde_json::Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            pairs
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect()
        }
        other => other.clone(),
    }
}

struct HashWriter(aws_lc_rs::digest::Context);

impl Write for &mut HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
