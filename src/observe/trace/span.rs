//! What spans say, by OpenTelemetry's semantic conventions for messaging (RabbitMQ) and HTTP clients.
//!
//! Never an endpoint's path or query, a header, or a body: they are the customer's. So `url.full`, which the conventions
//! ask for, is left out; `server.address` says where an attempt went.

use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks, SpanProcessor};
use url::Url;

use super::{Begun, Tracer, Traces};
use crate::decide::attempt::{Answer, Attempted, Outcome};
use crate::decide::event::Event;
use crate::decide::ids::{EventId, EventType, WorkspaceId};
use crate::decide::trace::Traceparent;
use crate::store::lanes::Lease;

/// What a message on its way is, for its spans.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Whose.
    pub workspace: &'a WorkspaceId,
    /// Which.
    pub event: &'a EventId,
    /// Its type.
    pub event_type: &'a EventType,
    /// Bytes of its body.
    pub bytes: usize,
}

impl<'a> From<&'a Event> for About<'a> {
    fn from(event: &'a Event) -> Self {
        let Event { id, event_type, workspace, body, .. } = event;
        Self { workspace, event: id, event_type, bytes: body.len() }
    }
}

/// One kind of step.
struct Step {
    kind: SpanKind,
    name: String,
    attributes: Vec<KeyValue>,
    /// What `error.type` says, where it failed.
    error: Option<String>,
}

impl Traces {
    /// The publishing that was begun has ended; `error` is a word for why it failed.
    pub fn published(&self, begun: Option<Begun>, about: About<'_>, error: Option<&'static str>) {
        let (Some(tracer), Some(begun)) = (&self.0, begun) else { return };
        let exchange = &tracer.exchange;
        let mut attributes = message(about);
        attributes.extend([
            KeyValue::new("messaging.operation.name", "publish"),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.destination.name", format!("{exchange}:{}", about.event_type)),
        ]);
        let (name, error) = (format!("publish {exchange}"), error.map(str::to_owned));
        tracer.end(begun, tracer.clock.unix(), Step { kind: SpanKind::Producer, name, attributes, error });
    }

    /// The store has the event, in so many lanes, and RabbitMQ's copy is acknowledged.
    pub fn appended(&self, begun: Option<Begun>, about: About<'_>, queue: usize, lanes: usize) {
        let (Some(tracer), Some(begun)) = (&self.0, begun) else { return };
        let exchange = &tracer.exchange;
        let queue = format!("{exchange}.{queue}");
        let mut attributes = message(about);
        attributes.extend([
            KeyValue::new("messaging.operation.name", "append"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.destination.name", format!("{exchange}:{}:{queue}", about.event_type)),
            KeyValue::new("recadero.lanes", whole(lanes)),
        ]);
        let name = format!("append {queue}");
        tracer.end(begun, tracer.clock.unix(), Step { kind: SpanKind::Consumer, name, attributes, error: None });
    }

    /// An attempt has ended; `at` is when it began, as it was signed.
    pub fn attempted(&self, lease: &Lease, attempted: &Attempted, outcome: Outcome, at: Duration) {
        let Some(tracer) = &self.0 else { return };
        let event = &lease.event;
        let Some(parent) = event.traceparent.as_deref().and_then(Traceparent::parse) else { return };
        if !parent.is_sampled() {
            return;
        }
        let context = parent.attempt(&lease.lane.endpoint, &event.id, lease.attempt, at);
        let (workspace, event_type) = (&lease.lane.workspace, &event.event_type);
        let mut attributes = vec![
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("http.request.body.size", whole(event.body.len())),
            KeyValue::new("messaging.message.id", event.id.to_string()),
            KeyValue::new("recadero.event_type", event_type.to_string()),
            KeyValue::new("recadero.workspace", workspace.to_string()),
            KeyValue::new("recadero.endpoint", lease.lane.endpoint.to_string()),
            KeyValue::new("recadero.attempt", i64::from(lease.attempt)),
        ];
        if lease.attempt > 1 {
            attributes.push(KeyValue::new("http.request.resend_count", i64::from(lease.attempt - 1)));
        }
        if let Ok(url) = Url::parse(&lease.config.url) {
            attributes.push(KeyValue::new("url.scheme", url.scheme().to_owned()));
            attributes.extend(url.host_str().map(|host| KeyValue::new("server.address", host.to_owned())));
            attributes.extend(url.port_or_known_default().map(|port| KeyValue::new("server.port", i64::from(port))));
        }
        let mut error = match outcome {
            Outcome::Delivered => None,
            Outcome::Failed(reason) => Some(reason.as_str().to_owned()),
        };
        if let Answer::Status { status, .. } = &attempted.answer {
            attributes.push(KeyValue::new("http.response.status_code", i64::from(*status)));
            error = error.map(|_| status.to_string());
        }
        let begun = Begun { parent: Some(parent), context, at };
        let step = Step { kind: SpanKind::Client, name: "POST".to_owned(), attributes, error };
        tracer.end(begun, at + attempted.took, step);
    }
}

impl Tracer {
    fn end(&self, begun: Begun, ended: Duration, step: Step) {
        let Begun { parent, context, at } = begun;
        let Step { kind, name, mut attributes, error } = step;
        let status = match &error {
            None => Status::Unset,
            Some(error) => Status::error(error.clone()),
        };
        attributes.extend(error.map(|error| KeyValue::new("error.type", error)));
        self.processor.on_end(SpanData {
            span_context: SpanContext::new(
                TraceId::from(context.trace()),
                SpanId::from(context.span()),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: parent.map_or(SpanId::INVALID, |parent| SpanId::from(parent.span())),
            parent_span_is_remote: parent.is_some(),
            span_kind: kind,
            name: name.into(),
            start_time: UNIX_EPOCH + at,
            end_time: UNIX_EPOCH + ended.max(at),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: InstrumentationScope::builder("recadero")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        });
    }
}

fn message(about: About<'_>) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "rabbitmq"),
        KeyValue::new("messaging.message.id", about.event.to_string()),
        KeyValue::new("messaging.message.body.size", whole(about.bytes)),
        KeyValue::new("messaging.rabbitmq.destination.routing_key", about.event_type.to_string()),
        KeyValue::new("recadero.workspace", about.workspace.to_string()),
    ]
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
