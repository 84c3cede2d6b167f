//! Bytes as text: hex in key files, wiped because it may be key material; base64 in key rings, where everything is wrapped.

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> Zeroizing<String> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // Reserved at once: a text that grows leaves unwiped copies behind.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
    text
}

/// The bytes of a hex text; `None` when it is none.
pub(super) fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    for pair in text.as_bytes().chunks_exact(2) {
        bytes.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Some(bytes)
}

/// Base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// The bytes of a base64 text; `None` when it is none, or not in its only right form.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_and_base64_come_back_and_nothing_else_passes() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(*from_hex(&hex(&bytes)).unwrap(), bytes);
        assert_eq!(from_base64(&base64(&bytes)).unwrap(), bytes);
        for bad in ["0", "0g", "+1", "é"] {
            assert!(from_hex(bad).is_none(), "{bad}");
        }
        for bad in ["QQ", "QR==", "Q Q==", "QQ==\n"] {
            assert!(from_base64(bad).is_none(), "{bad}");
        }
    }
}
