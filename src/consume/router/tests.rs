//! The router against a broker and a store that fail where they are told to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::fakes::{Faults, FlakyBroker, FlakyLanes, How, LOOK_AGAIN, Op, Seen};
use super::*;
use crate::clock::Clock;
use crate::consume::local::LocalBroker;
use crate::consume::{Outgoing, Publisher, REASON_HEADER};
use crate::decide::attempt::Outcome;
use crate::decide::ids::{EndpointId, EventId, EventType, LaneId, Partition, WorkspaceId};
use crate::decide::policy::Policy;
use crate::decide::retry::Next;
use crate::store::Records;
use crate::store::lanes::{After, Claim, Commit, Memory as Use, Token, Want};
use crate::store::memory::Memory;
use crate::store::records::{AttemptRow, Config, Put, Workspace};

const EXCHANGE: &str = "recadero.events";
const PARTITIONS: u16 = 4;
const WORKSPACES: [&str; 3] = ["acme", "bolt", "cora"];

/// A broker, a store, and all that may go wrong between them.
struct World {
    broker: LocalBroker,
    memory: Memory,
    faults: Arc<Faults>,
    seen: Arc<Seen>,
}

impl World {
    /// With an endpoint for everything in each of the workspaces.
    async fn new() -> Self {
        let memory = Memory::new(Policy::default(), PARTITIONS, Clock::system());
        let world = Self { broker: LocalBroker::new(EXCHANGE), memory, faults: Arc::default(), seen: Arc::default() };
        for workspace in WORKSPACES {
            world.connect(workspace).await;
        }
        world
    }

    async fn connect(&self, workspace: &str) {
        let id = WorkspaceId::trusted(workspace);
        let record = Workspace { plan: "advanced".to_owned(), ..Workspace::default() };
        self.memory.put_workspace(&id, &record).await.unwrap();
        let put = self.memory.put_endpoint(&id, &endpoint(workspace), &config()).await.unwrap();
        assert_eq!(put, Put::Done);
    }

    async fn publish(&self, workspace: &str, id: &str) {
        let (workspace, event_type) = (WorkspaceId::trusted(workspace), EventType::trusted("message.sent"));
        let message = Outgoing::event(EXCHANGE, &workspace, &event_type, Some(&EventId::trusted(id)), "{}".into());
        self.broker.publish(vec![message]).await.unwrap();
    }

    async fn publish_poison(&self, body: &'static str) {
        let (workspace, event_type) = (WorkspaceId::trusted("acme"), EventType::trusted("message.sent"));
        let message = Outgoing::event(EXCHANGE, &workspace, &event_type, None, Bytes::from(body));
        self.broker.publish(vec![message]).await.unwrap();
    }

    /// Thirty events, ten of each workspace in turns, and one poison in their middle.
    async fn publish_thirty(&self) {
        for n in 0..10 {
            for workspace in WORKSPACES {
                self.publish(workspace, &format!("{workspace}-{n}")).await;
            }
            if n == 4 {
                self.publish_poison("not json").await;
            }
        }
    }

    fn router(&self, prefetch: u16) -> Router {
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
        let tap: Arc<dyn crate::observe::signal::Tap> = self.seen.clone();
        Router::new(broker, lanes, self.seen.clone(), Signals::new([tap]), options)
    }

    /// Routes until the queue is empty and everything is acknowledged.
    async fn route(&self) {
        let stop = CancellationToken::new();
        let routing = self.router(8).run(stop.clone());
        tokio::join!(routing, async {
            self.until("the queue is empty", || self.broker.depth() == (0, 0)).await;
            stop.cancel();
        });
    }

    async fn until(&self, what: &str, mut ready: impl FnMut() -> bool) {
        for _ in 0..20_000 {
            if ready() {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        panic!("never: {what}");
    }

    /// Delivers all that waits for a workspace's endpoint, and answers the ids in their order.
    async fn delivered(&self, workspace: &str) -> Vec<String> {
        let id = WorkspaceId::trusted(workspace);
        let partition = Partition::of(&id, PARTITIONS);
        let lane = LaneId { workspace: id, endpoint: endpoint(workspace), layout: 1, index: 0 };
        let want = Want { lane, token: Token(1), config: None };
        let claims = self.memory.claim(partition, &[want]).await.unwrap();
        let Some(Claim::Leased(mut lease)) = claims.into_iter().next() else { return Vec::new() };
        let mut ids = Vec::new();
        loop {
            ids.push(lease.event.id.to_string());
            let row = Arc::new(AttemptRow {
                event_id: lease.event.id.clone(),
                event_type: lease.event.event_type.clone(),
                attempt: lease.attempt,
                duration_ms: 1,
                outcome: Outcome::Delivered,
                status: Some(200),
                excerpt: String::new(),
                signed_at: 0,
                resend: false,
            });
            let commit = Commit {
                lane: lease.lane.clone(),
                token: lease.token,
                seq: lease.seq,
                round: lease.round,
                attempt: lease.attempt,
                generation: lease.generation,
                outcome: Outcome::Delivered,
                next: Next::Drop,
                ended_ago: Duration::ZERO,
                row,
                more: true,
                config: Arc::clone(&lease.config),
            };
            let committed = self.memory.commit(partition, &[commit]).await.unwrap();
            match committed.into_iter().next().unwrap().after {
                After::Next(next) => lease = next,
                After::Idle => return ids,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Each of the thirty events stands in its lane once, in order, and the poison is where it belongs.
    async fn assert_thirty(&self, context: &str) {
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

fn reason(message: &Outgoing) -> String {
    let headers = message.properties.headers().clone().unwrap();
    headers.inner()[REASON_HEADER].as_long_string().unwrap().to_string()
}

#[tokio::test(start_paused = true)]
async fn events_reach_their_lanes_in_order_and_poison_is_rejected() {
    let world = World::new().await;
    world.publish_thirty().await;
    world.publish("acme", "acme-3").await;
    world.publish("nobody", "x").await;
    world.route().await;
    world.assert_thirty("no faults").await;
    assert_eq!(world.broker.rejected().len(), 1);
    assert_eq!(world.seen.woken.lock().unwrap().len(), 3, "each idle lane became ready once");
    let counts = ["Received", "Routed", "Duplicate", "Unmatched", "Rejected"].map(|signal| world.seen.count(signal));
    assert_eq!(counts, [32, 30, 1, 1, 1]);
    assert_eq!(world.faults.count(Op::Ack), world.faults.count(Op::Persist), "one acknowledgement for a batch");
    assert!(world.faults.count(Op::Ack) <= 5, "events are taken in batches");
}

/// Every operation, the first, second and third of its kind, without effect and with its reply lost.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_repeated_or_overtaken_whatever_fails() {
    for op in [Op::Subscribe, Op::Next, Op::Ack, Op::Reject, Op::Intake, Op::Append, Op::Persist] {
        for nth in 1..=12 {
            for how in [How::Before, How::After] {
                let world = World::new().await;
                world.publish_thirty().await;
                // Two in a row: what begins again fails again.
                *world.faults.plan.lock().unwrap() = vec![(op, nth, how), (op, nth + 1, how)];
                world.route().await;
                world.assert_thirty(&format!("{op:?} {nth} {how:?}")).await;
            }
        }
    }
}

/// A crash at each point where the router waits for somebody; another router goes on.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_repeated_or_overtaken_wherever_a_router_stops() {
    for polls in 1..200 {
        let world = World::new().await;
        world.publish_thirty().await;
        let mut first = Box::pin(world.router(8).run(CancellationToken::new()));
        for _ in 0..polls {
            assert!(futures_util::poll!(&mut first).is_pending());
        }
        drop(first);
        world.route().await;
        world.assert_thirty(&format!("stopped after {polls} polls")).await;
    }
}

/// Two routers that hold the same messages, as when one lost its subscription and does not know it yet.
#[tokio::test(start_paused = true)]
async fn two_routers_with_the_same_messages_deliver_them_once_in_order() {
    for (one, other) in [(1, 1), (3, 7), (31, 5)] {
        let world = World::new().await;
        let double = World { broker: LocalBroker::new(EXCHANGE), faults: Arc::default(), ..world };
        let world = World { memory: double.memory.clone(), seen: Arc::default(), ..World::new().await };
        world.publish_thirty().await;
        double.publish_thirty().await;
        let stop = CancellationToken::new();
        let routing =
            futures_util::future::join(world.router(one).run(stop.clone()), double.router(other).run(stop.clone()));
        tokio::join!(routing, async {
            world.until("both queues are empty", || world.broker.depth() == (0, 0)).await;
            double.until("both queues are empty", || double.broker.depth() == (0, 0)).await;
            stop.cancel();
        });
        world.assert_thirty(&format!("{one} and {other} at a time")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_store_alone_refuses_is_rejected_and_its_neighbours_go_in() {
    for bad in ["acme-0", "acme-5", "cora-9"] {
        let world = World::new().await;
        world.faults.check(move |items| refuse(items, |item| item.id.as_str() == bad));
        world.publish_thirty().await;
        world.route().await;
        for workspace in WORKSPACES {
            let expected: Vec<_> = (0..10).map(|n| format!("{workspace}-{n}")).filter(|id| id != bad).collect();
            assert_eq!(world.delivered(workspace).await, expected, "{bad}");
        }
        let rejected = world.broker.rejected();
        let of_store: Vec<_> = rejected.iter().filter(|message| reason(message) == "store_error").collect();
        assert_eq!(of_store.len(), 1, "{bad}");
        assert_eq!(of_store[0].properties.message_id().as_ref().unwrap().as_str(), bad);
        assert_eq!(world.seen.count("Rejected { reason: \"store_error\", detail: \"WRONGTYPE\""), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_refused_twice_and_then_taken_goes_in_at_its_place() {
    let world = World::new().await;
    world.faults.check(refuse_first("acme-5", 3));
    world.publish_thirty().await;
    world.route().await;
    world.assert_thirty("refused in its group and twice alone").await;
    assert_eq!(world.broker.rejected().len(), 1, "the poison alone");
}

/// The store went away while an event behind a refused one was on its way in, and then takes the refused one.
#[tokio::test(start_paused = true)]
async fn a_refused_event_never_goes_in_behind_one_of_its_workspace() {
    for nth in 2..=8 {
        let world = World::new().await;
        world.faults.check(refuse_first("acme-0", 4));
        *world.faults.plan.lock().unwrap() = vec![(Op::Append, nth, How::After)];
        for n in 0..3 {
            world.publish("acme", &format!("acme-{n}")).await;
        }
        world.route().await;
        let mut all = world.delivered("acme").await;
        assert!(all.is_sorted(), "{nth}: {all:?}");
        let rejected = world.broker.rejected();
        all.extend(rejected.iter().map(|message| message.properties.message_id().as_ref().unwrap().to_string()));
        all.sort();
        assert_eq!(all, ["acme-0", "acme-1", "acme-2"], "{nth}: each is in its lane or rejected");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_everything_gets_no_event_rejected() {
    let world = World::new().await;
    world.faults.check(|items| refuse(items, |_| true));
    world.publish("acme", "acme-0").await;
    world.publish("bolt", "bolt-0").await;
    let stop = CancellationToken::new();
    tokio::join!(world.router(8).run(stop.clone()), async {
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(world.broker.rejected().is_empty());
        world.faults.check(|items| refuse(items, |item| item.id.as_str() == "acme-0"));
        world.until("the queue is empty", || world.broker.depth() == (0, 0)).await;
        stop.cancel();
    });
    assert_eq!(world.broker.rejected().len(), 1, "now that a neighbour goes in");
    assert_eq!(world.delivered("bolt").await, ["bolt-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_store_leaves_the_events_in_rabbitmq() {
    let world = World::new().await;
    world.faults.check(|_| Some(StoreError::Full("OOM".to_owned())));
    *world.faults.used.lock().unwrap() = Use { used: 10, max: 10 };
    world.publish_thirty().await;
    let stop = CancellationToken::new();
    tokio::join!(world.router(8).run(stop.clone()), async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(world.broker.depth(), (23, 8), "no more than the prefetch is held");
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(world.broker.depth(), (31, 0), "past its patience the router holds nothing");
        assert_eq!(world.faults.count(Op::Subscribe), 1, "and does not subscribe while the store is full");
        assert_eq!(world.seen.count("Store { connected: false"), 1, "said once");
        world.faults.check(|_| None);
        *world.faults.used.lock().unwrap() = Use::default();
        world.until("the queue is empty", || world.broker.depth() == (0, 0)).await;
        stop.cancel();
    });
    world.assert_thirty("after an hour").await;
    assert_eq!(world.seen.count("Store { connected: true"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_not_waited_for_without_end() {
    for op in [Op::Intake, Op::Append, Op::Persist] {
        let world = World::new().await;
        world.publish_thirty().await;
        *world.faults.plan.lock().unwrap() = vec![(op, 1, How::Hang)];
        world.route().await;
        world.assert_thirty(&format!("{op:?} hangs")).await;
        assert_eq!(world.faults.count(Op::Subscribe), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_subscription_is_noticed_while_the_batch_waits_for_the_store() {
    let world = World::new().await;
    world.publish_thirty().await;
    *world.faults.plan.lock().unwrap() = vec![(Op::Append, 1, How::Hang)];
    let stop = CancellationToken::new();
    tokio::join!(world.router(8).run(stop.clone()), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.broker.depth().1, 8, "held");
        world.faults.closed.notify_waiters();
        world.until("the queue is empty", || world.broker.depth() == (0, 0)).await;
        stop.cancel();
    });
    world.assert_thirty("subscription lost").await;
    assert_eq!((world.seen.count("Broker { connected: false"), world.seen.count("Broker { connected: true")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_the_batch_in_hand_and_takes_no_other() {
    let world = World::new().await;
    world.publish_thirty().await;
    let stop = CancellationToken::new();
    let mut routing = Box::pin(world.router(8).run(stop.clone()));
    while world.faults.count(Op::Append) == 0 {
        assert!(futures_util::poll!(&mut routing).is_pending());
    }
    stop.cancel();
    routing.await;
    assert_eq!(world.broker.depth(), (23, 0), "eight are in and acknowledged, none is held");
    world.route().await;
    world.assert_thirty("stopped").await;
    assert_eq!(world.seen.count("Duplicate"), 0, "nothing had to be repeated");
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_store_that_is_gone() {
    let world = World::new().await;
    world.publish_thirty().await;
    world.faults.check(|_| Some(StoreError::Unavailable("gone".to_owned())));
    let stop = CancellationToken::new();
    tokio::join!(world.router(8).run(stop.clone()), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        stop.cancel();
    });
    assert_eq!(world.broker.depth(), (31, 0), "all is back in its queue");
}

#[tokio::test(start_paused = true)]
async fn a_changed_routing_is_followed_in_the_middle_of_a_batch() {
    let world = World::new().await;
    world.publish("acme", "acme-0").await;
    world.publish("late", "late-0").await;
    world.route().await;
    assert_eq!(world.seen.count("Unmatched"), 1, "no plan yet");
    let stop = CancellationToken::new();
    tokio::join!(world.router(8).run(stop.clone()), async {
        for n in 1..5 {
            world.publish("late", &format!("late-{n}")).await;
            world.until("it was routed", || world.broker.depth() == (0, 0)).await;
            if n == 2 {
                world.connect("late").await;
            }
        }
        stop.cancel();
    });
    assert_eq!(world.delivered("late").await, ["late-3", "late-4"]);
}

fn refuse(
    items: &[crate::store::lanes::Append],
    bad: impl Fn(&crate::store::lanes::Append) -> bool,
) -> Option<StoreError> {
    items.iter().any(bad).then(|| StoreError::Refused("WRONGTYPE".to_owned()))
}

fn refuse_first(
    bad: &'static str,
    times: usize,
) -> impl Fn(&[crate::store::lanes::Append]) -> Option<StoreError> + Send {
    let left = std::sync::atomic::AtomicUsize::new(times);
    move |items| {
        let refused = refuse(items, |item| item.id.as_str() == bad)?;
        let one_less = |left: usize| left.checked_sub(1);
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        left.fetch_update(relaxed, relaxed, one_less).is_ok().then_some(refused)
    }
}
