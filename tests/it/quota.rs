//! The error quota (contract, section 4), and what is told of it on `recadero.outcomes`.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use serde_json::{Value, json};

use crate::rig::rabbit::Rabbit;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::until;
use crate::service::{Endpoint, SOON, Service};

/// Long enough for what must not happen to happen.
const A_WHILE: Duration = Duration::from_millis(400);

/// Everything that is published on `recadero.outcomes` from now on.
struct Outcomes {
    _connection: Connection,
    _channel: Channel,
    consumer: Consumer,
}

impl Outcomes {
    async fn bind(rabbit: &Rabbit) -> Self {
        let connection = rabbit.connection().await;
        let channel = connection.create_channel().await.unwrap();
        let (exclusive, none) = (QueueDeclareOptions { exclusive: true, ..Default::default() }, FieldTable::default);
        let queue = channel.queue_declare("".into(), exclusive, none()).await.unwrap().name().clone();
        let (all, bind) = ("#".into(), QueueBindOptions::default());
        channel.queue_bind(queue.clone(), "recadero.outcomes".into(), all, bind, none()).await.unwrap();
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consumer = channel.basic_consume(queue, "".into(), options, none()).await.unwrap();
        Self { _connection: connection, _channel: channel, consumer }
    }

    /// All up to the first that is `last`, and those that follow within a while: `message_id` and body.
    async fn until(&mut self, last: impl Fn(&Value) -> bool) -> Vec<(String, Value)> {
        let (mut told, mut patience) = (Vec::new(), SOON);
        while let Ok(Some(message)) = tokio::time::timeout(patience, self.consumer.next()).await {
            let message = message.unwrap();
            let body: Value = serde_json::from_slice(&message.data).unwrap();
            assert_eq!(body["type"], message.routing_key.as_str());
            if last(&body) {
                patience = A_WHILE;
            }
            told.push((message.properties.message_id().as_ref().expect("a message_id").to_string(), body));
        }
        assert_eq!(patience, A_WHILE, "the last was not told: {told:#?}");
        told
    }
}

fn of_type<'a>(told: &'a [(String, Value)], wanted: &str) -> Vec<&'a Value> {
    told.iter().map(|(_, body)| body).filter(|body| body["type"] == wanted).collect()
}

impl Service {
    async fn publish(&self, workspace: &str, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            self.publisher.event("message.sent", workspace, &id.to_string(), b"{}").await;
        }
    }

    async fn until_failures(&self, workspace: &str, count: u64) {
        until(&format!("{count} failures"), SOON, async || self.failures(workspace).await == count).await;
    }

    async fn status(&self, endpoint: &Endpoint) -> Value {
        self.shown(endpoint).await["status"].clone()
    }

    async fn until_disabled(&self, endpoint: &Endpoint) {
        self.until_shown(endpoint, "disabled", |shown| shown["status"] == "disabled").await;
    }
}

fn ids(receiver: &Receiver, path: &str, from: usize) -> Vec<(String, String)> {
    let value = |request: &crate::rig::receiver::Request, name: &str| request.header(name).unwrap().to_owned();
    let requests = receiver.requests_at(path);
    requests[from..].iter().map(|r| (value(r, "webhook-id"), value(r, "x-webhook-attempt"))).collect()
}

#[tokio::test]
async fn thirty_failures_do_not_disable_and_the_31st_does() {
    // Two attempts an event: fifteen events fail thirty times.
    let service = Service::start(&[("RECADERO_RETRY_DELAYS", "5ms")]).await;
    let mut outcomes = Outcomes::bind(&service.rabbit).await;
    let receiver = Receiver::start(|_| Answer::status(503)).await;
    let endpoint = service.connect("acme", &format!("{}/acme", receiver.url())).await;
    let other = service.connect("globex", &format!("{}/globex", receiver.url())).await;

    service.publish("globex", 1..=10).await;
    service.until_failures("globex", 20).await;
    service.publish("acme", 1..=15).await;
    service.until_failures("acme", 30).await;
    service.until_idle(&endpoint).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(service.status(&endpoint).await, "enabled", "30 failures do not disable");

    service.publish("acme", 16..=19).await;
    service.until_disabled(&endpoint).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(receiver.requests_at("/acme").len(), 31, "no attempt is begun after the disabling");
    let shown = service.shown(&endpoint).await;
    assert_eq!((&shown["disabled"]["reason"], &shown["backlog"]["events"]), (&json!("quota"), &json!(4)), "{shown}");
    assert_eq!(service.failures("acme").await, 0, "its failures leave the window with it");
    assert_eq!((service.failures("globex").await, service.status(&other).await), (20, json!("enabled")));

    receiver.behave(|_| Answer::ok());
    service.publish("acme", 20..=21).await;
    let enabled = service.of(&endpoint, "POST", "/enable", Value::Null).await;
    assert_eq!((&enabled["status"], &enabled["disabled"]), (&json!("enabled"), &Value::Null));
    service.until_idle(&endpoint).await;
    let held: Vec<_> = (16..=21).map(|id| (id.to_string(), "1".to_owned())).collect();
    assert_eq!(ids(&receiver, "/acme", 31), held, "in order, each in a new round of attempts");

    receiver.behave(|_| Answer::status(503));
    service.publish("acme", 31..=45).await;
    service.until_failures("acme", 30).await;
    service.until_idle(&endpoint).await;
    assert_eq!(service.status(&endpoint).await, "enabled", "enabling starts with a clean count");
    assert_eq!(service.status(&other).await, "enabled");

    let told = outcomes.until(|body| body["event"] == "45").await;
    let unique: BTreeSet<_> = told.iter().map(|(id, _)| id).collect();
    assert_eq!(unique.len(), told.len(), "each is told once: {told:#?}");
    for (_, body) in &told {
        assert!(body["at"].as_str().unwrap().ends_with('Z'), "{body}");
    }
    let mine: Vec<_> = told.iter().filter(|(_, body)| body["workspace"] == "acme").cloned().collect();
    assert!(mine.iter().all(|(_, body)| body["endpoint"] == endpoint.id.as_str()), "{mine:#?}");
    let disabled = of_type(&told, "endpoint.disabled");
    assert_eq!(disabled.len(), 1, "exactly one per disabling: {told:#?}");
    assert_eq!((&disabled[0]["workspace"], &disabled[0]["reason"]), (&json!("acme"), &json!("quota")));
    let enabled = of_type(&told, "endpoint.enabled");
    assert_eq!((enabled.len(), &enabled[0]["workspace"]), (1, &json!("acme")));
    assert_eq!(of_type(&mine, "endpoint.warning").len(), 1, "past half of the quota, once a window");
    let dropped: Vec<_> =
        of_type(&mine, "event.dropped").iter().map(|body| (&body["event"], &body["reason"])).collect();
    let mut dropped: Vec<u32> = dropped
        .iter()
        .map(|(event, reason)| {
            assert_eq!(*reason, "retries");
            event.as_str().unwrap().parse().unwrap()
        })
        .collect();
    dropped.sort_unstable();
    assert_eq!(dropped, (1..=15).chain(31..=45).collect::<Vec<_>>());
}

#[tokio::test]
async fn failures_of_several_endpoints_and_processes_count_together() {
    let delays = ("RECADERO_RETRY_DELAYS", "5ms");
    let service = Service::start(&[delays, ("RECADERO_ROLES", "router,api,notifier")]).await;
    let mut outcomes = Outcomes::bind(&service.rabbit).await;
    let receiver = Receiver::start(|_| Answer::status(503)).await;
    let mut endpoints = Vec::new();
    for event_type in ["message.sent", "message.received", "comment.created"] {
        let body =
            json!({"url": format!("{}/{event_type}", receiver.url()), "events": [event_type, "contact.created"]});
        endpoints.push(service.connect_with("acme", body).await);
    }
    let publish = async |event_type: &str, id: u32| {
        service.publisher.event(event_type, "acme", &id.to_string(), b"{}").await;
    };
    let deliverer = [delays, ("RECADERO_ROLES", "deliverer")];

    let mut first = service.another(&deliverer).await;
    for id in 1..=3 {
        publish("contact.created", id).await;
    }
    service.until_failures("acme", 18).await;
    assert_eq!(first.term(SOON).await, 0);
    let second = service.another(&deliverer).await;
    for id in 4..=5 {
        publish("contact.created", id).await;
    }
    service.until_failures("acme", 30).await;
    for endpoint in &endpoints {
        service.until_idle(endpoint).await;
        assert_eq!(service.status(endpoint).await, "enabled", "30 failures do not disable");
    }

    publish("message.received", 6).await;
    service.until_disabled(&endpoints[1]).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(receiver.count(), 31, "it is the 31st failure that disables");
    let status = [service.status(&endpoints[0]).await, service.status(&endpoints[2]).await];
    assert_eq!(status, ["enabled", "enabled"], "the one that failed is disabled");
    assert_eq!(service.failures("acme").await, 20, "those of the two others");
    let told = outcomes.until(|body| body["type"] == "endpoint.disabled").await;
    let disabled = of_type(&told, "endpoint.disabled");
    assert_eq!((disabled.len(), &disabled[0]["endpoint"]), (1, &json!(endpoints[1].id)), "{told:#?}");
    drop(second);
}

#[tokio::test]
async fn failures_older_than_the_window_do_not_count() {
    let window = Duration::from_secs(8);
    let service = Service::start(&[
        ("RECADERO_RETRY_DELAYS", "5ms"),
        ("RECADERO_QUOTA_LIMIT", "4"),
        ("RECADERO_QUOTA_WINDOW", "8s"),
    ])
    .await;
    let receiver = Receiver::start(|_| Answer::status(503)).await;
    let endpoint = service.connect("acme", &receiver.url()).await;
    for round in 0..2 {
        service.publish("acme", [2 * round, 2 * round + 1]).await;
        service.until_failures("acme", 4).await;
        until("an empty window", window + SOON, async || service.failures("acme").await == 0).await;
        assert_eq!(service.status(&endpoint).await, "enabled");
    }
    service.publish("acme", 10..=12).await;
    service.until_disabled(&endpoint).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 4 + 4 + 5);
    assert!(requests[4].at - requests[3].at > window - A_WHILE, "the window held them as long");
}

#[tokio::test]
async fn what_was_held_is_discarded_on_request() {
    let service = Service::start(&[]).await;
    let mut outcomes = Outcomes::bind(&service.rabbit).await;
    let receiver = Receiver::ok().await;
    let endpoint = service.connect("acme", &receiver.url()).await;
    let disabled = service.of(&endpoint, "POST", "/disable", Value::Null).await;
    assert_eq!(disabled["disabled"]["reason"], "manual");
    service.publish("acme", 1..=5).await;
    service.until_shown(&endpoint, "all held", |shown| shown["backlog"]["events"] == 5).await;
    let enabled = service.of(&endpoint, "POST", "/enable", json!({"backlog": "discard"})).await;
    assert_eq!((&enabled["status"], &enabled["backlog"]["events"]), (&json!("enabled"), &json!(0)));
    service.publish("acme", [6]).await;
    receiver.wait_for(1, SOON).await;
    service.until_idle(&endpoint).await;
    assert_eq!(ids(&receiver, "/", 0), [("6".to_owned(), "1".to_owned())]);
    let dropped = service.of(&endpoint, "GET", "/dropped", Value::Null).await;
    let dropped: Vec<_> =
        dropped["data"].as_array().unwrap().iter().map(|row| (&row["event_id"], &row["reason"])).collect();
    let discarded = &json!("discarded");
    let ids = ["1", "2", "3", "4", "5"].map(|id| json!(id));
    let mut expected: Vec<_> = ids.iter().map(|id| (id, discarded)).collect();
    if dropped.first() != expected.first() {
        expected.reverse();
    }
    assert_eq!(dropped, expected);
    let told = outcomes.until(|body| body["type"] == "endpoint.enabled").await;
    let types: Vec<_> =
        told.iter().map(|(_, body)| (body["type"].as_str().unwrap(), body["reason"].as_str().unwrap())).collect();
    assert_eq!(types, [("endpoint.disabled", "manual"), ("endpoint.enabled", "manual")]);
}
