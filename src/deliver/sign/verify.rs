//! The receiver's side: what `recadero listen` checks, and what a receiver's own code should.

use std::time::Duration;

use super::Secret;

/// A POST as a receiver has it: two headers and the body.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// The body's bytes, as they came.
    pub body: &'a [u8],
}

/// Why a `webhook-signature` is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Forged {
    /// The secret cannot verify this scheme.
    #[error("Standard Webhooks needs a `whsec_…` secret")]
    OtherSecret,
    /// `webhook-timestamp` is not a number.
    #[error("`webhook-timestamp` is not a number of Unix seconds")]
    Timestamp,
    /// Sent too long ago, or in the future: perhaps a replay.
    #[error("`webhook-timestamp` is too far from the receiver's clock")]
    NotNow,
    /// None of the signatures is the secret's.
    #[error("no `v1` signature in `webhook-signature` matches")]
    Mismatch,
}

impl Secret {
    /// Whether `header` is the `X-Webhook-Signature` of `body`.
    pub fn verify_body(&self, body: &[u8], header: &str) -> bool {
        self.sign_body(body).is(header.trim())
    }

    /// Checks `webhook-signature` as Standard Webhooks asks: one of its `v1` signatures is ours, and the time is
    /// within `tolerance` of `now` (since the Unix epoch), either way.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn verify_standard(
        &self,
        received: Received<'_>,
        header: &str,
        now: Duration,
        tolerance: Duration,
    ) -> Result<(), Forged> {
        let ours = self.sign_standard(received.id, received.timestamp, received.body).ok_or(Forged::OtherSecret)?;
        let sent = received.timestamp.parse::<u64>().map_err(|_| Forged::Timestamp)?;
        if now.as_secs().abs_diff(sent) > tolerance.as_secs() {
            return Err(Forged::NotNow);
        }
        let theirs = header.split_ascii_whitespace().filter_map(|one| one.strip_prefix("v1,"));
        // Folded, not `any`: how many were compared says nothing to a forger.
        let matched = theirs.fold(false, |matched, one| ours.is(one) | matched);
        if matched { Ok(()) } else { Err(Forged::Mismatch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(300);
    const SENT: Duration = Duration::from_secs(1_649_367_553);
    const HEADER: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
    const RECEIVED: Received<'static> = Received {
        id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        timestamp: "1649367553",
        body: br#"{"email":"test@example.com","username":"test_user"}"#,
    };

    fn secret() -> Secret {
        Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap()
    }

    #[test]
    fn the_right_signature_is_believed_alone_and_among_others() {
        assert_eq!(secret().verify_standard(RECEIVED, HEADER, SENT, TOLERANCE), Ok(()));
        let several = format!("v1a,xyz v1,AAAA {HEADER} v1,BBBB");
        assert_eq!(secret().verify_standard(RECEIVED, &several, SENT, TOLERANCE), Ok(()));
    }

    #[test]
    fn a_changed_body_id_time_secret_or_version_is_not() {
        let mismatch = Err(Forged::Mismatch);
        let body = Received { body: b"{}", ..RECEIVED };
        assert_eq!(secret().verify_standard(body, HEADER, SENT, TOLERANCE), mismatch);
        let id = Received { id: "msg_other", ..RECEIVED };
        assert_eq!(secret().verify_standard(id, HEADER, SENT, TOLERANCE), mismatch);
        let time = Received { timestamp: "1649367554", ..RECEIVED };
        assert_eq!(secret().verify_standard(time, HEADER, SENT, TOLERANCE), mismatch);
        let other = Secret::parse("whsec_AAAA").unwrap();
        assert_eq!(other.verify_standard(RECEIVED, HEADER, SENT, TOLERANCE), mismatch);
        let version = HEADER.replace("v1,", "v2,");
        assert_eq!(secret().verify_standard(RECEIVED, &version, SENT, TOLERANCE), mismatch);
        assert_eq!(secret().verify_standard(RECEIVED, "", SENT, TOLERANCE), mismatch);
    }

    #[test]
    fn what_is_older_or_newer_than_the_tolerance_is_not() {
        for (now, expected) in [
            (SENT + TOLERANCE, Ok(())),
            (SENT - TOLERANCE, Ok(())),
            (SENT + TOLERANCE + Duration::from_secs(1), Err(Forged::NotNow)),
            (SENT - TOLERANCE - Duration::from_secs(1), Err(Forged::NotNow)),
        ] {
            assert_eq!(secret().verify_standard(RECEIVED, HEADER, now, TOLERANCE), expected, "{now:?}");
        }
        let soon = Received { timestamp: "soon", ..RECEIVED };
        assert_eq!(secret().verify_standard(soon, HEADER, SENT, TOLERANCE), Err(Forged::Timestamp));
    }

    #[test]
    fn the_signature_of_the_body_is_verified_whole() {
        let secret = Secret::parse("secret").unwrap();
        let body = br#"{"event":"message","data":"test"}"#;
        assert!(secret.verify_body(body, "UtAE5LaeNjrL33PUEQfh69YKw7UhrrkOL9tQN0+xIrI="));
        assert!(!secret.verify_body(body, "UtAE5LaeNjrL33PUEQfh69YKw7UhrrkOL9tQN0+xIrI"));
        assert!(!secret.verify_body(b"{}", "UtAE5LaeNjrL33PUEQfh69YKw7UhrrkOL9tQN0+xIrI="));
        let only_body = secret.verify_standard(RECEIVED, HEADER, SENT, TOLERANCE);
        assert_eq!(only_body, Err(Forged::OtherSecret));
    }
}
