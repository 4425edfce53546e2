//! A test event: one sample to one endpoint, now.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use utoipa::openapi::{ObjectBuilder, Type};
use uuid::Uuid;

use super::attempts::AttemptShown;
use super::body::Body;
use super::path::AtEndpoint;
use super::{Api, Code, Problem};
use crate::decide::event_types::{KNOWN_EVENT_TYPES, KnownEventType};
use crate::decide::ids::{EndpointId, EventId, EventType, LaneId, WorkspaceId};
use crate::deliver::probe::probe;
use crate::store::lanes::Waiting;
use crate::store::records::Attempt;

/// Test events under way at once; one more is refused, so that endpoints that hang do not take all of the API's places.
const AT_ONCE_MAX: usize = 32;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

/// What to send.
#[derive(Deserialize, ToSchema)]
#[schema(as = TestEvent)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// One of the nine event types; `GET /v1/event-types` shows their samples.
    #[schema(schema_with = nine)]
    event_type: String,
}

fn nine() -> utoipa::openapi::Object {
    let names = KNOWN_EVENT_TYPES.iter().map(|known| known.event_type);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build()
}

/// Sends a test event
///
/// One sample of an event type goes to the endpoint now, signed like any other, whether or not it is enabled. It takes no
/// part in the order, has no second attempt, stands in no log, and does not count in the error quota.
#[utoipa::path(
    post,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}/test",
    operation_id = "test_endpoint",
    tag = "Endpoints",
    params(AtEndpoint),
    request_body = Sample,
    responses((status = 200, description = "what came of it", body = AttemptShown)),
)]
pub async fn send(
    State(api): State<Arc<Api>>,
    at: AtEndpoint,
    Body(sample): Body<Sample>,
) -> Result<Json<AttemptShown>, Problem> {
    let attempt = api.send_sample(&at.workspace, &at.endpoint, &sample.event_type).await?;
    Ok(Json(attempt.into()))
}

impl Api {
    /// Sends one sample to an endpoint now, and tells what came of it.
    pub async fn send_sample(
        &self,
        workspace: &WorkspaceId,
        id: &EndpointId,
        event_type: &str,
    ) -> Result<Attempt, Problem> {
        let known = KNOWN_EVENT_TYPES.iter().find(|known| known.event_type == event_type).ok_or_else(|| {
            let sentence = format!("there is no sample of {event_type:?}; GET /v1/event-types shows those there are");
            Problem::with_field(Code::InvalidEventType, "event_type", sentence)
                .in_console(format!("there is no sample of {event_type:?}"))
                .spanish(format!("No hay ninguna muestra de {event_type:?}."))
        })?;
        let endpoint = self.endpoint(workspace, id).await?;
        self.need_plan(workspace).await?;
        let _place = PLACES.try_acquire().map_err(|_| {
            Problem::new(Code::Overloaded, "too many test events are under way; try again in a few seconds")
                .spanish("Hay demasiados eventos de prueba en camino; inténtelo de nuevo en unos segundos.")
        })?;
        let lane = LaneId { workspace: workspace.clone(), endpoint: id.clone(), layout: 0, index: 0 };
        let (sender, event, now) = (self.sender.clone(), event(known, self.now_ms()), self.clock.unix());
        let row = probe(sender, self.policy.success, lane, endpoint, event, now).await;
        Ok(Attempt { number: 0, at_ms: self.now_ms(), next_attempt_ms: None, row })
    }
}

/// A sample with an id of its own, so that no receiver takes it for one it had before.
fn event(known: &KnownEventType, at_ms: u64) -> Waiting {
    let id = EventId::trusted(format!("test-{}", Uuid::new_v4()));
    let event_type = EventType::trusted(known.event_type);
    let body = Bytes::from(known.with_id(&id));
    Waiting { id, event_type, contact: None, traceparent: None, at_ms, resend: false, body }
}
