//! What was sent and what came back: the attempts log, and the events that were dropped.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::page::{Page, Params};
use super::path::AtEndpoint;
use super::time::rfc3339;
use super::{Api, Code, Problem};
use crate::decide::attempt::{Outcome, Reason};
use crate::decide::ids::{EventId, EventType};
use crate::decide::notice::DropReason;
use crate::store::records::{Attempt, Dropped, PAGE_ROWS_MAX};

/// A row of attempts as it is shown.
#[derive(Serialize)]
pub struct AttemptShown {
    event_id: EventId,
    event_type: EventType,
    attempt: u32,
    at: String,
    duration_ms: u64,
    outcome: &'static str,
    status: Option<u16>,
    reason: Option<Reason>,
    response_excerpt: String,
    next_attempt_at: Option<String>,
    resend: bool,
}

impl From<Attempt> for AttemptShown {
    fn from(attempt: Attempt) -> Self {
        let row = attempt.row;
        Self {
            event_id: row.event_id,
            event_type: row.event_type,
            attempt: row.attempt,
            at: rfc3339(attempt.at_ms),
            duration_ms: row.duration_ms,
            outcome: word(row.outcome),
            status: row.status,
            reason: match row.outcome {
                Outcome::Delivered => None,
                Outcome::Failed(reason) => Some(reason),
            },
            response_excerpt: row.excerpt,
            next_attempt_at: attempt.next_attempt_ms.map(rfc3339),
            resend: row.resend,
        }
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Failed(_) => "failed",
    }
}

/// A dropped event as it is shown.
#[derive(Serialize)]
pub struct DroppedShown {
    event_id: EventId,
    event_type: EventType,
    reason: DropReason,
    received_at: String,
    dropped_at: String,
}

impl From<Dropped> for DroppedShown {
    fn from(dropped: Dropped) -> Self {
        Self {
            event_id: dropped.event.id,
            event_type: dropped.event.event_type,
            reason: dropped.reason,
            received_at: rfc3339(dropped.event.at_ms),
            dropped_at: rfc3339(dropped.dropped_ms),
        }
    }
}

/// `GET …/attempts`
pub async fn list(
    State(api): State<Arc<Api>>,
    at: AtEndpoint,
    params: Params,
) -> Result<Json<Page<AttemptShown>>, Problem> {
    params.only(&["limit", "cursor", "outcome", "event_type", "event_id"])?;
    let limit = params.limit()?;
    let wanted = Filter::of(&params)?;
    let mut before = params.cursor(|text| text.parse().ok())?;
    api.endpoint(&at.workspace, &at.endpoint).await?;
    // The log is bounded, and so is this: it ends with the log at the latest.
    let mut rows = Vec::new();
    while rows.len() <= limit {
        let batch = api.store.attempts(&at.workspace, &at.endpoint, before, PAGE_ROWS_MAX).await?;
        let whole = batch.len() == PAGE_ROWS_MAX;
        before = batch.last().map(|row| row.number);
        rows.extend(batch.into_iter().filter(|row| wanted.takes(row)));
        if !whole {
            break;
        }
    }
    Ok(Json(Page::of(rows, limit, |row| row.number.to_string(), AttemptShown::from)))
}

/// Which rows are asked for.
struct Filter<'a> {
    outcome: Option<&'a str>,
    event_type: Option<&'a str>,
    event_id: Option<&'a str>,
}

impl<'a> Filter<'a> {
    fn of(params: &'a Params) -> Result<Self, Problem> {
        let outcome = params.get("outcome");
        if outcome.is_some_and(|outcome| !["delivered", "failed"].contains(&outcome)) {
            return Err(Problem::with_field(Code::InvalidQuery, "outcome", "must be delivered or failed"));
        }
        Ok(Self { outcome, event_type: params.get("event_type"), event_id: params.get("event_id") })
    }

    fn takes(&self, attempt: &Attempt) -> bool {
        let is = |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted == value);
        is(self.outcome, word(attempt.row.outcome))
            && is(self.event_type, attempt.row.event_type.as_str())
            && is(self.event_id, attempt.row.event_id.as_str())
    }
}

/// `GET …/dropped`
pub async fn dropped(
    State(api): State<Arc<Api>>,
    at: AtEndpoint,
    params: Params,
) -> Result<Json<Page<DroppedShown>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit()?;
    let after = params.cursor(|text| text.parse().ok())?;
    api.endpoint(&at.workspace, &at.endpoint).await?;
    let rows = api.store.dropped(&at.workspace, &at.endpoint, after, limit + 1).await?;
    Ok(Json(Page::of(rows, limit, |row| row.seq.to_string(), DroppedShown::from)))
}
