//! What the outside world is told: e-mail to the workspace, messages on `recadero.outcomes`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{EndpointId, EventId, WorkspaceId};

/// Why an event left without being delivered: the labels of `recadero_events_dropped_total` (contract, section 6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// Its last attempt failed.
    Retries,
    /// More events waited than may.
    BacklogEvents,
    /// More bytes waited than may.
    BacklogBytes,
    /// It waited longer than it may.
    BacklogAge,
    /// Somebody asked to discard the backlog.
    Discarded,
    /// Its endpoint was deleted.
    EndpointDeleted,
}

impl DropReason {
    /// All of them, in the contract's order.
    pub const ALL: [Self; 6] = [
        Self::Retries,
        Self::BacklogEvents,
        Self::BacklogBytes,
        Self::BacklogAge,
        Self::Discarded,
        Self::EndpointDeleted,
    ];

    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retries => "retries",
            Self::BacklogEvents => "backlog_events",
            Self::BacklogBytes => "backlog_bytes",
            Self::BacklogAge => "backlog_age",
            Self::Discarded => "discarded",
            Self::EndpointDeleted => "endpoint_deleted",
        }
    }

    /// Reads the contract's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Whether a notice tells of it; whoever deletes an endpoint is not told what went with it.
    pub fn is_told(self) -> bool {
        self != Self::EndpointDeleted
    }
}

/// Why an endpoint is disabled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DisableReason {
    /// The error quota was exceeded.
    Quota,
    /// Somebody did it by hand.
    Manual,
}

impl DisableReason {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Manual => "manual",
        }
    }
}

/// What a notice tells; the words are the routing keys on `recadero.outcomes` (contract, section 2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NoticeKind {
    /// An endpoint was disabled.
    Disabled,
    /// An endpoint was enabled again.
    Enabled,
    /// The failures rose past half of the quota.
    Warning,
    /// One event was dropped, or a minute's worth of them by a limit.
    Dropped,
}

impl NoticeKind {
    /// All of them, in the contract's order.
    pub const ALL: [Self; 4] = [Self::Disabled, Self::Enabled, Self::Warning, Self::Dropped];

    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "endpoint.disabled",
            Self::Enabled => "endpoint.enabled",
            Self::Warning => "endpoint.warning",
            Self::Dropped => "event.dropped",
        }
    }

    /// Reads the contract's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Where it is sent: everything by AMQP, and by e-mail what a person must know.
    pub fn channels(self) -> &'static [Channel] {
        match self {
            Self::Disabled | Self::Warning => &[Channel::Amqp, Channel::Mail],
            Self::Enabled | Self::Dropped => &[Channel::Amqp],
        }
    }
}

/// How a notice travels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Channel {
    /// The topic exchange `recadero.outcomes`.
    Amqp,
    /// E-mail to the workspace.
    Mail,
}

impl Channel {
    /// The label of `recadero_notices_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::Mail => "mail",
        }
    }

    /// Reads the label.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Amqp, Self::Mail].into_iter().find(|channel| channel.as_str() == word)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing to tell. It is recorded in the store in the very step that made it true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Names it for ever: AMQP's `message_id`, and the left part of the e-mail's `Message-ID`.
    pub id: String,
    /// What it tells.
    pub kind: NoticeKind,
    /// When it came true, Unix milliseconds of the store's clock.
    pub at_ms: u64,
    /// Whose endpoint.
    pub workspace: WorkspaceId,
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// The event, when it is about one.
    pub event: Option<EventId>,
    /// `quota` or `manual`, or why events were dropped, or `quota` for a warning.
    pub reason: String,
    /// How many events, or how many failures for a warning.
    pub count: Option<u64>,
}
