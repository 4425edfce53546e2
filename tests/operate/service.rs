//! The API on real sockets, over a store whose time the test moves; RabbitMQ and the endpoints are in this process.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recadero::clock::{Clock, Time};
use recadero::config::Sensitive;
use recadero::consume::local::LocalBroker;
use recadero::decide::attempt::{Answer, Attempted, Outcome, Reason};
use recadero::decide::event_types::EventTypes;
use recadero::decide::ids::{EndpointId, EventId, EventType, LaneId, Partition, WorkspaceId};
use recadero::decide::policy::{Limits, Policy};
use recadero::decide::retry::Next;
use recadero::deliver::guard::Guard;
use recadero::deliver::send::{Request, Sender};
use recadero::observe::signal::{Signal, Signals, Tap};
use recadero::operate::{AdminTokens, Api, WorkspaceTokens, serve};
use recadero::store::Store;
use recadero::store::lanes::{Append, Claim, Commit, Offer, Token, Want};
use recadero::store::memory::Memory;
use recadero::store::records::AttemptRow;
use recadero::store::redis::{Durability, Options, RedisStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::redis::Redis;

pub const TOKEN: &str = "an-admin-token-of-32-characters-x";
pub const OTHER_TOKEN: &str = "another-token-of-32-characters-yy";
pub const EXCHANGE: &str = "events";
pub const EVENT_BYTES_MAX: usize = 128 << 10;
pub const PARTITIONS: u16 = 4;

/// 2026-01-01T00:00:00Z
const START_MS: u64 = 1_767_225_600_000;

#[derive(Clone)]
struct Given(Arc<AtomicU64>);

impl Time for Given {
    fn boot(&self) -> Duration {
        self.unix()
    }

    fn unix(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Signals that people's doings made, in short.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Tap for Seen {
    fn see(&self, signal: &Signal<'_>) {
        let short = match signal {
            Signal::Enabled { .. } => "enabled".to_owned(),
            Signal::Disabled { reason, .. } => format!("disabled {}", reason.as_str()),
            Signal::Dropped { reason, count, .. } => format!("dropped {} {count}", reason.as_str()),
            Signal::Resent { count, .. } => format!("resent {count}"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(short);
    }
}

/// Which store is under the API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Memory,
    Redis,
}

/// Endpoints that write down what is sent to them and answer as told.
pub struct Receivers {
    pub requests: Mutex<Vec<Request>>,
    pub answer: Mutex<Answer>,
}

#[async_trait]
impl Sender for Receivers {
    async fn send(&self, request: Request) -> Attempted {
        self.requests.lock().unwrap().push(request);
        Attempted { answer: self.answer.lock().unwrap().clone(), took: Duration::from_millis(12) }
    }
}

pub struct Service {
    pub address: SocketAddr,
    pub api: Arc<Api>,
    pub broker: LocalBroker,
    pub receivers: Arc<Receivers>,
    /// Kept until the test is over.
    _server: Option<Redis>,
    pub store: Arc<dyn Store>,
    pub seen: Seen,
    pub stop: CancellationToken,
    pub serving: JoinHandle<()>,
    time: Given,
}

/// An answer of the API, its body read as JSON where there is one.
#[derive(Debug)]
pub struct Told {
    pub status: u16,
    pub head: String,
    pub body: Value,
    pub text: String,
}

impl Told {
    /// `422 invalid_body field: sentence`, for what went wrong.
    pub fn problem(&self) -> String {
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        assert_eq!(self.body["status"], self.status, "{self:?}");
        format!("{} {} {}", self.status, self.body["code"].as_str().unwrap(), self.body["detail"].as_str().unwrap())
    }
}

impl Service {
    /// The service, with `acme` on the Advanced plan.
    pub async fn start(kind: Kind) -> Self {
        Self::with_limits(kind, Limits::default()).await
    }

    pub async fn with_limits(kind: Kind, limits: Limits) -> Self {
        let service = Self::with_policy(kind, Policy { limits, ..Policy::default() }).await;
        let set = service.put("/v1/workspaces/acme", r#"{"plan": "advanced"}"#).await;
        assert_eq!(set.status, 200, "{set:?}");
        service
    }

    pub async fn with_policy(kind: Kind, policy: Policy) -> Self {
        Self::of(kind, policy, EXCHANGE).await
    }

    /// One that publishes to an exchange which may not be there.
    pub async fn with_exchange(kind: Kind, exchange: &str) -> Self {
        Self::of(kind, Policy::default(), exchange).await
    }

    async fn of(kind: Kind, policy: Policy, exchange: &str) -> Self {
        let time = Given(Arc::new(AtomicU64::new(START_MS)));
        let clock = Clock::of(time.clone());
        let (store, server): (Arc<dyn Store>, _) = match kind {
            Kind::Memory => (Arc::new(Memory::new(policy.clone(), PARTITIONS, clock.clone())), None),
            Kind::Redis => {
                let server = Redis::start().await;
                let (url, prefix, durability) = (server.url(), "t".to_owned(), Durability::Memory);
                let options = Options { url, prefix, partitions: PARTITIONS, durability, policy: policy.clone() };
                let store = RedisStore::open_at(options, Signals::default(), clock.clone()).await.unwrap();
                (Arc::new(store), Some(server))
            }
        };
        let seen = Seen::default();
        let broker = LocalBroker::new(EXCHANGE);
        let ok = Answer::Status { status: 200, excerpt: "thanks".to_owned() };
        let receivers = Arc::new(Receivers { requests: Mutex::default(), answer: Mutex::new(ok) });
        let key = Sensitive::new("a-key-for-workspace-tokens-0123456789");
        let api = Arc::new(Api {
            store: Arc::clone(&store),
            sender: receivers.clone(),
            publisher: Arc::new(broker.clone()),
            rejects: Arc::new(broker.clone()),
            exchange: exchange.to_owned(),
            policy,
            event_types: EventTypes::new([EventType::trusted("order.placed")]),
            event_bytes_max: EVENT_BYTES_MAX,
            guard: Guard::default(),
            admin_tokens: AdminTokens::new(&[Sensitive::new(OTHER_TOKEN), Sensitive::new(TOKEN)]),
            tokens: WorkspaceTokens::new(&[key]),
            public_url: Some("https://hooks.example".parse().unwrap()),
            demo: None,
            clock,
            signals: Signals::new([Arc::new(seen.clone()) as Arc<dyn Tap>]),
        });
        let listener = serve::listen("127.0.0.1:0".parse().unwrap(), "http-addr").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let routes = recadero::operate::api(api.clone());
        let serving = tokio::spawn(serve::serve(listener, routes, stop.clone(), Duration::from_secs(60)));
        Self { address, api, broker, receivers, _server: server, store, seen, stop, serving, time }
    }

    pub fn pass(&self, span: Duration) {
        self.time.0.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub async fn get(&self, path: &str) -> Told {
        self.ask("GET", path, "").await
    }

    pub async fn put(&self, path: &str, body: &str) -> Told {
        self.ask("PUT", path, body).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Told {
        self.ask("POST", path, body).await
    }

    pub async fn patch(&self, path: &str, body: &str) -> Told {
        self.ask("PATCH", path, body).await
    }

    pub async fn delete(&self, path: &str) -> Told {
        self.ask("DELETE", path, "").await
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Told {
        self.ask_with(method, path, "", body).await
    }

    /// As an administrator, with more headers, each ended by a line break.
    pub async fn ask_with(&self, method: &str, path: &str, headers: &str, body: &str) -> Told {
        ask(self.address, method, path, &format!("Authorization: Bearer {TOKEN}\r\n{headers}"), body).await
    }

    /// With somebody's token.
    pub async fn ask_as(&self, token: &str, method: &str, path: &str, body: &str) -> Told {
        ask(self.address, method, path, &format!("Authorization: Bearer {token}\r\n"), body).await
    }

    /// A workspace token.
    pub async fn token(&self, workspace: &str, read_only: bool) -> String {
        let body = serde_json::json!({"read_only": read_only}).to_string();
        let made = self.post(&format!("/v1/workspaces/{workspace}/tokens"), &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.body["token"].as_str().unwrap().to_owned()
    }

    /// Creates an endpoint of `acme` for everything; answers with its path.
    pub async fn endpoint(&self) -> String {
        let created =
            self.post("/v1/workspaces/acme/endpoints", r#"{"url": "https://r.example/", "events": ["*"]}"#).await;
        assert_eq!(created.status, 201, "{created:?}");
        format!("/v1/workspaces/acme/endpoints/{}", created.body["id"].as_str().unwrap())
    }

    /// Puts an event into an endpoint's lane, as a router does.
    pub async fn append(&self, endpoint: &str, event: &str) {
        self.append_body(endpoint, event, "{}").await;
    }

    /// The same with a body.
    pub async fn append_body(&self, endpoint: &str, event: &str, body: &str) {
        self.append_to(endpoint, 0, event, body).await;
    }

    /// The same into one of its lanes.
    pub async fn append_to(&self, endpoint: &str, index: u16, event: &str, body: &str) {
        let (partition, lane) = place(endpoint, index);
        let version = self.store.routing(&lane.workspace).await.unwrap().version;
        let item = Append {
            workspace: lane.workspace.clone(),
            id: EventId::trusted(event),
            event_type: EventType::trusted("message.sent"),
            contact: None,
            traceparent: None,
            body: Bytes::from(body.to_owned()),
            routing_version: version,
            lanes: vec![lane],
        };
        let appended = self.store.intake().await.unwrap().append(partition, &[item], Offer::NONE).await.unwrap();
        assert_eq!(appended.taken.len(), 1);
    }

    /// Makes one attempt of an endpoint's current event, as a deliverer does.
    pub async fn attempt(&self, endpoint: &str, outcome: Outcome, next: Next) {
        self.attempt_in(endpoint, 0, outcome, next).await;
    }

    /// The same in one of its lanes.
    pub async fn attempt_in(&self, endpoint: &str, index: u16, outcome: Outcome, next: Next) {
        let (partition, lane) = place(endpoint, index);
        let want = Want { lane: lane.clone(), token: Token(7), config: None };
        let claimed = self.store.claim(partition, &[want]).await.unwrap();
        let Claim::Leased(lease) = &claimed[0] else { panic!("{claimed:?}") };
        let commit = Commit {
            more: false,
            ..Commit::of(
                lease,
                AttemptRow {
                    event_id: lease.event.id.clone(),
                    event_type: lease.event.event_type.clone(),
                    attempt: lease.attempt,
                    duration_ms: 12,
                    outcome,
                    status: Some(if outcome == Outcome::Delivered { 200 } else { 500 }),
                    excerpt: "oh".to_owned(),
                    signed_ms: START_MS,
                    resend: false,
                },
                next,
            )
        };
        self.store.commit(partition, &[commit]).await.unwrap();
    }

    /// Appends an event and fails it for the last time.
    pub async fn drop_event(&self, endpoint: &str, event: &str) {
        self.append(endpoint, event).await;
        self.attempt(endpoint, Outcome::Failed(Reason::Status), Next::Drop).await;
    }
}

fn place(endpoint: &str, index: u16) -> (Partition, LaneId) {
    let mut parts = endpoint.trim_start_matches("/v1/workspaces/").split("/endpoints/");
    let workspace = WorkspaceId::trusted(parts.next().unwrap());
    let endpoint = EndpointId::trusted(parts.next().unwrap());
    (Partition::of(&workspace, PARTITIONS), LaneId { workspace, endpoint, layout: 1, index })
}

/// One request on a connection of its own.
pub async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Told {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    // A server that has heard enough may close before all is written; its answer is what counts.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let text = body.to_owned();
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(text.clone()));
    Told { status, head: head.to_owned(), body, text }
}
