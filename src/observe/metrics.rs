//! The metrics of the contract, section 6: counted from signals, gauges set by who knows them.
//!
//! All series whose labels are known exist at 0 from the start, so that a first failure is a rise and not a birth,
//! which `rate()` would not see. Their handles are found once, here: what an event costs is some atomic additions.
//! Rejected: the `metrics` facade with global macros, which looks a series up by its labels each time, and keeps one
//! registry per process where tests want one each.

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::signal::{Signal, Tap};
use crate::decide::attempt::{Outcome, Reason};
use crate::decide::event::RejectReason;
use crate::decide::event_types::EventTypes;
use crate::decide::ids::EventType;
use crate::decide::notice::{Channel, DisableReason, DropReason};
use crate::store::StoreError;
use crate::store::records::EndpointStatus;

/// The media type of what [`Metrics::render`] answers.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Up to the default limit of an attempt and one bucket past it, fine where healthy endpoints are.
const ATTEMPT_BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 4.0, 5.0, 6.0];

/// From a healthy endpoint's milliseconds to a backlog's days.
const LATENCY_BUCKETS: [f64; 16] =
    [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0, 180.0, 1800.0, 21_600.0, 259_200.0];

/// From a pipelined reply to a server that hangs.
const STORE_BUCKETS: [f64; 14] =
    [0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The store's operations, sorted.
const OPERATIONS: [&str; 32] = [
    "append",
    "attempts",
    "beat",
    "claim",
    "commit",
    "delete_endpoint",
    "delete_workspace",
    "disable",
    "dropped",
    "due",
    "enable",
    "endpoint",
    "endpoints",
    "give_back",
    "intake",
    "leave",
    "memory",
    "notices",
    "payload",
    "persist",
    "put_endpoint",
    "put_workspace",
    "quota",
    "resend",
    "routing",
    "settle",
    "stats",
    "sweep",
    "wake",
    "wakes",
    "workspace",
    "workspaces",
];

const REASONS: [Reason; 7] =
    [Reason::Timeout, Reason::Dns, Reason::Connect, Reason::Tls, Reason::Protocol, Reason::Status, Reason::Blocked];

const DISABLE_REASONS: [DisableReason; 2] = [DisableReason::Quota, DisableReason::Manual];
const CHANNELS: [Channel; 2] = [Channel::Amqp, Channel::Mail];
const NOTICE_OUTCOMES: [&str; 3] = ["sent", "failed", "given_up"];
const POOLS: [&str; 3] = ["healthy", "suspect", "slow"];
const MEMORY_KINDS: [&str; 2] = ["used", "max"];
const STATUSES: [EndpointStatus; 3] = [EndpointStatus::Enabled, EndpointStatus::Disabled, EndpointStatus::Paused];

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
    received: ByEventType,
    routed: ByEventType,
    rejected: IntCounterVec,
    duplicate: IntCounter,
    unmatched: IntCounter,
    delivered: Attempts,
    failed: Vec<(Reason, IntCounter)>,
    failed_duration: Histogram,
    latency: Histogram,
    inflight: IntGaugeVec,
    dropped: Vec<(DropReason, IntCounter)>,
    disabled: IntCounterVec,
    notices: IntCounterVec,
    store_operations: HistogramVec,
    store_operation: Vec<Histogram>,
    store_memory: IntGaugeVec,
    store_connected: IntGauge,
    broker_connected: IntGauge,
    backlog_events: IntGauge,
    backlog_oldest: Gauge,
    backlog_oldest_enabled: Gauge,
    intake_stopped: IntGaugeVec,
    endpoints: IntGaugeVec,
}

struct Attempts {
    count: IntCounter,
    duration: Histogram,
}

impl Metrics {
    /// Metrics of their own registry, for these event types.
    pub fn new(types: &EventTypes) -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        let attempts = make.counters("delivery_attempts_total", "Attempts ended", &["outcome", "reason"]);
        let durations = make.histograms(
            "delivery_attempt_duration_seconds",
            "To status line or failure",
            "outcome",
            &ATTEMPT_BUCKETS,
        );
        let dropped = make.counters("events_dropped_total", "Events that left undelivered", &["reason"]);
        let store_operations =
            make.histograms("store_operation_duration_seconds", "To the store's answer", "operation", &STORE_BUCKETS);
        let metrics = Self {
            received: ByEventType::new(
                make.counters(
                    "events_received_total",
                    "Events from RabbitMQ, each counted once: when it is acknowledged",
                    &["event_type"],
                ),
                types,
            ),
            routed: ByEventType::new(
                make.counters("events_routed_total", "Events that all of their lanes hold", &["event_type"]),
                types,
            ),
            rejected: make.counters("events_rejected_total", "Messages that can never be delivered", &["reason"]),
            duplicate: make.counter("events_duplicate_total", "Events published again under an id seen before"),
            unmatched: make.counter("events_unmatched_total", "Events that no endpoint wants"),
            delivered: Attempts {
                count: attempts.with_label_values(&["delivered", ""]),
                duration: durations.with_label_values(&["delivered"]),
            },
            failed: REASONS.map(|reason| (reason, attempts.with_label_values(&["failed", reason.as_str()]))).to_vec(),
            failed_duration: durations.with_label_values(&["failed"]),
            latency: make.histogram("delivery_latency_seconds", "From received to delivered", &LATENCY_BUCKETS),
            inflight: make.gauges("deliveries_inflight", "Attempts under way", "pool"),
            dropped: DropReason::ALL.map(|reason| (reason, dropped.with_label_values(&[reason.as_str()]))).to_vec(),
            disabled: make.counters("endpoints_disabled_total", "Endpoints disabled", &["reason"]),
            notices: make.counters("notices_total", "Sendings of notices", &["channel", "outcome"]),
            store_operation: OPERATIONS.map(|operation| store_operations.with_label_values(&[operation])).to_vec(),
            store_operations,
            store_memory: make.gauges("store_memory_bytes", "The store's memory; max is 0 when unlimited", "kind"),
            store_connected: make.gauge("store_connected", "Whether the store answers"),
            broker_connected: make.gauge("broker_connected", "Whether RabbitMQ is connected"),
            backlog_events: make.gauge("backlog_events", "Events that wait, in this process's partitions"),
            backlog_oldest: make.register(Gauge::with_opts(options(
                "backlog_oldest_age_seconds",
                "Age of the oldest event that waits",
            ))),
            backlog_oldest_enabled: make.register(Gauge::with_opts(options(
                "backlog_oldest_enabled_age_seconds",
                "Age of the oldest event that waits for an enabled endpoint",
            ))),
            intake_stopped: make.gauges(
                "intake_stopped",
                "1 while a router holds events that the store does not take",
                "reason",
            ),
            endpoints: make.gauges("endpoints", "Endpoints, in this process's partitions", "status"),
            registry: registry.clone(),
        };
        make.gauges("build_info", "1, for this version", "version")
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        metrics.begin();
        metrics
    }

    /// Brings the other series with known labels to life.
    fn begin(&self) {
        for reason in RejectReason::ALL {
            self.rejected.with_label_values(&[reason.as_str()]);
        }
        for reason in DISABLE_REASONS {
            self.disabled.with_label_values(&[reason.as_str()]);
        }
        for channel in CHANNELS {
            for outcome in NOTICE_OUTCOMES {
                self.notices.with_label_values(&[channel.as_str(), outcome]);
            }
        }
        for pool in POOLS {
            self.inflight.with_label_values(&[pool]);
        }
        for status in STATUSES {
            self.endpoints.with_label_values(&[status.as_str()]);
        }
        for reason in StoreError::REASONS {
            self.intake_stopped.with_label_values(&[reason]);
        }
        for kind in MEMORY_KINDS {
            self.store_memory.with_label_values(&[kind]);
        }
    }

    /// The exposition that Prometheus scrapes.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.expect("writing to memory does not fail");
        text
    }

    fn store_operation(&self, operation: &str, seconds: f64) {
        match OPERATIONS.binary_search(&operation) {
            Ok(place) => self.store_operation[place].observe(seconds),
            Err(_) => self.store_operations.with_label_values(&[operation]).observe(seconds),
        }
    }
}

impl Tap for Metrics {
    fn see(&self, signal: &Signal<'_>) {
        match signal {
            Signal::Received { event_type } => self.received.count(event_type),
            Signal::Routed { event_type, .. } => self.routed.count(event_type),
            Signal::Duplicate { .. } => self.duplicate.inc(),
            Signal::Unmatched => self.unmatched.inc(),
            Signal::Rejected { reason, .. } => self.rejected.with_label_values(&[*reason]).inc(),
            Signal::Attempted { outcome: Outcome::Delivered, took, latency, .. } => {
                self.delivered.count.inc();
                self.delivered.duration.observe(took.as_secs_f64());
                if let Some(latency) = latency {
                    self.latency.observe(latency.as_secs_f64());
                }
            }
            Signal::Attempted { outcome: Outcome::Failed(reason), took, .. } => {
                add(&self.failed, reason, 1);
                self.failed_duration.observe(took.as_secs_f64());
            }
            Signal::Dropped { reason, count, .. } => add(&self.dropped, reason, *count),
            Signal::Disabled { reason, .. } => self.disabled.with_label_values(&[reason.as_str()]).inc(),
            Signal::Notice { channel, outcome, .. } => {
                self.notices.with_label_values(&[channel.as_str(), outcome]).inc()
            }
            Signal::Broker { connected, .. } => self.broker_connected.set(i64::from(*connected)),
            Signal::Store { connected, .. } => self.store_connected.set(i64::from(*connected)),
            Signal::Inflight { pool, count } => self.inflight.with_label_values(&[*pool]).set(whole(*count as u64)),
            Signal::Backlog { events, oldest, oldest_enabled } => {
                self.backlog_events.set(whole(*events));
                self.backlog_oldest.set(oldest.as_secs_f64());
                self.backlog_oldest_enabled.set(oldest_enabled.as_secs_f64());
            }
            Signal::Endpoints { status, count } => {
                self.endpoints.with_label_values(&[status.as_str()]).set(whole(*count));
            }
            Signal::Memory { used, max } => {
                self.store_memory.with_label_values(&["used"]).set(whole(*used));
                self.store_memory.with_label_values(&["max"]).set(whole(*max));
            }
            Signal::StoreOperation { operation, took } => self.store_operation(operation, took.as_secs_f64()),
            Signal::Intake { reason, .. } => {
                for of in StoreError::REASONS {
                    self.intake_stopped.with_label_values(&[of]).set(i64::from(*reason == Some(of)));
                }
            }
            Signal::Enabled { .. } | Signal::Resent { .. } | Signal::LeaseLost { .. } => {}
        }
    }
}

/// Counters by event type, sorted by its name.
struct ByEventType(Vec<(EventType, IntCounter)>);

impl ByEventType {
    fn new(counters: IntCounterVec, types: &EventTypes) -> Self {
        Self(types.iter().map(|of| (of.clone(), counters.with_label_values(&[of.as_str()]))).collect())
    }

    /// Counts one. A type that is not accepted was rejected before it comes here.
    fn count(&self, event_type: &EventType) {
        if let Ok(place) = self.0.binary_search_by(|(of, _)| of.cmp(event_type)) {
            self.0[place].1.inc();
        }
    }
}

fn add<K: PartialEq>(counters: &[(K, IntCounter)], key: &K, count: u64) {
    if let Some((_, counter)) = counters.iter().find(|(of, _)| of == key) {
        counter.inc_by(count);
    }
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("recadero")
}

/// Makes metrics and registers them. Names are fixed in this file, so a wrong or doubled one fails every test.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn register<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric = metric.expect("the names in this file are valid");
        self.0.register(Box::new(metric.clone())).expect("the names in this file are given once");
        metric
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::with_opts(options(name, help)))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(options(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::with_opts(options(name, help)))
    }

    fn gauges(&self, name: &str, help: &str, label: &str) -> IntGaugeVec {
        self.register(IntGaugeVec::new(options(name, help), &[label]))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::from(options(name, help)).buckets(buckets.to_vec())))
    }

    fn histograms(&self, name: &str, help: &str, label: &str, buckets: &[f64]) -> HistogramVec {
        self.register(HistogramVec::new(HistogramOpts::from(options(name, help)).buckets(buckets.to_vec()), &[label]))
    }
}

#[cfg(test)]
mod tests;
