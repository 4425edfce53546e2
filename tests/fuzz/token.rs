//! Workspace tokens as anybody may write them. What verifies must be, letter by letter, what one of the keys signs for
//! the grant that comes out: so no forged one does, and none has a second spelling.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use recadero::config::Sensitive;
use recadero::operate::{Grant, WorkspaceTokens};
use sha2::Sha256;

/// The corpus has tokens signed by both, and by a third one that is not known any more.
const KEYS: [&str; 2] = ["the-first-key-of-the-fuzz-targets-01", "the-other-key-of-the-fuzz-targets-02"];
/// Some of the corpus are over by then, some are not.
const NOW: Duration = Duration::from_secs(2_000_000_000);

pub const VERDICTS: &[&str] = &["granted", "granted to look", "refused", "a kept grant"];

pub fn judge(input: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(input) else { return "no text".to_owned() };
    let with = |keys: &[&str]| WorkspaceTokens::new(&keys.iter().map(|key| Sensitive::new(*key)).collect::<Vec<_>>());
    let both = with(&KEYS);
    let granted = both.verify(text, NOW);
    assert_eq!(granted.is_some(), signed_here(text) && !over(text), "a second reading differs");
    assert_eq!(with(&[]).verify(text, NOW), None, "without a key there are none");
    if let Some(grant) = granted {
        let spelled = KEYS.iter().any(|key| with(&[key]).sign(&grant).unwrap().reveal() == text);
        assert!(spelled, "a second spelling of {grant:?}");
        assert!(NOW.as_secs() < grant.until_s);
        assert_eq!(both.verify(text, Duration::from_secs(grant.until_s)), None, "it ends");
        return if grant.read_only { "granted to look" } else { "granted" }.to_owned();
    }
    // The form in which a grant waits for its one-time code.
    match text.parse::<Grant>() {
        Ok(grant) => {
            assert_eq!(grant.to_string().parse(), Ok(grant.clone()));
            assert_eq!(both.verify(text, NOW), None, "it is no token");
            "a kept grant".to_owned()
        }
        Err(()) => "refused".to_owned(),
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.strip_prefix("rwt_")?).ok().filter(|bytes| bytes.len() > 41)
}

fn signed_here(text: &str) -> bool {
    let Some(bytes) = bytes(text) else { return false };
    let (mac, grant) = bytes.split_at(32);
    KEYS.iter().any(|key| {
        let mut ours = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        ours.update(b"recadero workspace token, first form\0");
        ours.update(grant);
        ours.finalize().into_bytes()[..] == *mac
    })
}

fn over(text: &str) -> bool {
    let Some(bytes) = bytes(text) else { return true };
    u64::from_be_bytes(bytes[33..41].try_into().unwrap()) <= NOW.as_secs()
}
