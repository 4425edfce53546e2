//! Endpoints that are disabled and enabled again while much is under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tokio::sync::watch;

use super::figures::{lasted, report};
use super::ledger::Ledger;
use super::site::{Site, Told, connect, endpoint, idle, key, metric, plan};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::rabbit::Rabbit;
use crate::rig::recadero::Process;
use crate::rig::receiver::{Answer, Receiver, Request};
use crate::rig::redis::{Options, Redis};
use crate::rig::until;

/// One endpoint of 64 lanes, two processes, and a receiver that fails when it is told to.
struct Stage {
    gate: watch::Sender<usize>,
    receiver: Receiver,
    processes: [Process; 2],
    endpoint: String,
}

impl Stage {
    /// Answers as many of the requests that came first, and waits until that is recorded.
    async fn fail(&self, count: usize) {
        self.gate.send_replace(count);
        let failed = async || {
            let mut failed = 0.0;
            for process in &self.processes {
                failed += metric(process, "delivery_attempts_total", "outcome=\"failed\"").await;
            }
            failed == count as f64
        };
        until(&format!("{count} failures recorded"), ARRIVAL, failed).await;
    }

    /// Waits until so many requests have come, and shows that no more do.
    async fn tried(&self, count: usize) {
        self.receiver.wait_for(count, ARRIVAL).await;
        tokio::time::sleep(ms(500)).await;
        assert_eq!(self.receiver.count(), count, "attempts begun");
    }

    async fn turn(&self, what: &str) {
        let path = format!("/v1/workspaces/w0/endpoints/{}/{what}", self.endpoint);
        let (status, body) = self.processes[0].api("POST", &path, Some(&json!({}))).await;
        assert!((200..300).contains(&status), "{what}: {status} {body}");
    }

    /// Whether it is enabled, and what the quota's window holds.
    async fn state(&self) -> (bool, u64) {
        let (_, listed) = self.processes[1].api("GET", "/v1/workspaces/w0/endpoints", None).await;
        let (_, quota) = self.processes[1].api("GET", "/v1/workspaces/w0/quota", None).await;
        (listed["data"][0]["status"] == "enabled", quota["used"].as_u64().unwrap())
    }
}

#[tokio::test]
async fn sixty_four_lanes_failing_while_their_endpoint_is_disabled_and_enabled_count_exactly() {
    const LANES: usize = 64;
    let gate = watch::Sender::new(0);
    let held = gate.clone();
    let receiver = Receiver::start(move |request| Answer::status(500).held(&held, request)).await;
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let site = Site::new(&redis.url(), rabbit.url())
        .with("RECADERO_TIMEOUT", "60s")
        .with("RECADERO_RETRY_DELAYS", "600s,600s,600s")
        .with("RECADERO_QUOTA_LIMIT", "30");
    let (one, two) = tokio::join!(site.serve(), site.serve());
    connect(&one, &receiver, &[64]).await;
    let (_, listed) = one.api("GET", "/v1/workspaces/w0/endpoints", None).await;
    let endpoint = listed["data"][0]["id"].as_str().unwrap().to_owned();
    let told = Told::of(&rabbit, "endpoint.disabled").await;
    let stage = Stage { gate, receiver, processes: [one, two], endpoint };
    let publish = Plan { contacts: 800, ..Plan::new(1, 800) };
    let ledger = Traffic::start(rabbit.url(), publish).finish().await;

    // All lanes fail at once: the 31st disables, the others count nothing.
    stage.tried(LANES).await;
    stage.fail(LANES).await;
    assert_eq!(stage.state().await, (false, 0));
    stage.tried(LANES).await;

    // Disabled by hand and enabled again while all are under way: they count nothing, and their lanes begin anew.
    stage.turn("enable").await;
    stage.tried(2 * LANES).await;
    stage.turn("disable").await;
    assert_eq!(stage.state().await, (false, 0));
    stage.turn("enable").await;
    stage.tried(2 * LANES).await;
    stage.fail(2 * LANES).await;
    stage.tried(3 * LANES).await;
    assert_eq!(stage.state().await, (true, 0));

    // The same with twenty counted, which leave the window, and wait no longer.
    stage.fail(2 * LANES + 20).await;
    assert_eq!(stage.state().await, (true, 20));
    stage.turn("disable").await;
    assert_eq!(stage.state().await, (false, 0));
    stage.tried(3 * LANES).await;
    stage.turn("enable").await;
    stage.tried(3 * LANES + 20).await;
    stage.fail(3 * LANES).await;
    stage.tried(4 * LANES).await;
    assert_eq!(stage.state().await, (true, 0));

    // Exactly thirty are borne.
    stage.fail(3 * LANES + 30).await;
    assert_eq!(stage.state().await, (true, 30));
    stage.fail(3 * LANES + 31).await;
    assert_eq!(stage.state().await, (false, 0));
    stage.fail(4 * LANES).await;
    stage.tried(4 * LANES).await;

    stage.receiver.behave(|_| Answer::ok());
    stage.turn("enable").await;
    ledger.arrive(&stage.receiver, ARRIVAL).await;
    idle(&stage.processes[0], 1).await;
    // Events of interrupted rounds arrived before, at attempt 1: repeats to the ledger, and no others.
    ledger.judge(&stage.receiver, &[64]);
    let told = told.at_least(4).await;
    let requests = stage.receiver.count();
    report(&[
        ("events", ledger.0.len().into()),
        ("failures", (4 * LANES).into()),
        ("disablings", 4.into()),
        ("notices", told.len().into()),
        ("requests", requests.into()),
    ]);
    assert_eq!(told.len(), 4, "one notice per disabling: {told:?}");
    assert_eq!(requests, 4 * LANES + ledger.0.len(), "each failure once, and each event once");
}

/// Per endpoint and contact: the ids in the order of their first arrival; and how many requests were repeats, in all and
/// at most for one contact at one endpoint.
fn lines(requests: &[Arc<Request>]) -> (HashMap<(String, u64), Vec<String>>, usize, usize) {
    let mut lines: HashMap<(String, u64), (Vec<String>, usize)> = HashMap::new();
    for request in requests {
        let contact = request.json()["contact"]["id"].as_u64().unwrap();
        let (line, repeats) = lines.entry((request.path.clone(), contact)).or_default();
        let id = request.header("webhook-id").unwrap().to_owned();
        if line.contains(&id) { *repeats += 1 } else { line.push(id) }
    }
    let (all, most) = lines.values().fold((0, 0), |(all, most), (_, repeats)| (all + repeats, most.max(*repeats)));
    (lines.into_iter().map(|(name, (line, _))| (name, line)).collect(), all, most)
}

fn ids(ledger: &Ledger, contact: u64) -> Vec<String> {
    ledger.0.iter().filter(|entry| entry.contact == contact).map(|entry| entry.id.clone()).collect()
}

#[tokio::test]
async fn a_workspace_of_thousands_of_lanes_that_goes_on_is_killed_in_the_middle_and_all_of_it_comes_in_order() {
    const CONTACTS: u64 = 60;
    let endpoints = sized(400, 600);
    let receiver = Receiver::ok().await;
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let site = Site::new(&redis.url(), rabbit.url());
    let mut filler = site.clone().with("RECADERO_ROLES", "router,api").serve().await;
    plan(&filler, "w0").await;
    for number in 0..endpoints {
        endpoint(&filler, "w0", &format!("{}/{number}", receiver.url()), 64).await;
    }
    let publish = Plan { contacts: CONTACTS, ..Plan::new(1, sized(60, 300)) };
    let ledger = Traffic::start(rabbit.url(), publish).finish().await;
    let all = ledger.0.len() * endpoints;
    let routed = async || metric(&filler, "events_routed_total", "").await == ledger.0.len() as f64;
    until("all routed", ARRIVAL, routed).await;
    let body = json!({"plan": "none"});
    let (status, _) = filler.api("PUT", "/v1/workspaces/w0", Some(&body)).await;
    assert_eq!(status, 200);
    filler.term(ARRIVAL).await;

    let mut process = site.serve().await;
    // A lane is found to be held when it would be worked; before that it would go on by itself.
    let due = key(0, "due:healthy");
    let held = async || redis::from_redis_value::<usize>(redis.cli(&["ZCARD", &due]).await).unwrap() == 0;
    until("all lanes held", ARRIVAL, held).await;
    assert_eq!(receiver.count(), 0, "a workspace without a plan is sent nothing");
    let enabled = Instant::now();
    // What is to be released is recorded first, endpoint by endpoint; the first kill leaves some of it undone.
    let releasing = key(0, "releasing");
    let undone = async || redis::from_redis_value::<usize>(redis.cli(&["SCARD", &releasing]).await).unwrap();
    let body = json!({"plan": "advanced"});
    let _ = tokio::join!(process.try_api("PUT", "/v1/workspaces/w0", Some(&body)), async {
        until("some are released", ARRIVAL, async || (1..endpoints).contains(&undone().await)).await;
        process.kill9_meanwhile();
    });
    let undone = undone().await;
    assert!(undone > 0, "all were released before the kill");
    process.wait(ARRIVAL).await;
    process.restart().await;
    let mut kills = 1;
    for reached in [all / 4, all / 2] {
        receiver.wait_for(reached, ARRIVAL).await;
        process.kill9();
        kills += 1;
        process.restart().await;
    }
    let arrived = async || {
        // Counting them takes long enough.
        tokio::time::sleep(ms(200)).await;
        receiver.count() >= all && lines(&receiver.requests()).0.values().map(Vec::len).sum::<usize>() == all
    };
    until("all of it", 2 * ARRIVAL, arrived).await;
    let took = enabled.elapsed();
    let requests = receiver.requests();
    let (lines, repeats, most) = lines(&requests);
    report(&[
        ("endpoints of 64 lanes", endpoints.into()),
        ("not released yet at the first kill", undone.into()),
        ("deliveries", all.into()),
        ("kills", kills.into()),
        ("repeats", repeats.into()),
        ("at most per contact", most.into()),
        ("all delivered after", lasted(took)),
    ]);
    for ((path, contact), line) in &lines {
        assert_eq!(*line, ids(&ledger, *contact), "{path}, contact {contact}");
    }
    assert!(most <= kills, "{most} repeats of one line, {kills} kills");
}
