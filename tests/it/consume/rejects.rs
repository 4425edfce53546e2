//! What can never be delivered: every reason of the contract ends in `recadero.rejected`, with all it came with.

use futures_util::StreamExt;
use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::{AMQPValue, FieldTable};
use recadero::consume::topology::{EVENTS, Topology};

use super::world::{Gate, Running};
use crate::rig::publish::{EXCHANGE, Publisher, event, headers};
use crate::rig::rabbit::Rabbit;
use crate::rig::{PATIENCE, until};

#[tokio::test]
async fn every_reason_ends_in_rejected_with_properties_and_body_unchanged() {
    let rabbit = Rabbit::shared().await;
    let gate = Gate::new();
    gate.connect("acme").await;
    *gate.refused.lock().unwrap() = Some("refused".to_owned());
    let topology = Topology { exchange: EVENTS.to_owned(), queues: 1 };
    recadero::consume::amqp::prepare(&rabbit.url().parse().unwrap(), &topology, true).await.unwrap();
    let publisher = Publisher::connect(rabbit.url()).await;

    let sent = "message.sent";
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(262_144));
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let no_workspace = || headers(&[]).with_message_id("1".into());
    let bad_workspace = headers(&[("workspace_id", AMQPValue::LongString("a b".into()))]).with_message_id("1".into());
    let no_id = headers(&[("workspace_id", AMQPValue::LongLongInt(7))]);
    let cases: Vec<(&str, &str, BasicProperties, &[u8])> = vec![
        ("too_large", sent, event("acme", "1"), large.as_bytes()),
        ("not_json", sent, event("acme", "1"), b"{"),
        ("not_json", sent, event("acme", "1"), b"{\"a\":\"\xff\"}"),
        ("not_json", sent, event("acme", "1"), b"{\"a\":1,\"a\":2}"),
        ("not_json", sent, event("acme", "1"), b"{\"a\":\0}"),
        ("not_json", sent, event("acme", "1"), deep.as_bytes()),
        ("not_json", sent, event("acme", "1"), b""),
        ("not_an_object", sent, event("acme", "1"), b"[]"),
        ("missing_workspace_id", sent, no_workspace(), b"{}"),
        ("invalid_workspace_id", sent, bad_workspace, b"{}"),
        ("missing_event_id", sent, no_id, b"{}"),
        ("event_id_mismatch", sent, event("acme", "1"), b"{\"event_id\":\"2\"}"),
        ("invalid_event_id", sent, event("acme", "a.b"), b"{}"),
        ("event_type_mismatch", sent, event("acme", "1"), b"{\"event_type\":\"message.received\"}"),
        ("unknown_event_type", "no.such", event("acme", "1"), b"{}"),
        ("store_error", sent, event("acme", "refused"), b"{}"),
    ];
    let mut expected = Vec::new();
    for (number, (reason, key, properties, body)) in cases.into_iter().enumerate() {
        // Properties of every kind, which Recadero has no use for.
        let mut table = properties.headers().clone().unwrap();
        table.insert("tenant".into(), AMQPValue::FieldTable(FieldTable::default()));
        // RabbitMQ routes by these keys too, where keys count.
        let copies = vec![AMQPValue::LongString("recadero.events.0".into()), AMQPValue::LongString(sent.into())];
        table.insert("CC".into(), AMQPValue::FieldArray(copies.into()));
        table.insert("n".into(), AMQPValue::LongLongInt(number as i64));
        let properties = properties
            .with_headers(table)
            .with_content_type("application/json".into())
            .with_correlation_id(number.to_string().into())
            .with_priority(3)
            .with_timestamp(1_700_000_000)
            .with_app_id("upstream".into());
        // An hour; a property that would take the copy out of its queue again.
        let expiring = properties.clone().with_expiration("3600000".into());
        publisher.message(EXCHANGE, key, expiring, body).await;
        // A neighbour between any two.
        publisher.event(sent, "acme", &format!("good-{number}"), b"{}").await;
        expected.push((reason, key, properties, body));
    }

    let running = Running::start(rabbit.url(), &gate);
    let good: Vec<_> = (0..expected.len()).map(|number| format!("good-{number}")).collect();
    until("the neighbours in the lane", PATIENCE, async || gate.waiting("acme").await == good.len() as u64).await;

    let connection = rabbit.connection().await;
    let channel = connection.create_channel().await.unwrap();
    let options = BasicConsumeOptions::default();
    let mut rejected =
        channel.basic_consume("recadero.rejected".into(), "".into(), options, FieldTable::default()).await.unwrap();
    for (reason, key, properties, body) in expected {
        let next = tokio::time::timeout(PATIENCE, rejected.next()).await;
        let message = next.unwrap_or_else(|_| panic!("{reason} was not rejected")).unwrap().unwrap();
        let mut table = message.properties.headers().clone().unwrap().inner().clone();
        let told = |value: Option<AMQPValue>| value.unwrap().as_long_string().unwrap().to_string();
        assert_eq!(told(table.remove("recadero-reason")), reason);
        let detail = told(table.remove("recadero-detail"));
        assert!(!detail.is_empty() && !detail.contains('\n'), "{reason}: {detail:?}");
        assert_eq!(told(table.remove("recadero-expiration")), "3600000", "{reason}");
        assert_eq!(message.properties.clone().with_headers(table.into()), properties, "{reason}");
        assert_eq!((message.routing_key.as_str(), &message.data[..]), (key, body), "{reason}");
        message.ack(BasicAckOptions::default()).await.unwrap();
    }
    let more = tokio::time::timeout(std::time::Duration::from_millis(300), rejected.next()).await;
    assert!(more.is_err(), "once each: {more:?}");
    running.stop().await;
    assert_eq!(gate.ids("acme").await, good, "nothing else was disturbed");
}
