//! What the endpoints of some do to the events of others: nothing.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;

use super::figures::{lasted, report};
use super::ledger::Ledger;
use super::site::{Site, connect, endpoint, metric, plan};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::publish::Publisher;
use crate::rig::rabbit::Rabbit;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::redis::{Options, Redis};

/// Healthy endpoints.
const LANES: [u16; 8] = [1; 8];

/// Endpoints of one workspace that hangs.
const PER_WORKSPACE: usize = 250;

/// A generous multiple of what it should take. If hanging attempts kept their places, it would be a hundred seconds.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// The longest and the median time from the confirm to the arrival.
fn latency(ledger: &Ledger, receiver: &Receiver) -> (Duration, Duration) {
    let requests = receiver.requests();
    let arrived: HashMap<&str, _> =
        requests.iter().map(|request| (request.header("webhook-id").unwrap(), request.at)).collect();
    let mut took: Vec<Duration> =
        ledger.0.iter().map(|entry| arrived[entry.id.as_str()].saturating_duration_since(entry.confirmed)).collect();
    took.sort();
    (took[took.len() - 1], took[took.len() / 2])
}

#[tokio::test]
async fn thousands_of_endpoints_that_begin_to_hang_at_once_hold_up_nobody_else() {
    // As many for each working place as ten thousand are for the default's.
    let (hanging, places) = sized((1_000, "64"), (6_000, "400"));
    let receiver = Receiver::ok().await;
    let black_hole = Receiver::start(|_| Answer::hang()).await;
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let site = Site::new(&redis.url(), rabbit.url())
        .with("RECADERO_TIMEOUT", "5s")
        .with("RECADERO_RETRY_DELAYS", "30s,60s,90s")
        .with("RECADERO_MAX_INFLIGHT", places);
    let process = site.serve().await;
    connect(&process, &receiver, &LANES).await;
    let workspaces = hanging / PER_WORKSPACE;
    for number in 0..workspaces {
        plan(&process, &format!("hanging{number}")).await;
    }
    let making = (0..hanging).map(async |number| {
        let url = format!("{}/{number}", black_hole.url());
        endpoint(&process, &format!("hanging{}", number % workspaces), &url, 1).await;
    });
    futures_util::stream::iter(making).buffer_unordered(workspaces).collect::<Vec<()>>().await;

    let slow = Plan { batch: 8, pause: ms(20), ..Plan::new(LANES.len(), 100_000) };
    let traffic = Traffic::start(rabbit.url(), slow);
    receiver.wait_for(100, ARRIVAL).await;
    let publisher = Publisher::connect(rabbit.url()).await;
    for number in 0..workspaces {
        publisher.event("message.received", &format!("hanging{number}"), "hang", b"{}").await;
    }
    black_hole.wait_for(hanging, ARRIVAL).await;
    let in_slow = metric(&process, "deliveries_inflight", "pool=\"slow\"").await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let ledger = traffic.stop().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    let findings = ledger.judge(&receiver, &LANES);
    let (longest, median) = latency(&ledger, &receiver);
    findings.report(&[
        ("endpoints that hang", hanging.into()),
        ("among the slow", in_slow.into()),
        ("median latency", lasted(median)),
        ("longest latency", lasted(longest)),
    ]);
    assert!(longest < ARRIVES_WITHIN, "{longest:?}");
}

#[tokio::test]
async fn a_dead_endpoint_with_a_full_backlog_holds_up_nobody_else() {
    const BACKLOG_MAX: u64 = 200;
    let receiver = Receiver::start(|request| match request.path.as_str() {
        "/w0" => Answer::hang(),
        _ => Answer::ok(),
    })
    .await;
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let site = Site::new(&redis.url(), rabbit.url())
        .with("RECADERO_BACKLOG_MAX_EVENTS", &BACKLOG_MAX.to_string())
        .with("RECADERO_MAX_INFLIGHT", "8");
    let process = site.serve().await;
    connect(&process, &receiver, &LANES).await;
    let plan = Plan { tenants: 1, name: "dead", ..Plan::new(1, sized(1_000, 20_000)) };
    Traffic::start(rabbit.url(), plan).finish().await;

    let rest = Plan { batch: 8, ..Plan::new(LANES.len(), sized(800, 8_000)) };
    let mut ledger = Traffic::start(rabbit.url(), rest).finish().await;
    ledger.0.retain(|entry| entry.tenant != 0);
    ledger.arrive(&receiver, ARRIVAL).await;
    let (longest, median) = latency(&ledger, &receiver);
    let waiting = super::site::waiting(&process, 0).await;
    let dropped = metric(&process, "events_dropped_total", "reason=\"backlog_events\"").await;
    report(&[
        ("events of others", ledger.0.len().into()),
        ("median latency", lasted(median)),
        ("longest latency", lasted(longest)),
        ("waiting", waiting.into()),
        ("dropped", dropped.into()),
    ]);
    assert!(longest < ARRIVES_WITHIN, "{longest:?}");
    assert!(waiting <= BACKLOG_MAX && dropped > 0.0, "{waiting} {dropped}");
}
