use std::time::Duration;

use super::*;
use crate::decide::ids::{EndpointId, EventId, LaneId, WorkspaceId};

fn metrics() -> Metrics {
    Metrics::new(&EventTypes::new([EventType::trusted("order.placed")]))
}

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render()).expect("UTF-8")
}

/// The value of one series, as the exposition writes it.
fn value(metrics: &Metrics, series: &str) -> String {
    let text = text(metrics);
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no series {series} in\n{text}")).to_owned()
}

#[test]
fn every_metric_of_the_contract_is_there_at_the_start_and_no_other() {
    let contract = include_str!("../../../docs/contract.md");
    let section = contract.split("## 6. Metrics").nth(1).expect("section 6").split("## 7").next().expect("its end");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|row| row.split(" | ").next().expect("names").split('`').skip(1).step_by(2));
    let mut told: Vec<_> = names.map(|name| format!("recadero_{name}")).collect();
    told.sort();
    let shown = text(&metrics());
    let mut ours: Vec<_> =
        shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned)).collect();
    ours.sort();
    assert_eq!(ours, told);
}

#[test]
fn series_with_known_labels_begin_at_zero() {
    let metrics = metrics();
    for series in [
        "recadero_events_received_total{event_type=\"message.sent\"}",
        "recadero_events_routed_total{event_type=\"order.placed\"}",
        "recadero_events_rejected_total{reason=\"store_error\"}",
        "recadero_delivery_attempts_total{outcome=\"failed\",reason=\"timeout\"}",
        "recadero_delivery_attempts_total{outcome=\"delivered\",reason=\"\"}",
        "recadero_events_dropped_total{reason=\"endpoint_deleted\"}",
        "recadero_endpoints_disabled_total{reason=\"quota\"}",
        "recadero_endpoints{status=\"paused\"}",
        "recadero_notices_total{channel=\"mail\",outcome=\"given_up\"}",
        "recadero_deliveries_inflight{pool=\"slow\"}",
        "recadero_store_memory_bytes{kind=\"max\"}",
        "recadero_store_operation_duration_seconds_count{operation=\"append\"}",
        "recadero_broker_connected",
        "recadero_store_connected",
    ] {
        assert_eq!(value(&metrics, series), "0");
    }
    let build = format!("recadero_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&metrics, &build), "1");
}

#[test]
fn signals_are_counted() {
    let metrics = metrics();
    let lane = LaneId::parse("acme/ep_a.1.0").expect("a lane");
    let (event, event_type) = (EventId::trusted("e1"), EventType::trusted("message.sent"));
    let endpoint = EndpointId::trusted("ep_a");
    let attempted = |outcome, took_ms, latency| Signal::Attempted {
        lane: &lane,
        event: &event,
        event_type: &event_type,
        attempt: 1,
        outcome,
        status: None,
        took: Duration::from_millis(took_ms),
        latency,
        retry_in: None,
    };
    metrics.see(&Signal::Received { event_type: &event_type });
    metrics.see(&attempted(Outcome::Delivered, 20, Some(Duration::from_secs(2))));
    metrics.see(&attempted(Outcome::Delivered, 20, None));
    metrics.see(&attempted(Outcome::Failed(Reason::Timeout), 5_000, None));
    metrics.see(&Signal::Dropped { reason: DropReason::BacklogAge, count: 7, endpoint: None });
    metrics.see(&Signal::Disabled {
        workspace: &WorkspaceId::trusted("acme"),
        endpoint: &endpoint,
        reason: DisableReason::Quota,
    });
    metrics.see(&Signal::Notice { id: "disabled-ep_a-1", channel: Channel::Mail, outcome: "failed", detail: None });
    metrics.see(&Signal::Rejected { reason: "not_json", detail: "" });
    metrics.see(&Signal::Store { connected: true, detail: None });
    metrics.see(&Signal::StoreOperation { operation: "commit", took: Duration::from_micros(80) });
    for (series, expected) in [
        ("recadero_events_received_total{event_type=\"message.sent\"}", "1"),
        ("recadero_delivery_attempts_total{outcome=\"delivered\",reason=\"\"}", "2"),
        ("recadero_delivery_attempts_total{outcome=\"failed\",reason=\"timeout\"}", "1"),
        ("recadero_delivery_attempt_duration_seconds_bucket{outcome=\"failed\",le=\"5\"}", "1"),
        ("recadero_delivery_attempt_duration_seconds_bucket{outcome=\"failed\",le=\"4\"}", "0"),
        ("recadero_delivery_attempt_duration_seconds_count{outcome=\"delivered\"}", "2"),
        ("recadero_delivery_latency_seconds_count", "1"),
        ("recadero_events_dropped_total{reason=\"backlog_age\"}", "7"),
        ("recadero_endpoints_disabled_total{reason=\"quota\"}", "1"),
        ("recadero_notices_total{channel=\"mail\",outcome=\"failed\"}", "1"),
        ("recadero_events_rejected_total{reason=\"not_json\"}", "1"),
        ("recadero_store_connected", "1"),
        ("recadero_store_operation_duration_seconds_bucket{operation=\"commit\",le=\"0.0001\"}", "1"),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}");
    }
}

#[test]
fn gauges_show_what_was_last_seen() {
    let metrics = metrics();
    let (oldest, oldest_enabled) = (Duration::from_millis(1_500), Duration::from_millis(250));
    metrics.see(&Signal::Backlog { events: 15, oldest, oldest_enabled });
    metrics.see(&Signal::Intake { flows: false, reason: Some("store_full"), detail: None });
    metrics.see(&Signal::Intake { flows: false, reason: Some("durability"), detail: None });
    metrics.see(&Signal::Endpoints { status: EndpointStatus::Disabled, count: 3 });
    metrics.see(&Signal::Inflight { pool: "slow", count: 7 });
    metrics.see(&Signal::Memory { used: 10, max: 20 });
    for (series, expected) in [
        ("recadero_backlog_events", "15"),
        ("recadero_backlog_oldest_age_seconds", "1.5"),
        ("recadero_backlog_oldest_enabled_age_seconds", "0.25"),
        ("recadero_intake_stopped{reason=\"store_full\"}", "0"),
        ("recadero_intake_stopped{reason=\"durability\"}", "1"),
        ("recadero_endpoints{status=\"disabled\"}", "3"),
        ("recadero_endpoints{status=\"enabled\"}", "0"),
        ("recadero_deliveries_inflight{pool=\"slow\"}", "7"),
        ("recadero_store_memory_bytes{kind=\"max\"}", "20"),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}");
    }
}

#[test]
fn operations_are_sorted() {
    assert!(OPERATIONS.is_sorted());
}
