//! What can happen, with names and samples.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Api;
use super::page::Page;
use crate::decide::event_types::KNOWN_EVENT_TYPES;
use crate::decide::ids::EventType;

/// An event type as it is shown. One of the installation's own has no names but its own, and no sample.
#[derive(Serialize)]
pub struct Shown {
    event_type: EventType,
    names: Names,
    sample: Option<&'static RawValue>,
}

#[derive(Serialize)]
struct Names {
    en: String,
    es: String,
}

/// `GET /v1/event-types`: the nine in the platform's order, then the others by name.
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
