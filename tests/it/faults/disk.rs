//! Redis's disk: full, and after a loss of power.

use std::time::Instant;

use super::durability::has_waitaof;
use super::figures::lasted;
use super::site::{QUEUE, Site, connect, idle, metric, queue_depth};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::rabbit::Rabbit;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::redis::{Aof, Options, Redis};
use crate::rig::until;

const LANES: [u16; 6] = [1, 1, 1, 1, 1, 4];
/// Room that is left on the disk.
const ROOM: u64 = 64 << 10;
/// What a loss of power has to cost for the tests to show something.
const UNSYNCED: u64 = 64 << 10;

#[tokio::test]
async fn a_full_disk_pauses_the_intake_and_all_goes_on_when_there_is_room() {
    let receiver = Receiver::start(|_| Answer::ok().after(ms(10))).await;
    let (redis, rabbit) =
        tokio::join!(Redis::start(Options { aof: Aof::Everysec, ..Options::default() }), Rabbit::shared());
    let site = Site::new(&redis.url(), rabbit.url()).with("RECADERO_AMQP_PREFETCH", "64");
    let process = site.serve().await;
    connect(&process, &receiver, &LANES).await;
    let plan = Plan { filler: 1 << 10, ..Plan::new(LANES.len(), sized(1_000, 10_000)) };
    let traffic = Traffic::start(rabbit.url(), plan);
    receiver.wait_for(100, ARRIVAL).await;

    redis.limit_files(Some(redis.log_bytes() + ROOM));
    let refuses = async || {
        let info: String = redis::from_redis_value(redis.cli(&["INFO", "persistence"]).await).unwrap();
        info.contains("aof_last_write_status:err")
    };
    until("Redis refuses writes", ARRIVAL, refuses).await;
    until("events stay in RabbitMQ", ARRIVAL, async || queue_depth(&rabbit, QUEUE).await > 100).await;
    let (arrived, taken) = (receiver.count(), metric(&process, "events_routed_total", "").await);
    tokio::time::sleep(ms(1_000)).await;
    assert_eq!(receiver.count(), arrived, "nothing is sent whose outcome could not be recorded");
    assert_eq!(metric(&process, "events_routed_total", "").await, taken, "the intake pauses");
    let held = queue_depth(&rabbit, QUEUE).await;

    redis.limit_files(None);
    let room = Instant::now();
    receiver.wait_for(arrived + 100, ARRIVAL).await;
    let recovered = room.elapsed();
    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("held in RabbitMQ", held.into()), ("100 more delivered after", lasted(recovered))]);
    assert_eq!(findings.repeats, 0, "{findings}");
    assert_eq!(metric(&process, "events_rejected_total", "").await, 0.0, "a full disk is no event's fault");
}

#[tokio::test]
async fn a_redis_that_ends_by_its_full_disk_has_what_was_acknowledged_when_it_is_back() {
    let receiver = Receiver::start(|_| Answer::ok().after(ms(10))).await;
    let (mut redis, rabbit) =
        tokio::join!(Redis::start(Options { aof: Aof::Always, ..Options::default() }), Rabbit::shared());
    let site = Site::new(&redis.url(), rabbit.url()).with("RECADERO_DURABILITY", "disk");
    let process = site.serve().await;
    connect(&process, &receiver, &LANES).await;
    let plan = Plan { filler: 1 << 10, ..Plan::new(LANES.len(), sized(1_000, 10_000)) };
    let traffic = Traffic::start(rabbit.url(), plan);
    receiver.wait_for(100, ARRIVAL).await;

    redis.limit_files(Some(redis.log_bytes() + ROOM));
    // With `appendfsync always` there is nothing else that it could do.
    redis.ended().await;
    redis.restart().await;
    let room = Instant::now();
    receiver.wait_for(receiver.count() + 100, ARRIVAL).await;
    let recovered = room.elapsed();
    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("100 more delivered after", lasted(recovered))]);
    assert_eq!(findings.repeats, 0, "{findings}");
}

/// Redis and Recadero lose power together, with so many bytes of Redis's log not on the disk yet: then what was
/// acknowledged to RabbitMQ has to come from what was. How many events did not.
async fn lose_power(aof: Aof, durability: &str, unsynced: u64) -> usize {
    let receiver = Receiver::start(|_| Answer::ok().after(ms(50))).await;
    let options = Options { aof, watched: true, ..Options::default() };
    let (mut redis, rabbit) = tokio::join!(Redis::start(options), Rabbit::shared());
    let site = Site::new(&redis.url(), rabbit.url()).with("RECADERO_DURABILITY", durability);
    let mut process = site.serve().await;
    connect(&process, &receiver, &LANES).await;
    // It is about events, not about endpoints.
    let written = redis.log_bytes();
    let synced = async || redis.synced_bytes() >= written;
    until("endpoints on the disk", ARRIVAL, synced).await;
    // Where nothing is to be unsynced it has only to last.
    let pause = if unsynced > 0 { ms(20) } else { ms(200) };
    let plan = Plan { filler: 1 << 10, pause, ..Plan::new(LANES.len(), sized(600, 6_000)) };
    let traffic = Traffic::start(rabbit.url(), plan);
    receiver.wait_for(60, ARRIVAL).await;
    until("writes that are on no disk yet", ARRIVAL, async || redis.log_bytes() >= redis.synced_bytes() + unsynced)
        .await;

    redis.kill();
    process.kill9();
    let bytes = redis.lose_unsynced();
    let arrived = receiver.count();
    let under_traffic = !traffic.is_finished();
    redis.restart().await;
    process.restart().await;

    let mut ledger = traffic.finish().await;
    if durability == "memory" {
        let young = |entry: &super::ledger::Entry| entry.id.starts_with('e');
        ledger.arrive_but(&receiver, ARRIVAL, young).await;
        until("all routed", ARRIVAL, async || queue_depth(&rabbit, QUEUE).await == 0).await;
    } else {
        ledger.arrive(&receiver, ARRIVAL).await;
    }
    idle(&process, LANES.len()).await;
    let lost = ledger.strike_lost(&receiver);
    let findings = ledger.judge(&receiver, &LANES).but_lost(lost);
    findings.report(&[("delivered before", arrived.into()), ("bytes that were not on the disk", bytes.into())]);
    assert!(under_traffic, "the traffic ended before the loss");
    lost
}

#[tokio::test]
async fn disk_by_appendfsync_always_keeps_what_was_acknowledged_over_a_loss_of_power() {
    assert_eq!(lose_power(Aof::Always, "disk", 0).await, 0);
}

#[tokio::test]
async fn disk_by_waitaof_keeps_what_was_acknowledged_over_a_loss_of_power() {
    if has_waitaof(&Redis::start(Options { aof: Aof::Everysec, ..Options::default() }).await).await {
        assert_eq!(lose_power(Aof::Everysec, "disk", 0).await, 0);
    }
}

#[tokio::test]
async fn memory_loses_at_a_loss_of_power_what_was_not_synced() {
    assert!(lose_power(Aof::Everysec, "memory", UNSYNCED).await > 0, "else the tests of `disk` show nothing");
}
