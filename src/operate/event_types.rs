//! What can happen, with names and samples.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Api;
use super::page::Page;
use crate::decide::event_types::KNOWN_EVENT_TYPES;
use crate::decide::ids::EventType;

/// An event type as it is shown. One of the installation's own has no names but its own, and no sample.
#[derive(Serialize, ToSchema)]
#[schema(as = EventType)]
pub struct Shown {
    /// What it is called.
    #[schema(value_type = String)]
    event_type: EventType,
    /// What people call it.
    names: Names,
    /// An event of this type, as it is delivered.
    #[schema(value_type = Option<Object>)]
    sample: Option<&'static RawValue>,
}

/// Names for people.
#[derive(Serialize, ToSchema)]
struct Names {
    /// In English.
    en: String,
    /// In Spanish.
    es: String,
}

/// Lists the event types
///
/// The nine in the platform's order, then the installation's own by name.
#[utoipa::path(get, path = "/v1/event-types", operation_id = "list_event_types", tag = "Events", responses((status = 200, body = Page<Shown>)))]
pub async fn list(State(api): State<Arc<Api>>) -> Json<Page<Shown>> {
    let nine = KNOWN_EVENT_TYPES.iter().map(|known| Shown {
        event_type: EventType::trusted(known.event_type),
        names: Names { en: known.name_en.to_owned(), es: known.name_es.to_owned() },
        sample: serde_json::from_str(known.sample).ok(),
    });
    let is_known = |of: &EventType| KNOWN_EVENT_TYPES.iter().any(|known| known.event_type == of.as_str());
    let others = api.event_types.iter().filter(|of| !is_known(of)).map(|of| Shown {
        event_type: of.clone(),
        names: Names { en: of.to_string(), es: of.to_string() },
        sample: None,
    });
    Json(Page::whole(nine.chain(others).collect()))
}
