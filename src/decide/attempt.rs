//! How an attempt ended, and which ends are a delivery (contract, section 3).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::testing::{Bug, has};

/// Why an attempt failed; the words are those of the contract, section 3, and label the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// No status line within the limit.
    Timeout,
    /// The name did not resolve.
    Dns,
    /// No connection.
    Connect,
    /// The TLS handshake failed, or the certificate is not good for the name.
    Tls,
    /// Not HTTP, or a connection closed before the status line.
    Protocol,
    /// A status other than the ones that count as delivered.
    Status,
    /// The address may not be reached.
    Blocked,
}

impl Reason {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Blocked => "blocked",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which status lines are a delivery (`RECADERO_SUCCESS`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Success {
    /// 200 alone: the rule.
    Exactly200,
    /// 200 to 299.
    Any2xx,
}

impl Success {
    /// Whether a response with this status is a delivery.
    pub fn holds(self, status: u16) -> bool {
        match self {
            Self::Exactly200 if !has(Bug::AnySuccess) => status == 200,
            Self::Exactly200 => Self::Any2xx.holds(status),
            Self::Any2xx => (200..300).contains(&status),
        }
    }
}

/// What came of one POST. A failure is data, not an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A status line came within the limit.
    Status {
        /// The HTTP status.
        status: u16,
        /// The first bytes of the body, as text, for the log.
        excerpt: String,
    },
    /// No status line came.
    Failed {
        /// Which kind of failure.
        reason: Reason,
        /// One line for a person; never a secret.
        detail: String,
    },
}

/// One finished attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempted {
    /// What came back.
    pub answer: Answer,
    /// From the attempt's beginning to the status line or the failure.
    pub took: Duration,
}

/// The two classes of ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The endpoint has the event.
    Delivered,
    /// It has not, as far as we can know.
    Failed(Reason),
}

impl Answer {
    /// Delivered or failed, by the rule in force.
    pub fn outcome(&self, success: Success) -> Outcome {
        match self {
            Self::Status { status, .. } if success.holds(*status) => Outcome::Delivered,
            Self::Status { .. } => Outcome::Failed(Reason::Status),
            Self::Failed { reason, .. } => Outcome::Failed(*reason),
        }
    }
}
