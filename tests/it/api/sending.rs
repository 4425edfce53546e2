//! From the API through RabbitMQ, the store and HTTP to a receiver.

use std::collections::BTreeMap;

use lapin::types::AMQPValue;
use recadero::deliver::sign::Secret;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::rig::publish::{EXCHANGE, headers};
use crate::rig::receiver::{Answer, Receiver};
use crate::service::{SOON, Service};

/// A publisher's.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn an_event_published_over_http_arrives_signed_once() {
    let service = Service::start(&[]).await;
    let receiver = Receiver::ok().await;
    let endpoint = service.connect("acme", &receiver.url()).await;
    let publish = async |body: Value| service.ask("POST", "/v1/workspaces/acme/events", body).await;
    for _ in 0..2 {
        let answer = publish(json!({"event_type": "message.sent", "event_id": "e1", "n": 1})).await;
        assert_eq!(answer, json!({"event_id": "e1"}));
    }
    let made = publish(json!({"event_type": "contact.created"})).await;
    let requests = receiver.wait_for(2, SOON).await;
    service.until_idle(&endpoint).await;
    assert_eq!(receiver.count(), 2, "the same id is delivered once");
    let ids: Vec<_> = requests.iter().map(|request| request.header("webhook-id").unwrap()).collect();
    assert_eq!(ids, ["e1", made["event_id"].as_str().unwrap()]);
    let secret = Secret::parse(&endpoint.secret).unwrap();
    assert_eq!(requests[0].header("x-webhook-signature").unwrap(), secret.sign_body(&requests[0].body).as_str());
}

#[tokio::test]
async fn an_events_page_shows_what_was_sent_from_its_arrival_on() {
    let service = Service::start(&[("RECADERO_TIMEOUT", "60s")]).await;
    let gate = watch::channel(0).0;
    let held = gate.clone();
    let receiver = Receiver::start(move |request| Answer::ok().held(&held, request)).await;
    let endpoint = service.connect("acme", &receiver.url()).await;
    let rotated = service.of(&endpoint, "POST", "/rotate-secret", Value::Null).await;
    for id in ["e1", "e2"] {
        let traceparent = AMQPValue::LongString(TRACEPARENT.into());
        let workspace = AMQPValue::LongString("acme".into());
        let properties = headers(&[("workspace_id", workspace), ("traceparent", traceparent)]);
        let body = format!(r#"{{"n":"{id}"}}"#);
        service
            .publisher
            .message(EXCHANGE, "message.sent", properties.with_message_id(id.into()), body.as_bytes())
            .await;
    }
    receiver.wait_for(1, SOON).await;
    let page = async |id: &str| service.of(&endpoint, "GET", &format!("/events/{id}"), Value::Null).await;
    for id in ["e1", "e2"] {
        let shown = page(id).await;
        let told = (&shown["payload"]["n"], &shown["attempts"], &shown["headers"]);
        assert_eq!(told, (&json!(id), &json!([]), &Value::Null));
    }

    gate.send_replace(usize::MAX);
    let requests = receiver.wait_for(2, SOON).await;
    service.until_idle(&endpoint).await;
    for (request, id) in requests.iter().zip(["e1", "e2"]) {
        let shown = page(id).await;
        assert_eq!(shown["payload"], request.json());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let headers = shown["headers"].as_object().unwrap();
        let told: BTreeMap<_, _> = headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let mut sent: BTreeMap<_, _> = request.headers.iter().cloned().collect();
        // HTTP's own.
        sent.retain(|name, _| !["host", "content-length"].contains(&name.as_str()));
        assert_eq!(told, sent);
        let secret = Secret::parse(rotated["secret"].as_str().unwrap()).unwrap();
        assert_eq!(told["x-webhook-signature"], secret.sign_body(&request.body).as_str(), "the newest, at once");
        assert_eq!(told["webhook-signature"].matches("v1,").count(), 2);
        assert!(request.header("traceparent").unwrap().starts_with(&TRACEPARENT[..36]), "{request:?}");
    }
}

#[tokio::test]
async fn what_is_resent_arrives_with_its_id_and_marked_in_the_old_order() {
    let service = Service::start(&[("RECADERO_RETRY_DELAYS", "10ms")]).await;
    let receiver = Receiver::start(|_| Answer::status(500)).await;
    let endpoint = service.connect("acme", &receiver.url()).await;
    for id in ["1", "2", "3"] {
        service.publisher.event("message.sent", "acme", id, b"{}").await;
    }
    receiver.wait_for(6, SOON).await;
    service.until_idle(&endpoint).await;
    receiver.behave(|_| Answer::ok());
    let recovered = service.of(&endpoint, "POST", "/recover", json!({"since": "2020-01-01T00:00:00Z"})).await;
    assert_eq!(recovered, json!({"resent": 3}));
    receiver.wait_for(9, SOON).await;
    service.until_idle(&endpoint).await;
    service.of(&endpoint, "POST", "/events/2/resend", Value::Null).await;
    let requests = receiver.wait_for(10, SOON).await;
    let told = |name: &str| requests[6..].iter().map(|r| r.header(name).unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(told("webhook-id"), ["1", "2", "3", "2"]);
    assert_eq!(
        (told("x-webhook-resend"), told("x-webhook-attempt")),
        (vec!["true".to_owned(); 4], vec!["1".to_owned(); 4])
    );
    assert_eq!(requests[0].header("x-webhook-resend"), None);
}

#[tokio::test]
async fn a_test_event_arrives_while_the_lane_is_stuck_and_one_that_hangs_says_so() {
    let service = Service::start(&[("RECADERO_TIMEOUT", "500ms"), ("RECADERO_RETRY_DELAYS", "1h")]).await;
    let receiver = Receiver::start(|_| Answer::status(500).body("no")).await;
    let endpoint = service.connect("acme", &receiver.url()).await;
    service.publisher.event("message.sent", "acme", "stuck", b"{}").await;
    receiver.wait_for(1, SOON).await;
    let test = async || service.of(&endpoint, "POST", "/test", json!({"event_type": "comment.created"})).await;
    let row = test().await;
    assert_eq!(
        (&row["outcome"], &row["status"], &row["response_excerpt"]),
        (&json!("failed"), &json!(500), &json!("no"))
    );
    receiver.behave(|_| Answer::ok().body("thanks"));
    let row = test().await;
    assert_eq!((&row["outcome"], &row["response_excerpt"]), (&json!("delivered"), &json!("thanks")));
    let request = receiver.wait_for(3, SOON).await[2].clone();
    assert_eq!(request.header("webhook-id"), row["event_id"].as_str());
    let secret = Secret::parse(&endpoint.secret).unwrap();
    assert_eq!(request.header("x-webhook-signature").unwrap(), secret.sign_body(&request.body).as_str());
    receiver.behave(|_| Answer::hang());
    let row = test().await;
    assert_eq!(
        (&row["reason"], &row["response_excerpt"]),
        (&json!("timeout"), &json!("connected, but no status line within 500ms"))
    );
    assert_eq!(service.failures("acme").await, 1, "the lane's own attempt alone");
    assert_eq!(service.attempts(&endpoint).await.len(), 1);
}
