//! Events in over HTTP, and what was rejected.

use bytes::Bytes;
use lapin::types::AMQPValue;
use recadero::consume::{Broker, Message, Outgoing, Publisher, Tag};
use recadero::decide::event::RejectReason;
use recadero::decide::ids::{EventId, EventType, WorkspaceId};
use serde_json::{Value, json};

use crate::service::{EVENT_BYTES_MAX, EXCHANGE, Kind, Service};

promises! {
    a_published_event_is_in_the_broker_as_it_came,
    an_event_without_an_id_gets_one_and_with_a_key_the_same_one,
    what_would_be_rejected_is_refused,
    a_broker_that_is_away_is_503,
    looking_at_rejected_messages_takes_none_away,
    rejected_messages_are_replayed_one_or_all,
}

const EVENTS: &str = "/v1/workspaces/acme/events";

/// What is in the queue, taken from it.
async fn taken(service: &Service) -> Vec<Message> {
    let (ready, _) = service.broker.depth();
    if ready == 0 {
        return Vec::new();
    }
    let mut subscription = service.broker.subscribe(0, 1000).await.unwrap();
    let messages = subscription.next(1000).await.unwrap();
    subscription.ack(Tag(u64::MAX)).await.unwrap();
    messages
}

async fn a_published_event_is_in_the_broker_as_it_came(kind: Kind) {
    let service = Service::start(kind).await;
    let body = r#"{"event_type": "message.sent", "event_id": "e-1", "n": 1.50, "contact": {"id": 7}}"#;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = service.ask_with("POST", EVENTS, &format!("traceparent: {trace}\r\n"), body).await;
    assert_eq!((answer.status, answer.body), (202, json!({"event_id": "e-1"})));
    let messages = taken(&service).await;
    let [message] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((message.routing_key.as_str(), &message.body[..]), ("message.sent", body.as_bytes()));
    assert_eq!(message.properties.message_id().as_ref().unwrap().as_str(), "e-1");
    assert_eq!(*message.properties.delivery_mode(), Some(2), "persistent");
    let headers = message.properties.headers().clone().unwrap();
    let text = |name: &str| headers.inner()[name].as_long_string().unwrap().to_string();
    assert_eq!((text("workspace_id"), text("traceparent")), ("acme".to_owned(), trace.to_owned()));
    // No plan, no webhooks, but an event all the same: upstream does not know plans.
    assert_eq!(service.post("/v1/workspaces/free/events", body).await.status, 202);
}

async fn an_event_without_an_id_gets_one_and_with_a_key_the_same_one(kind: Kind) {
    let service = Service::start(kind).await;
    let publish = async |path: &str, key: &str| {
        let answer = service.ask_with("POST", path, key, r#"{"event_type":"message.sent"}"#).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let id = answer.body["event_id"].as_str().unwrap().to_owned();
        assert!(EventId::parse(&id).is_some(), "{id}");
        id
    };
    assert_ne!(publish(EVENTS, "").await, publish(EVENTS, "").await);
    let key = "Idempotency-Key: k1\r\n";
    assert_eq!(publish(EVENTS, key).await, publish(EVENTS, key).await);
    assert_ne!(publish(EVENTS, key).await, publish("/v1/workspaces/other/events", key).await);
    assert_ne!(publish(EVENTS, key).await, publish(EVENTS, "Idempotency-Key: k2\r\n").await);
    let ids: Vec<_> =
        taken(&service).await.into_iter().map(|message| message.properties.message_id().clone()).collect();
    assert!(ids.len() == 8 && ids.iter().all(Option::is_some), "{ids:?}");
}

async fn what_would_be_rejected_is_refused(kind: Kind) {
    let service = Service::start(kind).await;
    let of_size = |bytes: usize| {
        let start = r#"{"event_type":"message.sent","a":""#;
        format!("{start}{}\"}}", "x".repeat(bytes - start.len() - 2))
    };
    for (body, expected) in [
        ("".to_owned(), "422 invalid_body unexpected end at byte 0"),
        ("{".to_owned(), "422 invalid_body "),
        ("[]".to_owned(), "422 invalid_body "),
        (r#"{"a":1}"#.to_owned(), "422 invalid_body event_type: is missing"),
        (r#"{"event_type":7}"#.to_owned(), "422 invalid_body event_type: must be a string"),
        (r#"{"event_type":"message.read"}"#.to_owned(), "422 invalid_event_type event_type: "),
        (r#"{"event_type":"message.sent","event_id":"a.b"}"#.to_owned(), "422 invalid_body event_id: "),
        (r#"{"event_type":"message.sent","event_id":7}"#.to_owned(), "422 invalid_body event_id: "),
        (r#"{"event_type":"message.sent","event_id":""}"#.to_owned(), "422 invalid_body event_id: "),
        (r#"{"event_type":"message.sent","a":1,"a":2}"#.to_owned(), "422 invalid_body "),
        (of_size(EVENT_BYTES_MAX + 1), "413 too_large the body is larger than 131072 bytes"),
    ] {
        let answer = service.post(EVENTS, &body).await;
        assert!(answer.problem().starts_with(expected), "{body:.80}: {answer:?}");
    }
    assert_eq!(service.broker.depth(), (0, 0));
    assert_eq!(service.post(EVENTS, &of_size(EVENT_BYTES_MAX)).await.status, 202, "just as large as may be");
    assert_eq!(taken(&service).await[0].body.len(), EVENT_BYTES_MAX, "completed, it would be larger");
}

async fn a_broker_that_is_away_is_503(kind: Kind) {
    let service = Service::with_exchange(kind, "another").await;
    let answer = service.post(EVENTS, r#"{"event_type":"message.sent"}"#).await;
    assert!(answer.problem().starts_with("503 broker_unavailable "), "{answer:?}");
    assert!(answer.head.contains("retry-after: 1") && !answer.text.contains("another"), "{answer:?}");
}

/// Rejects messages with these ids, as a router does.
async fn reject(service: &Service, ids: std::ops::Range<usize>) {
    let workspace = WorkspaceId::trusted("acme");
    let rejected = ids.map(|id| {
        let (event_type, id) = (EventType::trusted("order.lost"), EventId::trusted(id.to_string()));
        let sent =
            Outgoing::event(EXCHANGE, &workspace, &event_type, Some(&id), Bytes::from(format!("{{\"n\":{id}}}")));
        let Outgoing { routing_key, properties, body, .. } = sent;
        let message = Message { tag: Tag(0), routing_key, properties, body, redelivered: false };
        message.rejected(&RejectReason::UnknownEventType.because("order.lost is not accepted"))
    });
    service.broker.publish(rejected.collect()).await.unwrap();
}

async fn looking_at_rejected_messages_takes_none_away(kind: Kind) {
    let service = Service::start(kind).await;
    assert_eq!(service.get("/v1/rejected").await.body, json!({"data": [], "next_cursor": null}));
    reject(&service, 0..5).await;
    let row = |number: usize, id: &Value| {
        json!({
            "id": id, "reason": "unknown_event_type", "detail": "order.lost is not accepted", "routing_key": "order.lost",
            "workspace": "acme", "message_id": number.to_string(), "body_bytes": 7, "body_excerpt": format!("{{\"n\":{number}}}"),
        })
    };
    let mut path = "/v1/rejected?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = service.get(&path).await.body;
        seen.extend(page["data"].as_array().unwrap().clone());
        // What comes meanwhile is behind.
        reject(&service, 7..8).await;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/rejected?limit=2&cursor={cursor}");
        if seen.len() >= 5 {
            break;
        }
    }
    for (number, shown) in seen.iter().take(5).enumerate() {
        assert_eq!(*shown, row(number, &shown["id"]));
    }
    let again = service.get("/v1/rejected?limit=200").await.body;
    assert_eq!(again["data"].as_array().unwrap()[..5], seen[..5], "all are still there");
}

async fn rejected_messages_are_replayed_one_or_all(kind: Kind) {
    let service = Service::start(kind).await;
    reject(&service, 0..250).await;
    let third = service.get("/v1/rejected?limit=3").await.body["data"][2].clone();
    let replay = async |body: Value| service.post("/v1/rejected/replay", &body.to_string()).await;
    assert_eq!(replay(json!({"id": third["id"]})).await.body, json!({"replayed": 1, "left": 0}));
    let messages = taken(&service).await;
    let [message] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((message.routing_key.as_str(), &message.body[..]), ("order.lost", &b"{\"n\":2}"[..]));
    let headers = message.properties.headers().clone().unwrap();
    let names: Vec<_> = headers.inner().iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(names, [("workspace_id", AMQPValue::LongString("acme".into()))]);
    assert!(
        replay(json!({"id": third["id"]})).await.problem().starts_with("404 not_found "),
        "it is not there any more"
    );
    assert_eq!(replay(json!({})).await.body, json!({"replayed": 249, "left": 0}));
    assert_eq!(taken(&service).await.len(), 249);
    assert_eq!(service.get("/v1/rejected").await.body["data"], json!([]));
    assert_eq!(service.post("/v1/rejected/replay", "").await.body, json!({"replayed": 0, "left": 0}));
    for wrong in [json!({"id": 7}), json!({"id": null}), json!({"ids": []})] {
        assert!(replay(wrong.clone()).await.problem().starts_with("422 invalid_body "), "{wrong}");
    }
}
