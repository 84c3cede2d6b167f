//! The message that a data key is wrapped in: CMS `AuthEnvelopedData` (RFC 5083), as `openssl cms -encrypt -aes-256-gcm` of
//! OpenSSL 3 writes it with OAEP.
//!
//! One recipient by issuer and serial number; its content key by RSAES-OAEP with SHA-256 (RFC 4056, 8017); the content under
//! AES-256-GCM (RFC 5084). Authenticated, unlike plain `EnvelopedData`: a changed bit is refused, not opened to other bytes.
//! Reading takes exactly this form and nothing else: no other algorithm, no second recipient, no attributes, no trailing bytes.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
    rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey},
};
use cms::{
    cert::IssuerAndSerialNumber,
    content_info::{CmsVersion, ContentInfo},
    enveloped_data::{
        EncryptedContentInfo, KeyTransRecipientInfo, RecipientIdentifier, RecipientInfo,
        RecipientInfos,
    },
};
use der::{
    Any, Decode as _, Encode as _, Sequence,
    asn1::{ObjectIdentifier, OctetString},
    oid::db::{
        rfc5911::{ID_AES_256_GCM, ID_CT_AUTH_ENVELOPED_DATA, ID_DATA},
        rfc5912::ID_RSAES_OAEP,
    },
};
use x509_cert::spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

const TAG_LENGTH: u8 = 16;
/// `RSAES-OAEP-params` with SHA-256 twice, as OpenSSL writes them: `[0] { sha256 } [1] { mgf1 { sha256 } }`.
const OAEP_PARAMETERS: [u8; 45] = [
    0x30, 0x2b, 0xa0, 0x0d, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
    0x01, 0xa1, 0x1a, 0x30, 0x18, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08,
    0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01,
];

/// RFC 5083, section 2.1, without the optional parts.
#[derive(Sequence)]
struct AuthEnvelopedData {
    version: CmsVersion,
    recipients: RecipientInfos,
    content: EncryptedContentInfo,
    mac: OctetString,
}

/// RFC 5084, section 3.2.
#[derive(Sequence)]
struct GcmParameters {
    nonce: OctetString,
    tag_length: u8,
}

/// Why a message was not made or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CmsError {
    #[error("its form is not one that Mainstay writes, or it is damaged")]
    Form,
    #[error("it is for another certificate")]
    OtherRecipient,
    #[error("it is damaged, or for another private key")]
    Damaged,
    #[error("the cryptographic library refused")]
    Failed,
}

impl From<der::Error> for CmsError {
    fn from(_: der::Error) -> Self {
        Self::Form
    }
}

fn failed(_: Unspecified) -> CmsError {
    CmsError::Failed
}

/// Encrypts `plain` for one recipient.
pub(super) fn seal(
    id: &IssuerAndSerialNumber,
    public: &OaepPublicEncryptingKey,
    plain: &[u8],
) -> Result<Vec<u8>, CmsError> {
    let mut key = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut key[..]).map_err(failed)?;
    let mut encrypted_key = vec![0; public.ciphertext_size()];
    let encrypted_key = public
        .encrypt(&OAEP_SHA256_MGF1SHA256, &key[..], &mut encrypted_key, None)
        .map_err(failed)?;
    let mut content = plain.to_vec();
    let (nonce, tag) = RandomizedNonceKey::new(&AES_256_GCM, &key[..])
        .and_then(|key| key.seal_in_place_separate_tag(Aad::empty(), &mut content))
        .map_err(failed)?;

    let recipient = KeyTransRecipientInfo {
        version: CmsVersion::V0,
        rid: RecipientIdentifier::IssuerAndSerialNumber(id.clone()),
        key_enc_alg: algorithm(ID_RSAES_OAEP, &OAEP_PARAMETERS)?,
        enc_key: OctetString::new(&*encrypted_key)?,
    };
    let parameters = GcmParameters {
        nonce: OctetString::new(nonce.as_ref().as_slice())?,
        tag_length: TAG_LENGTH,
    };
    let message = AuthEnvelopedData {
        version: CmsVersion::V0,
        recipients: RecipientInfos::try_from(vec![RecipientInfo::Ktri(recipient)])?,
        content: EncryptedContentInfo {
            content_type: ID_DATA,
            content_enc_alg: algorithm(ID_AES_256_GCM, &parameters.to_der()?)?,
            encrypted_content: Some(OctetString::new(content)?),
        },
        mac: OctetString::new(tag.as_ref())?,
    };
    let message = ContentInfo {
        content_type: ID_CT_AUTH_ENVELOPED_DATA,
        content: Any::encode_from(&message)?,
    };
    Ok(message.to_der()?)
}

fn algorithm(
    oid: ObjectIdentifier,
    parameters: &[u8],
) -> Result<AlgorithmIdentifierOwned, CmsError> {
    Ok(AlgorithmIdentifierOwned {
        oid,
        parameters: Some(Any::from_der(parameters)?),
    })
}

/// Decrypts a message for the recipient.
pub(super) fn open(
    id: &IssuerAndSerialNumber,
    private: &OaepPrivateDecryptingKey,
    message: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CmsError> {
    let outer = ContentInfo::from_der(message)?;
    // DER has one form for each message: what does not come out the same was changed, or written by something else.
    if outer.content_type != ID_CT_AUTH_ENVELOPED_DATA || outer.to_der()? != message {
        return Err(CmsError::Form);
    }
    let message: AuthEnvelopedData = outer.content.decode_as()?;
    let [RecipientInfo::Ktri(recipient)] = message.recipients.0.as_slice() else {
        return Err(CmsError::Form);
    };
    if recipient.rid != RecipientIdentifier::IssuerAndSerialNumber(id.clone()) {
        return Err(CmsError::OtherRecipient);
    }
    let versions = message.version == CmsVersion::V0 && recipient.version == CmsVersion::V0;
    let oaep = algorithm(ID_RSAES_OAEP, &OAEP_PARAMETERS)?;
    let content = &message.content;
    if !versions
        || recipient.key_enc_alg != oaep
        || content.content_type != ID_DATA
        || content.content_enc_alg.oid != ID_AES_256_GCM
    {
        return Err(CmsError::Form);
    }
    let parameters = content
        .content_enc_alg
        .parameters
        .as_ref()
        .ok_or(CmsError::Form)?;
    let parameters: GcmParameters = parameters.decode_as()?;
    let sealed = content.encrypted_content.as_ref().ok_or(CmsError::Form)?;
    if parameters.tag_length != TAG_LENGTH
        || message.mac.as_bytes().len() != usize::from(TAG_LENGTH)
        || parameters.nonce.as_bytes().len() != NONCE_LEN
    {
        return Err(CmsError::Form);
    }

    let mut key = Zeroizing::new(vec![0; private.min_output_size()]);
    let key = private
        .decrypt(
            &OAEP_SHA256_MGF1SHA256,
            recipient.enc_key.as_bytes(),
            &mut key,
            None,
        )
        .map_err(|_| CmsError::Damaged)?;
    let nonce = Nonce::try_assume_unique_for_key(parameters.nonce.as_bytes())
        .map_err(|_| CmsError::Form)?;
    let mut plain = Zeroizing::new([sealed.as_bytes(), message.mac.as_bytes()].concat());
    let length = RandomizedNonceKey::new(&AES_256_GCM, key)
        .and_then(|key| Ok(key.open_in_place(nonce, Aad::empty(), &mut plain)?.len()))
        .map_err(|_| CmsError::Damaged)?;
    plain.truncate(length);
    Ok(plain)
}
