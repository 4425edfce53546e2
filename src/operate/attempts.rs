//! What was sent and what came back: the attempts log.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{Page, Params};
use super::path::AtEndpoint;
use super::{Api, Code, Problem};
use crate::clock::rfc3339;
use crate::decide::attempt::{Outcome, Reason};
use crate::decide::ids::{EndpointId, EventId, EventType, WorkspaceId};
use crate::store::records::{Attempt, PAGE_ROWS_MAX};

/// A row of attempts as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptShown {
    /// The event.
    #[schema(value_type = String)]
    pub event_id: EventId,
    /// Its type.
    #[schema(value_type = String)]
    pub event_type: EventType,
    /// 1, 2, 3, 4.
    pub attempt: u32,
    /// When it ended.
    #[schema(format = DateTime)]
    pub at: String,
    /// From the beginning to the status line or the failure.
    pub duration_ms: u64,
    /// `delivered` or `failed`.
    pub outcome: &'static str,
    /// The status line's code, if one came.
    pub status: Option<u16>,
    /// Why it failed: `timeout`, `dns`, `connect`, `tls`, `protocol`, `status`, `blocked`.
    #[schema(value_type = Option<String>)]
    pub reason: Option<Reason>,
    /// The first KiB of the response's body, or one line on the failure.
    pub response_excerpt: String,
    /// When the next attempt is due, if one is.
    #[schema(format = DateTime)]
    pub next_attempt_at: Option<String>,
    /// Whether the event was resent or recovered.
    pub resend: bool,
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

/// Lists an endpoint's attempts
///
/// Newest first. A page begins below the last row of the page before, so that new rows move nothing.
#[utoipa::path(
    get,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}/attempts",
    operation_id = "list_attempts",
    tag = "Logs",
    params(
        AtEndpoint,
        ("limit" = Option<usize>, Query, nullable = false, minimum = 1, description = "rows of a page, at most 500; 50 if not given"),
        ("cursor" = Option<String>, Query, nullable = false, description = "where the last page ended: its `next_cursor`"),
        ("outcome" = Option<String>, Query, nullable = false, pattern = "^(delivered|failed)?$", description = "only these"),
        ("event_type" = Option<String>, Query, nullable = false, description = "only these"),
        ("event_id" = Option<String>, Query, nullable = false, description = "only this event's"),
    ),
    responses((status = 200, body = Page<AttemptShown>)),
)]
pub async fn list(
    State(api): State<Arc<Api>>,
    at: AtEndpoint,
    params: Params,
) -> Result<Json<Page<AttemptShown>>, Problem> {
    params.only(&["limit", "cursor", "outcome", "event_type", "event_id"])?;
    let limit = params.limit()?;
    let filter = Filter::of(&params)?;
    let before = params.cursor(|text| text.parse().ok())?;
    api.endpoint(&at.workspace, &at.endpoint).await?;
    let rows = api.attempts(&at.workspace, &at.endpoint, &filter, before, limit + 1).await?;
    Ok(Json(Page::of(rows, limit, |row| row.number.to_string(), AttemptShown::from)))
}

/// Which rows are asked for.
#[derive(Clone, Copy, Default)]
pub struct Filter<'a> {
    /// `delivered` or `failed`.
    pub outcome: Option<&'a str>,
    /// An event type.
    pub event_type: Option<&'a str>,
    /// An event's id.
    pub event_id: Option<&'a str>,
}

impl<'a> Filter<'a> {
    fn of(params: &'a Params) -> Result<Self, Problem> {
        let outcome = params.get("outcome");
        if outcome.is_some_and(|outcome| !["delivered", "failed"].contains(&outcome)) {
            return Err(Problem::with_field(Code::InvalidQuery, "outcome", "must be delivered or failed"));
        }
        Ok(Self { outcome, event_type: params.get("event_type"), event_id: params.get("event_id") })
    }

    fn takes_all(&self) -> bool {
        self.outcome.is_none() && self.event_type.is_none() && self.event_id.is_none()
    }

    fn takes(&self, attempt: &Attempt) -> bool {
        let is = |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted == value);
        is(self.outcome, word(attempt.row.outcome))
            && is(self.event_type, attempt.row.event_type.as_str())
            && is(self.event_id, attempt.row.event_id.as_str())
    }
}

impl Api {
    /// Rows of an endpoint's log that a filter takes, newest first, older than row number `before`, at most `limit`.
    pub async fn attempts(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        filter: &Filter<'_>,
        mut before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Attempt>, Problem> {
        let step = if filter.takes_all() { limit.min(PAGE_ROWS_MAX) } else { PAGE_ROWS_MAX };
        let mut rows = Vec::new();
        // The log is bounded, and so is this: it ends with the log at the latest.
        while rows.len() < limit {
            let batch = self.store.attempts(workspace, endpoint, before, step).await?;
            let is_last = batch.len() < step;
            before = batch.last().map(|row| row.number);
            rows.extend(batch.into_iter().filter(|row| filter.takes(row)));
            if is_last {
                break;
            }
        }
        rows.truncate(limit);
        Ok(rows)
    }
}
