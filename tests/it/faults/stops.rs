//! Processes that stand still for longer than anybody waits for them, and then go on as if nothing had been.

use std::time::{Duration, Instant};

use super::figures::lasted;
use super::site::{Site, connect, idle, metric};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::rabbit::Rabbit;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::redis::{Options, Redis};
use crate::rig::until;

const LANES: [u16; 6] = [1, 1, 1, 1, 1, 4];

#[tokio::test]
async fn a_deliverer_stopped_in_mid_post_past_its_lease_repeats_one_event_per_lane_at_most() {
    let receiver = Receiver::start(|_| Answer::ok().after(ms(100))).await;
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let site = Site::new(&redis.url(), rabbit.url());
    let router = site.clone().with("RECADERO_ROLES", "router,api").serve().await;
    connect(&router, &receiver, &LANES).await;
    let deliverers = site.with("RECADERO_ROLES", "deliverer");
    let mut one = deliverers.serve().await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(400, 2_000)));
    receiver.wait_for(30, ARRIVAL).await;

    // Every lane has an attempt under way nearly all of the time.
    one.pause();
    let stopped = Instant::now();
    let two = deliverers.serve().await;
    let taken_over = async || metric(&two, "delivery_attempts_total", "outcome=\"delivered\"").await >= 30.0;
    until("another takes the lanes", ARRIVAL, taken_over).await;
    let waited = stopped.elapsed();
    one.resume();

    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&router, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("stops", 1.into()), ("taken over after", lasted(waited))]);
    assert!(findings.repeats >= 1, "nobody was in mid-POST: {findings}");
    assert!(findings.repeats_per_lane_max <= 1, "{findings}");
    assert!(waited > Duration::from_secs(8), "not before the lease's end: {waited:?}");
}

#[tokio::test]
async fn a_router_stopped_until_another_took_its_queue_disturbs_nothing_when_it_goes_on() {
    let receiver = Receiver::start(|_| Answer::ok().after(ms(5))).await;
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let amqp = format!("{}?heartbeat=2", rabbit.url());
    let site = Site::new(&redis.url(), &amqp);
    let deliverer = site.clone().with("RECADERO_ROLES", "deliverer,api").serve().await;
    connect(&deliverer, &receiver, &LANES).await;
    let routers = site.with("RECADERO_ROLES", "router");
    // The first one there is the active one.
    let mut one = routers.serve().await;
    let two = routers.serve().await;
    let traffic = Traffic::start(rabbit.url(), Plan::endless(LANES.len()));
    receiver.wait_for(200, ARRIVAL).await;
    assert_eq!(metric(&two, "events_received_total", "").await, 0.0, "one active router");

    let mut stops = 0;
    for _ in 0..sized(1, 5) {
        let before = metric(&two, "events_received_total", "").await;
        one.pause();
        stops += 1;
        let takes_over = async || metric(&two, "events_received_total", "").await > before + 100.0;
        until("another takes the queue", ARRIVAL, takes_over).await;
        one.resume();
        receiver.wait_for(receiver.count() + 100, ARRIVAL).await;
    }

    let ledger = traffic.stop().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&deliverer, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("stops", stops.into())]);
    assert_eq!(findings.repeats, 0, "{findings}");
}
