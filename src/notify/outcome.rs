//! Notices as messages on `recadero.outcomes` (contract, section 2).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use super::{Courier, Told};
use crate::consume::{Outgoing, Publisher};
use crate::decide::notice::Notice;

/// Publishes notices, confirmed.
pub struct Outcomes(pub Arc<dyn Publisher>);

#[async_trait]
impl Courier for Outcomes {
    async fn send(&self, notice: &Notice) -> Result<Told, String> {
        let message = Outgoing::outcome(notice.kind.as_str(), &notice.id, body(notice));
        self.0.publish(vec![message]).await.map(|()| Told::Somebody).map_err(|error| error.to_string())
    }
}

/// The contract's shape, in its order.
#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    at: String,
    workspace: &'a str,
    endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
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
