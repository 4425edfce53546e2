//! What the router's tests stand on: a broker and a store, what may go wrong between them, and what came of it.

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::fakes::{Faults, FlakyBroker, FlakyLanes, LOOK_AGAIN, Seen};
use super::{Options, Router, STORE_PATIENCE};
use crate::clock::Clock;
use crate::consume::local::LocalBroker;
use crate::consume::{Outgoing, Publisher, REASON_HEADER};
use crate::decide::attempt::Outcome;
use crate::decide::event_types::EventTypes;
use crate::decide::ids::{EndpointId, EventId, EventType, LaneId, Partition, WorkspaceId};
use crate::decide::policy::Policy;
use crate::decide::retry::Next;
use crate::observe::signal::{Signals, Tap};
use crate::store::Records;
use crate::store::lanes::{After, Claim, Commit, Lanes, Token, Want};
use crate::store::memory::Memory;
use crate::store::records::{AttemptRow, Config, Put, Workspace};

pub(super) const EXCHANGE: &str = "recadero.events";
const PARTITIONS: u16 = 4;
pub(super) const WORKSPACES: [&str; 3] = ["acme", "bolt", "cora"];

/// A broker, a store, and all that may go wrong between them.
pub(super) struct World {
    pub(super) broker: LocalBroker,
    pub(super) memory: Memory,
    pub(super) faults: Arc<Faults>,
    pub(super) seen: Arc<Seen>,
}

impl World {
    /// With an endpoint for everything in each of the workspaces.
    pub(super) async fn new() -> Self {
        let memory = Memory::new(Policy::default(), PARTITIONS, Clock::system());
        let world = Self { broker: LocalBroker::new(EXCHANGE), memory, faults: Arc::default(), seen: Arc::default() };
        for workspace in WORKSPACES {
            world.connect(workspace).await;
        }
        world
    }

    pub(super) async fn connect(&self, workspace: &str) {
        let id = WorkspaceId::trusted(workspace);
        let record = Workspace { plan: "advanced".to_owned(), ..Workspace::default() };
        self.memory.put_workspace(&id, &record).await.unwrap();
        let put = self.memory.put_endpoint(&id, &endpoint(workspace), &config()).await.unwrap();
        assert_eq!(put, Put::Done);
    }

    pub(super) async fn publish(&self, workspace: &str, id: &str) {
        let (workspace, event_type) = (WorkspaceId::trusted(workspace), EventType::trusted("message.sent"));
        let message = Outgoing::event(EXCHANGE, &workspace, &event_type, Some(&EventId::trusted(id)), "{}".into());
        self.broker.publish(vec![message]).await.unwrap();
    }

    pub(super) async fn publish_poison(&self, body: &'static str) {
        let (workspace, event_type) = (WorkspaceId::trusted("acme"), EventType::trusted("message.sent"));
        let message = Outgoing::event(EXCHANGE, &workspace, &event_type, None, Bytes::from(body));
        self.broker.publish(vec![message]).await.unwrap();
    }

    /// Thirty events, ten of each workspace in turns, and one poison in their middle.
    pub(super) async fn publish_thirty(&self) {
        for n in 0..10 {
            for workspace in WORKSPACES {
                self.publish(workspace, &format!("{workspace}-{n}")).await;
            }
            if n == 4 {
                self.publish_poison("not json").await;
            }
        }
    }

    pub(super) fn router(&self, prefetch: u16) -> Router {
        let broker = Arc::new(FlakyBroker(self.broker.clone(), Arc::clone(&self.faults)));
        let lanes = Arc::new(FlakyLanes(self.memory.clone(), Arc::clone(&self.faults)));
        let options = Options {
            queue: 0,
            prefetch,
            max_event_bytes: 1000,
            partitions: PARTITIONS,
            types: Arc::new(EventTypes::new([])),
            plans: Policy::default().plans,
            store_patience: STORE_PATIENCE,
            seed: 1,
        };
        let tap: Arc<dyn Tap> = self.seen.clone();
        Router::new(broker, lanes, self.seen.clone(), Signals::new([tap]), options)
    }

    /// Routes until the queue is empty and everything is acknowledged.
    pub(super) async fn route(&self) {
        let stop = CancellationToken::new();
        let routing = self.router(8).run(stop.clone());
        tokio::join!(routing, async {
            self.until("the queue is empty", || self.broker.depth() == (0, 0)).await;
            stop.cancel();
        });
    }

    pub(super) async fn until(&self, what: &str, mut ready: impl FnMut() -> bool) {
        for _ in 0..20_000 {
            if ready() {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        panic!("never: {what}");
    }

    /// Delivers all that waits for a workspace's endpoint, and answers the ids in their order.
    pub(super) async fn delivered(&self, workspace: &str) -> Vec<String> {
        let partition = Partition::of(&WorkspaceId::trusted(workspace), PARTITIONS);
        let want = Want { lane: lane(workspace), token: Token(1), config: None };
        let claims = self.memory.claim(partition, &[want]).await.unwrap();
        let Some(Claim::Leased(mut lease)) = claims.into_iter().next() else { return Vec::new() };
        let mut ids = Vec::new();
        loop {
            ids.push(lease.event.id.to_string());
            let row = AttemptRow {
                event_id: lease.event.id.clone(),
                event_type: lease.event.event_type.clone(),
                attempt: lease.attempt,
                duration_ms: 1,
                outcome: Outcome::Delivered,
                status: Some(200),
                excerpt: String::new(),
                signed_ms: 0,
                resend: false,
            };
            let commit = Commit::of(&lease, row, Next::Drop);
            let committed = self.memory.commit(partition, &[commit]).await.unwrap();
            match committed.into_iter().next().unwrap().after {
                After::Next(next) => lease = next,
                After::Idle => return ids,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Each of the thirty events stands in its lane once, in order, and the poison is where it belongs.
    pub(super) async fn assert_thirty(&self, context: &str) {
        for workspace in WORKSPACES {
            let expected: Vec<_> = (0..10).map(|n| format!("{workspace}-{n}")).collect();
            assert_eq!(self.delivered(workspace).await, expected, "{context}");
        }
        let rejected = self.broker.rejected();
        assert!(!rejected.is_empty(), "{context}: nothing was rejected");
        assert!(
            rejected.iter().all(|message| message.body == "not json" && reason(message) == "not_json"),
            "{context}"
        );
    }
}

pub(super) fn lane(workspace: &str) -> LaneId {
    LaneId { workspace: WorkspaceId::trusted(workspace), endpoint: endpoint(workspace), layout: 1, index: 0 }
}

fn endpoint(workspace: &str) -> EndpointId {
    EndpointId::trusted(format!("ep_{workspace}"))
}

fn config() -> Config {
    Config {
        version: 1,
        url: "https://receiver.test".to_owned(),
        events: vec![EventType::trusted("*")],
        description: String::new(),
        lanes: 1,
        headers: Vec::new(),
        secrets: Vec::new(),
        created_ms: 0,
        updated_ms: 0,
    }
}

pub(super) fn reason(message: &Outgoing) -> String {
    let headers = message.properties.headers().clone().unwrap();
    headers.inner()[REASON_HEADER].as_long_string().unwrap().to_string()
}
