//! One event to one endpoint now, outside the lanes: for somebody who wants to see it work.
//!
//! It takes the way of every attempt, by a lease that nobody gave: same headers, same signatures, same limit. But no store
//! knows of it: nothing waits for it, it is in no log, and it counts nowhere.

use std::sync::Arc;
use std::time::Duration;

use super::send::Sender;
use super::target::Targets;
use crate::decide::attempt::{Answer, Success};
use crate::decide::ids::LaneId;
use crate::store::lanes::{Lease, Pool, Token, Waiting};
use crate::store::records::{AttemptRow, Endpoint};

/// Sends an event, and tells what came of it. `at` is the Unix time.
pub async fn probe(
    sender: Arc<dyn Sender>,
    success: Success,
    lane: LaneId,
    endpoint: Endpoint,
    event: Waiting,
    at: Duration,
) -> AttemptRow {
    let lease = Lease {
        lane,
        token: Token(0),
        seq: 0,
        round: 1,
        attempt: 1,
        generation: endpoint.generation,
        pool: Pool::Healthy,
        event: Arc::new(event),
        config: Arc::new(endpoint.config),
    };
    let attempted = Targets::new(sender).send(&lease, at).await;
    let outcome = attempted.answer.outcome(success);
    let (status, excerpt) = match attempted.answer {
        Answer::Status { status, excerpt } => (Some(status), excerpt),
        Answer::Failed { detail, .. } => (None, detail),
    };
    AttemptRow {
        event_id: lease.event.id.clone(),
        event_type: lease.event.event_type.clone(),
        attempt: lease.attempt,
        duration_ms: u64::try_from(attempted.took.as_millis()).unwrap_or(u64::MAX),
        outcome,
        status,
        excerpt,
        signed_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
        resend: false,
    }
}
