//! The AMQP side as a document (AsyncAPI 3; contract, sections 2 and 4), for generators and catalogues.
//!
//! It is made of what the code uses: names from `consume`, words from `decide`, an outcome's shape from the type that is
//! published, an event's from its sample. So it can say nothing that is not so; what a sample cannot tell (that a field
//! may be absent) it leaves open, as the service does: unknown fields pass through, and none but these has to be there.
//!
//! Rejected: a crate for AsyncAPI. What there is knows version 2, and `serde_json` writes a document well enough.

mod shape;

use serde_json::{Map, Value, json};
use utoipa::PartialSchema;

use self::shape::shape;
use crate::consume::topology::EVENTS;
use crate::consume::{
    CONTACT_HEADER, DETAIL_HEADER, EXPIRATION_HEADER, OMITTED_HEADER, OUTCOMES, REASON_HEADER, REJECTED,
    TRACEPARENT_HEADER, USER_HEADER, WORKSPACE_HEADER,
};
use crate::decide::event::RejectReason;
use crate::decide::event_types::{KNOWN_EVENT_TYPES, KnownEventType};
use crate::decide::ids::{EVENT_ID_PATTERN, NAME_PATTERN};
use crate::decide::notice::{DisableReason, DropReason, NoticeKind};
use crate::notify::outcome::{Outcome, sample};

/// The version of AsyncAPI's bindings for AMQP 0-9-1.
const BINDING: &str = "0.3.0";

/// W3C Trace Context, version 00.
const TRACEPARENT_PATTERN: &str = "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$";

const DESCRIPTION: &str = "Webhooks in order: the events that upstream services publish to RabbitMQ, and what comes back there.

Publish persistent (`delivery_mode` 2), mandatory, and with publisher confirms. An event that RabbitMQ confirmed is delivered to every \
endpoint that wants it, in order, or visibly dropped. Names are those of an installation that changes none.";

/// The document.
pub fn document() -> Value {
    let (mut messages, mut schemas) = (Map::new(), Map::new());
    for known in &KNOWN_EVENT_TYPES {
        messages.insert(known.event_type.to_owned(), event_message(known));
        schemas.insert(known.event_type.to_owned(), event_schema(known));
    }
    for kind in NoticeKind::ALL {
        messages.insert(kind.as_str().to_owned(), outcome_message(kind));
    }
    messages.insert(REJECTED.to_owned(), rejected_message());
    schemas.insert("EventHeaders".to_owned(), event_headers());
    schemas.insert("RejectedHeaders".to_owned(), rejected_headers());
    schemas.insert("Outcome".to_owned(), serde_json::to_value(Outcome::schema()).expect("a schema is JSON"));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Recadero",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"rabbitmq": {
            "host": "127.0.0.1:5672",
            "pathname": "/%2f",
            "protocol": "amqp",
            "protocolVersion": "0.9.1",
            "description": "RabbitMQ (`RECADERO_AMQP_URL`)",
        }},
        "channels": channels(),
        "operations": operations(),
        "components": {"messages": messages, "schemas": schemas},
    })
}

fn channels() -> Value {
    let topic = |name: &str| json!({"amqp": {"is": "routingKey", "exchange": exchange(name, "topic"), "bindingVersion": BINDING}});
    let queue = json!({"name": REJECTED, "durable": true, "exclusive": false, "autoDelete": false, "vhost": "/"});
    let event_types = KNOWN_EVENT_TYPES.map(|known| known.event_type);
    let kinds = NoticeKind::ALL.map(NoticeKind::as_str);
    json!({
        "events": {
            "address": "{event_type}",
            "title": "Events in",
            "description": format!("The topic exchange `{EVENTS}`. What is bound to it is Recadero's: queues with one active consumer."),
            "parameters": {"event_type": {
                "description": "The event's type: one of these, or of `RECADERO_EXTRA_EVENT_TYPES`.",
                "enum": event_types,
            }},
            "messages": refs("components/messages", &event_types),
            "bindings": topic(EVENTS),
        },
        "outcomes": {
            "address": "{type}",
            "title": "What happened",
            "description": format!("The topic exchange `{OUTCOMES}`. Bind a queue of your own to hear; nobody has to."),
            "parameters": {"type": {"description": "What happened.", "enum": kinds}},
            "messages": refs("components/messages", &kinds),
            "bindings": topic(OUTCOMES),
        },
        "rejected": {
            "address": REJECTED,
            "title": "What can never be delivered",
            "description": format!(
                "The fanout exchange `{REJECTED}` and the quorum queue of the same name. `recadero rejected` lists and replays it."
            ),
            "messages": refs("components/messages", &[REJECTED]),
            "bindings": {"amqp": {"is": "queue", "queue": queue, "bindingVersion": BINDING}},
        },
    })
}

fn operations() -> Value {
    let persistent = json!({"amqp": {"deliveryMode": 2, "mandatory": true, "bindingVersion": BINDING}});
    let nobody_has_to_hear = json!({"amqp": {"deliveryMode": 2, "mandatory": false, "bindingVersion": BINDING}});
    let operation = |action: &str, channel: &str, summary: &str, bindings: &Value| json!({"action": action, "channel": {"$ref": format!("#/channels/{channel}")}, "summary": summary, "bindings": bindings});
    json!({
        "receiveEvent": operation(
            "receive", "events",
            "Takes an event, and acknowledges it once every lane that it belongs to holds it. The same id again within \
             `RECADERO_DEDUPE_WINDOW` is not delivered again.",
            &persistent,
        ),
        "sendOutcome": operation(
            "send", "outcomes",
            "Tells what happened, at least once, always with the same `message_id`.",
            &nobody_has_to_hear,
        ),
        "sendRejected": operation(
            "send", "rejected",
            "Sets aside what can never be delivered, with its properties and body unchanged.",
            &persistent,
        ),
    })
}

fn event_message(known: &KnownEventType) -> Value {
    json!({
        "name": known.event_type,
        "title": known.name_en,
        "summary": format!("{} ({}). People use it to {}.", known.name_en, known.name_es, known.used_to),
        "contentType": "application/json",
        "headers": schema_ref("EventHeaders"),
        "payload": schema_ref(known.event_type),
        "bindings": message_binding(known.event_type),
        "examples": [{
            "headers": {WORKSPACE_HEADER: "acme"},
            "payload": sample_of(known),
        }],
        "x-amqp-properties": {
            "message_id": {
                "description": "The event's id. Optional when the body has `event_id`; the two must agree.",
                "type": "string", "pattern": EVENT_ID_PATTERN,
            },
            "delivery_mode": {"const": 2},
        },
    })
}

fn event_schema(known: &KnownEventType) -> Value {
    let mut schema = shape(&sample_of(known));
    schema["title"] = known.name_en.into();
    schema["properties"]["event_type"] =
        json!({"description": "Added last where it is absent.", "const": known.event_type});
    schema["properties"]["event_id"] = json!({
        "description": "Added last, from the property `message_id`, where it is absent.",
        "type": "string", "pattern": EVENT_ID_PATTERN,
    });
    schema
}

fn event_headers() -> Value {
    json!({
        "type": "object",
        "required": [WORKSPACE_HEADER],
        "properties": {
            WORKSPACE_HEADER: {
                "description": "Whose event it is. With several queues every publisher of a workspace uses the same type.",
                "oneOf": [{"type": "string", "pattern": NAME_PATTERN}, {"type": "integer"}],
            },
            CONTACT_HEADER: {
                "description": "Whom it is about, where an endpoint has several lanes; else the body's `contact.id`.",
                "type": ["string", "integer"],
            },
            TRACEPARENT_HEADER: {
                "description": "W3C Trace Context; deliveries continue it.",
                "type": "string", "pattern": TRACEPARENT_PATTERN,
            },
        },
    })
}

fn rejected_message() -> Value {
    json!({
        "name": REJECTED,
        "title": "Rejected message",
        "summary": "A message that is no event: body, routing key and properties as they were published, and why.",
        "contentType": "application/octet-stream",
        "headers": schema_ref("RejectedHeaders"),
        "payload": {"description": "Any bytes."},
        "bindings": message_binding(REJECTED),
        "examples": [{"headers": {
            REASON_HEADER: RejectReason::MissingWorkspaceId.as_str(),
            DETAIL_HEADER: "there is no header workspace_id",
        }}],
    })
}

fn rejected_headers() -> Value {
    let text = |description: &str| json!({"description": description, "type": "string"});
    json!({
        "description": "The published message's own headers, and these.",
        "type": "object",
        "required": [REASON_HEADER, DETAIL_HEADER],
        "properties": {
            REASON_HEADER: {
                "description": "Why, in a word; checked in this order.",
                "enum": RejectReason::ALL.map(RejectReason::as_str),
            },
            DETAIL_HEADER: text("Why, in one line for a person."),
            USER_HEADER: text("The published message's `user_id`."),
            EXPIRATION_HEADER: text("The published message's `expiration`."),
            OMITTED_HEADER: text("Names of headers for which a frame had no room."),
        },
    })
}

fn outcome_message(kind: NoticeKind) -> Value {
    let (summary, reasons) = match kind {
        NoticeKind::Disabled => {
            ("An endpoint was disabled.", vec![DisableReason::Quota.as_str(), DisableReason::Manual.as_str()])
        }
        NoticeKind::Enabled => ("An endpoint was enabled again.", vec![DisableReason::Manual.as_str()]),
        NoticeKind::Warning => ("Failures rose past half of the quota.", vec![DisableReason::Quota.as_str()]),
        NoticeKind::Dropped => (
            "An event left undelivered; or several, counted, within a minute.",
            DropReason::ALL.into_iter().filter(|reason| reason.is_told()).map(DropReason::as_str).collect(),
        ),
    };
    let payload: Value = serde_json::from_slice(&sample(kind, reasons[0])).expect("what is published is JSON");
    json!({
        "name": kind.as_str(),
        "title": kind.as_str(),
        "summary": summary,
        "contentType": "application/json",
        "payload": {"allOf": [
            schema_ref("Outcome"),
            {"properties": {"type": {"const": kind.as_str()}, "reason": {"enum": reasons}}},
        ]},
        "bindings": message_binding(kind.as_str()),
        "examples": [{"payload": payload}],
        "x-amqp-properties": {"message_id": {"description": "The same whenever it is sent again.", "type": "string"}},
    })
}

fn exchange(name: &str, kind: &str) -> Value {
    json!({"name": name, "type": kind, "durable": true, "autoDelete": false, "vhost": "/"})
}

fn message_binding(message_type: &str) -> Value {
    json!({"amqp": {"messageType": message_type, "bindingVersion": BINDING}})
}

fn schema_ref(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// References to components, by their names.
fn refs(place: &str, names: &[&str]) -> Map<String, Value> {
    names.iter().map(|name| ((*name).to_owned(), json!({"$ref": format!("#/{place}/{name}")}))).collect()
}

fn sample_of(known: &KnownEventType) -> Value {
    serde_json::from_str(known.sample).expect("a test reads each sample")
}
