//! Events into lanes: in order, none lost, none twice, whatever ends in between.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lapin::Confirmation;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use recadero::consume::topology::{EVENTS, Topology};
use recadero::decide::event_types::KNOWN_EVENT_TYPES;

use super::world::{Gate, Running, broker};
use crate::rig::publish::{self, EXCHANGE, Publisher};
use crate::rig::rabbit::Rabbit;
use crate::rig::{PATIENCE, until};

const TYPE: &str = "message.sent";

fn one_queue() -> Topology {
    Topology { exchange: EVENTS.to_owned(), queues: 1 }
}

async fn declare(url: &str) {
    recadero::consume::amqp::prepare(&url.parse().unwrap(), &one_queue(), true).await.unwrap();
}

/// Publishes `{"n":…}` under the ids `0`, `1`, ….
async fn publish(rabbit: &Rabbit, workspace: &str, numbers: std::ops::Range<usize>) {
    let publisher = Publisher::connect(rabbit.url()).await;
    let events: Vec<_> = numbers.map(|n| (n.to_string(), format!("{{\"n\":{n}}}"))).collect();
    publisher.events(events.iter().map(|(id, body)| (TYPE, workspace, id.as_str(), body.as_bytes()))).await;
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// Messages that wait in the queue and are given to nobody.
async fn ready(rabbit: &Rabbit) -> u32 {
    let connection = rabbit.connection().await;
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    channel.queue_declare("recadero.events.0".into(), options, FieldTable::default()).await.unwrap().message_count()
}

async fn until_waiting(gate: &Gate, workspace: &str, count: usize) {
    until("all of them in the lane", PATIENCE, async || gate.waiting(workspace).await == count as u64).await;
}

#[tokio::test]
async fn the_nine_events_reach_the_lane_in_order_and_unchanged() {
    let rabbit = Rabbit::shared().await;
    let gate = Gate::new();
    gate.connect("acme").await;
    declare(rabbit.url()).await;
    let running = Running::start(rabbit.url(), &gate);
    let publisher = Publisher::connect(rabbit.url()).await;
    for known in KNOWN_EVENT_TYPES {
        let id = event_id(known.sample);
        publisher.event(known.event_type, "acme", &id, known.sample.as_bytes()).await;
    }
    until_waiting(&gate, "acme", 9).await;
    running.stop().await;
    let expected: Vec<_> =
        KNOWN_EVENT_TYPES.iter().map(|known| (event_id(known.sample), known.sample.to_owned())).collect();
    assert_eq!(gate.delivered("acme").await, expected);
    assert_eq!(ready(&rabbit).await, 0, "acknowledged");
}

fn event_id(sample: &str) -> String {
    let event: serde_json::Value = serde_json::from_str(sample).unwrap();
    event["event_id"].as_str().unwrap().to_owned()
}

/// The second waits as RabbitMQ's next active consumer while the first holds a batch it never acknowledges.
#[tokio::test]
async fn what_a_dead_router_had_not_acknowledged_goes_on_in_order_and_once() {
    let rabbit = Rabbit::shared().await;
    let gate = Gate::new();
    gate.connect("acme").await;
    declare(rabbit.url()).await;
    publish(&rabbit, "acme", 0..3000).await;
    let stuck = Gate { stuck: std::sync::Arc::new(true.into()), ..gate.clone() };
    for _ in 0..3 {
        let first = Running::start(rabbit.url(), &stuck);
        until("a batch in the store, not acknowledged", PATIENCE, async || {
            stuck.appended.swap(0, Ordering::SeqCst) > 0
        })
        .await;
        first.kill().await;
    }
    let first = Running::start(rabbit.url(), &stuck);
    until("a batch again", PATIENCE, async || stuck.appended.load(Ordering::SeqCst) > 0).await;
    let second = Running::start(rabbit.url(), &gate);
    tokio::time::sleep(Duration::from_millis(300)).await;
    first.kill().await;
    until_waiting(&gate, "acme", 3000).await;
    second.stop().await;
    assert_eq!(gate.ids("acme").await, numbers(3000));
    assert_eq!(ready(&rabbit).await, 0);
}

#[tokio::test]
async fn a_graceful_end_gives_the_next_router_what_follows() {
    let rabbit = Rabbit::shared().await;
    let gate = Gate::new();
    gate.connect("acme").await;
    declare(rabbit.url()).await;
    publish(&rabbit, "acme", 0..4000).await;
    // Each takes over from the one before, which is stopped in the middle of the work.
    let mut running = Running::start(rabbit.url(), &gate);
    for part in 1..8 {
        until("some more in the lane", PATIENCE, async || gate.waiting("acme").await >= part * 400).await;
        let next = Running::start(rabbit.url(), &gate);
        running.stop().await;
        running = next;
    }
    until_waiting(&gate, "acme", 4000).await;
    running.stop().await;
    assert_eq!(gate.ids("acme").await, numbers(4000));
}

#[tokio::test]
async fn all_that_was_confirmed_arrives_in_order_over_a_kill_of_rabbitmq() {
    let mut rabbit = Rabbit::start().await;
    let gate = Gate::new();
    gate.connect("acme").await;
    declare(rabbit.url()).await;
    let running = Running::start(rabbit.url(), &gate);
    let url = rabbit.url().to_owned();
    // An upstream that publishes one event after the other, each until it is confirmed.
    let upstream = tokio::spawn(async move {
        let mut publisher = None;
        for n in 0..1500 {
            let (id, body) = (n.to_string(), format!("{{\"n\":{n}}}"));
            loop {
                if publisher.is_none() {
                    publisher = Publisher::try_connect(&url).await.ok();
                }
                let Some(connected) = &publisher else {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                match connected.try_message(EXCHANGE, TYPE, publish::event("acme", &id), body.as_bytes()).await {
                    Ok(Confirmation::Ack(None)) => break,
                    _ => publisher = None,
                }
            }
        }
    });
    for part in [300, 900] {
        until("some in the lane", PATIENCE, async || gate.waiting("acme").await >= part).await;
        // RabbitMQ 3.10 loses the leader of a quorum queue that is killed right after it was declared.
        tokio::time::sleep(Duration::from_secs(2)).await;
        rabbit.restart().await;
    }
    upstream.await.unwrap();
    until_waiting(&gate, "acme", 1500).await;
    running.stop().await;
    assert_eq!(gate.ids("acme").await, numbers(1500));
}

#[tokio::test]
async fn a_full_store_leaves_the_events_in_rabbitmq_in_order() {
    let rabbit = Rabbit::shared().await;
    let gate = Gate::new();
    gate.connect("acme").await;
    declare(rabbit.url()).await;
    gate.full.store(true, Ordering::SeqCst);
    let running = Running::start(rabbit.url(), &gate);
    publish(&rabbit, "acme", 0..2000).await;
    until("the router holds its prefetch", PATIENCE, async || ready(&rabbit).await <= 2000 - 512).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(gate.waiting("acme").await, 0);
    assert_eq!(ready(&rabbit).await, 2000 - 512, "the router holds its prefetch and no more");
    gate.full.store(false, Ordering::SeqCst);
    until_waiting(&gate, "acme", 2000).await;
    running.stop().await;
    assert_eq!(gate.ids("acme").await, numbers(2000));
}

#[tokio::test]
async fn several_queues_keep_the_order_of_each_workspace() {
    let rabbit = Rabbit::shared().await;
    let gate = Gate::new();
    let topology = Topology { exchange: EVENTS.to_owned(), queues: 4 };
    let broker = std::sync::Arc::new(broker(rabbit.url(), topology.clone()));
    recadero::consume::amqp::prepare(&rabbit.url().parse().unwrap(), &topology, true).await.unwrap();
    let workspaces: Vec<_> = (0..20).map(|n| format!("workspace-{n}")).collect();
    for workspace in &workspaces {
        gate.connect(workspace).await;
        publish(&rabbit, workspace, 0..100).await;
    }
    let connection = rabbit.connection().await;
    let channel = connection.create_channel().await.unwrap();
    for queue in 0..4 {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let queue = channel.queue_declare(topology.queue(queue).into(), options, FieldTable::default()).await.unwrap();
        assert!(queue.message_count() > 0, "every queue has its share");
    }
    let mut running = Vec::new();
    for queue in 0..4 {
        running.push(Running::of(broker.clone(), queue, &gate));
    }
    for workspace in &workspaces {
        until_waiting(&gate, workspace, 100).await;
        assert_eq!(gate.ids(workspace).await, numbers(100));
    }
    for running in running {
        running.stop().await;
    }
}
