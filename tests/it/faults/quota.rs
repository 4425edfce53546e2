//! The same thing at once in several places.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::ARRIVAL;
use super::figures::report;
use super::site::{Site, Told, connect, idle, metric};
use super::upstream::{Plan, Traffic};
use crate::rig::publish::Publisher;
use crate::rig::rabbit::Rabbit;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::redis::{Options, Redis};
use crate::rig::until;

#[tokio::test]
async fn one_id_published_three_times_at_once_is_delivered_once() {
    let receiver = Receiver::ok().await;
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let process = Site::new(&redis.url(), rabbit.url()).serve().await;
    connect(&process, &receiver, &[1]).await;
    let url = rabbit.url();
    let (one, two, three) = tokio::join!(Publisher::connect(url), Publisher::connect(url), Publisher::connect(url));
    const EVENTS: usize = 100;
    for number in 0..EVENTS {
        let id = format!("e{number}");
        let publish = |publisher| Publisher::event(publisher, "message.received", "w0", &id, b"{}");
        tokio::join!(publish(&one), publish(&two), publish(&three));
    }
    let known = async || metric(&process, "events_duplicate_total", "").await == 2.0 * EVENTS as f64;
    until("two of three known", ARRIVAL, known).await;
    idle(&process, 1).await;
    let ids: Vec<String> =
        receiver.requests().iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!(ids, (0..EVENTS).map(|number| format!("e{number}")).collect::<Vec<_>>());
    report(&[("ids", EVENTS.into()), ("publishes", (3 * EVENTS).into()), ("deliveries", ids.len().into())]);
}

#[tokio::test]
async fn the_31st_failure_arriving_on_two_processes_at_once_disables_once_and_tells_once() {
    // All requests are answered at one moment, two seconds after the first came.
    let release = OnceLock::new();
    let receiver = Receiver::start(move |_| {
        let release = release.get_or_init(|| Instant::now() + Duration::from_secs(2));
        Answer::status(500).after(release.saturating_duration_since(Instant::now()))
    })
    .await;
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    // So few places that neither process can try all lanes alone.
    let site = Site::new(&redis.url(), rabbit.url())
        .with("RECADERO_TIMEOUT", "5s")
        .with("RECADERO_RETRY_DELAYS", "30s,60s,90s")
        .with("RECADERO_QUOTA_LIMIT", "30")
        .with("RECADERO_MAX_INFLIGHT", "24")
        .with("RECADERO_MAX_SLOW", "1");
    let (one, two) = tokio::join!(site.serve(), site.serve());
    connect(&one, &receiver, &[64]).await;
    let told = Told::of(&rabbit, "endpoint.disabled").await;

    let plan = Plan { contacts: 400, ..Plan::new(1, 400) };
    Traffic::start(rabbit.url(), plan).finish().await;
    let failed = async |process| metric(process, "delivery_attempts_total", "outcome=\"failed\"").await;
    until("31 failures", ARRIVAL, async || failed(&one).await + failed(&two).await >= 31.0).await;
    // Whatever else is to come has come by then: two rounds of the notifier, and the attempts under way.
    tokio::time::sleep(Duration::from_secs(3)).await;

    let (by_one, by_two) = (failed(&one).await, failed(&two).await);
    let disabled = async |process| metric(process, "endpoints_disabled_total", "reason=\"quota\"").await;
    let told = told.all().await;
    report(&[("failures", format!("{by_one} and {by_two}").into()), ("notices", told.len().into())]);
    assert!(by_one > 0.0 && by_two > 0.0, "{by_one} {by_two}");
    assert_eq!(disabled(&one).await + disabled(&two).await, 1.0, "one disabling");
    assert_eq!(told.len(), 1, "one notice: {told:?}");
    let (_, endpoints) = one.api("GET", "/v1/workspaces/w0/endpoints", None).await;
    assert_eq!(endpoints["data"][0]["status"], "disabled", "{endpoints}");
    assert_eq!(endpoints["data"][0]["disabled"]["reason"], "quota", "{endpoints}");
    let (_, quota) = one.api("GET", "/v1/workspaces/w0/quota", None).await;
    assert_eq!(quota["used"], 0, "its failures have left the window: {quota}");
    let tried = receiver.count();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(receiver.count(), tried, "no attempt is begun after the disabling");
}
