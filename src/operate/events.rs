//! One event at an endpoint: what was sent, what came back, and once more on request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::attempts::{AttemptShown, Filter};
use super::path::AtEvent;
use super::{Api, Code, Problem, problem};
use crate::clock::rfc3339;
use crate::decide::ids::{EndpointId, EventId, EventType, WorkspaceId};
use crate::deliver::sent;
use crate::observe::signal::Signal;
use crate::store::lanes::Waiting;
use crate::store::records::{Attempt, ResendFrom};

/// Most attempts that are shown of one event.
const ATTEMPTS_MAX: usize = 1_000;

/// An event at an endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventShown {
    /// Its id.
    #[schema(value_type = String)]
    event_id: EventId,
    /// Its type.
    #[schema(value_type = String)]
    event_type: EventType,
    /// When it came, or was put into its lane again; null once its payload is no longer kept.
    #[schema(format = DateTime)]
    received_at: Option<String>,
    /// What is sent, byte for byte; null once it is no longer kept.
    #[schema(value_type = Option<Object>)]
    payload: Option<Box<RawValue>>,
    /// The headers of the newest attempt, by name; null before the first. Values of the endpoint's own are hidden, and
    /// signatures are left out once they cannot be told any more.
    headers: Option<BTreeMap<String, String>>,
    /// All attempts in the log, newest first.
    attempts: Vec<AttemptShown>,
}

/// What was put into lanes again.
#[derive(Serialize, ToSchema)]
pub struct Resent {
    /// How many events.
    pub resent: u64,
}

/// Shows an event at an endpoint
///
/// With its payload while that is kept, the headers as sent, and all its attempts.
#[utoipa::path(
    get,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}/events/{event}",
    operation_id = "get_event",
    tag = "Logs",
    params(AtEvent),
    responses((status = 200, body = EventShown)),
)]
pub async fn get(State(api): State<Arc<Api>>, at: AtEvent) -> Result<Json<EventShown>, Problem> {
    let config = api.endpoint(&at.workspace, &at.endpoint).await?.config;
    let (event, attempts) = api.event(&at.workspace, &at.endpoint, &at.event).await?.ok_or_else(Problem::no_event)?;
    let headers = attempts.first().map(|newest| {
        let headers = sent::headers(&at.endpoint, &newest.row, event.as_ref(), &config);
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
            .collect()
    });
    let event_type = event.as_ref().map(|event| &event.event_type).or(attempts.first().map(|row| &row.row.event_type));
    Ok(Json(EventShown {
        event_type: event_type.ok_or_else(Problem::no_event)?.clone(),
        event_id: at.event,
        received_at: event.as_ref().map(|event| rfc3339(event.at_ms)),
        payload: event.as_ref().and_then(|event| serde_json::from_slice(&event.body).ok()),
        headers,
        attempts: attempts.into_iter().map(AttemptShown::from).collect(),
    }))
}

/// Resends an event
///
/// It joins its lane's end, as a new round of attempts, while its payload is kept. A delivered event goes out once more; a
/// dropped one moves, and so is resent once.
#[utoipa::path(
    post,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}/events/{event}/resend",
    operation_id = "resend_event",
    tag = "Logs",
    params(AtEvent),
    responses(
        (status = 200, body = Resent),
        (status = 409, description = "`payload_gone`, or `conflict`: it is on its way already",
            body = problem::Body, content_type = "application/problem+json"),
    ),
)]
pub async fn resend(State(api): State<Arc<Api>>, at: AtEvent) -> Result<Json<Resent>, Problem> {
    api.endpoint(&at.workspace, &at.endpoint).await?;
    api.need_plan(&at.workspace).await?;
    api.resend_event(&at.workspace, &at.endpoint, at.event).await?;
    Ok(Json(Resent { resent: 1 }))
}

impl Api {
    /// What is known of an event at an endpoint: its payload, while it is kept, and its attempts, newest first. `None`
    /// when nothing is.
    pub async fn event(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        event: &EventId,
    ) -> Result<Option<(Option<Waiting>, Vec<Attempt>)>, Problem> {
        let payload = self.store.payload(workspace, endpoint, event).await?;
        let filter = Filter { event_id: Some(event.as_str()), ..Filter::default() };
        let attempts = self.attempts(workspace, endpoint, &filter, None, ATTEMPTS_MAX).await?;
        Ok((payload.is_some() || !attempts.is_empty()).then_some((payload, attempts)))
    }

    /// Puts an event whose payload is kept at the end of its lane once more.
    pub async fn resend_event(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        event: EventId,
    ) -> Result<(), Problem> {
        for from in [ResendFrom::Kept, ResendFrom::Dropped] {
            let resent = self.store.resend(workspace, endpoint, from, std::slice::from_ref(&event)).await?;
            if resent.done == [true] {
                self.signals.emit(&Signal::Resent { workspace, endpoint, count: 1 });
                return Ok(());
            }
        }
        // What is being tried has a payload, too.
        Err(match self.store.payload(workspace, endpoint, &event).await? {
            Some(_) => Problem::new(Code::Conflict, "the event is on its way already; wait for its attempts")
                .spanish("El evento ya está en camino; espere a sus intentos."),
            None => Problem::new(Code::PayloadGone, "the event's payload is not kept any more, if it ever was here")
                .spanish("El cuerpo del evento ya no se conserva, si alguna vez estuvo aquí."),
        })
    }
}
