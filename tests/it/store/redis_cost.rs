//! What an event costs Redis. Not a promise, so it is run by hand:
//! `cargo test --features testing --test it -- --ignored --nocapture what_an_event_costs_redis`

use std::sync::Arc;

use bytes::Bytes;
use recadero::decide::attempt::Outcome;
use recadero::decide::ids::{EventType, LaneId, Partition};
use recadero::decide::policy::Policy;
use recadero::decide::retry::Next;
use recadero::decide::route;
use recadero::observe::signal::Signals;
use recadero::store::lanes::{After, Append, Claim, Commit, Intake, Lease, Offer, Token, Want};
use recadero::store::records::AttemptRow;
use recadero::store::redis::RedisStore;
use recadero::store::{Lanes, Records};

use super::fixture::{PARTITIONS, redis_options};
use super::redis_server::RedisServer;
use super::world::{config, contact, ep, ev, home, record, ws};

const ENDPOINTS: usize = 64;
const EVENTS: usize = 32_000;
const GROUP_APPENDED: usize = 64;
const GROUP_COMMITTED: usize = 8;
const BODY_BYTES: usize = 1_024;
const ROUNDS: usize = 2_000;

/// Microseconds of the server's processor used so far, and bytes of its memory in use.
async fn used(server: &RedisServer) -> (f64, f64) {
    let figures = server.ask(&["INFO", "everything"]).await.expect("INFO");
    let figures: String = redis::from_redis_value(figures).expect("a text");
    let figure = |name: &str| {
        let line = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|figure| figure.parse::<f64>().ok()).expect("INFO has the figure")
    };
    let seconds = figure("used_cpu_user_main_thread") + figure("used_cpu_sys_main_thread");
    (seconds * 1e6, figure("used_memory"))
}

fn event(number: usize, store_version: u64, lanes: &[LaneId]) -> Append {
    let lane = lanes[number % lanes.len()].clone();
    Append {
        workspace: ws("w"),
        id: ev(&format!("0193f5a0-7000-7000-8000-{number:012}")),
        event_type: EventType::trusted("message.sent"),
        contact: contact(number as u64),
        traceparent: None,
        body: body(number),
        routing_version: store_version,
        lanes: vec![lane],
    }
}

/// A body that is like no other: Lua keeps strings by a hash of some of their bytes.
fn body(number: usize) -> Bytes {
    let mut state = number as u64;
    let letters = (0..BODY_BYTES).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b'a' + u8::try_from((state >> 33) % 26).expect("a letter")
    });
    letters.collect()
}

fn end(lease: &Lease) -> Commit {
    Commit::of(
        lease,
        AttemptRow {
            event_id: lease.event.id.clone(),
            event_type: lease.event.event_type.clone(),
            attempt: lease.attempt,
            duration_ms: 70,
            outcome: Outcome::Delivered,
            status: Some(200),
            excerpt: String::new(),
            signed_ms: 1_767_225_600_000,
            resend: false,
        },
        Next::Drop,
    )
}

/// What it costs where nothing waits: each event finds its lane idle and leaves it so.
async fn cost_of_idle_lanes(
    server: &RedisServer,
    store: &RedisStore,
    intake: &dyn Intake,
    routed: u64,
    lanes: &[LaneId],
    leases: bool,
) {
    let config = Arc::new(config(1, 1));
    let (mut look_us, mut append_us, mut claim_us, mut commit_us) = (0.0, 0.0, 0.0, 0.0);
    for round in 1..=ROUNDS {
        let events: Vec<Append> = (0..lanes.len())
            .map(|lane| {
                event(
                    (2 * round + usize::from(leases)) * 1_000_000 + lane * 1_000 + lanes.len(),
                    routed,
                    &lanes[lane..=lane],
                )
            })
            .collect();
        let look = used(server).await.0;
        let before = used(server).await.0;
        let token = Token(round as u64);
        let places = if leases { lanes.len() } else { 0 };
        let appended = intake.append(home("w"), &events, Offer { token, places }).await.expect("append");
        assert_eq!((appended.granted.len(), appended.ready.len()), (places, lanes.len() - places));
        let append = used(server).await.0;
        let wants: Vec<_> =
            appended.ready.into_iter().map(|lane| Want { lane, token, config: Some(config.clone()) }).collect();
        let claims = store.claim(home("w"), &wants).await.expect("claim");
        let claimed = used(server).await.0;
        let claimed_ends = claims.iter().map(|claim| match claim {
            Claim::Leased(lease) => end(lease),
            other => panic!("the lane is due, but: {other:?}"),
        });
        let granted = appended.granted.into_iter();
        let ends: Vec<_> = claimed_ends.chain(granted.map(|granted| end(&granted.lease(config.clone())))).collect();
        let committed = store.commit(home("w"), &ends).await.expect("commit");
        assert!(committed.iter().all(|committed| matches!(committed.after, After::Idle)));
        let done = used(server).await.0;
        look_us += before - look;
        append_us += append - before;
        claim_us += claimed - append;
        commit_us += done - claimed;
    }
    // Looking costs too.
    let each = |us: f64| (us - look_us) / (ROUNDS * lanes.len()) as f64;
    println!(
        "idle lanes, {} at once: append {:.1}{}, claim {:.1}, commit {:.1} us of CPU per event",
        lanes.len(),
        each(append_us),
        if leases { " that leases" } else { "" },
        each(claim_us),
        each(commit_us)
    );
}

#[tokio::test]
#[ignore = "a measurement, not a promise"]
async fn what_an_event_costs_redis() {
    let server = RedisServer::start(&[]).await;
    let store = RedisStore::open(redis_options(&server, Policy::default()), Signals::default()).await.expect("opens");
    store.put_workspace(&ws("w"), &record("advanced")).await.expect("put");
    for endpoint in 0..ENDPOINTS {
        store.put_endpoint(&ws("w"), &ep(&format!("ep_{endpoint:016}")), &config(1, 1)).await.expect("put");
    }
    let routing = store.routing(&ws("w")).await.expect("routing");
    let lanes: Vec<LaneId> =
        routing.routes.iter().map(|route: &route::Route| route.lane(&ws("w"), contact(0))).collect();
    let partition: Partition = Partition::of(&ws("w"), PARTITIONS);
    assert_eq!(partition, home("w"));

    let intake = store.intake().await.expect("intake");
    let before = used(&server).await;
    let events: Vec<Append> = (0..EVENTS).map(|number| event(number, routing.version, &lanes)).collect();
    for group in events.chunks(GROUP_APPENDED) {
        let appended = intake.append(partition, group, Offer::NONE).await.expect("append");
        assert_eq!(appended.taken.len(), group.len());
    }
    let appended = used(&server).await;
    let per_event = |from: f64, to: f64| (to - from) / EVENTS as f64;
    println!("append: {:.1} us of CPU per event in groups of {GROUP_APPENDED}", per_event(before.0, appended.0));
    println!("memory: {:.0} bytes per waiting event of {BODY_BYTES}", per_event(before.1, appended.1));

    let mut leases = Vec::new();
    for (number, lane) in lanes.iter().enumerate() {
        let want = Want { lane: lane.clone(), token: Token(number as u64 + 1), config: None };
        match store.claim(partition, &[want]).await.expect("claim").pop() {
            Some(Claim::Leased(lease)) => leases.push(*lease),
            other => panic!("the lane is due, but: {other:?}"),
        }
    }
    let claimed = used(&server).await;
    let mut delivered = 0;
    while !leases.is_empty() {
        let mut next = Vec::new();
        for group in leases.chunks(GROUP_COMMITTED) {
            let commits: Vec<Commit> = group.iter().map(end).collect();
            for committed in store.commit(partition, &commits).await.expect("commit") {
                delivered += 1;
                if let After::Next(lease) = committed.after {
                    next.push(*lease);
                }
            }
        }
        leases = next;
    }
    assert_eq!(delivered, EVENTS);
    let committed = used(&server).await;
    println!("commit: {:.1} us of CPU per event in groups of {GROUP_COMMITTED}", per_event(claimed.0, committed.0));
    for group in [1, 8, 32] {
        for leases in [false, true] {
            cost_of_idle_lanes(&server, &store, &*intake, routing.version, &lanes[..group], leases).await;
        }
    }
    let stats = server.ask(&["INFO", "commandstats"]).await.expect("INFO");
    let stats: String = redis::from_redis_value(stats).expect("a text");
    println!("{stats}");
}
