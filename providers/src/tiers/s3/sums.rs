//! What this process knows of objects that it has just stored: the MD5 that the store worked out for each, found equal to ours.
//!
//! For stores that keep no checksum that could be compared: their `ETag` is the MD5 of what they hold (of an upload in parts:
//! the MD5 of the parts' MD5s, with their number), if they do not encrypt with a key of their own. An object whose `ETag` is
//! still the one that was found equal holds the same bytes, as the store says. Nothing of it outlives the process.

use md5::{Digest, Md5};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

/// MD5 of a body.
pub(super) type Sum = [u8; 16];

/// Objects and the `ETag`s that were found equal.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums(Arc<Mutex<BTreeMap<String, String>>>);

impl Sums {
    /// Remembers an object that was stored in one piece, if the store's sum is ours.
    pub(super) fn whole(&self, key: &str, body: &[u8], tag: Option<&str>) {
        self.remember(key, &hex(&sum(body)), tag);
    }

    /// Remembers an object that was stored in parts, if the store's sum is that of ours, in their order.
    pub(super) fn parts(&self, key: &str, sums: &[Sum], tag: Option<&str>) {
        let all = hex(&sum(&sums.concat()));
        self.remember(key, &format!("{all}-{}", sums.len()), tag);
    }

    fn remember(&self, key: &str, wanted: &str, tag: Option<&str>) {
        if tag.map(bare) == Some(wanted) {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(key.to_owned(), wanted.to_owned());
        }
    }

    /// Whether an object still has the sum that was found equal; `None`: it was never compared.
    pub(super) fn agrees(&self, key: &str, tag: Option<&str>) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(key)
            .map(|wanted| tag.map(bare) == Some(wanted.as_str()))
    }
}

/// MD5 of a body.
pub(super) fn sum(body: &[u8]) -> Sum {
    Md5::digest(body).into()
}

fn bare(tag: &str) -> &str {
    tag.trim_matches('"')
}

fn hex(sum: &Sum) -> String {
    sum.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_found_equal_is_vouched_for() {
        let sums = Sums::default();
        sums.whole("a", b"", Some("\"d41d8cd98f00b204e9800998ecf8427e\""));
        assert_eq!(
            sums.agrees("a", Some("d41d8cd98f00b204e9800998ecf8427e")),
            Some(true)
        );
        assert_eq!(sums.agrees("a", Some("other")), Some(false));
        assert_eq!(sums.agrees("a", None), Some(false));
        sums.whole("b", b"x", Some("d41d8cd98f00b204e9800998ecf8427e"));
        sums.whole("c", b"x", None);
        assert_eq!(
            (sums.agrees("b", Some("x")), sums.agrees("c", None)),
            (None, None)
        );
    }

    #[test]
    fn the_sum_of_parts_is_that_of_their_sums() {
        let sums = Sums::default();
        // As `aws s3api` shows it for two parts `hello ` and `world`.
        let parts = [sum(b"hello "), sum(b"world")];
        let wanted = format!("{}-2", hex(&sum(&parts.concat())));
        sums.parts("k", &parts, Some(&wanted));
        assert_eq!(sums.agrees("k", Some(&wanted)), Some(true));
        sums.parts("turned", &[parts[1], parts[0]], Some(&wanted));
        assert_eq!(sums.agrees("turned", Some(&wanted)), None);
    }
}
