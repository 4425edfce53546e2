//! Events that were dropped: seen, and brought back.

use std::ops::Range;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::events::Resent;
use super::page::{Page, Params};
use super::path::{AtEndpoint, AtEvent};
use super::{Api, Code, Problem, time};
use crate::clock::rfc3339;
use crate::decide::ids::{EndpointId, EventId, EventType, WorkspaceId};
use crate::decide::notice::DropReason;
use crate::observe::signal::Signal;
use crate::store::records::{Dropped, ResendFrom};

/// Dropped events that one step of a recovery looks at.
const STEP: usize = 200;

/// How far the store's clock may be ahead of this process's.
const SKEW_MS: u64 = 5_000;

/// A dropped event as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Dropped)]
pub struct DroppedShown {
    /// Its id.
    #[schema(value_type = String)]
    event_id: EventId,
    /// Its type.
    #[schema(value_type = String)]
    event_type: EventType,
    /// Why: `retries`, `backlog_events`, `backlog_age`, `discarded`.
    #[schema(value_type = String)]
    reason: DropReason,
    /// When it came.
    #[schema(format = DateTime)]
    received_at: String,
    /// When it was dropped.
    #[schema(format = DateTime)]
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

/// What to recover: a span that may be open at one end.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recover {
    /// What was dropped from this time on; from the oldest on if it is not given.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// And before this one; until now if it is not given.
    #[schema(format = DateTime)]
    until: Option<String>,
}

/// Lists dropped events
///
/// Those that can still be resent, oldest event first.
#[utoipa::path(
    get,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}/dropped",
    operation_id = "list_dropped",
    tag = "Dropped events",
    params(
        AtEndpoint,
        ("limit" = Option<usize>, Query, nullable = false, minimum = 1, description = "rows of a page, at most 500; 50 if not given"),
        ("cursor" = Option<String>, Query, nullable = false, description = "where the last page ended: its `next_cursor`"),
    ),
    responses((status = 200, body = Page<DroppedShown>)),
)]
pub async fn list(
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

/// Resends a dropped event
///
/// It moves from the dropped events to its lane's end; asked twice, it moves once, and the second answer is 404.
#[utoipa::path(
    post,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}/dropped/{event}/resend",
    operation_id = "resend_dropped",
    tag = "Dropped events",
    params(AtEvent),
    responses((status = 200, body = Resent)),
)]
pub async fn resend(State(api): State<Arc<Api>>, at: AtEvent) -> Result<Json<Resent>, Problem> {
    api.endpoint(&at.workspace, &at.endpoint).await?;
    api.need_plan(&at.workspace).await?;
    match api.resend_dropped(&at.workspace, &at.endpoint, &[at.event]).await? {
        0 => Err(Problem::new(
            Code::NotFound,
            "the event is not among the dropped ones; it may have been resent already",
        )),
        resent => Ok(Json(Resent { resent })),
    }
}

/// Recovers dropped events
///
/// All that were dropped in a span of time join their lanes' ends, in their old order. Where a request ends early, the same
/// one goes on where it was.
#[utoipa::path(
    post,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}/recover",
    operation_id = "recover_dropped",
    tag = "Dropped events",
    params(AtEndpoint),
    request_body = Recover,
    responses((status = 200, body = Resent)),
)]
pub async fn recover(
    State(api): State<Arc<Api>>,
    at: AtEndpoint,
    Body(recover): Body<Recover>,
) -> Result<Json<Resent>, Problem> {
    if recover.since.is_none() && recover.until.is_none() {
        return Err(Problem::with_field(Code::InvalidBody, "since", "is missing, and so is until; give one, or both"));
    }
    let since_ms = recover.since.map(|since| time::unix_ms("since", &since)).transpose()?;
    let until_ms = recover.until.map(|until| time::unix_ms("until", &until)).transpose()?;
    api.endpoint(&at.workspace, &at.endpoint).await?;
    api.need_plan(&at.workspace).await?;
    let span_ms = since_ms.unwrap_or(0)..until_ms.unwrap_or(u64::MAX);
    Ok(Json(Resent { resent: api.recover(&at.workspace, &at.endpoint, span_ms).await? }))
}

impl Api {
    /// Puts all events that were dropped in a span of Unix milliseconds into their lanes again, in their old order.
    /// Answers how many.
    pub async fn recover(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        span_ms: Range<u64>,
    ) -> Result<u64, Problem> {
        // What is dropped again meanwhile is behind the span's end, or this might never end.
        let span_ms = span_ms.start..span_ms.end.min(self.now_ms() + SKEW_MS);
        let (mut resent, mut after) = (0, None);
        loop {
            let step = self.store.dropped_span(workspace, endpoint, span_ms.clone(), after, STEP).await?;
            resent += self.resend_dropped(workspace, endpoint, &step.events).await?;
            after = step.next;
            if after.is_none() {
                return Ok(resent);
            }
        }
    }

    /// Moves dropped events into their lanes, in this order. Answers how many there still were.
    pub(super) async fn resend_dropped(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        events: &[EventId],
    ) -> Result<u64, Problem> {
        if events.is_empty() {
            return Ok(0);
        }
        let done = self.store.resend(workspace, endpoint, ResendFrom::Dropped, events).await?.done;
        let count = done.into_iter().filter(|done| *done).count() as u64;
        if count > 0 {
            self.signals.emit(&Signal::Resent { workspace, endpoint, count });
        }
        Ok(count)
    }
}
