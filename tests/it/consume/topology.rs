//! The RabbitMQ side and the two commands that speak to it alone.

use clap::Parser;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use recadero::command::{publish, topology};
use recadero::consume::amqp::{AmqpPublisher, AmqpUrl, prepare};
use recadero::consume::topology::{EVENTS, Topology};
use recadero::consume::{BrokerError, Outgoing, Publisher};
use recadero::decide::ids::{EventType, WorkspaceId};

use super::world::{Gate, Running};
use crate::rig::rabbit::Rabbit;
use crate::rig::recadero::Process;
use crate::rig::redis::{Options, Redis};
use crate::rig::{PATIENCE, until};
use crate::service::metric;

#[derive(Parser)]
enum Cli {
    Publish(publish::Options),
    Topology(topology::Options),
}

/// Runs a command as the binary does; the error is what it prints.
async fn run(rabbit: &Rabbit, arguments: &[&str]) -> Result<(), String> {
    let all = ["recadero", arguments[0], "--amqp-url", rabbit.url()].into_iter().chain(arguments[1..].iter().copied());
    let cli = Cli::try_parse_from(all).unwrap();
    let done = tokio::task::spawn_blocking(|| match cli {
        Cli::Publish(options) => publish::run(options),
        Cli::Topology(options) => topology::run(options),
    });
    done.await.unwrap().map_err(|error| format!("{error:#}"))
}

fn of(queues: u16) -> Topology {
    Topology { exchange: EVENTS.to_owned(), queues }
}

fn url(rabbit: &Rabbit) -> AmqpUrl {
    rabbit.url().parse().unwrap()
}

fn refused(error: BrokerError) -> String {
    match error {
        BrokerError::Refused(text) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_check_changes_nothing_and_a_declaration_can_be_repeated() {
    let rabbit = Rabbit::shared().await;
    for _ in 0..2 {
        let missing = run(&rabbit, &["topology", "--check"]).await.unwrap_err();
        assert!(missing.contains("recadero.rejected does not exist; `recadero topology` declares it"), "{missing}");
    }
    run(&rabbit, &["topology"]).await.unwrap();
    run(&rabbit, &["topology"]).await.unwrap();
    run(&rabbit, &["topology", "--check"]).await.unwrap();
    let report = prepare(&url(&rabbit), &of(1), false).await.unwrap().to_string();
    for name in ["exchange recadero.events\n", "queue recadero.events.0\n", "exchange recadero.outcomes\n"] {
        assert!(report.contains(name), "{report}");
    }
}

/// It looks for queues that only another number of them would have left.
#[tokio::test]
async fn a_first_start_finds_nothing_there_and_logs_no_error() {
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let several = [("RECADERO_REDIS_URL", &*redis.url()), ("RECADERO_AMQP_URL", rabbit.url())];
    let process = Process::serve(&several).await;
    let log = process.log();
    assert!(log.contains("RabbitMQ connected") && !log.contains("ERROR") && !log.contains("WARN"), "{log}");
}

#[tokio::test]
async fn a_process_that_only_notifies_declares_or_checks_the_exchange_of_outcomes() {
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let redis = redis.url();
    let notifier = |declare| {
        let servers = [("RECADERO_REDIS_URL", &*redis), ("RECADERO_AMQP_URL", rabbit.url())];
        [servers[0], servers[1], ("RECADERO_ROLES", "notifier"), ("RECADERO_DECLARE", declare)]
    };
    let checking = Process::start(&["serve"], &notifier("false"));
    let says_so = async || {
        let asked = checking.probe("/readyz").await;
        asked.is_some_and(|(status, text)| status == 503 && text.contains("recadero.outcomes does not exist; `rec"))
    };
    until("it says what is missing", PATIENCE, says_so).await;
    drop(Process::serve(&notifier("true")).await);

    let connection = rabbit.connection().await;
    let channel = connection.create_channel().await.unwrap();
    let passive = lapin::options::ExchangeDeclareOptions { passive: true, ..Default::default() };
    let declared = channel.exchange_declare(
        "recadero.outcomes".into(),
        lapin::ExchangeKind::Topic,
        passive,
        FieldTable::default(),
    );
    declared.await.unwrap();
    let ready = async || checking.probe("/readyz").await.is_some_and(|(status, _)| status == 200);
    until("it sees what the other declared", PATIENCE, ready).await;
}

/// Connected is when all queues are, and what keeps them from being so is told once.
#[tokio::test]
async fn broker_connected_speaks_for_all_queues() {
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    prepare(&url(&rabbit), &of(3), true).await.unwrap();
    let servers = [("RECADERO_REDIS_URL", &*redis.url()), ("RECADERO_AMQP_URL", rabbit.url())];
    let others = [("RECADERO_AMQP_QUEUES", "3"), ("RECADERO_DECLARE", "false")];
    let process = Process::serve(&[servers[0], servers[1], others[0], others[1]]).await;
    let connection = rabbit.connection().await;
    let channel = connection.create_channel().await.unwrap();
    for queue in 0..2 {
        channel.queue_delete(of(3).queue(queue).into(), Default::default()).await.unwrap();
    }
    until("it is not connected", PATIENCE, async || metric(&process, "recadero_broker_connected").await == 0.0).await;
    // The third queue stays subscribed to, the others are tried over and over.
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(metric(&process, "recadero_broker_connected").await, 0.0);
    }
    prepare(&url(&rabbit), &of(3), true).await.unwrap();
    until("it is connected", PATIENCE, async || metric(&process, "recadero_broker_connected").await == 1.0).await;
    let log = process.log();
    assert_eq!(log.matches("RabbitMQ is not there").count(), 1, "{log}");
}

#[tokio::test]
async fn what_differs_is_named() {
    let rabbit = Rabbit::shared().await;
    let connection = rabbit.connection().await;
    let channel = connection.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("recadero.events.0".into(), durable, arguments).await.unwrap();
    let text = refused(prepare(&url(&rabbit), &of(1), true).await.unwrap_err());
    assert!(text.starts_with("the queue recadero.events.0 exists with other settings: PRECONDITION_FAILED"), "{text}");
    assert!(text.contains("x-"), "the argument that differs: {text}");
}

#[tokio::test]
async fn another_number_of_queues_is_refused() {
    for (first, then) in [(1, 3), (3, 1), (3, 2), (2, 3)] {
        let rabbit = Rabbit::shared().await;
        prepare(&url(&rabbit), &of(first), true).await.unwrap();
        for declare in [true, false] {
            let text = refused(prepare(&url(&rabbit), &of(then), declare).await.unwrap_err());
            assert!(text.contains(&format!("RECADERO_AMQP_QUEUES is {then}")), "{first} to {then}: {text}");
        }
        prepare(&url(&rabbit), &of(first), true).await.unwrap();
    }
}

#[tokio::test]
async fn only_what_a_queue_took_counts_as_published() {
    let rabbit = Rabbit::shared().await;
    let publisher = AmqpPublisher::new(&url(&rabbit));
    let (workspace, event_type) = (WorkspaceId::trusted("acme"), EventType::trusted("message.sent"));
    let event = || Outgoing::event(EVENTS, &workspace, &event_type, None, "{}".into());
    let text = refused(publisher.publish(vec![event()]).await.unwrap_err());
    assert!(text.contains("no exchange 'recadero.events'"), "{text}");

    let connection = rabbit.connection().await;
    let channel = connection.create_channel().await.unwrap();
    let durable = lapin::options::ExchangeDeclareOptions { durable: true, ..Default::default() };
    let none = FieldTable::default;
    channel.exchange_declare(EVENTS.into(), lapin::ExchangeKind::Topic, durable, none()).await.unwrap();
    let unroutable = BrokerError::Unroutable(EVENTS.to_owned());
    assert_eq!(publisher.publish(vec![event()]).await.unwrap_err(), unroutable, "confirmed, but nobody has it");

    prepare(&url(&rabbit), &of(1), true).await.unwrap();
    let both = futures_util::future::join_all((0..50).map(|_| publisher.publish(vec![event(), event()]))).await;
    assert!(both.iter().all(Result::is_ok), "{both:?}");
    publisher.publish(vec![Outgoing::outcome("event.dropped", "1", "{}".into())]).await.expect("nobody has to listen");
    let long = Outgoing::outcome(&"x".repeat(256), "1", "{}".into());
    refused(publisher.publish(vec![long]).await.unwrap_err());
}

#[tokio::test]
async fn during_an_alarm_publishers_are_told_so_and_do_not_wait_for_long() {
    let rabbit = Rabbit::start_with(&["vm_memory_high_watermark.absolute = 20MB"]).await;
    prepare(&url(&rabbit), &of(1), true).await.unwrap();
    let publisher = AmqpPublisher::new(&url(&rabbit));
    let (workspace, event_type) = (WorkspaceId::trusted("acme"), EventType::trusted("message.sent"));
    let event = || vec![Outgoing::event(EVENTS, &workspace, &event_type, None, "{}".into())];
    let first = publisher.publish(event()).await.unwrap_err();
    assert_eq!(first, BrokerError::Unavailable("no answer within 10 s".to_owned()));
    let begin = std::time::Instant::now();
    let second = publisher.publish(event()).await.unwrap_err();
    assert!(second.to_string().ends_with("a memory or disk alarm"), "{second}");
    assert!(begin.elapsed() < std::time::Duration::from_secs(10), "it does not wait as the first did");
}

#[tokio::test]
async fn the_publish_command_sends_samples_and_lines() {
    let rabbit = Rabbit::shared().await;
    let text = run(&rabbit, &["publish"]).await.unwrap_err();
    assert!(text.contains("9 events were not confirmed") && text.contains("`recadero topology` declares it"), "{text}");

    run(&rabbit, &["topology"]).await.unwrap();
    let gate = Gate::new();
    gate.connect("demo").await;
    gate.connect("acme").await;
    let running = Running::start(rabbit.url(), &gate);
    run(&rabbit, &["publish"]).await.unwrap();
    run(&rabbit, &["publish", "--type", "message.sent", "--count", "20", "--rate", "200"]).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.ndjson");
    let lines: String =
        (0..600).map(|n| format!("{{\"event_type\":\"message.sent\",\"event_id\":\"{n}\"}}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    run(&rabbit, &["publish", "--workspace", "acme", "--file", file.to_str().unwrap()]).await.unwrap();
    until("all in their lanes", PATIENCE, async || {
        (gate.waiting("demo").await, gate.waiting("acme").await) == (29, 600)
    })
    .await;
    running.stop().await;
    assert_eq!(gate.ids("acme").await, (0..600).map(|n| n.to_string()).collect::<Vec<_>>());
}
