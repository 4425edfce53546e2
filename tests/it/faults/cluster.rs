//! A Redis Cluster that changes under traffic: a primary that is killed and replaced, slots that move.

use std::time::{Duration, Instant};

use super::figures::lasted;
use super::site::{Site, connect, idle, key, metric};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::rabbit::Rabbit;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::redis_cluster::RedisCluster;

/// Ten endpoints of one lane, and two of four.
const LANES: [u16; 12] = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 4];
/// How far a replica may be behind its primary on a machine that is busy: what was confirmed earlier than this before
/// the kill is not lost.
const LAG_MAX: Duration = Duration::from_secs(3);

/// The slot that everything of a tenant's is in.
async fn slot(cluster: &RedisCluster, tenant: usize) -> usize {
    cluster.slot(&key(tenant, "due:healthy")).await
}

/// Requests of a tenant that had been made before: the same attempt of the same event.
fn repeats(receiver: &Receiver, tenant: usize) -> usize {
    let requests = receiver.requests_at(&format!("/w{tenant}"));
    let names = requests.iter().map(|request| (request.header("webhook-id"), request.header("x-webhook-attempt")));
    requests.len() - names.collect::<std::collections::HashSet<_>>().len()
}

#[tokio::test]
async fn a_primary_of_a_cluster_killed_loses_at_most_what_its_replica_lacked() {
    let receiver = Receiver::start(|_| Answer::ok().after(ms(10))).await;
    let (mut cluster, rabbit) = tokio::join!(RedisCluster::start(), Rabbit::shared());
    let process = Site::new(&cluster.urls(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    let mut homes = Vec::new();
    for tenant in 0..LANES.len() {
        homes.push(RedisCluster::home(slot(&cluster, tenant).await));
    }
    let victim = homes[0];
    let traffic = Traffic::start(rabbit.url(), Plan::endless(LANES.len()));
    receiver.wait_for(400, ARRIVAL).await;

    cluster.primaries[victim].kill();
    let killed = Instant::now();
    let arrived = receiver.count();
    cluster.promoted(victim).await;
    let promoted = killed.elapsed();
    receiver.wait_for(arrived + 400, ARRIVAL).await;
    let recovered = killed.elapsed();

    let mut ledger = traffic.stop().await;
    let young = |confirmed: Instant| confirmed < killed && confirmed + LAG_MAX > killed;
    ledger.arrive_but(&receiver, ARRIVAL, |entry| homes[entry.tenant] == victim && young(entry.confirmed)).await;
    idle(&process, LANES.len()).await;
    let lost = ledger.strike_lost(&receiver);
    let findings = ledger.judge(&receiver, &LANES).but_lost(lost);
    findings.report(&[
        ("kills", 1.into()),
        ("promoted after", lasted(promoted)),
        ("400 more delivered after", lasted(recovered)),
    ]);
    let spared: Vec<usize> = (0..LANES.len()).filter(|tenant| homes[*tenant] != victim).collect();
    assert!(!spared.is_empty(), "others' tenants");
    for tenant in spared {
        assert_eq!(
            repeats(&receiver, tenant),
            0,
            "w{tenant} is at home elsewhere: nobody lost what was recorded of it"
        );
    }
}

#[tokio::test]
async fn slots_that_move_under_traffic_lose_and_repeat_nothing() {
    let receiver = Receiver::start(|_| Answer::ok().after(ms(10))).await;
    let (cluster, rabbit) = tokio::join!(RedisCluster::start(), Rabbit::shared());
    let process = Site::new(&cluster.urls(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::endless(LANES.len()));
    receiver.wait_for(200, ARRIVAL).await;

    let mut moves = 0;
    let mut longest = Duration::ZERO;
    for tenant in [0, 10].into_iter().cycle().take(sized(4, 20)) {
        let slot = slot(&cluster, tenant).await;
        let home = RedisCluster::home(slot);
        // There and back.
        let (from, to) = if moves % 4 < 2 { (home, (home + 1) % 3) } else { ((home + 1) % 3, home) };
        let before = receiver.requests_at(&format!("/w{tenant}")).len();
        let moved = Instant::now();
        cluster.migrate(slot, from, to).await;
        let path = format!("/w{tenant}");
        let goes_on = |requests: &[std::sync::Arc<crate::rig::receiver::Request>]| {
            requests.iter().filter(|request| request.path == path).count() > before + 10
        };
        receiver.wait_until("the moved tenant goes on", ARRIVAL, goes_on).await;
        longest = longest.max(moved.elapsed());
        moves += 1;
    }

    let ledger = traffic.stop().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("slots moved", moves.into()), ("10 more delivered after at most", lasted(longest))]);
    assert_eq!(findings.repeats, 0, "{findings}");
    assert_eq!(metric(&process, "events_rejected_total", "").await, 0.0);
}
