//! Notices as messages on `recadero.outcomes` (contract, section 2).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Courier, Told};
use crate::consume::{Outgoing, Publisher};
use crate::decide::ids::{EndpointId, EventId, WorkspaceId};
use crate::decide::notice::{Notice, NoticeKind};

/// Publishes notices, confirmed.
pub struct Outcomes(pub Arc<dyn Publisher>);

#[async_trait]
impl Courier for Outcomes {
    async fn send(&self, notice: &Notice) -> Result<Told, String> {
        let message = Outgoing::outcome(notice.kind.as_str(), &notice.id, body(notice));
        self.0.publish(vec![message]).await.map(|()| Told::Somebody).map_err(|error| error.to_string())
    }
}

/// What happened.
// The contract's shape, in its order.
#[derive(Serialize, ToSchema)]
pub struct Outcome<'a> {
    /// What; also the routing key.
    #[serde(rename = "type")]
    kind: &'a str,
    /// When, RFC 3339.
    #[schema(format = DateTime)]
    at: String,
    /// Whose endpoint.
    workspace: &'a str,
    /// Which endpoint.
    endpoint: &'a str,
    /// The event, when it is about one.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    /// Why.
    reason: &'a str,
    /// How many events, or failures.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

/// What is published of a kind, for documents.
pub fn sample(kind: NoticeKind, reason: &str) -> Bytes {
    let event = (kind == NoticeKind::Dropped).then(|| EventId::trusted("0198f1d2-0000-7000-8000-000000000007"));
    body(&Notice {
        id: "sample".to_owned(),
        kind,
        at_ms: 1_726_740_558_441,
        workspace: WorkspaceId::trusted("acme"),
        endpoint: EndpointId::trusted("ep_4f0c6a"),
        event,
        reason: reason.to_owned(),
        count: (kind == NoticeKind::Warning).then_some(16),
    })
}

fn body(notice: &Notice) -> Bytes {
    let outcome = Outcome {
        kind: notice.kind.as_str(),
        at: crate::clock::rfc3339(notice.at_ms),
        workspace: notice.workspace.as_str(),
        endpoint: notice.endpoint.as_str(),
        event: notice.event.as_ref().map(|event| event.as_str()),
        reason: &notice.reason,
        count: notice.count,
    };
    serde_json::to_vec(&outcome).expect("strings and numbers are always JSON").into()
}
