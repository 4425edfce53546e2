//! What can never be delivered (contract, section 2), through the whole service: it ends in `recadero.rejected`, and
//! disturbs nothing else.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, Consumer};
use serde_json::json;

use crate::rig::publish::{EXCHANGE, event, headers};
use crate::rig::rabbit::Rabbit;
use crate::rig::receiver::Receiver;
use crate::service::{SOON, Service, metric};

const MAX_BYTES: usize = 262_144;

/// What stands in `recadero.rejected`.
struct Rejected {
    _connection: Connection,
    consumer: Consumer,
}

impl Rejected {
    async fn consume(rabbit: &Rabbit) -> Self {
        let connection = rabbit.connection().await;
        let channel = connection.create_channel().await.unwrap();
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume("recadero.rejected".into(), "".into(), options, none).await.unwrap();
        Self { _connection: connection, consumer }
    }

    /// The next one: its reason, its detail, and the message as it was published.
    async fn next(&mut self) -> (String, String, Message) {
        let next = tokio::time::timeout(SOON, self.consumer.next()).await.expect("one more was rejected");
        let message = next.unwrap().unwrap();
        message.ack(BasicAckOptions::default()).await.unwrap();
        let mut table = message.properties.headers().clone().unwrap().inner().clone();
        let mut told = |name: &str| table.remove(name).unwrap().as_long_string().unwrap().to_string();
        let (reason, detail) = (told("recadero-reason"), told("recadero-detail"));
        let properties = message.properties.clone().with_headers(table.into());
        (reason, detail, (message.routing_key.to_string(), properties, message.data.clone()))
    }

    async fn assert_empty(&mut self) {
        let more = tokio::time::timeout(Duration::from_millis(300), self.consumer.next()).await;
        assert!(more.is_err(), "rejected: {more:?}");
    }
}

/// Routing key, properties, body.
type Message = (String, BasicProperties, Vec<u8>);

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// Objects and arrays in each other, so many.
fn nested(levels: usize) -> Vec<u8> {
    format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1)).into_bytes()
}

/// An object of so many bytes.
fn of_size(bytes: usize) -> Vec<u8> {
    format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8)).into_bytes()
}

fn wrong_messages() -> Vec<(&'static str, &'static str, BasicProperties, Vec<u8>)> {
    let sent = "message.sent";
    let good = || event("acme", "1");
    let workspace = |value: AMQPValue| headers(&[("workspace_id", value)]).with_message_id("1".into());
    let no_id = || headers(&[("workspace_id", text("acme"))]);
    let long = "x".repeat(129);
    let b = |body: &str| body.as_bytes().to_vec();
    vec![
        ("too_large", sent, good(), of_size(MAX_BYTES + 1)),
        // The first check that fails is told: this one is no JSON either, and has no headers at all.
        ("too_large", "no.such", BasicProperties::default(), vec![0; MAX_BYTES + 1]),
        ("not_json", sent, good(), b("")),
        ("not_json", sent, good(), b("{\"a\":1")),
        ("not_json", sent, good(), b("{} {}")),
        ("not_json", sent, good(), b("{'a':1}")),
        ("not_json", sent, good(), b("\u{feff}{}")),
        ("not_json", sent, good(), b("{\"a\":NaN}")),
        ("not_json", sent, good(), b"{\"a\":\"\xff\"}".to_vec()),
        ("not_json", sent, good(), b"{\"a\":\"\xed\xa0\x80\"}".to_vec()),
        ("not_json", sent, good(), b"{\"a\":\"\0\"}".to_vec()),
        ("not_json", sent, good(), b"{}\0".to_vec()),
        ("not_json", sent, good(), b("{\"a\":1,\"a\":2}")),
        ("not_json", sent, good(), b("{\"x\":[{\"a\":1,\"\\u0061\":2}]}")),
        ("not_json", sent, good(), nested(129)),
        ("not_json", sent, good(), b(&"[".repeat(200_000))),
        ("not_an_object", sent, good(), b("[{}]")),
        ("not_an_object", sent, good(), b("null")),
        ("missing_workspace_id", sent, BasicProperties::default(), b("{}")),
        ("missing_workspace_id", sent, headers(&[]).with_message_id("1".into()), b("{}")),
        ("invalid_workspace_id", sent, workspace(text("a b")), b("{}")),
        ("invalid_workspace_id", sent, workspace(text("")), b("{}")),
        ("invalid_workspace_id", sent, workspace(text(&long)), b("{}")),
        ("invalid_workspace_id", sent, workspace(AMQPValue::Boolean(true)), b("{}")),
        ("missing_event_id", sent, no_id(), b("{}")),
        ("event_id_mismatch", sent, good(), b("{\"event_id\":\"2\"}")),
        ("invalid_event_id", sent, event("acme", "a.b"), b("{}")),
        ("invalid_event_id", sent, event("acme", &long), b("{}")),
        ("invalid_event_id", sent, no_id(), b("{\"event_id\":\"a b\"}")),
        ("invalid_event_id", sent, no_id(), b("{\"event_id\":7}")),
        ("event_type_mismatch", sent, good(), b("{\"event_type\":\"message.received\"}")),
        ("unknown_event_type", "no.such", good(), b("{}")),
        ("unknown_event_type", "", good(), b("{}")),
    ]
}

#[tokio::test]
async fn every_reason_ends_in_rejected_and_its_neighbours_arrive_in_order() {
    let service = Service::start(&[]).await;
    let receiver = Receiver::ok().await;
    service.connect("acme", &receiver.url()).await;
    let mut rejected = Rejected::consume(&service.rabbit).await;

    let mut expected = Vec::new();
    for (number, (reason, key, properties, body)) in wrong_messages().into_iter().enumerate() {
        service.publisher.event("message.sent", "acme", &format!("good-{number}"), b"{}").await;
        // Properties that Recadero has no use for stay as well.
        let properties = match properties.headers() {
            None => properties,
            Some(_) => properties.with_content_type("text/x".into()).with_priority(3).with_timestamp(1_700_000_000),
        };
        service.publisher.message(EXCHANGE, key, properties.clone(), &body).await;
        expected.push((reason, (key.to_owned(), properties, body)));
    }
    let last = format!("good-{}", expected.len());
    service.publisher.event("message.sent", "acme", &last, b"{}").await;

    for (number, (wanted, message)) in expected.iter().enumerate() {
        let (reason, detail, (key, properties, body)) = rejected.next().await;
        assert_eq!(reason, *wanted, "{number}: {detail}");
        assert!(!detail.is_empty() && !detail.contains(char::is_control), "{number}: {detail:?}");
        // Without headers there is nowhere for the two; then the table is there, and empty but for them.
        let published = match message.1.headers() {
            None => message.1.clone().with_headers(FieldTable::default()),
            Some(_) => message.1.clone(),
        };
        assert_eq!((&key, &properties), (&message.0, &published), "{number}: {reason}");
        assert!(body == message.2, "{number}: {reason}: the body is another");
    }
    rejected.assert_empty().await;
    let good = expected.len() + 1;
    let requests = receiver.wait_for(good, SOON).await;
    let arrived: Vec<_> = requests.iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!(arrived, (0..good).map(|number| format!("good-{number}")).collect::<Vec<_>>());
    let count = metric(&service.process, "recadero_events_rejected_total{reason=\"not_json\"}").await;
    assert_eq!(count, expected.iter().filter(|(reason, _)| *reason == "not_json").count() as f64);
}

/// Headers travel in one frame, which has a limit; nothing can be added to those that fill it.
#[tokio::test]
async fn headers_that_leave_no_room_for_a_reason_do_not_stop_the_intake() {
    let service = Service::start(&[]).await;
    let receiver = Receiver::ok().await;
    service.connect("acme", &receiver.url()).await;
    let mut rejected = Rejected::consume(&service.rabbit).await;
    for (bytes, stays) in [(130_000, true), (130_960, false)] {
        let large = headers(&[("workspace_id", text("acme")), ("large", text(&"x".repeat(bytes)))]);
        service.publisher.message(EXCHANGE, "message.sent", large.with_message_id("1".into()), b"{").await;
        let (reason, _, (_, properties, body)) = rejected.next().await;
        assert_eq!((reason.as_str(), &body[..]), ("not_json", &b"{"[..]));
        let headers = properties.headers().clone().unwrap();
        let (large, omitted) = (headers.inner().get("large"), headers.inner().get("recadero-omitted"));
        assert_eq!((large.is_some(), omitted.cloned()), (stays, (!stays).then(|| text("large"))));
        assert!(headers.inner().contains_key("workspace_id"));
    }
    service.publisher.event("message.sent", "acme", "2", b"{}").await;
    receiver.wait_for(1, SOON).await;
}

#[tokio::test]
async fn what_is_just_inside_the_limits_is_delivered() {
    let service = Service::start(&[("RECADERO_EXTRA_EVENT_TYPES", "order.placed")]).await;
    let receiver = Receiver::ok().await;
    service.connect("acme", &receiver.url()).await;
    service.connect("42", &receiver.url()).await;
    let mut rejected = Rejected::consume(&service.rabbit).await;
    let number = |value: AMQPValue| headers(&[("workspace_id", value)]);
    let long = "~".repeat(128);
    let publish = async |key: &str, properties: BasicProperties, body: &[u8]| {
        service.publisher.message(EXCHANGE, key, properties, body).await;
    };
    publish("message.sent", event("acme", "size"), &of_size(MAX_BYTES)).await;
    publish("message.sent", event("acme", "deep"), &nested(128)).await;
    publish("message.sent", event("acme", &long), b"{}").await;
    publish("message.sent", event("acme", "nul"), b"{\"a\":\"\\u0000\"}").await;
    publish("order.placed", event("acme", "extra"), b"{}").await;
    receiver.wait_for(5, SOON).await;
    // Integers of any size are a workspace's decimal string; the id may stand in the body alone.
    publish("message.sent", number(AMQPValue::LongLongInt(42)), b"{\"event_id\":\"i64\"}").await;
    publish("message.sent", number(AMQPValue::LongInt(42)), b"{\"event_id\":\"i32\"}").await;
    publish("message.sent", number(AMQPValue::ShortShortUInt(42)), b"{\"event_id\":\"u8\"}").await;
    publish("message.sent", number(text("42")), b"{\"event_id\":\"text\"}").await;
    let requests = receiver.wait_for(9, SOON).await;
    let arrived: Vec<_> = requests.iter().map(|request| request.header("webhook-id").unwrap()).collect();
    assert_eq!(arrived, ["size", "deep", &long, "nul", "extra", "i64", "i32", "u8", "text"]);
    assert_eq!(requests[3].text(), "{\"a\":\"\\u0000\",\"event_type\":\"message.sent\",\"event_id\":\"nul\"}");
    rejected.assert_empty().await;
}

#[tokio::test]
async fn the_same_id_is_delivered_once_and_without_a_plan_nothing_is_stored() {
    let service = Service::start(&[]).await;
    let receiver = Receiver::ok().await;
    let endpoint = service.connect("acme", &format!("{}/acme", receiver.url())).await;
    let other = service.connect("globex", &format!("{}/globex", receiver.url())).await;
    let free = service.connect("free", &format!("{}/free", receiver.url())).await;
    service.ask("PUT", "/v1/workspaces/free", json!({"plan": "starter"})).await;
    assert_eq!(service.shown(&free).await["status"], "paused");

    let publish = async |workspace: &str, id: &str, body: &str| {
        service.publisher.event("message.sent", workspace, id, body.as_bytes()).await;
    };
    for (workspace, id, body) in [
        ("acme", "1", "{\"n\":1}"),
        ("acme", "1", "{\"n\":2}"),
        ("globex", "1", "{\"n\":3}"),
        ("free", "1", "{}"),
        ("nobody", "1", "{}"),
        ("acme", "2", "{\"n\":4}"),
        ("acme", "1", "{\"n\":5}"),
        ("acme", "3", "{\"n\":6}"),
    ] {
        publish(workspace, id, body).await;
    }
    receiver.wait_for(4, SOON).await;
    service.until_idle(&endpoint).await;
    service.until_idle(&other).await;
    let numbers = |path: &str| -> Vec<u64> {
        receiver.requests_at(path).iter().map(|request| request.json()["n"].as_u64().unwrap()).collect()
    };
    assert_eq!((numbers("/acme"), numbers("/globex")), (vec![1, 4, 6], vec![3]), "an id is a workspace's own");
    assert_eq!(metric(&service.process, "recadero_events_duplicate_total").await, 2.0);
    assert_eq!(metric(&service.process, "recadero_events_unmatched_total").await, 2.0, "acknowledged");
    assert_eq!(service.shown(&free).await["backlog"]["events"], 0);

    service.entitle("free").await;
    publish("free", "2", "{\"n\":7}").await;
    receiver.wait_for(5, SOON).await;
    service.until_idle(&free).await;
    assert_eq!(numbers("/free"), [7], "what came without a plan was stored nowhere");
}

#[tokio::test]
async fn an_event_that_its_script_refuses_ends_as_store_error_and_its_neighbours_arrive() {
    let service = Service::start(&[]).await;
    let receiver = Receiver::ok().await;
    let broken = json!({"url": format!("{}/broken", receiver.url()), "events": ["comment.created"]});
    let broken = service.connect_with("acme", broken).await;
    let fine = json!({"url": format!("{}/fine", receiver.url()), "events": ["message.sent"]});
    service.connect_with("acme", fine).await;
    let mut rejected = Rejected::consume(&service.rabbit).await;

    // Its partition is known by its record; the queue of its only lane becomes what no script expects.
    let record = service.redis.cli(&["KEYS", &format!("recadero:*:ep:acme/{}", broken.id)]).await;
    let record: Vec<String> = redis::from_redis_value(record).unwrap();
    let queue = record[0].replace(":ep:", ":queue:") + ".1.0";
    service.redis.cli(&["SET", &queue, "a string"]).await;

    let ids: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    let key = |number: usize| if number % 5 == 2 { "comment.created" } else { "message.sent" };
    // Close together, so that they are appended by the same calls.
    let events = ids.iter().enumerate().map(|(number, id)| (key(number), "acme", id.as_str(), &b"{}"[..]));
    service.publisher.events(events).await;
    let mut refused = Vec::new();
    for _ in 0..4 {
        let (reason, detail, (key, properties, body)) = rejected.next().await;
        assert_eq!(
            (reason.as_str(), key.as_str(), &body[..]),
            ("store_error", "comment.created", &b"{}"[..]),
            "{detail}"
        );
        assert!(!detail.is_empty() && !detail.contains(char::is_control), "{detail:?}");
        refused.push(properties.message_id().as_ref().unwrap().to_string());
    }
    assert_eq!(refused, ["2", "7", "12", "17"]);
    let requests = receiver.wait_for(16, SOON).await;
    let arrived: Vec<_> = requests.iter().map(|r| r.header("webhook-id").unwrap().parse::<u32>().unwrap()).collect();
    assert_eq!(arrived, (0..20).filter(|number| number % 5 != 2).collect::<Vec<_>>());
    rejected.assert_empty().await;
}
