//! RabbitMQ that takes matters into its own hands: its consumer timeout, its memory alarm, a leader that is gone.

use std::time::Duration;

use super::proxy::{Mode, Proxy};
use super::rabbit::{REJECTED, WRITTEN, receiver};
use super::site::{QUEUE, Site, connect, idle, metric, queue_depth};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::cluster::Cluster;
use crate::rig::publish::{Publisher, headers};
use crate::rig::rabbit::Rabbit;
use crate::rig::redis::{Options, Redis};
use crate::rig::until;

const LANES: [u16; 8] = [1, 1, 1, 1, 1, 1, 1, 4];

/// RabbitMQ closes the channel of a router that holds messages for too long; the router begins again each time. (In full
/// the timeout is a minute, as long as a router's own patience.)
#[tokio::test]
async fn a_store_away_for_longer_than_rabbitmqs_consumer_timeout_loses_and_repeats_nothing() {
    let timeout = Duration::from_secs(sized(2, 60));
    let limit = format!("consumer_timeout = {}", timeout.as_millis());
    let lines = [&*limit, "-rabbit channel_tick_interval 1000"];
    let (receiver, mut redis, rabbit) =
        tokio::join!(receiver(), Redis::start(Options::default()), Rabbit::start_with(&lines));
    let process = Site::new(&redis.url(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(1_000, 10_000)));
    receiver.wait_for(100, ARRIVAL).await;
    redis.pause();
    // In full either may be the first to lose patience.
    let closed = async || sized(process.log().contains("acknowledgement on channel"), true);
    until("RabbitMQ closed a channel", ARRIVAL, closed).await;
    tokio::time::sleep(timeout * 3).await;
    redis.resume();

    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[]);
    assert!(findings.repeats_per_lane_max <= 1, "an attempt that could not be recorded: {findings}");
    until("all acknowledged", ARRIVAL, async || queue_depth(&rabbit, QUEUE).await == 0).await;
    assert_eq!(queue_depth(&rabbit, REJECTED).await, 0);
}

/// RabbitMQ stops reading from whoever publishes; what it holds goes on, acknowledgements included.
#[tokio::test]
async fn during_rabbitmqs_memory_alarm_what_is_confirmed_goes_on_and_nothing_is_lost() {
    let cluster = Cluster::start(1, &[]);
    let (receiver, redis, cluster) = tokio::join!(receiver(), Redis::start(Options::default()), cluster);
    let rabbit = &cluster.nodes[0];
    let process = Site::new(&redis.url(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::endless(LANES.len()));
    receiver.wait_for(100, ARRIVAL).await;

    cluster.ctl(0, &["set_vm_memory_high_watermark", "absolute", "10MB"]).await;
    let other = Publisher::connect(rabbit.url()).await;
    let blocked = async || {
        let publish = other.try_message("amq.fanout", "", headers(&[]), b"");
        tokio::time::timeout(Duration::from_secs(1), publish).await.is_err()
    };
    until("publishers are blocked", ARRIVAL, blocked).await;
    until("all there was is taken", ARRIVAL, async || queue_depth(rabbit, QUEUE).await == 0).await;
    idle(&process, LANES.len()).await;
    assert_eq!(metric(&process, "broker_connected", "").await, 1.0, "who consumes is not blocked");
    cluster.ctl(0, &["set_vm_memory_high_watermark", "absolute", "1GB"]).await;

    let before = receiver.count();
    receiver.wait_for(before + 100, ARRIVAL).await;
    let ledger = traffic.stop().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[]);
    assert_eq!(findings.repeats, 0, "{findings}");
    assert_eq!((queue_depth(rabbit, QUEUE).await, queue_depth(rabbit, REJECTED).await), (0, 0));
}

/// Upstream and Recadero come through a balancer, as they would to three nodes.
#[tokio::test]
async fn of_three_nodes_the_queues_leader_is_killed_and_nothing_is_lost_or_repeated() {
    let (receiver, redis, mut cluster) =
        tokio::join!(receiver(), Redis::start(Options::default()), Cluster::start(3, &[]));
    let port = |node: &Rabbit| url::Url::parse(node.url()).unwrap().port().unwrap();
    let balancer = Proxy::to(port(&cluster.nodes[0])).await;
    let mut url = url::Url::parse(cluster.nodes[0].url()).unwrap();
    url.set_port(Some(balancer.port())).unwrap();
    let process = Site::new(&redis.url(), &format!("{url}?heartbeat=2")).serve().await;
    connect(&process, &receiver, &LANES).await;
    tokio::time::sleep(WRITTEN).await;
    let leader = async |cluster: &Cluster, of: usize| {
        let queues = cluster.ctl(of, &["list_queues", "name", "leader", "online"]).await;
        queues.lines().find(|line| line.starts_with(QUEUE)).unwrap_or_else(|| panic!("{queues}")).to_owned()
    };
    let before = leader(&cluster, 0).await;
    assert!(before.starts_with(&format!("{QUEUE}\tn0@localhost")) && before.contains("n2@localhost"), "{before}");
    let traffic = Traffic::start(url.as_str(), Plan::new(LANES.len(), sized(3_000, 20_000)));
    receiver.wait_for(200, ARRIVAL).await;

    // What is appended now is not acknowledged.
    balancer.set(Mode::Deaf);
    tokio::time::sleep(ms(300)).await;
    cluster.nodes[0].kill();
    balancer.turn(port(&cluster.nodes[1]));
    balancer.set(Mode::Pass);
    balancer.cut();
    receiver.wait_for(receiver.count() + 200, ARRIVAL).await;
    assert!(!traffic.is_finished(), "the traffic ended before the kill");

    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("kills", 1.into())]);
    assert_eq!(findings.repeats, 0, "{findings}");
    assert_eq!(queue_depth(&cluster.nodes[1], QUEUE).await, 0);
}
