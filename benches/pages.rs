//! How long pages of the API and of the console take when there is much to page through: prints a table, asserts nothing.
//!
//! `cargo bench --features testing --bench pages` with 100,000 endpoints, 100 of them with full logs, on a redis-server of its
//! own; `-- 5000` for fewer endpoints. In this process are the API and the one who asks, a connection per request.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, dead_code)]

#[path = "../tests/operate/redis.rs"]
mod redis;
#[path = "../tests/operate/service.rs"]
mod service;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use recadero::decide::attempt::{Outcome, Reason};
use recadero::decide::ids::{EndpointId, EventId, EventType, LaneId, Partition, WorkspaceId};
use recadero::decide::retry::Next;
use recadero::store::Store;
use recadero::store::lanes::{After, Append, Claim, Commit, Lease, Offer, Token, Want};
use recadero::store::records::{AttemptRow, Config, Put, SigningSecret, Workspace};
use service::{Kind, PARTITIONS, Service, TOKEN};

const ENDPOINTS: usize = 100_000;
const ENDPOINTS_PER_WORKSPACE: usize = 100;
const FULL_LOGS: usize = 100;
const LOG_ROWS: usize = 500;
const AT_ONCE: usize = 16;
/// Which endpoint of a workspace is disabled, and which has so many lanes, of which some have an event that is tried again:
/// as many as the quota bears.
const DISABLED: usize = 2;
const LANES: usize = 3;
const LANES_MAX: u16 = 64;
const RETRIED: u16 = 30;
const REQUESTS: usize = 200;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let endpoints = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(ENDPOINTS);
    runtime.block_on(measure(endpoints));
}

async fn measure(endpoints: usize) {
    let service = Service::start(Kind::Redis).await;
    let begun = Instant::now();
    let workspaces = endpoints.div_ceil(ENDPOINTS_PER_WORKSPACE);
    stream::iter(0..workspaces).for_each_concurrent(AT_ONCE, |number| set_up(service.store.clone(), number)).await;
    let full = FULL_LOGS.min(workspaces);
    stream::iter(0..full).for_each_concurrent(AT_ONCE, |number| fill_log(service.store.clone(), number)).await;
    stream::iter(0..full).for_each_concurrent(AT_ONCE, |number| bring_trouble(service.store.clone(), number)).await;
    println!("{endpoints} endpoints, {full} with {LOG_ROWS} attempts, made in {:?}", begun.elapsed());

    let session = sign_in(&service).await;
    println!("{:<44} {:>10} {:>10}", "", "median", "99 %");
    let endpoint = |number: usize| format!("/v1/workspaces/{}/endpoints/{}", workspace(number), endpoint(number, 0));
    let console = |number: usize| format!("/console/workspaces/{}", workspace(number));
    let shown = |number: usize| format!("{}/endpoints/{}", console(number), endpoint_id(number));
    let lanes =
        |number: usize, rest: &str| format!("{}/endpoints/{}{rest}", console(number), self::endpoint(number, LANES));
    let pages: [(&str, &dyn Fn(usize) -> String); 22] = [
        ("workspaces, 50 rows", &|_| "/v1/workspaces".to_owned()),
        ("endpoints, 50 rows", &|number| format!("/v1/workspaces/{}/endpoints", workspace(number))),
        ("attempts, 50 rows", &|number| format!("{}/attempts", endpoint(number))),
        ("attempts, 200 rows", &|number| format!("{}/attempts?limit=200", endpoint(number))),
        ("attempts of one event, of all rows", &|number| format!("{}/attempts?event_id=1", endpoint(number))),
        ("an event with its payload", &|number| format!("{}/events/{}", endpoint(number), LOG_ROWS - 1)),
        ("statistics", &|number| format!("{}/stats", endpoint(number))),
        ("console: a workspace's webhooks", &console),
        ("console: its next 25", &|number| format!("{}?cursor={}", console(number), after_24(number))),
        ("console: add a webhook", &|number| format!("{}/endpoints/new", console(number))),
        ("console: edit one", &|number| format!("{}/edit", shown(number))),
        ("console: delete one", &|number| format!("{}/delete", shown(number))),
        ("console: an endpoint", &shown),
        ("console: the part of it that renews itself", &|number| format!("{}/live?status=enabled", shown(number))),
        ("console: one with 64 lanes, 30 of them retried", &|number| lanes(number, "")),
        ("console: the part of it that renews itself", &|number| lanes(number, "/live?status=enabled")),
        ("console: its log, filtered", &|number| format!("{}?still=1&outcome=failed", shown(number))),
        ("console: an event", &|number| format!("{}/events/{}", shown(number), LOG_ROWS - 1)),
        ("console: dropped events", &|number| format!("{}/dropped", shown(number))),
        ("console: all workspaces", &|_| "/console/workspaces".to_owned()),
        ("console: the endpoints in trouble", &|_| "/console/trouble".to_owned()),
        ("console: rejected events", &|_| "/console/rejected".to_owned()),
    ];
    for (name, path) in pages {
        let mut times = Vec::new();
        for number in 0..REQUESTS {
            let path = path(number % full);
            let begun = Instant::now();
            let answer = service.ask_with("GET", &path, &session, "").await;
            times.push(begun.elapsed());
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
        times.sort();
        println!("{name:<44} {:>10.1?} {:>10.1?}", times[REQUESTS / 2], times[REQUESTS * 99 / 100]);
    }
}

/// The header of an administrator's session in the console.
async fn sign_in(service: &Service) -> String {
    let answer = service.ask_with("POST", "/console/sign-in", "", &format!("token={TOKEN}&next=")).await;
    let cookie = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a session");
    format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
}

fn endpoint_id(workspace: usize) -> EndpointId {
    endpoint(workspace, 0)
}

fn workspace(number: usize) -> WorkspaceId {
    WorkspaceId::trusted(format!("workspace-{number}"))
}

fn endpoint(workspace: usize, number: usize) -> EndpointId {
    EndpointId::trusted(format!("ep_{workspace}x{number}"))
}

async fn set_up(store: Arc<dyn Store>, number: usize) {
    let record = Workspace { plan: "advanced".to_owned(), locale: "en".to_owned(), ..Workspace::default() };
    store.put_workspace(&workspace(number), &record).await.unwrap();
    for index in 0..ENDPOINTS_PER_WORKSPACE {
        let config = Config {
            version: 1,
            url: format!("https://r.example/{index}"),
            events: vec![EventType::trusted("*")],
            description: "One of many".to_owned(),
            lanes: if index == LANES { LANES_MAX } else { 1 },
            headers: Vec::new(),
            secrets: vec![SigningSecret { text: "whsec_AAAA".to_owned(), until_ms: None }],
            created_ms: index as u64,
            updated_ms: index as u64,
        };
        let put = store.put_endpoint(&workspace(number), &endpoint(number, index), &config).await.unwrap();
        assert_eq!(put, Put::Done);
    }
}

/// Where a workspace's 25th endpoint is in its list.
fn after_24(number: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("24 {}", endpoint(number, 24)))
}

/// Disables one of a workspace's endpoints, and fails events in lanes of another.
async fn bring_trouble(store: Arc<dyn Store>, number: usize) {
    let workspace = workspace(number);
    let partition = Partition::of(&workspace, PARTITIONS);
    assert!(store.disable(&workspace, &endpoint(number, DISABLED)).await.unwrap());
    let lane = |index| LaneId { workspace: workspace.clone(), endpoint: endpoint(number, LANES), layout: 1, index };
    let routing_version = store.routing(&workspace).await.unwrap().version;
    let event = |index: u16| event(format!("{number}-{index}"), &workspace, routing_version, &lane(index));
    let events: Vec<_> = (0..LANES_MAX).map(event).collect();
    store.intake().await.unwrap().append(partition, &events, Offer::NONE).await.unwrap();
    for index in 0..RETRIED {
        let want = Want { lane: lane(index), token: Token(1), config: None };
        let Some(Claim::Leased(lease)) = store.claim(partition, &[want]).await.unwrap().pop() else {
            panic!("no lease")
        };
        let failed = Commit {
            outcome: Outcome::Failed(Reason::Status),
            next: Next::RetryAfter(Duration::from_secs(90)),
            more: false,
            ..delivered(&lease)
        };
        store.commit(partition, &[failed]).await.unwrap();
    }
}

fn event(id: String, workspace: &WorkspaceId, routing_version: u64, lane: &LaneId) -> Append {
    Append {
        workspace: workspace.clone(),
        body: Bytes::from(format!("{{\"id\":\"{id}\",\"text\":\"{}\"}}", "x".repeat(512))),
        id: EventId::trusted(id),
        event_type: EventType::trusted("message.sent"),
        contact: None,
        traceparent: None,
        routing_version,
        lanes: vec![lane.clone()],
    }
}

/// The end of an attempt that delivered.
fn delivered(lease: &Lease) -> Commit {
    let row = AttemptRow {
        event_id: lease.event.id.clone(),
        event_type: lease.event.event_type.clone(),
        attempt: 1,
        duration_ms: 12,
        outcome: Outcome::Delivered,
        status: Some(200),
        excerpt: "{\"ok\":true}".repeat(20),
        signed_ms: 0,
        resend: false,
    };
    Commit::of(lease, row, Next::Drop)
}

/// Delivers so many events to a workspace's first endpoint.
async fn fill_log(store: Arc<dyn Store>, number: usize) {
    let workspace = workspace(number);
    let partition = Partition::of(&workspace, PARTITIONS);
    let lane = LaneId { workspace: workspace.clone(), endpoint: endpoint(number, 0), layout: 1, index: 0 };
    let routing_version = store.routing(&workspace).await.unwrap().version;
    let event = |id: usize| event(id.to_string(), &workspace, routing_version, &lane);
    let events: Vec<_> = (0..LOG_ROWS).map(event).collect();
    store.intake().await.unwrap().append(partition, &events, Offer::NONE).await.unwrap();
    let want = Want { lane: lane.clone(), token: Token(1), config: None };
    let Some(Claim::Leased(mut lease)) = store.claim(partition, &[want]).await.unwrap().pop() else {
        panic!("no lease")
    };
    loop {
        let commit = delivered(&lease);
        match store.commit(partition, &[commit]).await.unwrap().remove(0).after {
            After::Next(next) => lease = next,
            _ => return,
        }
    }
}
