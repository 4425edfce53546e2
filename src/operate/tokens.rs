//! Workspace tokens: for one workspace, expiring, read-only if asked (contract, section 5).
//!
//! A token says itself what it grants, signed with one of `RECADERO_TOKEN_KEYS`. Nothing is stored of it, so every
//! replica knows every token at once, and taking a key away revokes all that it signed. Rejected: JSON Web Tokens, whose
//! header lets the bearer propose how they are to be verified, for three fields that only Recadero reads.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::config::Sensitive;
use crate::decide::ids::WorkspaceId;

/// The beginning of every workspace token, by which people and secret scanners know one.
pub const PREFIX: &str = "rwt_";

/// The longest token that is looked at: 41 bytes and a workspace's name, in base64.
const TOKEN_BYTES_MAX: usize = 256;

/// What is signed besides the grant, so that a key used for something else as well gives nothing away here.
const DOMAIN: &[u8] = b"recadero workspace token, first form\0";

/// Bytes of the signature.
const MAC_BYTES: usize = 32;

/// Bytes of the grant before the workspace's name: whether it is read-only, and its end.
const FIXED_BYTES: usize = 9;

/// What a workspace token lets its bearer do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Where.
    pub workspace: WorkspaceId,
    /// Only look.
    pub read_only: bool,
    /// Until when, Unix seconds.
    pub until_s: u64,
}

impl Grant {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.read_only)];
        bytes.extend(self.until_s.to_be_bytes());
        bytes.extend(self.workspace.as_str().as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (fixed, name) = bytes.split_at_checked(FIXED_BYTES)?;
        let read_only = match fixed[0] {
            0 => false,
            1 => true,
            _ => return None,
        };
        let until_s = u64::from_be_bytes(fixed[1..].try_into().ok()?);
        let workspace = WorkspaceId::parse(std::str::from_utf8(name).ok()?)?;
        Some(Self { workspace, read_only, until_s })
    }
}

/// As it is kept with a one-time code: `read_only until_s workspace`. It is no token: it lacks a signature.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.read_only, self.until_s, self.workspace)
    }
}

impl std::str::FromStr for Grant {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, ' ');
        let mut read = || {
            let read_only = parts.next()?.parse().ok()?;
            let until_s = parts.next()?.parse().ok()?;
            let workspace = WorkspaceId::parse(parts.next()?)?;
            Some(Self { workspace, read_only, until_s })
        };
        read().ok_or(())
    }
}

/// Signs and verifies. `Debug` shows no key.
#[derive(Clone)]
pub struct WorkspaceTokens {
    /// The first signs, all verify.
    keys: Vec<Hmac<Sha256>>,
}

impl WorkspaceTokens {
    /// By these keys; without any there are no workspace tokens.
    pub fn new(keys: &[Sensitive]) -> Self {
        let keyed = |key: &Sensitive| {
            let mac = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes()).expect("HMAC takes keys of any length");
            mac.chain_update(DOMAIN)
        };
        Self { keys: keys.iter().map(keyed).collect() }
    }

    /// The token of a grant; `None` without a key.
    pub fn sign(&self, grant: &Grant) -> Option<Sensitive> {
        let bytes = grant.to_bytes();
        let mac = self.keys.first()?.clone().chain_update(&bytes).finalize().into_bytes();
        let token = [&mac[..], &bytes].concat();
        Some(Sensitive::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token))))
    }

    /// What a token grants at a Unix time; `None` when it was not signed here, or is over. Every key is tried, each in a
    /// time that does not depend on how much of the signature is right.
    pub fn verify(&self, token: &str, now: Duration) -> Option<Grant> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (mac, bytes) = token.split_at_checked(MAC_BYTES)?;
        let signed = |key: &Hmac<Sha256>| key.clone().chain_update(bytes).verify_slice(mac).is_ok();
        let signed = self.keys.iter().fold(false, |any, key| any | signed(key));
        // Read only now: what nobody signed is not looked at.
        let grant = signed.then(|| Grant::from_bytes(bytes))??;
        (now < Duration::from_secs(grant.until_s)).then_some(grant)
    }
}

impl fmt::Debug for WorkspaceTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkspaceTokens")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a-key-of-at-least-32-characters-1";
    const OTHER_KEY: &str = "a-key-of-at-least-32-characters-2";

    fn tokens(keys: &[&str]) -> WorkspaceTokens {
        WorkspaceTokens::new(&keys.iter().map(|key| Sensitive::new(*key)).collect::<Vec<_>>())
    }

    fn grant(workspace: &str, read_only: bool) -> Grant {
        Grant { workspace: WorkspaceId::trusted(workspace), read_only, until_s: 1_000 }
    }

    const NOW: Duration = Duration::from_secs(999);

    #[test]
    fn a_token_grants_what_was_signed_until_its_end() {
        let longest = "w".repeat(128);
        for grant in [grant("acme", false), grant("a", true), grant(&longest, true)] {
            let token = tokens(&[KEY]).sign(&grant).unwrap();
            assert_eq!(tokens(&[KEY]).verify(token.reveal(), NOW), Some(grant.clone()));
            assert_eq!(tokens(&[KEY]).verify(token.reveal(), Duration::from_secs(1_000)), None, "it is over");
            assert_eq!(grant.to_string().parse(), Ok(grant));
        }
    }

    #[test]
    fn the_first_key_signs_all_verify_and_one_taken_away_revokes() {
        let token = tokens(&[KEY]).sign(&grant("acme", false)).unwrap();
        assert!(tokens(&[OTHER_KEY, KEY]).verify(token.reveal(), NOW).is_some(), "a new key was put first");
        assert_eq!(tokens(&[OTHER_KEY]).verify(token.reveal(), NOW), None);
        assert_eq!(tokens(&[]).verify(token.reveal(), NOW), None);
        assert!(tokens(&[]).sign(&grant("acme", false)).is_none());
    }

    #[test]
    fn no_changed_byte_is_taken() {
        let token = tokens(&[KEY]).sign(&grant("acme", true)).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(token.reveal().strip_prefix(PREFIX).unwrap()).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&changed));
            assert_eq!(tokens(&[KEY]).verify(&changed, NOW), None, "byte {at}");
        }
        let more = URL_SAFE_NO_PAD.encode([&bytes[..], b"x"].concat());
        for wrong in ["", PREFIX, "rwt_AA", "rwt_!", &format!("{PREFIX}{more}"), &token.reveal()[1..]] {
            assert_eq!(tokens(&[KEY]).verify(wrong, NOW), None, "{wrong}");
        }
    }
}
