//! What an event has reached when RabbitMQ's copy is acknowledged.

use std::time::Duration;

use super::figures::report;
use super::site::{QUEUE, Site, connect, idle, metric, queue_depth};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, sized};
use crate::rig::rabbit::Rabbit;
use crate::rig::recadero::run;
use crate::rig::receiver::Receiver;
use crate::rig::redis::{Aof, Options, Redis};
use crate::rig::until;

const LANES: [u16; 4] = [1, 1, 1, 4];

/// Whether this server knows `WAITAOF` (Redis 7.2); says so in the test's output where it does not.
pub(super) async fn has_waitaof(redis: &Redis) -> bool {
    let has = redis.cli(&["COMMAND", "INFO", "WAITAOF"]).await != redis::Value::Array(vec![redis::Value::Nil]);
    if !has {
        println!("this redis-server has no WAITAOF: what needs it is not shown");
    }
    has
}

#[tokio::test]
async fn memory_is_acknowledged_by_a_redis_that_keeps_nothing() {
    let (receiver, rabbit) = (Receiver::ok().await, Rabbit::shared().await);
    let redis = Redis::start(Options::default()).await;
    let process = Site::new(&redis.url(), rabbit.url()).with("RECADERO_DURABILITY", "memory").serve().await;
    connect(&process, &receiver, &LANES).await;
    let ledger = Traffic::start(rabbit.url(), Plan::new(LANES.len(), 200)).finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    ledger.judge(&receiver, &LANES).report(&[]);
}

#[tokio::test]
async fn disk_by_appendfsync_always_keeps_what_was_acknowledged_over_a_kill() {
    disk_keeps_what_was_acknowledged_over_a_kill(
        Redis::start(Options { aof: Aof::Always, ..Options::default() }).await,
    )
    .await;
}

#[tokio::test]
async fn disk_by_waitaof_keeps_what_was_acknowledged_over_a_kill() {
    let redis = Redis::start(Options { aof: Aof::Everysec, ..Options::default() }).await;
    if has_waitaof(&redis).await {
        disk_keeps_what_was_acknowledged_over_a_kill(redis).await;
    }
}

async fn disk_keeps_what_was_acknowledged_over_a_kill(mut redis: Redis) {
    let (receiver, rabbit) = (Receiver::ok().await, Rabbit::shared().await);
    let site = Site::new(&redis.url(), rabbit.url()).with("RECADERO_DURABILITY", "disk");
    let mut process = site.clone().with("RECADERO_ROLES", "router,api").serve().await;
    connect(&process, &receiver, &LANES).await;
    let ledger = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(500, 5_000))).finish().await;
    let routed = async || metric(&process, "events_routed_total", "").await == ledger.0.len() as f64;
    until("all acknowledged", ARRIVAL, routed).await;
    process.term(ARRIVAL).await;
    assert_eq!(queue_depth(&rabbit, QUEUE).await, 0, "RabbitMQ has nothing left");

    redis.restart().await;
    assert_eq!(receiver.count(), 0);
    let process = site.serve().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("kills", 1.into())]);
    assert_eq!(findings.repeats, 0, "{findings}");
}

#[tokio::test]
async fn disk_on_a_server_that_cannot_promise_it_is_refused_at_the_start() {
    let everysec = Redis::start(Options { aof: Aof::Everysec, ..Options::default() }).await;
    let nothing = Redis::start(Options::default()).await;
    let with_waitaof = has_waitaof(&everysec).await;
    let mut refused = 0;
    for redis in [&everysec, &nothing] {
        if with_waitaof && redis.port() == everysec.port() {
            continue; // That is enough for it.
        }
        let url = redis.url();
        let variables = [
            ("RECADERO_REDIS_URL", url.as_str()),
            ("RECADERO_DURABILITY", "disk"),
            ("RECADERO_ROLES", "deliverer"),
            ("RECADERO_OPS_ADDR", "127.0.0.1:0"),
            ("RECADERO_LOG", "warn"),
        ];
        let (status, said) = run(&["serve"], &variables).await;
        assert_eq!(status, 2, "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "one clear line: {said}");
        assert!(said.contains("RECADERO_DURABILITY=disk") && said.contains("appendfsync always"), "{said}");
        refused += 1;
    }
    report(&[("servers refused", refused.into())]);
}

#[tokio::test]
async fn replica_is_acknowledged_only_when_the_replica_has_it() {
    let (receiver, rabbit) = (Receiver::ok().await, Rabbit::shared().await);
    let primary = Redis::start(Options::default()).await;
    let mut replica = Redis::start(Options { replica_of: Some(primary.port()), ..Options::default() }).await;
    let site = Site::new(&primary.url(), rabbit.url()).with("RECADERO_DURABILITY", "replica");
    let mut process = site.clone().with("RECADERO_ROLES", "router,api").serve().await;
    connect(&process, &receiver, &LANES).await;
    let mut ledger = Traffic::start(rabbit.url(), Plan::new(LANES.len(), 40)).finish().await;
    until("acknowledged", ARRIVAL, async || metric(&process, "events_routed_total", "").await == 40.0).await;

    replica.pause();
    let plan = Plan { name: "paused", ..Plan::new(LANES.len(), 40) };
    ledger.0.extend(Traffic::start(rabbit.url(), plan).finish().await.0);
    // Longer than a router waits for a replica before it begins again.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(metric(&process, "events_routed_total", "").await, 40.0, "none of the second forty");
    process.kill9();
    until("un-acknowledged", ARRIVAL, async || queue_depth(&rabbit, QUEUE).await == 40).await;

    process.restart().await;
    replica.resume();
    let done = async || metric(&process, "events_received_total", "").await == 40.0;
    until("known to the store, and acknowledged now", ARRIVAL, done).await;
    process.term(ARRIVAL).await;
    assert_eq!(queue_depth(&rabbit, QUEUE).await, 0);
    let process = site.serve().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("kills", 1.into())]);
    assert_eq!(findings.repeats, 0, "{findings}");
}
