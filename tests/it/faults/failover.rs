//! A Redis that is replaced by its replica.

use std::time::{Duration, Instant};

use super::figures::lasted;
use super::proxy::{Mode, Proxy};
use super::site::{Site, connect, idle, metric};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::rabbit::Rabbit;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::redis::{Options, Redis};
use crate::rig::sentinel::Sentinel;
use crate::rig::until;

const LANES: [u16; 8] = [1, 1, 1, 1, 1, 1, 1, 4];
/// How far a replica that nobody holds up may be behind on a machine that is busy.
const LAG_MAX: Duration = Duration::from_secs(3);

async fn replica(of: u16) -> Redis {
    Redis::start(Options { replica_of: Some(of), ..Options::default() }).await
}

/// Waits until the replica has all that the primary has. The primary's answer to `WAIT` counts it.
async fn caught_up(primary: &Redis) {
    let mut connection = primary.connection().await;
    let has = async || {
        redis::cmd("SET").arg("probe").arg(1).query_async::<()>(&mut connection).await.unwrap();
        redis::cmd("WAIT").arg(1).arg(1_000).query_async::<u32>(&mut connection).await.unwrap() == 1
    };
    until("a replica that has all", ARRIVAL, has).await;
}

#[tokio::test]
async fn a_primary_that_sentinels_replace_under_traffic_loses_at_most_what_its_replica_lacked() {
    let receiver = Receiver::start(|_| Answer::ok().after(ms(10))).await;
    let (mut primary, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let heir = replica(primary.port()).await;
    caught_up(&primary).await;
    let sentinel = Sentinel::start(&primary).await;
    let process = Site::new(&sentinel.url(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::endless(LANES.len()));
    receiver.wait_for(400, ARRIVAL).await;

    primary.kill();
    let killed = Instant::now();
    let arrived = receiver.count();
    until("a new primary", ARRIVAL, async || sentinel.primary().await == heir.port()).await;
    let promoted = killed.elapsed();
    receiver.wait_for(arrived + 400, ARRIVAL).await;
    let recovered = killed.elapsed();
    // It comes back as a replica, and nobody is fooled.
    primary.restart().await;
    let arrived = receiver.count();
    receiver.wait_for(arrived + 100, ARRIVAL).await;

    let mut ledger = traffic.stop().await;
    let young = |confirmed: Instant| confirmed < killed && confirmed + LAG_MAX > killed;
    ledger.arrive_but(&receiver, ARRIVAL, |entry| young(entry.confirmed)).await;
    idle(&process, LANES.len()).await;
    let lost = ledger.strike_lost(&receiver);
    ledger.judge(&receiver, &LANES).but_lost(lost).report(&[
        ("kills", 1.into()),
        ("promoted after", lasted(promoted)),
        ("400 more delivered after", lasted(recovered)),
    ]);
}

#[tokio::test]
async fn a_fail_over_to_a_lagging_replica_loses_what_it_lacked_and_nothing_else() {
    let receiver = Receiver::start(|_| Answer::ok().after(ms(100))).await;
    let (mut primary, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    // What reaches the replica, and where the process finds its Redis.
    let (feed, address) = (Proxy::to(primary.port()).await, Proxy::to(primary.port()).await);
    let heir = replica(feed.port()).await;
    let site = Site::new(&format!("redis://127.0.0.1:{}", address.port()), rabbit.url());
    let process = site.serve().await;
    connect(&process, &receiver, &LANES).await;
    let routed = async |count: usize| {
        let all = async || metric(&process, "events_routed_total", "").await == count as f64;
        until("acknowledged", ARRIVAL, all).await;
    };
    let plan = |name, events| Plan { name, ..Plan::new(LANES.len(), events) };

    let mut ledger = Traffic::start(rabbit.url(), plan("had", sized(400, 2_000))).finish().await;
    let had = ledger.0.len();
    routed(had).await;
    caught_up(&primary).await;
    feed.set(Mode::BlackHole);
    let unseen = receiver.count();
    ledger.0.extend(Traffic::start(rabbit.url(), plan("lacked", 200)).finish().await.0);
    routed(ledger.0.len()).await;
    let lacked = ledger.0.len() - had;

    primary.kill();
    let killed = Instant::now();
    address.turn(heir.port());
    heir.cli(&["REPLICAOF", "NO", "ONE"]).await;
    let unrecorded = receiver.count() - unseen;
    ledger.0.extend(Traffic::start(rabbit.url(), plan("after", 200)).finish().await.0);
    ledger.arrive_but(&receiver, ARRIVAL, |entry| entry.id.starts_with("lacked")).await;
    let recovered = killed.elapsed();
    idle(&process, LANES.len()).await;

    let lost = ledger.strike_lost(&receiver);
    let findings = ledger.judge(&receiver, &LANES).but_lost(lost);
    findings.report(&[
        ("acknowledged while the replica heard nothing", lacked.into()),
        ("delivered and not recorded on the replica", unrecorded.into()),
        ("all the rest delivered after", lasted(recovered)),
    ]);
    assert!(lost > 0, "the replica lacked nothing: this shows nothing");
    // Beyond what was recorded on the primary alone: what was under way at that time, once in each lane.
    let lanes: usize = LANES.iter().map(|lanes| usize::from(*lanes)).sum();
    assert!(findings.repeats <= unrecorded + 2 * lanes, "{findings}, {unrecorded} unrecorded");
}
