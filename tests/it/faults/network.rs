//! The way to RabbitMQ: reset, swallowed, and so slow that everything trickles.

use std::time::Duration;

use super::proxy::{Mode, Proxy};
use super::rabbit::{proxied, receiver};
use super::site::{QUEUE, Site, connect, idle, metric, queue_depth};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::publish::{EXCHANGE, Publisher, event};
use crate::rig::rabbit::Rabbit;
use crate::rig::recadero::Process;
use crate::rig::receiver::Receiver;
use crate::rig::redis::{Options, Redis};
use crate::rig::until;

const LANES: [u16; 8] = [1, 1, 1, 1, 1, 1, 1, 4];

/// Messages that are no JSON, and how many bytes they have.
const WRONG: usize = 20;
const WRONG_BYTES: usize = 10_000;

/// A service behind a proxy to RabbitMQ, with its endpoints.
struct Behind {
    proxy: Proxy,
    process: Process,
    receiver: Receiver,
    rabbit: Rabbit,
    _redis: Redis,
}

impl Behind {
    async fn proxy() -> Self {
        let (receiver, rabbit) = (receiver().await, Rabbit::shared().await);
        let redis = Redis::start(Options::default()).await;
        let (proxy, url) = proxied(&rabbit).await;
        let process = Site::new(&redis.url(), &url).serve().await;
        connect(&process, &receiver, &LANES).await;
        Self { proxy, process, receiver, rabbit, _redis: redis }
    }

    /// Until all of it has arrived, in order and once.
    async fn arrived(&self, traffic: Traffic) {
        let ledger = traffic.finish().await;
        ledger.arrive(&self.receiver, ARRIVAL).await;
        idle(&self.process, LANES.len()).await;
        let findings = ledger.judge(&self.receiver, &LANES);
        findings.report(&[("cuts", self.proxy.cuts().into())]);
        assert_eq!(findings.repeats, 0, "{findings}");
        until("all acknowledged", ARRIVAL, async || queue_depth(&self.rabbit, QUEUE).await == 0).await;
    }
}

#[tokio::test]
async fn connections_that_are_reset_lose_and_repeat_nothing() {
    let behind = Behind::proxy().await;
    let traffic = Traffic::start(behind.rabbit.url(), Plan::new(LANES.len(), sized(1_500, 20_000)));
    behind.receiver.wait_for(50, ARRIVAL).await;
    for _ in 0..sized(12, 200) {
        // What is appended now is not acknowledged.
        behind.proxy.set(Mode::Deaf);
        tokio::time::sleep(ms(50)).await;
        behind.proxy.reset();
        behind.proxy.set(Mode::Pass);
        tokio::time::sleep(ms(120)).await;
    }
    behind.arrived(traffic).await;
}

#[tokio::test]
async fn a_network_that_swallows_everything_is_noticed_and_loses_and_repeats_nothing() {
    let behind = Behind::proxy().await;
    let plan = Plan { pause: ms(40), ..Plan::new(LANES.len(), sized(2_500, 20_000)) };
    let traffic = Traffic::start(behind.rabbit.url(), plan);
    for _ in 0..sized(1, 5) {
        behind.receiver.wait_for(behind.receiver.count() + 100, ARRIVAL).await;
        // Acknowledgements are the first to be swallowed.
        behind.proxy.set(Mode::Deaf);
        tokio::time::sleep(ms(300)).await;
        behind.proxy.set(Mode::BlackHole);
        let noticed = async || metric(&behind.process, "broker_connected", "").await == 0.0;
        until("two heartbeats were missed", ARRIVAL, noticed).await;
        // What was connected meanwhile heard nothing either.
        tokio::time::sleep(Duration::from_secs(1)).await;
        behind.proxy.set(Mode::Pass);
        behind.proxy.cut();
    }
    behind.arrived(traffic).await;
}

#[tokio::test]
async fn a_network_in_which_everything_trickles_loses_and_repeats_nothing() {
    let behind = Behind::proxy().await;
    behind.proxy.set(Mode::Trickle(300));
    let traffic = Traffic::start(behind.rabbit.url(), Plan::new(LANES.len(), sized(400, 4_000)));
    // These are published again by Recadero, over the same way.
    let publisher = Publisher::connect(behind.rabbit.url()).await;
    for number in 0..WRONG {
        let properties = event("w0", &format!("wrong-{number}"));
        publisher.message(EXCHANGE, "message.received", properties, &[b'x'; WRONG_BYTES]).await;
    }
    behind.arrived(traffic).await;
    let rejected = async || queue_depth(&behind.rabbit, "recadero.rejected").await as usize >= WRONG;
    until("what was wrong is rejected", ARRIVAL, rejected).await;
    assert_eq!(queue_depth(&behind.rabbit, "recadero.rejected").await as usize, WRONG, "once each");
    assert_eq!(metric(&behind.process, "broker_connected", "").await, 1.0, "slow is not gone");
}
