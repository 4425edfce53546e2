//! A router between a real RabbitMQ and a store in memory that can be told not to take events.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use recadero::clock::Clock;
use recadero::consume::amqp::{AmqpBroker, AmqpPublisher, AmqpUrl};
use recadero::consume::router::{Options, Router, STORE_PATIENCE};
use recadero::consume::topology::{EVENTS, Topology};
use recadero::consume::{Broker, Held, Wake};
use recadero::decide::attempt::Outcome;
use recadero::decide::event_types::EventTypes;
use recadero::decide::ids::{EndpointId, EventType, LaneId, Partition, WorkspaceId};
use recadero::decide::policy::Policy;
use recadero::decide::relief::Burden;
use recadero::decide::retry::Next;
use recadero::observe::signal::Signals;
use recadero::store::lanes::{
    After, Append, Appended, Claim, Commit, Committed, Due, Figures, Intake, Lanes, Lease, Memory as Use, Offer, Pool,
    Relieved, Swept, Token, Want,
};
use recadero::store::memory::Memory;
use recadero::store::records::{AttemptRow, Config, Put, Workspace};
use recadero::store::{Records, Result, StoreError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const PARTITIONS: u16 = 8;

/// A store in memory, and whether it takes events.
#[derive(Clone)]
pub struct Gate {
    pub memory: Memory,
    /// Refuse every event as a full store does.
    pub full: Arc<AtomicBool>,
    /// Append, and never say that it is durable.
    pub stuck: Arc<AtomicBool>,
    /// Refuse the event with this id, alone.
    pub refused: Arc<Mutex<Option<String>>>,
    /// Calls that appended something.
    pub appended: Arc<AtomicUsize>,
}

impl Gate {
    /// An open one over an empty store.
    pub fn new() -> Self {
        Self {
            memory: Memory::new(Policy::default(), PARTITIONS, Clock::system()),
            full: Arc::default(),
            stuck: Arc::default(),
            refused: Arc::default(),
            appended: Arc::default(),
        }
    }

    /// Gives a workspace the plan and one endpoint for everything.
    pub async fn connect(&self, workspace: &str) {
        let id = WorkspaceId::trusted(workspace);
        let record = Workspace { plan: "advanced".to_owned(), ..Workspace::default() };
        self.memory.put_workspace(&id, &record).await.unwrap();
        let config = Config {
            version: 1,
            url: "https://receiver.test".to_owned(),
            events: vec![EventType::trusted("*")],
            description: String::new(),
            lanes: 1,
            headers: Vec::new(),
            secrets: Vec::new(),
            created_ms: 0,
            updated_ms: 0,
        };
        assert_eq!(self.memory.put_endpoint(&id, &endpoint(workspace), &config).await.unwrap(), Put::Done);
    }

    /// How many events wait for a workspace's endpoint.
    pub async fn waiting(&self, workspace: &str) -> u64 {
        let id = WorkspaceId::trusted(workspace);
        self.memory.endpoint(&id, &endpoint(workspace)).await.unwrap().map_or(0, |endpoint| endpoint.backlog_events)
    }

    /// Delivers all that waits for a workspace's endpoint: ids and bodies, in their order.
    pub async fn delivered(&self, workspace: &str) -> Vec<(String, String)> {
        let id = WorkspaceId::trusted(workspace);
        let partition = Partition::of(&id, PARTITIONS);
        let lane = LaneId { workspace: id, endpoint: endpoint(workspace), layout: 1, index: 0 };
        let want = Want { lane, token: Token(1), config: None };
        let claims = self.memory.claim(partition, &[want]).await.unwrap();
        let Some(Claim::Leased(mut lease)) = claims.into_iter().next() else { return Vec::new() };
        let mut events = Vec::new();
        loop {
            let body = String::from_utf8(lease.event.body.to_vec()).unwrap();
            events.push((lease.event.id.to_string(), body));
            let committed = self.memory.commit(partition, &[delivery(&lease)]).await.unwrap();
            match committed.into_iter().next().unwrap().after {
                After::Next(next) => lease = next,
                After::Idle => return events,
                other => panic!("{other:?}"),
            }
        }
    }

    /// The same, the ids alone.
    pub async fn ids(&self, workspace: &str) -> Vec<String> {
        self.delivered(workspace).await.into_iter().map(|(id, _)| id).collect()
    }
}

fn endpoint(workspace: &str) -> EndpointId {
    EndpointId::trusted(format!("ep_{workspace}"))
}

fn delivery(lease: &Lease) -> Commit {
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
    Commit::of(lease, row, Next::Drop)
}

/// A running router. Its connections end with it.
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Routes the only queue of a RabbitMQ, which it declares, into a store.
    pub fn start(url: &str, gate: &Gate) -> Self {
        let topology = Topology { exchange: EVENTS.to_owned(), queues: 1 };
        let broker = Arc::new(broker(url, topology));
        Self::of(broker, 0, gate)
    }

    /// Routes one queue of a broker into a store.
    pub fn of(broker: Arc<dyn Broker>, queue: usize, gate: &Gate) -> Self {
        let options = Options {
            queue,
            prefetch: 512,
            max_event_bytes: 262_144,
            partitions: PARTITIONS,
            types: Arc::new(EventTypes::new([])),
            plans: Policy::default().plans,
            store_patience: STORE_PATIENCE,
            seed: queue as u64,
        };
        let router = Router::new(broker, Arc::new(gate.clone()), Arc::new(Asleep), Signals::default(), options);
        let stop = CancellationToken::new();
        let task = tokio::spawn(router.run(stop.clone()));
        Self { stop, task }
    }

    /// A graceful end.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// The end of a crash: nothing is finished, nothing acknowledged.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// A broker with connections of its own.
pub fn broker(url: &str, topology: Topology) -> AmqpBroker {
    let url: AmqpUrl = url.parse().unwrap();
    AmqpBroker::new(&url, topology, true, Arc::new(AmqpPublisher::new(&url)))
}

struct Asleep;

impl Wake for Asleep {
    fn wake(&self, _: Vec<LaneId>) {}

    fn hold(&self, _: Partition, _: &[Append]) -> Option<Box<dyn Held>> {
        None
    }
}

struct GatedIntake(Box<dyn Intake>, Gate);

#[async_trait]
impl Intake for GatedIntake {
    async fn append(&self, partition: Partition, items: &[Append], offer: Offer) -> Result<Appended> {
        if self.1.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full("told to be".to_owned()));
        }
        let refused = self.1.refused.lock().unwrap().clone();
        if refused.is_some_and(|refused| items.iter().any(|item| item.id.as_str() == refused)) {
            return Err(StoreError::Refused("WRONGTYPE told to be".to_owned()));
        }
        let appended = self.0.append(partition, items, offer).await?;
        self.1.appended.fetch_add(appended.taken.len(), Ordering::SeqCst);
        Ok(appended)
    }

    async fn persist(&self) -> Result<()> {
        if self.1.stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.0.persist().await
    }
}

/// What a router uses of a store, gated; it uses nothing else.
#[async_trait]
impl Lanes for Gate {
    async fn intake(&self) -> Result<Box<dyn Intake>> {
        Ok(Box::new(GatedIntake(self.memory.intake().await?, self.clone())))
    }

    async fn memory(&self) -> Result<Use> {
        Lanes::memory(&self.memory).await
    }

    async fn due(&self, _: Partition, _: Pool, _: usize) -> Result<Vec<Due>> {
        unimplemented!()
    }

    async fn claim(&self, _: Partition, _: &[Want]) -> Result<Vec<Claim>> {
        unimplemented!()
    }

    async fn commit(&self, _: Partition, _: &[Commit]) -> Result<Vec<Committed>> {
        unimplemented!()
    }

    async fn give_back(&self, _: Partition, _: &LaneId, _: Token) -> Result<()> {
        unimplemented!()
    }

    async fn sweep(&self, _: Partition, _: Option<u64>) -> Result<Swept> {
        unimplemented!()
    }

    async fn relieve(&self, _: &Burden, _: u64) -> Result<Relieved> {
        unimplemented!()
    }

    async fn figures(&self, _: Partition) -> Result<Figures> {
        unimplemented!()
    }

    async fn beat(&self, _: Option<&str>) -> Result<Vec<String>> {
        unimplemented!()
    }

    async fn leave(&self, _: &str) -> Result<()> {
        unimplemented!()
    }

    async fn wake(&self, _: &str, _: &[LaneId]) -> Result<()> {
        unimplemented!()
    }

    async fn wakes(&self, _: &str) -> Result<tokio::sync::mpsc::Receiver<Vec<LaneId>>> {
        unimplemented!()
    }
}
