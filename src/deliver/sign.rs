//! Signatures: how a receiver knows that a POST is Recadero's (contract, section 3).
//!
//! Two schemes from one secret. `X-Webhook-Signature` signs the body with the secret's text as the key, which
//! any language does in two lines. Standard Webhooks signs id, time and body with the decoded secret, so that
//! a receiver can refuse what is old or was sent before, with a library that exists already.
//!
//! A [`Secret`] holds both keys as begun HMACs: an event costs hashing its bytes, never the key again. Make one
//! per endpoint and keep it, rather than one per event.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, general_purpose};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

mod verify;

pub use verify::{Forged, Received};

/// How much randomness a new secret is made of, in bytes; Standard Webhooks asks for 24 to 64.
pub const SECRET_BYTES: usize = 24;

/// The longest secret that [`Secret::parse`] takes, in bytes.
pub const SECRET_TEXT_MAX: usize = 256;

/// The beginning of a Standard Webhooks secret.
const PREFIX: &str = "whsec_";

/// Secrets are pasted by people, and some tools drop the `=` at the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

type HmacSha256 = Hmac<Sha256>;

/// What an endpoint and its receiver share. `Debug` does not show it; only [`Secret::expose`] does.
#[derive(Clone)]
pub struct Secret {
    text: Arc<str>,
    /// Keyed with the text.
    body_key: HmacSha256,
    /// Keyed with the decoded part after `whsec_`; none for a text of another form.
    standard_key: Option<HmacSha256>,
}

/// Why a text is not a secret; the text itself is never repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SecretProblem {
    /// Nothing, or too much.
    #[error("a secret has 1 to {SECRET_TEXT_MAX} characters")]
    Length,
    /// `whsec_` and then something else than base64.
    #[error("what follows `whsec_` in a secret must be base64")]
    NotBase64,
}

/// An HMAC-SHA256 in base64.
#[derive(Clone, Copy)]
pub struct Signature([u8; SIGNATURE_BYTES]);

/// 32 bytes in base64.
pub const SIGNATURE_BYTES: usize = 44;

impl Secret {
    /// A new secret: `whsec_` and the base64 of random bytes, which the caller draws.
    pub fn from_random(random: [u8; SECRET_BYTES]) -> Self {
        Self::keyed(format!("{PREFIX}{}", STANDARD.encode(random)).into(), Some(&random))
    }

    /// Takes a secret as text: `whsec_…`, or any other text, which then signs by `X-Webhook-Signature` alone.
    ///
    /// # Errors
    ///
    /// When it is empty or too long, or begins with `whsec_` and does not go on in base64.
    pub fn parse(text: &str) -> Result<Self, SecretProblem> {
        if text.is_empty() || text.len() > SECRET_TEXT_MAX {
            return Err(SecretProblem::Length);
        }
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            return Ok(Self::keyed(text.into(), None));
        };
        let standard = LENIENT.decode(encoded).map_err(|_| SecretProblem::NotBase64)?;
        if standard.is_empty() {
            return Err(SecretProblem::NotBase64);
        }
        Ok(Self::keyed(text.into(), Some(&standard)))
    }

    /// The secret itself: for the store, and for the one answer that shows it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// `X-Webhook-Signature`: over the body alone.
    pub fn sign_body(&self, body: &[u8]) -> Signature {
        Signature::of(self.body_key.clone().chain_update(body))
    }

    /// One signature of `webhook-signature`, without its `v1,`: over `id.timestamp.body`, the time in Unix
    /// seconds. `None` when the secret is not a `whsec_…` one.
    pub fn sign_standard(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<Signature> {
        let mac = self.standard_key.clone()?;
        Some(Signature::of(
            mac.chain_update(id).chain_update(b".").chain_update(timestamp).chain_update(b".").chain_update(body),
        ))
    }

    fn keyed(text: Arc<str>, standard: Option<&[u8]>) -> Self {
        let body_key = hmac(text.as_bytes());
        Self { text, body_key, standard_key: standard.map(hmac) }
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.text.as_bytes().ct_eq(other.text.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Signature {
    /// The base64 text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64 is ASCII")
    }

    /// The base64 text, as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares in a time that does not tell where the difference is.
    fn is(&self, other: &str) -> bool {
        self.0.ct_eq(other.as_bytes()).into()
    }

    fn of(mac: HmacSha256) -> Self {
        let mut text = [0; SIGNATURE_BYTES];
        general_purpose::STANDARD
            .encode_slice(mac.finalize().into_bytes(), &mut text)
            .expect("32 bytes are 44 characters of base64");
        Self(text)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn hmac(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    #[test]
    fn the_contracts_vector_of_x_webhook_signature() {
        let secret = Secret::parse("secret").unwrap();
        let signature = secret.sign_body(br#"{"event":"message","data":"test"}"#);
        assert_eq!(signature.as_str(), "UtAE5LaeNjrL33PUEQfh69YKw7UhrrkOL9tQN0+xIrI=");
    }

    #[test]
    fn the_vector_of_standard_webhooks() {
        let secret = Secret::parse(STANDARD_SECRET).unwrap();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let signature = secret.sign_standard("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553", body).unwrap();
        assert_eq!(signature.as_str(), "tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn the_key_of_x_webhook_signature_is_the_whole_text_with_its_prefix() {
        let whole = Secret::parse(STANDARD_SECRET).unwrap();
        let rest = Secret::parse(&STANDARD_SECRET[PREFIX.len()..]).unwrap();
        assert_ne!(whole.sign_body(b"{}").as_str(), rest.sign_body(b"{}").as_str());
        let by_hand = Signature::of(hmac(STANDARD_SECRET.as_bytes()).chain_update(b"{}"));
        assert_eq!(whole.sign_body(b"{}").as_str(), by_hand.as_str());
    }

    #[test]
    fn a_new_secret_is_whsec_and_base64_and_reads_back() {
        let secret = Secret::from_random([7; SECRET_BYTES]);
        assert_eq!(secret.expose(), "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH");
        let read = Secret::parse(secret.expose()).unwrap();
        assert_eq!(read, secret);
        assert_eq!(
            read.sign_standard("a", "1", b"{}").unwrap().as_str(),
            secret.sign_standard("a", "1", b"{}").unwrap().as_str()
        );
    }

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        assert_eq!(format!("{:?}", Secret::parse("whsec_AAAA").unwrap()), "Secret(…)");
    }

    #[test]
    fn what_is_not_a_secret_is_refused() {
        assert_eq!(Secret::parse("").unwrap_err(), SecretProblem::Length);
        assert_eq!(Secret::parse(&"x".repeat(SECRET_TEXT_MAX + 1)).unwrap_err(), SecretProblem::Length);
        assert_eq!(Secret::parse("whsec_").unwrap_err(), SecretProblem::NotBase64);
        assert_eq!(Secret::parse("whsec_not base64").unwrap_err(), SecretProblem::NotBase64);
        assert!(Secret::parse("whsec_AQI").is_ok(), "the padding may be missing");
    }
}
