//! Redis killed, stopped, forgetful and unheard, under traffic.

use std::time::Duration;

use super::figures::report;
use super::proxy::{Mode, Proxy};
use super::site::{QUEUE, Site, connect, idle, metric, queue_depth, waiting};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::rabbit::Rabbit;
use crate::rig::recadero::Process;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::redis::{Aof, Options, Redis};
use crate::rig::until;

/// Seven endpoints of one lane, and one of four.
const LANES: [u16; 8] = [1, 1, 1, 1, 1, 1, 1, 4];

/// What a kill may cost `appendfsync everysec`: while an fsync is under way, Redis holds later writes back for at
/// most two seconds, and answers meanwhile.
const HELD_BACK: Duration = Duration::from_secs(2);

async fn receiver() -> Receiver {
    Receiver::start(|_| Answer::ok().after(ms(10))).await
}

#[tokio::test]
async fn redis_killed_and_restarted_from_an_aof_that_is_always_synced_loses_and_repeats_nothing() {
    let (receiver, rabbit) = (receiver().await, Rabbit::shared().await);
    let mut redis = Redis::start(Options { aof: Aof::Always, ..Options::default() }).await;
    let process = Site::new(&redis.url(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(2_000, 20_000)));
    let mut kills = 0;
    for _ in 0..sized(3, 20) {
        receiver.wait_for(receiver.count() + 100, ARRIVAL).await;
        redis.restart().await;
        kills += 1;
    }
    let under_traffic = !traffic.is_finished();

    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("kills", kills.into())]);
    assert!(under_traffic, "the traffic ended before the kills");
    assert_eq!(findings.repeats, 0, "nobody who had to record an outcome has died: {findings}");
}

#[tokio::test]
async fn redis_killed_in_the_middle_of_its_writes_loses_and_repeats_nothing_when_its_log_is_repaired() {
    torn_writes(false).await;
}

#[tokio::test]
async fn redis_killed_in_the_middle_of_its_writes_loses_and_repeats_nothing_once_its_log_is_written_anew() {
    torn_writes(true).await;
}

/// Redis itself applies the first half of a script whose second half a kill took from its log: at the start after the
/// next, and only if its log is still the same.
async fn torn_writes(unrepaired: bool) {
    let (receiver, rabbit) = (receiver().await, Rabbit::shared().await);
    let options = Options { aof: Aof::Always, watched: true, unrepaired, ..Options::default() };
    let mut redis = Redis::start(options).await;
    let process = Site::new(&redis.url(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(4_000, 40_000)));
    let mut torn = 0;
    for _ in 0..sized(4, 20) {
        receiver.wait_for(receiver.count() + 100, ARRIVAL).await;
        redis.tear_a_write().await; // There is one only while events are on their way.
        redis.restart().await;
        torn += 1;
        if unrepaired {
            until("a log written anew", ARRIVAL, async || redis.has_a_log_written_anew().await).await;
        }
    }
    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("writes torn", torn.into())]);
    assert_eq!(findings.repeats, 0, "nobody who had to record an outcome has died: {findings}");
}

#[tokio::test]
async fn redis_killed_and_restarted_from_an_aof_synced_every_second_loses_at_most_what_it_held_back() {
    let (receiver, rabbit) = (receiver().await, Rabbit::shared().await);
    let mut redis = Redis::start(Options { aof: Aof::Everysec, ..Options::default() }).await;
    let process = Site::new(&redis.url(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(2_000, 20_000)));
    receiver.wait_for(receiver.count() + 200, ARRIVAL).await;
    let killed = std::time::Instant::now();
    redis.restart().await;

    let mut ledger = traffic.finish().await;
    // Once a later event of its endpoint has arrived and nothing waits, what has not arrived is lost.
    let young = |confirmed: std::time::Instant| confirmed + HELD_BACK > killed && confirmed < killed;
    ledger.arrive_but(&receiver, ARRIVAL, |entry| young(entry.confirmed)).await;
    idle(&process, LANES.len()).await;
    let lost = ledger.strike_lost(&receiver);
    let findings = ledger.judge(&receiver, &LANES).but_lost(lost);
    findings.report(&[("kills", 1.into())]);
}

#[tokio::test]
async fn redis_stopped_for_ten_seconds_loses_and_repeats_nothing() {
    let (receiver, rabbit) = (receiver().await, Rabbit::shared().await);
    let mut redis = Redis::start(Options::default()).await;
    let site = Site::new(&redis.url(), rabbit.url());
    let (one, two) = tokio::join!(site.serve(), site.serve());
    connect(&one, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(2_000, 20_000)));
    receiver.wait_for(200, ARRIVAL).await;

    redis.pause();
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(metric(&one, "store_connected", "").await, 0.0);
    assert_eq!(metric(&two, "store_connected", "").await, 0.0);
    tokio::time::sleep(Duration::from_secs(3)).await;
    redis.resume();

    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&one, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[]);
    assert_eq!(findings.repeats, 0, "{findings}");
}

#[tokio::test]
async fn scripts_forgotten_under_load_disturb_nothing() {
    let (receiver, rabbit) = (receiver().await, Rabbit::shared().await);
    let redis = Redis::start(Options::default()).await;
    let process = Site::new(&redis.url(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(1_000, 20_000)));
    let mut connection = redis.connection().await;
    let mut flushes = 0;
    while !traffic.is_finished() {
        redis::cmd("SCRIPT").arg("FLUSH").query_async::<()>(&mut connection).await.unwrap();
        flushes += 1;
        tokio::time::sleep(ms(10)).await;
    }

    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("flushes", flushes.into())]);
    assert_eq!(findings.repeats, 0, "{findings}");
    assert!(findings.gap_max < Duration::from_secs(10), "nobody waited for a lease to end: {findings}");
}

#[tokio::test]
async fn replies_of_redis_that_are_lost_lose_nothing_and_count_nothing_twice() {
    let rabbit = Rabbit::shared().await;
    // Every third event fails at its first attempt.
    let fails = |id: &str| id.bytes().map(u32::from).sum::<u32>() % 3 == 0;
    let receiver = Receiver::start(move |request| {
        let first = request.header("x-webhook-attempt") == Some("1");
        let status = if first && fails(request.header("webhook-id").unwrap()) { 500 } else { 200 };
        Answer::status(status).after(ms(10))
    })
    .await;
    let redis = Redis::start(Options::default()).await;
    let proxy = Proxy::to(redis.port()).await;
    let site = Site::new(&format!("redis://127.0.0.1:{}", proxy.port()), rabbit.url());
    let process = site.with("RECADERO_RETRY_DELAYS", "50ms,50ms,50ms").serve().await;
    connect(&process, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(600, 6_000)));
    proxy.set(Mode::LoseReplies(40));
    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    proxy.set(Mode::Pass);
    idle(&process, LANES.len()).await;

    let findings = ledger.judge(&receiver, &LANES);
    let mut counted = 0;
    for tenant in 0..LANES.len() {
        let (_, quota) = process.api("GET", &format!("/v1/workspaces/w{tenant}/quota"), None).await;
        counted += usize::try_from(quota["used"].as_u64().unwrap()).unwrap();
    }
    let failed = ledger.0.iter().filter(|entry| fails(&entry.id)).count();
    findings.report(&[("replies lost", proxy.cuts().into()), ("failures", failed.into()), ("counted", counted.into())]);
    assert!(proxy.cuts() >= 10, "{} cuts", proxy.cuts());
    assert_eq!(findings.repeats, 0, "{findings}");
    assert_eq!((findings.retries, counted), (failed, failed));
}

#[tokio::test]
async fn a_dead_endpoint_makes_room_for_the_intake_of_others() {
    const MAX: u64 = 24 << 20;
    let (receiver, rabbit) = (Receiver::ok().await, Rabbit::shared().await);
    let redis = Redis::start(Options { maxmemory: Some(MAX), ..Options::default() }).await;
    let process = Site::new(&redis.url(), rabbit.url()).with("RECADERO_LOG_PAYLOADS", "2").serve().await;
    connect(&process, &receiver, &[1, 1]).await;
    let (_, listed) = process.api("GET", "/v1/workspaces/w0/endpoints", None).await;
    let dead = format!("/v1/workspaces/w0/endpoints/{}", listed["data"][0]["id"].as_str().unwrap());
    let (status, body) = process.api("POST", &format!("{dead}/disable"), None).await;
    assert!((200..300).contains(&status), "{status} {body}");

    // Some 48 MB in all; half of it for the endpoint that takes none.
    let plan = Plan { filler: 40 << 10, ..Plan::new(2, 1_200) };
    let mut ledger = Traffic::start(rabbit.url(), plan).finish().await;
    ledger.0.retain(|entry| entry.tenant == 1);
    ledger.arrive(&receiver, ARRIVAL).await;
    until("the intake has taken all", ARRIVAL, async || queue_depth(&rabbit, QUEUE).await == 0).await;
    let shed = async || metric(&process, "events_dropped_total", "reason=\"backlog_bytes\"").await;
    let waits = waiting(&process, 0).await;
    report(&[("events", 1_200.into()), ("dropped", shed().await.into()), ("waiting", waits.into())]);
    assert!(shed().await > 0.0 && waits > 0, "the oldest alone made room");
    let short = async || metric(&process, "store_memory_bytes", "kind=\"used\"").await > 0.8 * MAX as f64;
    until("there is room", ARRIVAL, async || !short().await).await;
    assert!(process.log().contains("the store is short of memory"), "{}", process.log());
}

#[tokio::test]
async fn a_full_redis_pauses_the_intake_and_deliveries_make_room() {
    let rabbit = Rabbit::shared().await;
    let receiver = Receiver::start(|_| Answer::ok().after(ms(700))).await;
    let redis = Redis::start(Options { maxmemory: Some(20 << 20), ..Options::default() }).await;
    let site =
        Site::new(&redis.url(), rabbit.url()).with("RECADERO_LOG_PAYLOADS", "5").with("RECADERO_AMQP_PREFETCH", "64");
    let mut process = site.serve().await;
    connect(&process, &receiver, &LANES).await;
    // Some 32 MB.
    let plan = Plan { filler: 40 << 10, ..Plan::new(LANES.len(), 800) };
    let ledger = Traffic::start(rabbit.url(), plan).finish().await;

    let full = async || {
        let used = metric(&process, "store_memory_bytes", "kind=\"used\"").await;
        used > 0.95 * metric(&process, "store_memory_bytes", "kind=\"max\"").await
    };
    until("store_memory_bytes says that it is full", ARRIVAL, full).await;
    let held = queue_depth(&rabbit, QUEUE).await;
    let arrived = receiver.count();
    receiver.wait_for(arrived + LANES.len(), ARRIVAL).await;
    assert!(held > 0, "the intake pauses, and what is published stays in RabbitMQ");

    // Full beyond doubt: a process that starts now has to make room too.
    assert_eq!(process.term(ARRIVAL).await, 0);
    redis.cli(&["CONFIG", "SET", "maxmemory", "4mb"]).await;
    receiver.behave(|_| Answer::ok());
    let mut process = Process::start(&["serve"], &site.variables());
    let arrived = receiver.count();
    receiver.wait_for(arrived + 50, ARRIVAL).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "20mb"]).await;

    process.ready().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("held in RabbitMQ", held.into())]);
    assert_eq!(findings.repeats, 0, "{findings}");
    assert_eq!(metric(&process, "events_dropped_total", "").await, 0.0);
    assert_eq!((queue_depth(&rabbit, QUEUE).await, queue_depth(&rabbit, "recadero.rejected").await), (0, 0));
}
