//! What was sent and what came back; what was dropped.

use std::time::Duration;

use recadero::decide::attempt::{Outcome, Reason};
use recadero::decide::retry::Next;
use serde_json::{Value, json};

use crate::ENDPOINTS;
use crate::service::{Kind, Service};

promises! {
    attempts_are_listed_newest_first_and_filtered,
    dropped_events_are_listed_in_their_old_order,
}

async fn attempts_are_listed_newest_first_and_filtered(kind: Kind) {
    let service = Service::start(kind).await;
    let path = service.endpoint().await;
    for event in ["e1", "e2", "e3"] {
        service.append(&path, event).await;
    }
    service.attempt(&path, Outcome::Delivered, Next::Drop).await;
    service.attempt(&path, Outcome::Delivered, Next::Drop).await;
    service.attempt(&path, Outcome::Failed(Reason::Status), Next::RetryAfter(Duration::from_secs(30))).await;

    let first = service.get(&format!("{path}/attempts?limit=1")).await.body;
    let failed = json!({
        "event_id": "e3", "event_type": "message.sent", "attempt": 1, "at": "2026-01-01T00:00:00.000Z",
        "duration_ms": 12, "outcome": "failed", "status": 500, "reason": "status", "response_excerpt": "oh",
        "next_attempt_at": "2026-01-01T00:00:30.000Z", "resend": false,
    });
    assert_eq!(first["data"], json!([failed]));
    assert_eq!(service.get(&path).await.body["last_attempt"], failed);
    let cursor = first["next_cursor"].as_str().unwrap();
    let events = |page: Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|row| row["event_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(events(service.get(&format!("{path}/attempts?cursor={cursor}")).await.body), ["e2", "e1"]);
    for (filter, expected) in [
        ("outcome=delivered", vec!["e2", "e1"]),
        ("outcome=failed", vec!["e3"]),
        ("event_id=e1", vec!["e1"]),
        ("event_type=contact.created", vec![]),
        ("event_type=message.sent&outcome=delivered&event_id=e2", vec!["e2"]),
    ] {
        assert_eq!(events(service.get(&format!("{path}/attempts?{filter}")).await.body), expected, "{filter}");
    }
    let wrong = service.get(&format!("{path}/attempts?outcome=lost")).await;
    assert!(wrong.problem().starts_with("422 invalid_query outcome: "), "{wrong:?}");
    assert_eq!(service.get(&format!("{ENDPOINTS}/ep_none/attempts")).await.status, 404);
}

async fn dropped_events_are_listed_in_their_old_order(kind: Kind) {
    let service = Service::start(kind).await;
    let path = service.endpoint().await;
    for event in ["e1", "e2", "e3"] {
        service.drop_event(&path, event).await;
    }
    let first = service.get(&format!("{path}/dropped?limit=2")).await.body;
    let at = "2026-01-01T00:00:00.000Z";
    let row = |event| json!({"event_id": event, "event_type": "message.sent", "reason": "retries", "received_at": at, "dropped_at": at});
    assert_eq!(first["data"], json!([row("e1"), row("e2")]));
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = service.get(&format!("{path}/dropped?cursor={cursor}")).await.body;
    assert_eq!(rest, json!({"data": [row("e3")], "next_cursor": null}));
}
