//! Who is signed in: a cookie that says it itself, so that every replica knows every session and nothing is stored.
//!
//! A workspace's session is the token of its grant. An administrator's is not the admin token, which must not lie about in
//! browsers: it is signed with the digest of one, ends after [`ADMIN_SESSION`], and is revoked with that token.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::operate::{Api, Caller};

/// How long an administrator stays signed in.
pub const ADMIN_SESSION: Duration = Duration::from_secs(12 * 60 * 60);

const ADMIN_PREFIX: &str = "ras_";

/// What is signed besides an administrator's session.
const ADMIN_DOMAIN: &[u8] = b"recadero console session, first form\0";

/// What a form's seal is made over, so that it is good for nothing else.
const FORM_DOMAIN: &[u8] = b"recadero console form, first form\0";

const MAC_BYTES: usize = 32;

/// Somebody signed in.
#[derive(Clone)]
pub struct Session {
    /// Who.
    pub caller: Caller,
    seal: Seal,
}

/// A new session: what the cookie holds, and how long.
#[derive(Clone)]
pub struct Opened {
    /// The cookie's value.
    pub value: String,
    /// How long it is good.
    pub lasts: Duration,
}

/// Proves that something was made here for this very session: only who can read its cookie can make one.
#[derive(Clone)]
struct Seal(Hmac<Sha256>);

impl Session {
    /// The session of a cookie's value.
    pub fn of(api: &Api, value: &str) -> Option<Self> {
        let caller = match value.strip_prefix(ADMIN_PREFIX) {
            Some(signed) => admin(api, signed)?,
            None => Caller::Workspace(api.tokens.verify(value, api.clock.unix())?),
        };
        Some(Self { caller, seal: Seal(mac(value.as_bytes()).chain_update(FORM_DOMAIN)) })
    }

    /// What each of its forms carries.
    pub fn csrf(&self) -> String {
        self.seal(b"")
    }

    /// Whether a form carries it.
    pub fn is_csrf(&self, text: &str) -> bool {
        self.is_seal(b"", text)
    }

    /// A seal on a text.
    pub fn seal(&self, text: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.seal.0.clone().chain_update(text).finalize().into_bytes())
    }

    /// Whether this is the seal on a text, in a time that does not depend on how much of it is right.
    pub fn is_seal(&self, text: &[u8], seal: &str) -> bool {
        let given = URL_SAFE_NO_PAD.decode(seal).unwrap_or_default();
        self.seal.0.clone().chain_update(text).verify_slice(&given).is_ok()
    }
}

impl Opened {
    /// For somebody who showed a token.
    pub fn by_token(api: &Api, token: &str) -> Option<Self> {
        let now = api.clock.unix();
        match api.caller(token)? {
            Caller::Admin => {
                let until = now + ADMIN_SESSION;
                let mut signed = until.as_secs().to_be_bytes().to_vec();
                signed.extend(rand::random::<[u8; 16]>());
                let key = api.admin_tokens.digest_of(token)?;
                let mac = mac(&key).chain_update(ADMIN_DOMAIN).chain_update(&signed).finalize().into_bytes();
                let value = URL_SAFE_NO_PAD.encode([&mac[..], &signed].concat());
                Some(Self { value: format!("{ADMIN_PREFIX}{value}"), lasts: ADMIN_SESSION })
            }
            Caller::Workspace(grant) => {
                Some(Self { value: token.to_owned(), lasts: Duration::from_secs(grant.until_s).saturating_sub(now) })
            }
        }
    }
}

fn admin(api: &Api, signed: &str) -> Option<Caller> {
    let signed = URL_SAFE_NO_PAD.decode(signed).ok()?;
    let (given, signed) = signed.split_at_checked(MAC_BYTES)?;
    let by = |key: &[u8; 32]| mac(key).chain_update(ADMIN_DOMAIN).chain_update(signed).verify_slice(given).is_ok();
    let by_any = api.admin_tokens.digests().iter().fold(false, |any, key| any | by(key));
    // Read only now: what nobody signed is not looked at.
    let until = by_any.then(|| signed.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)))??;
    (api.clock.unix() < Duration::from_secs(until)).then_some(Caller::Admin)
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}
