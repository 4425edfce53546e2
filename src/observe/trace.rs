//! Traces (OpenTelemetry): an event's publishing, its way into the store, and each attempt, as spans of one trace.
//!
//! A span is made when it has ended, of what is known then, and handed to the SDK's batch processor, which never waits:
//! when the collector is away, spans are lost and nothing else is. Between the steps a trace travels as `traceparent`, in
//! the message and in the lane. Without an endpoint there is no tracer, and every question here is answered by one look
//! at an `Option`.
//!
//! Rejected: `tracing-opentelemetry`, whose spans are entered, kept in a registry and given random ids on the hot path; here
//! ids follow from the event (`decide::trace`), since another replica may have to take the same step again.

mod export;
mod span;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::trace::BatchSpanProcessor;

pub use self::export::ExportError;
use crate::clock::Clock;
use crate::config::{Sampler, Tracing};
use crate::decide::ids::{EventId, WorkspaceId};
use crate::decide::trace::Traceparent;

/// Where spans go, if anywhere. Cheap to clone.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Tracer>>);

struct Tracer {
    sampler: Sampler,
    /// What spans call the exchange of events.
    exchange: String,
    clock: Clock,
    processor: BatchSpanProcessor,
}

/// A span that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    parent: Option<Traceparent>,
    /// What the next step continues.
    pub context: Traceparent,
    /// Unix time.
    at: Duration,
}

impl Traces {
    /// Traces to a collector. To be called in the runtime that the process lives in, whose tasks send them; `instance` is
    /// the process's own name.
    pub fn start(tracing: &Tracing, exchange: &str, instance: &str, clock: Clock) -> Result<Self, ExportError> {
        let processor = export::processor(tracing, instance)?;
        let (sampler, exchange) = (tracing.sampler, exchange.to_owned());
        Ok(Self(Some(Arc::new(Tracer { sampler, exchange, clock, processor }))))
    }

    /// An event is about to be published: `parent` is the context of whoever asked for it.
    pub fn begin_publish(&self, parent: Option<Traceparent>) -> Option<Begun> {
        let tracer = self.0.as_ref()?;
        tracer.begin(parent, Traceparent::of(parent, rand::random(), rand::random()))
    }

    /// An event is about to be taken into the store.
    pub fn begin_append(&self, parent: Option<&str>, workspace: &WorkspaceId, event: &EventId) -> Option<Begun> {
        let tracer = self.0.as_ref()?;
        let parent = parent.and_then(Traceparent::parse);
        tracer.begin(parent, Traceparent::append(parent, workspace, event))
    }

    /// Sends what is left, and waits for it at most so long.
    pub fn finish(&self, limit: Duration) {
        use opentelemetry_sdk::trace::SpanProcessor;
        if let Some(tracer) = &self.0
            && let Err(error) = tracer.processor.shutdown_with_timeout(limit)
        {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

impl Tracer {
    fn begin(&self, parent: Option<Traceparent>, context: Traceparent) -> Option<Begun> {
        let sampled = self.sampler.samples(parent, context);
        sampled.then(|| Begun { parent, context: context.sampled(), at: self.clock.unix() })
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Traces({})", if self.0.is_some() { "on" } else { "off" })
    }
}
