//! An endpoint as it is shown.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::decide::ids::{EndpointId, EventType};
use crate::decide::notice::DisableReason;
use crate::operate::attempts::AttemptShown;
use crate::operate::conditional::Tagged;
use crate::store::records::{Config, Endpoint, EndpointStatus};

/// An endpoint as it is shown. Of its own headers only the names: the values are secrets.
#[derive(Serialize, ToSchema)]
#[schema(as = Endpoint)]
pub struct Shown {
    /// `ep_…`
    #[schema(value_type = String)]
    id: EndpointId,
    /// Where its events go.
    url: String,
    /// The event types it wants, or `*` alone.
    #[schema(value_type = Vec<String>)]
    events: Vec<EventType>,
    /// For people.
    description: String,
    /// How many contacts' events move side by side.
    lanes: u16,
    /// The names of its own headers.
    headers: Vec<String>,
    /// Its state in one word.
    #[schema(value_type = String)]
    status: EndpointStatus,
    /// Since when and why it is disabled.
    disabled: Option<DisabledShown>,
    /// What waits for it.
    backlog: BacklogShown,
    /// The newest row of its log.
    last_attempt: Option<AttemptShown>,
    /// When it was created.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was changed last.
    #[schema(format = DateTime)]
    updated_at: String,
    /// `whsec_…`: in the answers to its creation and to a rotation alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    secret: Option<String>,
}

/// Since when and why an endpoint is disabled.
#[derive(Serialize, ToSchema)]
#[schema(as = Disabled)]
struct DisabledShown {
    /// `quota` or `manual`.
    #[schema(value_type = String)]
    reason: DisableReason,
    /// Since when.
    #[schema(format = DateTime)]
    at: String,
}

/// What waits for an endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = Backlog)]
struct BacklogShown {
    /// How many events, the ones being tried included.
    events: u64,
    /// When the oldest of them came.
    #[schema(format = DateTime)]
    oldest_at: Option<String>,
}

impl From<Endpoint> for Shown {
    fn from(endpoint: Endpoint) -> Self {
        let status = endpoint.status();
        let Config { url, events, description, lanes, headers, created_ms, updated_ms, .. } = endpoint.config;
        Self {
            id: endpoint.id,
            url,
            events,
            description,
            lanes,
            headers: headers.into_iter().map(|(name, _)| name).collect(),
            status,
            disabled: endpoint
                .disabled
                .map(|disabled| DisabledShown { reason: disabled.reason, at: rfc3339(disabled.at_ms) }),
            backlog: BacklogShown { events: endpoint.backlog_events, oldest_at: endpoint.oldest_ms.map(rfc3339) },
            last_attempt: endpoint.last_attempt.map(AttemptShown::from),
            created_at: rfc3339(created_ms),
            updated_at: rfc3339(updated_ms),
            secret: None,
        }
    }
}

impl Shown {
    /// With the newest secret, in an answer that shows it.
    pub fn with_secret(endpoint: Endpoint) -> Tagged<Self> {
        let version = endpoint.config.version;
        let secret = endpoint.config.secrets.first().map(|secret| secret.text.clone());
        Tagged { version, shown: Self { secret, ..endpoint.into() } }
    }

    /// With the tag of its version.
    pub fn tagged(endpoint: Endpoint) -> Tagged<Self> {
        Tagged { version: endpoint.config.version, shown: endpoint.into() }
    }
}
