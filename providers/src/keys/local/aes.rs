//! AES-256-GCM of short secrets: `nonce (12) || ciphertext || tag (16)`, with random nonces.
//!
//! A key seals far fewer data keys than the 2^32 that random nonces of 96 bits allow (NIST SP 800-38D, section 8.3).

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
};
use zeroize::Zeroizing;

/// Seals `plain`, bound to `bound`.
pub(super) fn seal(key: &[u8; 32], bound: &str, plain: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let mut sealed = Zeroizing::new(vec![0; NONCE_LEN + plain.len()]);
    let body = &mut sealed[NONCE_LEN..];
    body.copy_from_slice(plain);
    let (nonce, tag) = RandomizedNonceKey::new(&AES_256_GCM, key)?
        .seal_in_place_separate_tag(Aad::from(bound), body)?;
    sealed[..NONCE_LEN].copy_from_slice(nonce.as_ref());
    Ok([&sealed[..], tag.as_ref()].concat())
}

/// Opens what [`seal`] gave; fails for another key, another binding, or a changed bit.
pub(super) fn open(
    key: &[u8; 32],
    bound: &str,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(Unspecified)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce)?;
    let mut body = Zeroizing::new(body.to_vec());
    let length = RandomizedNonceKey::new(&AES_256_GCM, key)?
        .open_in_place(nonce, Aad::from(bound), &mut body)?
        .len();
    body.truncate(length);
    Ok(body)
}
