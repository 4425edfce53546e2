//! Signals as log lines: a message that can be read alone, and fields that can be queried. Never a payload, a URL or
//! a secret.
//!
//! What happens to every event is `debug` or `trace`, so that `info` grows with what people do and with what goes
//! wrong, not with traffic. What an operator should look at is `warn`; what is lost for good without being asked to,
//! `error`.

use std::io::IsTerminal;

use tracing::{debug, error, info, trace, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::signal::{Signal, Tap};
use crate::config::{Log, LogFormat};
use crate::decide::attempt::Outcome;
use crate::decide::notice::{DisableReason, DropReason};

/// Why logging could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not well written.
    #[error("the filter is not well written: {0}")]
    Filter(#[from] ParseError),
    /// Somebody began it before.
    #[error("logging was begun before: {0}")]
    Begun(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// lapin logs every error that it also returns, some twice. It is told where it is handled, and once for as long as it lasts;
/// often enough it was the answer looked for: that a queue is not there. A filter that names lapin gets these lines.
const TOLD_BY_US: &str = "lapin=off";

/// Begins to write log lines to stderr, for the whole process; standard output is for what a command was asked for.
pub fn init(log: &Log) -> Result<(), LogError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(&log.filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let begun = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        LogFormat::Text => lines.try_init(),
    };
    begun.map_err(LogError::Begun)
}

fn filter(given: &str) -> Result<EnvFilter, ParseError> {
    match given.contains("lapin") {
        true => EnvFilter::try_new(given),
        false => EnvFilter::try_new(format!("{given},{TOLD_BY_US}")),
    }
}

/// Writes signals to the log.
#[derive(Clone, Copy, Default, Debug)]
pub struct LogTap;

impl Tap for LogTap {
    fn see(&self, signal: &Signal<'_>) {
        match signal {
            Signal::Received { event_type } => trace!(%event_type, "event received"),
            Signal::Routed { event_type, workspace, event, lanes } => {
                debug!(%workspace, %event, %event_type, lanes, "event routed");
            }
            Signal::Duplicate { workspace, event } => {
                debug!(%workspace, %event, "event seen before; not delivered again")
            }
            Signal::Unmatched => trace!("event that no endpoint wants"),
            Signal::Rejected { reason, detail } => warn!(reason, detail, "message rejected"),
            Signal::Attempted { outcome: Outcome::Delivered, .. } => delivered(signal),
            Signal::Attempted { .. } => failed(signal),
            Signal::Dropped { reason, count, endpoint } => dropped(*reason, *count, endpoint.map(|id| id.as_str())),
            Signal::Disabled { workspace, endpoint, reason: DisableReason::Quota } => {
                warn!(%workspace, %endpoint, reason = "quota", "endpoint disabled: it exceeded the error quota");
            }
            Signal::Disabled { workspace, endpoint, reason: DisableReason::Manual } => {
                info!(%workspace, %endpoint, reason = "manual", "endpoint disabled by hand");
            }
            Signal::Enabled { workspace, endpoint } => info!(%workspace, %endpoint, "endpoint enabled"),
            Signal::Resent { workspace, endpoint, count } => info!(%workspace, %endpoint, count, "events resent"),
            Signal::LeaseLost { lane } => {
                warn!(%lane, "lease lost before the outcome was recorded; the attempt may repeat");
            }
            Signal::Notice { id, channel, outcome: "sent", .. } => debug!(notice = id, %channel, "notice sent"),
            Signal::Notice { id, channel, outcome: "given_up", detail } => {
                error!(notice = id, %channel, detail, "notice given up");
            }
            Signal::Notice { id, channel, detail, .. } => {
                warn!(notice = id, %channel, detail, "notice not sent; it will be tried again")
            }
            Signal::Broker { connected: true, .. } => info!("RabbitMQ connected"),
            Signal::Broker { connected: false, detail } => {
                warn!(detail, "RabbitMQ is not there; events stay in its queues until it is");
            }
            Signal::Intake { flows: true, .. } => info!("the store takes events"),
            Signal::Intake { flows: false, reason, detail } => {
                warn!(
                    reason,
                    detail, "intake pauses: the store does not take events; they stay in RabbitMQ until it does"
                );
            }
            Signal::Store { connected: true, .. } => info!("store connected"),
            Signal::Store { connected: false, detail } => {
                warn!(detail, "the store is not there; events stay in RabbitMQ until it is");
            }
            Signal::Inflight { .. } | Signal::Backlog { .. } | Signal::Endpoints { .. } | Signal::Memory { .. } => {}
            Signal::StoreOperation { operation, took } => {
                trace!(operation, took_us = micros(*took), "store operation answered");
            }
        }
    }
}

fn delivered(signal: &Signal<'_>) {
    let Signal::Attempted { lane, event, event_type, attempt, status, took, latency, .. } = signal else { return };
    let latency_ms = latency.map(millis);
    debug!(%lane, %event, %event_type, attempt, status, took_ms = millis(*took), latency_ms, "event delivered");
}

fn failed(signal: &Signal<'_>) {
    let Signal::Attempted { lane, event, event_type, attempt, outcome, status, took, retry_in, .. } = signal else {
        return;
    };
    let Outcome::Failed(reason) = outcome else { return };
    let (took_ms, retry_in_ms) = (millis(*took), retry_in.map(millis));
    info!(%lane, %event, %event_type, attempt, %reason, status, took_ms, retry_in_ms, "attempt failed");
}

/// Limits drop what nobody gave up; that is worth a look.
fn dropped(reason: DropReason, count: u64, endpoint: Option<&str>) {
    let why = reason.as_str();
    match reason {
        DropReason::BacklogEvents | DropReason::BacklogBytes | DropReason::BacklogAge => {
            warn!(reason = why, count, endpoint, "events dropped: the backlog is at its limit");
        }
        DropReason::Retries | DropReason::Discarded | DropReason::EndpointDeleted => {
            info!(reason = why, count, endpoint, "events dropped");
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::decide::attempt::Reason;
    use crate::decide::ids::{EndpointId, EventId, EventType, LaneId, WorkspaceId};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_error_of_lapins_is_left_to_who_handles_it_unless_the_filter_names_lapin() {
        let written = |given: &str| {
            let lines = Lines::default();
            let writer = lines.clone();
            let subscriber = tracing_subscriber::fmt().with_env_filter(filter(given).expect("a filter"));
            tracing::subscriber::with_default(subscriber.with_writer(move || writer.clone()).finish(), || {
                error!(target: "lapin::channel", "Channel closed");
                error!(target: "lapin::channels", "Connection error");
                error!("ours");
            });
            lines.0.lock().expect("not poisoned").iter().filter(|byte| **byte == b'\n').count()
        };
        assert_eq!([written("info"), written("info,lapin=error")], [1, 3]);
    }

    fn lines(level: tracing::Level, signals: &[Signal<'_>]) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_max_level(level);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || signals.iter().for_each(|signal| LogTap.see(signal)));
        let written = lines.0.lock().expect("not poisoned").clone();
        String::from_utf8(written).expect("UTF-8")
    }

    #[test]
    fn a_failed_attempt_is_one_line_whose_fields_can_be_queried() {
        let lane = LaneId::parse("acme/ep_a.1.0").expect("a lane");
        let failed = Signal::Attempted {
            lane: &lane,
            event: &EventId::trusted("e1"),
            event_type: &EventType::trusted("message.sent"),
            attempt: 2,
            outcome: Outcome::Failed(Reason::Status),
            status: Some(500),
            took: Duration::from_millis(12),
            latency: None,
            retry_in: Some(Duration::from_secs(60)),
        };
        let line: serde_json::Value = serde_json::from_str(&lines(tracing::Level::INFO, &[failed])).expect("one line");
        let expected = serde_json::json!({
            "level": "INFO", "message": "attempt failed", "lane": "acme/ep_a.1.0", "event": "e1",
            "event_type": "message.sent", "attempt": 2, "reason": "status", "status": 500, "took_ms": 12,
            "retry_in_ms": 60_000,
        });
        for (field, value) in expected.as_object().expect("an object") {
            assert_eq!(&line[field], value, "{field} in {line}");
        }
    }

    #[test]
    fn what_happens_to_every_event_stays_below_info() {
        let (workspace, event) = (WorkspaceId::trusted("acme"), EventId::trusted("e1"));
        let event_type = EventType::trusted("message.sent");
        let routine = [
            Signal::Received { event_type: &event_type },
            Signal::Routed { event_type: &event_type, workspace: &workspace, event: &event, lanes: 1 },
            Signal::Duplicate { workspace: &workspace, event: &event },
            Signal::Unmatched,
            Signal::StoreOperation { operation: "append", took: Duration::from_micros(90) },
        ];
        assert_eq!(lines(tracing::Level::INFO, &routine), "");
        assert_eq!(lines(tracing::Level::TRACE, &routine).lines().count(), routine.len());
    }

    #[test]
    fn an_automatic_disabling_is_a_warning_and_one_by_hand_is_not() {
        let (workspace, endpoint) = (WorkspaceId::trusted("acme"), EndpointId::trusted("ep_a"));
        let by = |reason| Signal::Disabled { workspace: &workspace, endpoint: &endpoint, reason };
        assert!(lines(tracing::Level::WARN, &[by(DisableReason::Quota)]).contains("ep_a"));
        assert_eq!(lines(tracing::Level::WARN, &[by(DisableReason::Manual)]), "");
    }
}
