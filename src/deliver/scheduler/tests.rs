//! Places that are held for appends, and what becomes of the leases that an append gives.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{Meanwhile, Note, Scheduler, Waker, Working};
use crate::clock::{Clock, Time};
use crate::consume::Held;
use crate::decide::attempt::{Answer, Attempted};
use crate::decide::ids::{EndpointId, EventId, EventType, LaneId, Partition, WorkspaceId};
use crate::decide::policy::Policy;
use crate::deliver::commits::Commits;
use crate::deliver::members::Members;
use crate::deliver::places::Slot;
use crate::deliver::send::{Request, Sender};
use crate::deliver::target::Targets;
use crate::deliver::worker::Left;
use crate::deliver::{Options, Tools};
use crate::observe::signal::Signals;
use crate::store::lanes::{Append, Granted, Intake, Lanes, Offer, Pool};
use crate::store::memory::Memory;
use crate::store::records::{Config, Records, Workspace};

const PARTITIONS: u16 = 4;

/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time that does not pass: no lease ends by itself.
struct Still;

impl Time for Still {
    fn boot(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn unix(&self) -> Duration {
        Duration::from_secs(1_800_000_000)
    }
}

/// A receiver that takes everything, and tells which events came on which paths.
#[derive(Default)]
struct Receiver(Mutex<Vec<String>>);

#[async_trait]
impl Sender for Receiver {
    async fn send(&self, request: Request) -> Attempted {
        let event = request.headers["webhook-id"].to_str().unwrap();
        self.0.lock().unwrap().push(format!("{event}{}", request.url.path()));
        Attempted { answer: Answer::Status { status: 200, excerpt: String::new() }, took: Duration::ZERO }
    }
}

struct World {
    store: Memory,
    receiver: Arc<Receiver>,
    scheduler: Scheduler,
    waker: Waker,
}

impl World {
    /// With an endpoint in the workspace `acme`.
    async fn new(inflight_max: usize) -> Self {
        Self::of_member(Some("me".to_owned()), inflight_max).await
    }

    async fn of_member(me: Option<String>, inflight_max: usize) -> Self {
        let policy = Policy::default();
        let store = Memory::new(policy.clone(), PARTITIONS, Clock::of(Still));
        let workspace = Workspace { plan: "advanced".to_owned(), ..Workspace::default() };
        store.put_workspace(&lane().workspace, &workspace).await.unwrap();
        store.put_endpoint(&lane().workspace, &lane().endpoint, &config(1)).await.unwrap();
        let receiver = Arc::new(Receiver::default());
        let tools = Tools {
            store: Arc::new(store.clone()),
            sender: receiver.clone(),
            clock: Clock::of(Still),
            signals: Signals::default(),
        };
        let options = Options {
            member: "me".to_owned(),
            partitions: PARTITIONS,
            policy: Arc::new(policy),
            inflight_max,
            slow_max: 10,
            grace: Duration::from_secs(1),
            seed: [1; 32],
        };
        let commits = Commits::new(PARTITIONS, tools.clone());
        let targets = Targets::new(receiver.clone());
        let members = Members::new(me);
        let (scheduler, waker) = Scheduler::new(&options, tools, commits, targets, members);
        Self { store, receiver, scheduler, waker }
    }

    fn hold(&self) -> Option<Box<dyn Held>> {
        self.hold_for(vec![lane()])
    }

    fn hold_for(&self, lanes: Vec<LaneId>) -> Option<Box<dyn Held>> {
        self.waker.hold(home(), &[event("1", lanes)])
    }

    /// An event that comes to an idle lane while places are free.
    async fn lease(&self, id: &str) {
        let held = self.hold().expect("places are free");
        let granted = granted(&self.store, id, held.offer()).await;
        held.granted(granted);
    }

    fn free(&self) -> usize {
        self.scheduler.places.free(Pool::Healthy)
    }

    /// Runs until the receiver has so many.
    async fn run_until(self, count: usize) -> Vec<String> {
        let stop = CancellationToken::new();
        let running = tokio::spawn(self.scheduler.run(stop.clone()));
        until(async || self.receiver.0.lock().unwrap().len() >= count).await;
        stop.cancel();
        running.await.unwrap();
        self.receiver.0.lock().unwrap().clone()
    }
}

fn event(id: &str, lanes: Vec<LaneId>) -> Append {
    Append {
        workspace: lane().workspace,
        id: EventId::trusted(id),
        event_type: EventType::trusted("message.sent"),
        contact: None,
        traceparent: None,
        body: "{}".into(),
        routing_version: 0,
        lanes,
    }
}

/// What an append of an event leases under an offer.
async fn granted(store: &Memory, id: &str, offer: Offer) -> Vec<Granted> {
    let routing_version = store.routing(&lane().workspace).await.unwrap().version;
    let event = Append { routing_version, ..event(id, vec![lane()]) };
    let granted = Intake::append(store, home(), &[event], offer).await.unwrap().granted;
    assert_eq!(granted.len(), 1);
    granted
}

async fn due(store: &Memory) -> usize {
    store.due(home(), Pool::Healthy, 10).await.unwrap().len()
}

async fn is_put_back(store: &Memory) {
    until(async || due(store).await > 0).await;
}

/// Each version has a path of its own.
fn config(version: u64) -> Config {
    Config {
        version,
        url: format!("https://receiver.test/{version}"),
        events: vec![EventType::trusted("*")],
        description: String::new(),
        lanes: 1,
        headers: vec![],
        secrets: vec![],
        created_ms: 0,
        updated_ms: 0,
    }
}

fn lane() -> LaneId {
    let (workspace, endpoint) = (WorkspaceId::trusted("acme"), EndpointId::trusted("ep_1"));
    LaneId { workspace, endpoint, layout: 1, index: 0 }
}

fn home() -> Partition {
    Partition::of(&lane().workspace, PARTITIONS)
}

#[tokio::test]
async fn what_is_held_is_free_again_when_nothing_was_leased() {
    let world = World::new(16).await;
    let held = world.hold().expect("twelve are free");
    assert_eq!((held.offer().places, world.free()), (1, 11));
    held.granted(vec![]);
    assert_eq!(world.free(), 12);
}

#[tokio::test]
async fn no_more_than_a_share_of_the_places_is_held_by_all_appends_together() {
    let world = World::new(16).await;
    let nth = |index| LaneId { index, ..lane() };
    let hold = |lanes| world.hold_for(lanes);
    let one = hold(vec![lane(); 9]).expect("places are free");
    assert_eq!(one.offer().places, 1, "it is one lane");
    let two = hold((0..9).map(nth).collect()).expect("places are free");
    assert_eq!((two.offer().places, world.free()), (2, 9));
    assert!(hold(vec![lane()]).is_none());
    drop(two);
    assert!(hold(vec![lane()]).is_some());
    assert!(hold((0..257).map(nth).collect()).is_none(), "most of so many must wait anyway");
    assert!(World::new(4).await.hold().is_none(), "one of three would be more than a share");
}

#[tokio::test]
async fn nothing_is_held_while_others_wait_or_for_another_process() {
    assert!(World::of_member(None, 16).await.hold().is_none(), "others look after the partition");
    let mut world = World::new(16).await;
    world.scheduler.shared.wanted[0].store(true, Ordering::Relaxed);
    assert!(world.hold().is_none());
    world.scheduler.dispatch();
    assert!(world.hold().is_some(), "nobody waits any more");
    world.scheduler.shared.draining.store(true, Ordering::Relaxed);
    assert!(world.hold().is_none());
}

#[tokio::test]
async fn leased_lanes_are_worked_on_and_their_places_come_back() {
    let mut world = World::new(16).await;
    for id in ["1", "2"] {
        world.lease(id).await;
        world = settled(world, &format!("{id}/1")).await;
    }
}

#[tokio::test]
async fn a_lane_leased_with_another_configuration_than_is_known_brings_it() {
    let mut world = World::new(16).await;
    for version in [1, 2] {
        world.store.put_endpoint(&lane().workspace, &lane().endpoint, &config(version)).await.unwrap();
        world.lease(&format!("e{version}")).await;
        world = settled(world, &format!("e{version}/{version}")).await;
    }
}

/// Lets the scheduler do what it hears of until an event has come and all places are free.
async fn settled(mut world: World, event: &str) -> World {
    while world.receiver.0.lock().unwrap().last().is_none_or(|last| last != event) || world.free() < 12 {
        let note = tokio::time::timeout(PATIENCE, world.scheduler.notes.1.recv()).await;
        world.scheduler.hear(note.expect("something happens").expect("the scheduler has a sender itself"));
    }
    world
}

/// The token of somebody who was asked to stop.
fn stopped() -> CancellationToken {
    let stop = CancellationToken::new();
    stop.cancel();
    stop
}

async fn until(is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it comes");
}

#[tokio::test]
async fn what_an_unanswered_append_leased_is_put_back() {
    let world = World::new(16).await;
    let held = world.hold().expect("places are free");
    granted(&world.store, "1", held.offer()).await;
    assert_eq!(due(&world.store).await, 0);
    drop(held);
    assert_eq!(world.free(), 12);
    is_put_back(&world.store).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_append_leases_after_it_was_given_up_is_put_back() {
    let world = World::new(16).await;
    let held = world.hold().expect("places are free");
    let offer = held.offer();
    drop(held);
    tokio::time::sleep(Duration::from_millis(900)).await;
    granted(&world.store, "1", offer).await;
    is_put_back(&world.store).await;
}

#[tokio::test]
async fn what_is_leased_when_the_deliverer_has_ended_is_put_back() {
    let world = World::new(16).await;
    let held = world.hold().expect("places are free");
    let granted = granted(&world.store, "1", held.offer()).await;
    drop(world.scheduler);
    held.granted(granted);
    is_put_back(&world.store).await;
}

#[tokio::test]
async fn what_is_leased_when_the_deliverer_is_about_to_end_is_put_back() {
    let world = World::new(16).await;
    world.lease("1").await;
    world.scheduler.run(stopped()).await;
    assert_eq!(due(&world.store).await, 1);
    assert!(world.receiver.0.lock().unwrap().is_empty());
}

/// A lane that is leased while its worker, of this number, is about to leave.
async fn leased_while_busy(id: u64) -> World {
    let mut world = World::new(16).await;
    assert!(world.scheduler.places.take(Pool::Healthy, &lane().workspace));
    let slot = Arc::new(Slot::default());
    world.scheduler.placed.insert(id, Working { slot, pool: Pool::Healthy, lane: lane() });
    world.scheduler.busy.insert(lane(), Meanwhile::Nothing);
    world.lease("1").await;
    let note = world.scheduler.notes.1.recv().await.expect("what was leased is told");
    world.scheduler.hear(note);
    world.scheduler.learn(Pool::Healthy, lane());
    assert_eq!(world.free(), 11, "the worker's place alone is taken");
    world
}

#[tokio::test]
async fn a_lane_leased_while_its_worker_leaves_goes_on() {
    let mut world = leased_while_busy(7).await;
    world.scheduler.hear(Note::Left { id: 7, left: Left::Resting });
    assert_eq!(world.run_until(1).await, ["1/1"]);
}

#[tokio::test]
async fn a_lane_leased_while_its_worker_leaves_is_put_back_at_the_end() {
    let world = leased_while_busy(7).await;
    world.scheduler.run(stopped()).await;
    assert_eq!(due(&world.store).await, 1);
}

#[tokio::test]
async fn a_lane_leased_while_its_worker_leaves_is_put_back_where_no_place_is_free() {
    let mut world = leased_while_busy(7).await;
    while world.scheduler.places.take(Pool::Healthy, &lane().workspace) {}
    world.scheduler.resume(lane(), world.scheduler.busy[&lane()].lease_of(&lane()).expect("it is leased").1);
    is_put_back(&world.store).await;
}

#[tokio::test]
async fn an_append_under_way_is_waited_for_at_the_end() {
    let world = World::new(16).await;
    let held = world.hold().expect("places are free");
    let ended = tokio::spawn(world.scheduler.run(stopped()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(world.waker.hold(home(), &[event("2", vec![lane()])]).is_none(), "there will be no other");
    let granted = granted(&world.store, "1", held.offer()).await;
    held.granted(granted);
    ended.await.unwrap();
    assert_eq!(due(&world.store).await, 1, "by when it has ended");
}
