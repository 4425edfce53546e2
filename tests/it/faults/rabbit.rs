//! RabbitMQ killed, cut off, and relieved of its queue, under traffic; and routers that die with their hands full.

use std::time::Duration;

use lapin::options::QueueDeleteOptions;

use super::proxy::{Mode, Proxy};
use super::site::{QUEUE, Site, connect, idle, metric, queue_depth};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::publish::Publisher;
use crate::rig::rabbit::Rabbit;
use crate::rig::recadero::Process;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::redis::{Options, Redis};
use crate::rig::until;

const LANES: [u16; 8] = [1, 1, 1, 1, 1, 1, 1, 4];

/// Until RabbitMQ has a new queue's name on its disk; see `Rabbit::kill`.
pub const WRITTEN: Duration = Duration::from_secs(2);

/// Where events go that can never be delivered.
pub const REJECTED: &str = "recadero.rejected";

/// One that takes ten milliseconds.
pub async fn receiver() -> Receiver {
    Receiver::start(|_| Answer::ok().after(ms(10))).await
}

/// The URL of a RabbitMQ through a proxy, with a heartbeat of two seconds.
pub async fn proxied(rabbit: &Rabbit) -> (Proxy, String) {
    let mut url = url::Url::parse(rabbit.url()).unwrap();
    let proxy = Proxy::to(url.port().unwrap()).await;
    url.set_port(Some(proxy.port())).unwrap();
    url.set_query(Some("heartbeat=2"));
    (proxy, url.to_string())
}

#[tokio::test]
async fn rabbitmq_killed_and_restarted_loses_and_repeats_nothing() {
    let receiver = receiver().await;
    let (redis, mut rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::start());
    let process = Site::new(&redis.url(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    tokio::time::sleep(WRITTEN).await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(1_500, 20_000)));
    let mut kills = 0;
    for _ in 0..sized(1, 8) {
        receiver.wait_for(receiver.count() + 200, ARRIVAL).await;
        rabbit.kill();
        kills += 1;
        until("broker_connected says so", ARRIVAL, async || metric(&process, "broker_connected", "").await == 0.0)
            .await;
        rabbit.restart().await;
    }
    assert!(!traffic.is_finished(), "the traffic ended before the kills");

    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("kills", kills.into())]);
    assert_eq!(findings.repeats, 0, "{findings}");
    assert_eq!((queue_depth(&rabbit, QUEUE).await, queue_depth(&rabbit, REJECTED).await), (0, 0));
}

#[tokio::test]
async fn a_consumer_cut_off_in_the_middle_of_batches_loses_and_repeats_nothing() {
    let (receiver, rabbit) = (receiver().await, Rabbit::shared().await);
    let redis = Redis::start(Options::default()).await;
    let (proxy, url) = proxied(&rabbit).await;
    let process = Site::new(&redis.url(), &url).serve().await;
    connect(&process, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(1_500, 20_000)));
    receiver.wait_for(50, ARRIVAL).await;
    for _ in 0..sized(15, 200) {
        proxy.cut();
        tokio::time::sleep(ms(150)).await;
    }
    // What is appended now is not acknowledged: the words are lost on the way.
    proxy.set(Mode::Deaf);
    tokio::time::sleep(ms(500)).await;
    proxy.cut();
    proxy.set(Mode::Pass);

    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("cuts", proxy.cuts().into())]);
    assert_eq!(findings.repeats, 0, "{findings}");
    assert_eq!(queue_depth(&rabbit, REJECTED).await, 0);
}

#[tokio::test]
async fn a_router_killed_after_the_append_and_before_the_ack_repeats_nothing() {
    let (receiver, rabbit) = (receiver().await, Rabbit::shared().await);
    let redis = Redis::start(Options::default()).await;
    let (proxy, url) = proxied(&rabbit).await;
    let mut process = Site::new(&redis.url(), &url).serve().await;
    connect(&process, &receiver, &LANES).await;
    proxy.set(Mode::Deaf);
    let ledger = Traffic::start(rabbit.url(), Plan::new(LANES.len(), 80)).finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    process.kill9();
    proxy.cut();
    until("all are back in the queue", ARRIVAL, async || queue_depth(&rabbit, QUEUE).await == 80).await;

    proxy.set(Mode::Pass);
    process.restart().await;
    until("acknowledged", ARRIVAL, async || metric(&process, "events_received_total", "").await == 80.0).await;
    assert_eq!(metric(&process, "events_duplicate_total", "").await, 0.0, "none was published twice");
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("kills", 1.into())]);
    assert!(findings.repeats_per_lane_max <= 1, "the attempt whose outcome was not recorded: {findings}");
}

#[tokio::test]
async fn no_crash_loop_with_a_full_prefetch_dead_letters_a_healthy_event() {
    let (receiver, rabbit) = (receiver().await, Rabbit::shared().await);
    let redis = Redis::start(Options::default()).await;
    let site = Site::new(&redis.url(), rabbit.url());
    let mut process = site.serve().await;
    connect(&process, &receiver, &LANES).await;
    assert_eq!(process.term(ARRIVAL).await, 0);
    let ledger = Traffic::start(rabbit.url(), Plan::new(LANES.len(), 700)).finish().await;

    // A store that takes nothing: the router holds what it got.
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let site_of_routers = site.clone().with("RECADERO_ROLES", "router");
    let crashes = sized(25, 60);
    for _ in 0..crashes {
        let mut router = Process::start(&["serve"], &site_of_routers.variables());
        until("a full prefetch", ARRIVAL, async || queue_depth(&rabbit, QUEUE).await == 700 - 512).await;
        router.kill9();
        until("all given back", ARRIVAL, async || queue_depth(&rabbit, QUEUE).await == 700).await;
    }
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;

    process.restart().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("crashes with 512 events in hand", crashes.into())]);
    assert_eq!(findings.repeats, 0, "{findings}");
    assert_eq!(queue_depth(&rabbit, REJECTED).await, 0, "dead-lettered");
}

#[tokio::test]
async fn a_queue_that_was_deleted_is_made_again_and_what_is_confirmed_then_arrives() {
    let (receiver, rabbit) = (receiver().await, Rabbit::shared().await);
    let redis = Redis::start(Options::default()).await;
    let process = Site::new(&redis.url(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    let mut ledger = Traffic::start(rabbit.url(), Plan::new(LANES.len(), 80)).finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;

    let connection = rabbit.connection().await;
    let channel = connection.create_channel().await.unwrap();
    for queue in [QUEUE, REJECTED] {
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }

    // One at a time: those that nobody has a queue for come back, and are published again.
    let plan = Plan { batch: 1, pause: ms(5), name: "after", ..Plan::new(LANES.len(), 80) };
    ledger.0.extend(Traffic::start(rabbit.url(), plan).finish().await.0);
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[]);
    assert_eq!(findings.repeats, 0, "{findings}");

    // The rejected ones' queue alone: found out when it is needed.
    channel.queue_delete(REJECTED.into(), QueueDeleteOptions::default()).await.unwrap();
    Publisher::connect(rabbit.url()).await.event("message.received", "w0", "poison", b"not JSON").await;
    until("rejected", ARRIVAL, async || queue_depth(&rabbit, REJECTED).await == 1).await;
    until("acknowledged", ARRIVAL, async || metric(&process, "events_rejected_total", "").await == 1.0).await;
}
