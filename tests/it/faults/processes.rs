//! Processes of Recadero that are killed, stopped and replaced, while the servers stand.

use std::time::{Duration, Instant};

use super::figures::lasted;
use super::site::{Site, connect, delivered, idle};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::rabbit::Rabbit;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::redis::{Options, Redis};
use crate::rig::until;

/// Eleven endpoints of one lane, and one of eight.
const LANES: [u16; 12] = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 8];

/// A lease: `RECADERO_TIMEOUT` and ten seconds.
const LEASE: Duration = Duration::from_secs(11);

/// What a process may need to finish attempts of 400 ms on a machine that is busy; the grace is 20 s.
const DRAINED: Duration = Duration::from_secs(15);

/// Long enough that a process that does not wait for its attempts is seen to.
const LONG: Duration = Duration::from_millis(400);

/// With a receiver that answers after `delay`.
async fn servers(delay: Duration) -> (Redis, Rabbit, Receiver) {
    let receiver = Receiver::start(move |_| Answer::ok().after(delay)).await;
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    (redis, rabbit, receiver)
}

#[tokio::test]
async fn of_two_that_share_the_work_one_is_killed_and_each_lane_repeats_at_most_one_event() {
    let (redis, rabbit, receiver) = servers(ms(20)).await;
    let site = Site::new(&redis.url(), rabbit.url());
    let (mut one, two) = tokio::join!(site.serve(), site.serve());
    connect(&two, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(2_000, 20_000)));
    let shared = async || delivered(&one).await >= 100.0 && delivered(&two).await >= 100.0;
    until("both deliver", ARRIVAL, shared).await;

    one.kill9();
    let killed = Instant::now();

    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&two, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("kills", 1.into()), ("all delivered after", lasted(killed.elapsed()))]);
    assert!(findings.repeats_per_lane_max <= 1 && findings.late == 0, "{findings}");
    assert!(findings.gap_max < LEASE + Duration::from_secs(9), "lanes come back when their leases end: {findings}");
}

#[tokio::test]
async fn a_sigterm_drains_without_any_repeat() {
    let (redis, rabbit, receiver) = servers(LONG).await;
    let mut process = Site::new(&redis.url(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(300, 3_000)));
    receiver.wait_for(60, ARRIVAL).await;

    let start = Instant::now();
    assert_eq!(process.term(DRAINED).await, 0, "exit status");
    let took = start.elapsed();

    process.restart().await;
    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("drained in", lasted(took))]);
    assert_eq!(findings.repeats, 0, "{findings}");
    assert!(findings.gap_max < LEASE, "leases were given back: {findings}");
}

#[tokio::test]
async fn a_rolling_restart_under_traffic_loses_and_repeats_nothing() {
    let (redis, rabbit, receiver) = servers(LONG).await;
    let site = Site::new(&redis.url(), rabbit.url());
    let (mut one, mut two) = tokio::join!(site.serve(), site.serve());
    connect(&two, &receiver, &LANES).await;
    let plan = Plan { pause: ms(500), ..Plan::new(LANES.len(), sized(2_000, 20_000)) };
    let traffic = Traffic::start(rabbit.url(), plan);
    receiver.wait_for(60, ARRIVAL).await;

    let mut restarts = 0;
    for _ in 0..sized(2, 10) {
        for process in [&mut one, &mut two] {
            let before = receiver.count();
            assert_eq!(process.term(DRAINED).await, 0, "exit status");
            process.restart().await;
            receiver.wait_for(before + 40, ARRIVAL).await;
            restarts += 1;
        }
    }
    let under_traffic = !traffic.is_finished();

    let ledger = traffic.stop().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&two, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("restarts", restarts.into())]);
    assert!(under_traffic, "the traffic ended before the restarts");
    assert_eq!(findings.repeats, 0, "{findings}");
    assert!(findings.gap_max < LEASE, "leases were given back: {findings}");
}
