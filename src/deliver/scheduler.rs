//! Which lanes get a working place, and when.
//!
//! One task has the places, the lanes known to be ready and the polls, and hears of everything by messages; claims,
//! polls and workers are tasks that it starts. Its cost per turn of a lane is constant, whatever the number of
//! endpoints or the length of a backlog. Rejected: a worker pool that competes for a shared queue (a lock that all
//! lanes share, and no place to see the oldest attempt from).

mod dispatch;
mod granted;
mod polls;
mod slowness;
#[cfg(test)]
mod tests;
mod waker;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::waker::Waker;
use super::claims::{self, Found};
use super::commits::Commits;
use super::members::Members;
use super::places::{Places, Slot};
use super::ready::Ready;
use super::target::Targets;
use super::worker::{Left, Shared};
use super::{Options, Tools};
use crate::decide::ids::{LaneId, Partition};
use crate::store::lanes::{Claim, Granted, Pool, Token, Want};

/// How often the partitions that this process looks after are polled; finds what a lost wake missed.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// Most retries remembered by their time; beyond that, polls find them.
const RETRIES_MAX: usize = 65_536;

/// How often attempts are looked at for slowness while there are any.
const SLOWNESS_EVERY: Duration = Duration::from_millis(20);

/// How often a deliverer that ends looks whether an append is still under way.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Messages that may wait for the scheduler from wakers; beyond that a wake is lost, and a poll finds the lanes.
const WAKES_MAX: usize = 4096;

/// What the scheduler hears from its own tasks, and from who holds places.
enum Note {
    /// An append leased lanes of one partition into places that were held for it.
    Granted { partition: Partition, granted: Vec<Granted>, asked: Duration },
    /// A claim was answered (an empty list when it failed).
    Claimed { reserved: Pool, wants: Vec<Want>, claims: Vec<Claim>, asked: Duration },
    /// A worker left its lane.
    Left { id: u64, left: Left },
    /// A poll was answered.
    Polled(Found),
}

/// What happened to a lane while its worker was here.
#[derive(Clone, Copy)]
enum Meanwhile {
    Nothing,
    /// It was said to be ready.
    Announced,
    /// An append found it idle, and leased it.
    Leased(Token),
}

impl Meanwhile {
    fn lease_of(self, lane: &LaneId) -> Option<(LaneId, Token)> {
        match self {
            Self::Leased(token) => Some((lane.clone(), token)),
            Self::Nothing | Self::Announced => None,
        }
    }
}

/// A lane being worked on.
struct Working {
    slot: Arc<Slot>,
    pool: Pool,
    lane: LaneId,
}

/// The scheduler of a deliverer. See the module's doc.
pub struct Scheduler {
    shared: Arc<Shared>,
    places: Places,
    random: StdRng,
    grace: Duration,
    ready: [Ready; 2],
    /// The lanes in `ready`.
    known: BTreeSet<LaneId>,
    /// The lanes with a worker here. Never claimed: a lease may have ended while its commit cannot get in.
    busy: BTreeMap<LaneId, Meanwhile>,
    retries: BinaryHeap<Reverse<(Instant, LaneId)>>,
    deep: BTreeSet<(Partition, Pool)>,
    /// Lanes that hold a place, by worker; those among the slow are in `slow`.
    placed: BTreeMap<u64, Working>,
    slow: BTreeMap<u64, Working>,
    worker_last: u64,
    polling: bool,
    /// Since when the store has not answered polls; who was never answered cannot know how long it had been away.
    away_since: Option<Instant>,
    answered: bool,
    claim_after: Instant,
    polls: u32,
    claiming: usize,
    tasks: TaskTracker,
    wakes: mpsc::Receiver<Vec<LaneId>>,
    /// Unbounded, but bounded by the places: one note per claim, append that leased, worker or poll under way.
    notes: (mpsc::UnboundedSender<Note>, mpsc::UnboundedReceiver<Note>),
}

impl Scheduler {
    /// A scheduler and the waker that speaks to it.
    pub fn new(
        options: &Options,
        tools: Tools,
        commits: Commits,
        targets: Targets,
        members: Arc<Members>,
    ) -> (Self, Waker) {
        let (wake, wakes) = mpsc::channel(WAKES_MAX);
        let shared = Shared {
            tools,
            policy: options.policy.clone(),
            partitions: options.partitions,
            commits,
            targets,
            members,
            wanted: [AtomicBool::new(false), AtomicBool::new(false)],
            draining: AtomicBool::new(false),
        };
        let shared = Arc::new(shared);
        let places = Places::new(options.inflight_max, options.slow_max);
        let mut random = StdRng::from_seed(options.seed);
        let notes = mpsc::unbounded_channel();
        let waker = Waker {
            wakes: wake,
            notes: notes.0.clone(),
            shared: shared.clone(),
            seats: places.seats(Pool::Healthy),
            random: Arc::new(Mutex::new(StdRng::from_rng(&mut random))),
        };
        let scheduler = Self {
            shared,
            places,
            random,
            grace: options.grace,
            ready: [Ready::new(Pool::Healthy), Ready::new(Pool::Suspect)],
            known: BTreeSet::new(),
            busy: BTreeMap::new(),
            retries: BinaryHeap::new(),
            deep: BTreeSet::new(),
            placed: BTreeMap::new(),
            slow: BTreeMap::new(),
            worker_last: 0,
            polling: false,
            away_since: None,
            answered: false,
            claim_after: Instant::now(),
            polls: 0,
            claiming: 0,
            tasks: TaskTracker::new(),
            wakes,
            notes,
        };
        (scheduler, waker)
    }

    /// Schedules until `stop`; then lets the attempts under way end, within the grace.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut poll_at = Instant::now();
        let mut slowness_at = Instant::now();
        while !stop.is_cancelled() {
            self.dispatch();
            let retry_at = self.retries.peek().map(|Reverse((at, _))| *at);
            let claim_at = (self.claim_after > Instant::now()).then_some(self.claim_after);
            let tick = async {
                match self.placed.is_empty() {
                    true => std::future::pending().await,
                    false => tokio::time::sleep_until(slowness_at).await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(note) = self.notes.1.recv() => self.hear_all(note),
                Some(lanes) = self.wakes.recv() => self.learn_all(Pool::Healthy, lanes),
                () = tokio::time::sleep_until(poll_at) => {
                    self.poll();
                    poll_at = Instant::now() + POLL_EVERY;
                }
                () = sleep_until(retry_at) => self.retries_due(),
                () = sleep_until(claim_at) => {}
                () = tick => {
                    self.look_for_slowness();
                    slowness_at = Instant::now() + SLOWNESS_EVERY;
                }
            }
        }
        self.drain().await;
    }

    /// Attempts under way end and are recorded; nothing new begins.
    async fn drain(mut self) {
        self.shared.draining.store(true, Ordering::SeqCst);
        let until = Instant::now() + self.grace;
        // Appends under way may lease lanes; there will be no others.
        let seats = self.places.seats(Pool::Healthy);
        let answered = async {
            while seats.any_held() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let _ = tokio::time::timeout_at(until, answered).await;
        // Answers that come from now on find nobody, and their tasks give the leases back; those already here:
        self.notes.1.close();
        let mut leases: Vec<_> = self.busy.iter().filter_map(|(lane, meanwhile)| meanwhile.lease_of(lane)).collect();
        while let Ok(note) = self.notes.1.try_recv() {
            match note {
                Note::Claimed { claims, .. } => leases.extend(claims::leases(&claims)),
                Note::Granted { granted, .. } => leases.extend(granted.into_iter().map(|it| (it.lane, it.token))),
                Note::Left { .. } | Note::Polled(_) => {}
            }
        }
        self.tasks.spawn(claims::give_back(self.shared.clone(), leases));
        self.tasks.close();
        let working = self.placed.len() + self.slow.len();
        if tokio::time::timeout_at(until, self.tasks.wait()).await.is_err() {
            tracing::warn!(working, "the grace has ended before all attempts did; they may repeat");
        }
    }

    fn hear_all(&mut self, first: Note) {
        self.hear(first);
        while let Ok(note) = self.notes.1.try_recv() {
            self.hear(note);
        }
    }

    fn hear(&mut self, note: Note) {
        match note {
            Note::Claimed { reserved, wants, claims, asked } => {
                self.claiming -= 1;
                if claims.is_empty() {
                    self.deep.clear(); // The store has trouble: leave it to the next regular poll.
                }
                for (at, want) in wants.iter().enumerate() {
                    match claims.get(at) {
                        Some(Claim::Leased(lease)) => self.begin(reserved, lease.clone(), asked),
                        _ => self.places.give(reserved, &want.lane.workspace),
                    }
                }
            }
            Note::Granted { partition, granted, asked } => self.accept(partition, granted, asked),
            Note::Left { id, left } => {
                let (Working { pool, lane, .. }, meanwhile) = self.leave(id);
                match left {
                    // An event came after the worker had found the lane empty.
                    _ if let Meanwhile::Leased(token) = meanwhile => self.resume(lane, token),
                    Left::Resting if let Meanwhile::Announced = meanwhile => self.learn(pool, lane),
                    Left::Resting => {}
                    Left::Ready => self.pass_on(pool, lane),
                    Left::Waiting(pause) if self.retries.len() < RETRIES_MAX => {
                        self.retries.push(Reverse((Instant::now() + pause, lane)));
                    }
                    Left::Waiting(_) => {} // Its time is in the store, and polls look there.
                }
            }
            Note::Polled(found) => {
                self.polling = false;
                if let Some(away) = found.away {
                    self.note_outage(away);
                }
                for (pool, lane) in found.lanes {
                    self.learn(pool, lane);
                }
                self.deep.extend(found.deep);
            }
        }
    }

    /// A lane whose turn is over goes to who looks after it: a process that came later gets its share so.
    fn pass_on(&mut self, pool: Pool, lane: LaneId) {
        let members = &self.shared.members;
        let partition = Partition::of(&lane.workspace, self.shared.partitions);
        match members.owner(partition).filter(|_| !members.is_mine(partition)) {
            None => self.learn(pool, lane),
            Some(owner) => {
                let store = self.shared.tools.store.clone();
                self.tasks.spawn(async move {
                    // Should this be lost, its poll finds the lane.
                    let _ = store.wake(&owner, &[lane]).await;
                });
            }
        }
    }

    fn learn_all(&mut self, pool: Pool, lanes: Vec<LaneId>) {
        for lane in lanes {
            self.learn(pool, lane);
        }
    }

    /// Remembers that a lane is ready. The pool may be wrong; the claim will tell.
    fn learn(&mut self, pool: Pool, lane: LaneId) {
        if let Some(meanwhile) = self.busy.get_mut(&lane) {
            if let Meanwhile::Nothing = meanwhile {
                *meanwhile = Meanwhile::Announced;
            }
            return;
        }
        if !self.known.contains(&lane) && self.ready[index(pool)].push(lane.clone()) {
            self.known.insert(lane);
        }
    }

    fn retries_due(&mut self) {
        let now = Instant::now();
        while self.retries.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            if let Some(Reverse((_, lane))) = self.retries.pop() {
                self.learn(Pool::Suspect, lane);
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn index(pool: Pool) -> usize {
    match pool {
        Pool::Healthy => 0,
        Pool::Suspect => 1,
    }
}
