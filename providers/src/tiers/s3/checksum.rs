//! Checksums as S3 tells them, in base64: CRC-64/NVME (big-endian) of objects, and MD5 of requests.

use base64ct::{Base64, Encoding};
use md5::{Digest, Md5};

/// The checksum of a whole object.
pub(super) fn encode_crc(crc: u64) -> String {
    base64(&crc.to_be_bytes())
}

/// What `Content-MD5` says of a body. Against damage on the way, not against forgery.
pub(super) fn content_md5(body: &[u8]) -> String {
    base64(&Md5::digest(body))
}

/// Base64 with padding (RFC 4648, section 4).
pub(super) fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_is_that_of_the_standard() {
        assert_eq!(content_md5(b""), "1B2M2Y8AsgTpgAmY7PhCfg==");
    }

    #[test]
    fn the_check_value_of_crc_64_nvme_is_that_of_the_catalogue() {
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        digest.update(b"123456789");
        assert_eq!(digest.finalize(), 0xae8b_1486_0a79_9888);
        assert_eq!(encode_crc(digest.finalize()), "rosUhgp5mIg=");
    }
}
