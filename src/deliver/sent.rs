//! What was sent, told again: the headers of an attempt that is over.
//!
//! They are not kept. They follow from what is: the log's row, the event, and the secrets, each of which signs from
//! the moment that the next older one got its end. What cannot be told any more (a signature by a secret that is
//! forgotten, or over a body that is; the trace of an event that is) is left out rather than guessed. Rejected: keeping
//! the headers with each row, which would triple the log.

use std::time::Duration;

use http::HeaderMap;

use super::send::headers::{self, Outgoing, Traceparent};
use super::send::own::OwnHeaders;
use super::sign::Secret;
use crate::decide::ids::EndpointId;
use crate::store::lanes::Waiting;
use crate::store::records::{AttemptRow, Config, SigningSecret};

/// How long a secret goes on signing after a newer one has come (contract, section 3).
pub const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// What stands in the place of the values of an endpoint's own headers, which are secrets.
pub const HIDDEN: &str = "(hidden)";

/// The headers of an attempt at an endpoint, by name.
pub fn headers(endpoint: &EndpointId, row: &AttemptRow, event: Option<&Waiting>, config: &Config) -> HeaderMap {
    let at = Duration::from_millis(row.signed_ms);
    let own = config.headers.iter().map(|(name, _)| (name.clone(), HIDDEN.to_owned()));
    let own = OwnHeaders::check(own).unwrap_or_default();
    let secrets = if event.is_some() { signing(&config.secrets, at) } else { Vec::new() };
    let traceparent = event.and_then(|event| Traceparent::parse(event.traceparent.as_deref()?));
    headers::build(&Outgoing {
        event: &row.event_id,
        event_type: &row.event_type,
        attempt: row.attempt,
        at,
        body: event.map_or(&[], |event| &event.body),
        secrets: &secrets,
        traceparent: traceparent.map(|trace| trace.attempt(endpoint, &row.event_id, row.attempt, at)),
        own: &own,
        resend: row.resend,
    })
}

/// The secrets that signed at a time, the newest first.
fn signing(secrets: &[SigningSecret], at: Duration) -> Vec<Secret> {
    let ended = |secret: &SigningSecret| secret.until_ms.map(Duration::from_millis);
    let signed = secrets.iter().enumerate().filter(|(index, secret)| {
        let older = secrets.get(index + 1).and_then(ended);
        let began = older.map_or(Duration::ZERO, |ended| ended.saturating_sub(OVERLAP));
        began <= at && ended(secret).is_none_or(|ended| at < ended)
    });
    signed.filter_map(|(_, secret)| Secret::parse(&secret.text).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_signed_from_its_rotation_on_until_a_day_after_the_next_one() {
        let day_ms = u64::try_from(OVERLAP.as_millis()).unwrap();
        let secret = |text: &str, rotated_ms: Option<u64>| SigningSecret {
            text: text.to_owned(),
            until_ms: rotated_ms.map(|rotated_ms| rotated_ms + day_ms),
        };
        let secrets = [secret("c", None), secret("b", Some(1_500)), secret("a", Some(1_100))];
        let signed = |at_ms: u64| -> String {
            signing(&secrets, Duration::from_millis(at_ms)).iter().map(Secret::expose).collect()
        };
        // All in one second: whole ones would not tell.
        assert_eq!(signed(1_099), "a");
        assert_eq!(signed(1_100), "ba");
        assert_eq!(signed(1_500), "cba");
        assert_eq!(signed(1_100 + day_ms), "cb");
        assert_eq!(signed(1_500 + day_ms), "c");
    }
}
