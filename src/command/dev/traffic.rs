//! The demo's trickle: sample events of all nine types, for ever.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::consume::local::LocalBroker;
use crate::consume::topology::EVENTS;
use crate::consume::{Outgoing, Publisher};
use crate::decide::event_types::KNOWN_EVENT_TYPES;
use crate::decide::ids::{EventType, WorkspaceId};

/// Publishes a sample event every `every`, the nine types in turn, until `stop`.
pub async fn trickle(broker: LocalBroker, workspace: WorkspaceId, every: Duration, stop: CancellationToken) {
    for known in KNOWN_EVENT_TYPES.iter().cycle() {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let event_type = EventType::trusted(known.event_type);
        let message = Outgoing::event(EVENTS, &workspace, &event_type, None, with_fresh_id(known.sample).into());
        if let Err(error) = broker.publish(vec![message]).await {
            tracing::warn!(%error, "a sample event could not be published");
        }
    }
}

/// The sample under an id of its own, or it would be taken for a duplicate.
fn with_fresh_id(sample: &str) -> Vec<u8> {
    let id = uuid::Uuid::now_v7();
    match sample.rfind("\"event_id\":\"") {
        Some(at) => format!("{}\"event_id\":\"{id}\"}}", &sample[..at]).into_bytes(),
        None => sample.as_bytes().to_vec(),
    }
}
