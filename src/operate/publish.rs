//! Events in over HTTP, for publishers without AMQP (contract, section 2).
//!
//! The body goes to RabbitMQ as it came, and takes the same way from there: same checks, same order, same dedupe. What the
//! router would reject is refused here already, where somebody reads the answer. The plan is not asked for: to publish is
//! the platform's, and a workspace without webhooks simply has no endpoint that wants the event.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::idempotency::IdempotencyKey;
use super::path::InWorkspace;
use super::{Api, Code, Problem};
use crate::consume::{Outgoing, TRACEPARENT_HEADER};
use crate::decide::event::{Header, Published, RejectReason, Rejection, decode};
use crate::decide::ids::{EventId, WorkspaceId};
use crate::decide::json::{self, Field};
use crate::decide::trace::Traceparent;

/// How long RabbitMQ may take, less than a request may.
const CONFIRM_WAIT_MAX: Duration = Duration::from_secs(15);

/// An event: any fields besides these.
#[derive(ToSchema)]
#[schema(as = NewEvent)]
pub struct Event {
    /// What happened.
    #[schema(example = "message.sent")]
    #[expect(dead_code, reason = "the shape of a body that is passed on as it is")]
    event_type: String,
    /// The publisher's id for it; made if absent.
    #[schema(pattern = "^[!-\\-/-~]{1,128}$")]
    #[expect(dead_code, reason = "the shape of a body that is passed on as it is")]
    event_id: Option<String>,
}

/// What RabbitMQ has.
#[derive(Serialize, ToSchema)]
#[schema(as = PublishedEvent)]
pub struct Accepted {
    /// The event's id.
    #[schema(value_type = String)]
    event_id: EventId,
}

/// Publishes an event
///
/// Answers once RabbitMQ has confirmed it. The same `event_id` again, or the same `Idempotency-Key` where the event has
/// none, is delivered once within the dedupe window. A `traceparent` is continued.
#[utoipa::path(
    post,
    path = "/v1/workspaces/{workspace}/events",
    operation_id = "publish_event",
    tag = "Events",
    params(InWorkspace, ("Idempotency-Key" = Option<String>, Header, nullable = false, pattern = "^[!-~]{1,255}$")),
    request_body = Event,
    responses((status = 202, body = Accepted)),
)]
pub async fn publish(
    State(api): State<Arc<Api>>,
    InWorkspace(workspace): InWorkspace,
    key: IdempotencyKey,
    headers: HeaderMap,
    request: Request,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let body = Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(api.event_bytes_max),
        _ => Problem::new(Code::InvalidBody, "the body could not be read to its end"),
    })?;
    let traceparent = headers.get(TRACEPARENT_HEADER).and_then(|value| value.to_str().ok());
    let event_id = api.publish(&workspace, body, key.event_id(&workspace), traceparent).await?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { event_id })))
}

impl Api {
    /// Publishes a body as an event of a workspace, and waits until RabbitMQ has confirmed it. `id` is for one that has
    /// none of its own; without either, one is made.
    pub async fn publish(
        &self,
        workspace: &WorkspaceId,
        body: Bytes,
        id: Option<EventId>,
        traceparent: Option<&str>,
    ) -> Result<EventId, Problem> {
        if body.len() > self.event_bytes_max {
            return Err(too_large(self.event_bytes_max));
        }
        let (event_type, own_id) = named(&body)?;
        let made = own_id.is_none().then(|| id.unwrap_or_else(|| EventId::trusted(Uuid::new_v4().to_string())));
        let published = Published {
            routing_key: &event_type,
            body: &body,
            message_id: made.as_ref().map(EventId::as_str),
            workspace_id: Header::Text(workspace.as_str()),
            contact_id: Header::Absent,
            traceparent,
        };
        let event = decode(&published, &self.event_types, self.event_bytes_max).map_err(refused)?;
        // As it came, not as it is delivered: completed with its id, it could be larger than is taken.
        let mut message = Outgoing::event(&self.exchange, workspace, &event.event_type, Some(&event.id), body);
        let traces = self.signals.traces();
        let span = traces.begin_publish(event.traceparent.as_deref().and_then(Traceparent::parse));
        let context = span.map(|span| span.context.to_string());
        if let Some(traceparent) = context.as_deref().or(event.traceparent.as_deref()) {
            message = message.with_header(TRACEPARENT_HEADER, traceparent);
        }
        let published = tokio::time::timeout(CONFIRM_WAIT_MAX, self.publisher.publish(vec![message])).await;
        let error = match &published {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some("broker_unavailable"),
            Err(_) => Some("timed_out"),
        };
        traces.published(span, (&event).into(), error);
        match published {
            Ok(published) => published?,
            Err(_) => return Err(Problem::new(Code::BrokerUnavailable, "RabbitMQ did not confirm in time; try again")),
        }
        Ok(event.id)
    }
}

/// The body's event type, and its id, if it has one.
fn named(body: &[u8]) -> Result<(String, Option<String>), Problem> {
    let document = json::compact(body).map_err(|error| Problem::new(Code::InvalidBody, error.to_string()))?;
    let event_type = match document.event_type() {
        Field::Text(text) => text.into_owned(),
        Field::Absent => return Err(Problem::with_field(Code::InvalidBody, "event_type", "is missing")),
        _ => return Err(Problem::with_field(Code::InvalidBody, "event_type", "must be a string")),
    };
    let id = match document.event_id() {
        Field::Text(text) => Some(text.into_owned()),
        Field::Absent | Field::Null => None,
        // Not ours to judge: decoding does.
        Field::Number(_) | Field::Other => Some(String::new()),
    };
    Ok((event_type, id))
}

/// Why a body is no event, for the one who sent it.
fn refused(rejection: Rejection) -> Problem {
    let Rejection { reason, detail } = rejection;
    match reason {
        RejectReason::TooLarge => Problem::new(Code::TooLarge, detail),
        RejectReason::UnknownEventType => Problem::with_field(Code::InvalidEventType, "event_type", detail),
        RejectReason::EventTypeMismatch => Problem::with_field(Code::InvalidBody, "event_type", detail),
        RejectReason::InvalidEventId | RejectReason::MissingEventId | RejectReason::EventIdMismatch => {
            Problem::with_field(Code::InvalidBody, "event_id", detail)
        }
        _ => Problem::new(Code::InvalidBody, detail),
    }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Code::TooLarge, format!("the body is larger than {bytes_max} bytes"))
}
