//! Lanes to HTTP: who looks where, which lanes get a working place, the attempt, and its record.
//!
//! ```text
//!   wakes, polls ─▶ scheduler ─ claim ─▶ worker: send ─▶ decide ─▶ commit ─▶ next event of the lane
//!                    │    ▲                 │                               │
//!                    │    └── place back ◀──┴── turn over, idle, waiting ◀──┘
//!                    └ places: healthy | suspect | slow
//! ```
//!
//! One scheduler task has the places and every choice about them, but for some that a router holds while it appends: what
//! it then leases comes to the scheduler as well. A worker task exists only while its lane is leased, so there is no
//! thread, task or timer per lane. The store's tokens alone are safety; who polls which partition, and who is woken, is
//! advice.
//!
//! Invariants: a claim is made only into a free place; an attempt begins only well inside its lease; the rules
//! (what is delivered, what follows a failure) are `decide`'s, not this module's.

pub mod announce;
pub mod claims;
pub mod commits;
pub mod guard;
pub mod members;
pub mod places;
pub mod probe;
pub mod ready;
pub mod scheduler;
pub mod send;
pub mod sent;
pub mod sign;
pub mod sweeper;
pub mod target;
pub mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::decide::policy::Policy;
use crate::observe::signal::Signals;
use crate::store::Store;

use commits::Commits;
use members::Members;
use scheduler::Scheduler;
pub use scheduler::Waker;
use send::Sender;
use target::Targets;

/// What a deliverer needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// This process's name among the deliverers: unique, made at start.
    pub member: String,
    /// How many partitions the store has.
    pub partitions: u16,
    /// The rules.
    pub policy: Arc<Policy>,
    /// Working places of this process (`RECADERO_MAX_INFLIGHT`).
    pub inflight_max: usize,
    /// Attempts that may go on without a place (`RECADERO_MAX_SLOW`).
    pub slow_max: usize,
    /// Time to finish attempts when asked to stop.
    pub grace: Duration,
    /// Where the tokens come from; a simulation gives its own.
    pub seed: [u8; 32],
}

/// What a deliverer works with.
#[derive(Clone)]
pub struct Tools {
    /// The lanes.
    pub store: Arc<dyn Store>,
    /// The way to the endpoints.
    pub sender: Arc<dyn Sender>,
    /// The time.
    pub clock: Clock,
    /// What is seen of it.
    pub signals: Signals,
}

/// A deliverer that is ready to run, and the waker that tells it of lanes.
pub struct Deliverer {
    options: Options,
    tools: Tools,
    members: Arc<Members>,
    scheduler: Scheduler,
    waker: Waker,
}

impl Deliverer {
    /// Builds a deliverer; nothing happens before [`Deliverer::run`].
    pub fn new(options: Options, tools: Tools, members: Arc<Members>) -> Self {
        let commits = Commits::new(options.partitions, tools.clone());
        let targets = Targets::new(tools.sender.clone());
        let (scheduler, waker) = Scheduler::new(&options, tools.clone(), commits, targets, members.clone());
        Self { options, tools, members, scheduler, waker }
    }

    /// Where lanes that became ready in this process are announced.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Works until `stop`, then finishes the attempts under way within the grace.
    pub async fn run(self, stop: CancellationToken) {
        let ended = CancellationToken::new();
        let upkeep = tokio::spawn(sweeper::run(
            self.options.partitions,
            self.tools.clone(),
            self.members.clone(),
            self.waker.clone(),
            ended.clone(),
        ));
        let listening = tokio::spawn(members::listen(
            self.options.member.clone(),
            self.tools.store.clone(),
            self.waker.clone(),
            ended.clone(),
        ));
        self.scheduler.run(stop).await;
        ended.cancel();
        // Both end at their next await; a panic in one has been printed, and the process is ending anyway.
        let _ = tokio::join!(upkeep, listening);
    }
}
