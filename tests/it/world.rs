//! The whole path in one process on virtual time: the real consume, decide, deliver and notify code over the memory
//! store, the local broker, and receivers that a test scripts. Thirty minutes pass in milliseconds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recadero::app::{self, Parts};
use recadero::clock::{Clock, Time};
use recadero::consume::local::LocalBroker;
use recadero::consume::{Outgoing, Publisher};
use recadero::decide::attempt::{Answer, Attempted, Reason};
use recadero::decide::event_types::EventTypes;
use recadero::decide::ids::{EndpointId, EventId, EventType, WorkspaceId};
use recadero::decide::policy::Policy;
use recadero::deliver::send::{Request, Sender};
use recadero::observe::signal::Signals;
use recadero::store::Records;
use recadero::store::memory::Memory;
use recadero::store::records::{Config, Put, SigningSecret, Workspace};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub const PARTITIONS: u16 = 8;

/// Tokio's clock, which a test pauses, as the service's.
pub struct Virtual(Instant);

impl Virtual {
    pub fn clock() -> Clock {
        Clock::of(Self(Instant::now()))
    }
}

impl Time for Virtual {
    fn boot(&self) -> Duration {
        self.0.elapsed()
    }

    fn unix(&self) -> Duration {
        Duration::from_secs(1_800_000_000) + self.0.elapsed()
    }
}

/// What a receiver does with a request.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// This status after this long.
    Status(u16, Duration),
    /// No status line.
    Hang,
}

/// One request as a receiver saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Duration,
    pub path: String,
    pub event: String,
    pub attempt: u32,
    pub contact: Option<u64>,
}

type Script = Box<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// Receivers by the path of their URL.
pub struct Receivers {
    began: Instant,
    timeout: Duration,
    script: Script,
    seen: Mutex<Vec<Seen>>,
}

#[async_trait]
impl Sender for Receivers {
    async fn send(&self, request: Request) -> Attempted {
        let header =
            |name: &str| request.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let seen = Seen {
            at: self.began.elapsed(),
            path: request.url.path().trim_start_matches('/').to_owned(),
            event: header("webhook-id"),
            attempt: header("x-webhook-attempt").parse().unwrap(),
            contact: body["contact"]["id"].as_u64(),
        };
        let reply = (self.script)(&seen);
        self.seen.lock().unwrap().push(seen);
        let began = Instant::now();
        let late = Answer::Failed { reason: Reason::Timeout, detail: "no status line".to_owned() };
        let answer = match reply {
            Reply::Status(status, after) if after < self.timeout => {
                tokio::time::sleep(after).await;
                Answer::Status { status, excerpt: String::new() }
            }
            Reply::Status(..) | Reply::Hang => {
                tokio::time::sleep(self.timeout).await;
                late
            }
        };
        Attempted { answer, took: began.elapsed() }
    }
}

/// One service and what it stands on.
pub struct World {
    pub store: Memory,
    pub broker: LocalBroker,
    pub receivers: Arc<Receivers>,
    pub policy: Policy,
    stops: Vec<CancellationToken>,
    clock: Clock,
}

impl World {
    /// A world in which `script` says what receivers answer, with one process at work.
    pub fn new(policy: Policy, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let clock = Virtual::clock();
        let store = Memory::new(policy.clone(), PARTITIONS, clock.clone());
        let receivers = Arc::new(Receivers {
            began: Instant::now(),
            timeout: policy.timeout,
            script: Box::new(script),
            seen: Mutex::default(),
        });
        let broker = LocalBroker::new("recadero.events");
        let mut world = Self { store, broker, receivers, policy, stops: Vec::new(), clock };
        world.process("one");
        world
    }

    /// Starts one more process.
    pub fn process(&mut self, name: &str) {
        let stop = CancellationToken::new();
        let parts = Parts {
            store: Arc::new(self.store.clone()),
            broker: Arc::new(self.broker.clone()),
            publisher: Arc::new(self.broker.clone()),
            mail: None,
            sender: self.receivers.clone(),
            clock: self.clock.clone(),
            signals: Signals::default(),
        };
        let options = app::Options {
            router: true,
            deliverer: true,
            notifier: true,
            name: name.to_owned(),
            partitions: PARTITIONS,
            policy: Arc::new(self.policy.clone()),
            event_types: Arc::new(EventTypes::new([])),
            prefetch: 512,
            event_bytes_max: 262_144,
            inflight_max: 64,
            slow_max: 1024,
            grace: Duration::from_secs(20),
            seed: [self.stops.len() as u8; 32],
        };
        tokio::spawn(app::run(options, parts, stop.clone()));
        self.stops.push(stop);
    }

    /// A workspace on the Advanced plan.
    pub async fn workspace(&self, name: &str) -> WorkspaceId {
        let workspace = WorkspaceId::parse(name).unwrap();
        let record = Workspace { plan: "advanced".to_owned(), locale: "en".to_owned(), ..Workspace::default() };
        self.store.put_workspace(&workspace, &record).await.unwrap();
        workspace
    }

    /// An endpoint for all events, whose receiver is `path`.
    pub async fn endpoint(&self, workspace: &WorkspaceId, path: &str, lanes: u16) -> EndpointId {
        let endpoint = EndpointId::trusted(format!("ep_{path}"));
        let config = config(path, lanes, 1);
        assert_eq!(self.store.put_endpoint(workspace, &endpoint, &config).await.unwrap(), Put::Done);
        endpoint
    }

    /// Publishes an event of a contact.
    pub async fn publish(&self, workspace: &WorkspaceId, id: &str, contact: u64) {
        let event_type = EventType::parse("message.sent").unwrap();
        let body = Bytes::from(format!("{{\"contact\":{{\"id\":{contact}}}}}"));
        let id = EventId::parse(id).unwrap();
        let message = Outgoing::event("recadero.events", workspace, &event_type, Some(&id), body);
        self.broker.publish(vec![message]).await.unwrap();
    }

    /// What a receiver has seen.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        self.receivers.seen.lock().unwrap().iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// The virtual time that `Seen::at` counts by.
    pub fn receivers_now(&self) -> Duration {
        self.receivers.began.elapsed()
    }

    /// Asks every process to stop.
    pub fn stop(&self) {
        self.stops.iter().for_each(CancellationToken::cancel);
    }
}

/// An endpoint's configuration.
pub fn config(path: &str, lanes: u16, version: u64) -> Config {
    Config {
        version,
        url: format!("http://127.0.0.1:1/{path}"),
        events: vec![EventType::trusted("*")],
        description: String::new(),
        lanes,
        headers: Vec::new(),
        secrets: vec![SigningSecret { text: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned(), until_ms: None }],
        created_ms: 0,
        updated_ms: 0,
    }
}

/// Lets virtual time pass.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// The events of what was seen, without repeats in a row.
pub fn order(seen: &[Seen]) -> Vec<String> {
    let mut events: Vec<String> = seen.iter().map(|seen| seen.event.clone()).collect();
    events.dedup();
    events
}

/// Statuses from a list, then 200.
pub fn statuses(list: &[u16]) -> impl Fn() -> u16 + Send + Sync + 'static {
    let left = Mutex::new(list.iter().copied().collect::<VecDeque<_>>());
    move || left.lock().unwrap().pop_front().unwrap_or(200)
}
