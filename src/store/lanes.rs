//! The hot path: events into lanes, leases on lanes, the recorded end of attempts.

mod commit;
mod grant;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use commit::{After, Commit, Committed};
pub use grant::{Granted, Offer};

use super::Result;
use super::records::{Config, EndpointStatus};
use crate::decide::ids::{ContactHash, EventId, EventType, LaneId, Partition, WorkspaceId};
use crate::decide::notice::DropReason;
use crate::decide::relief::Burden;
use crate::decide::route::Routing;

/// How much longer than an attempt's limit a lease lasts.
pub const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// How much of a lease may have passed before a commit that hands over the next event begins it anew. Less often than
/// with each event: to move a lane in `due` is a good part of what a commit costs.
pub const LEASE_RENEWAL: Duration = Duration::from_secs(2);

/// Events in, leases and outcomes.
#[async_trait]
pub trait Lanes: Send + Sync {
    /// Opens a way in for events: one unbroken connection per node of the store. When any of its operations
    /// fails, drop it, forget what was in flight, and begin the batch again on a new one: ids already seen make
    /// that safe, and nothing overtakes.
    async fn intake(&self) -> Result<Box<dyn Intake>>;

    /// Lanes of a pool that something should happen to by now, the longest due first, at most `limit`. An endpoint's
    /// being disabled does not show here: a lane is found to be held when it is claimed.
    async fn due(&self, partition: Partition, pool: Pool, limit: usize) -> Result<Vec<Due>>;

    /// Takes leases on lanes of one partition; answers in the order asked.
    ///
    /// A lane is leased when it is due and has an event: `ready`, `waiting` and its time has come, or `leased` and
    /// the lease has ended. Asking again under the token that holds the lease (also past its end, if nobody took the
    /// lane over) gives the same lease, in full length from now. A lane whose endpoint is disabled, or whose workspace's
    /// plan is not entitled, is *held*, whoever asks: it leaves `due`, and nobody took it over. The endpoint's generation
    /// differs from the one of the lane's last claim: a new round begins at attempt 1.
    async fn claim(&self, partition: Partition, wants: &[Want]) -> Result<Vec<Claim>>;

    /// Records the ends of attempts on lanes of one partition; answers in the order given. See [`Commit`].
    async fn commit(&self, partition: Partition, commits: &[Commit]) -> Result<Vec<Committed>>;

    /// Puts back to `ready`, due now, a lane leased under `token` (also past the lease's end) whose attempt was never
    /// begun; its event stays current. Anything else: no effect.
    async fn give_back(&self, partition: Partition, lane: &LaneId, token: Token) -> Result<()>;

    /// One bounded step of a partition's upkeep: limits of age, retention, unfinished releases and purges.
    /// `from` is what the last step answered; `None` begins a new round.
    ///
    /// Lanes that are held and may send become ready: which plans are entitled may have changed since they were held.
    /// By age it drops what waits, and a lane's current event only if no attempt was recorded of it and no lease runs.
    /// What is past its retention is there until a sweep takes it.
    async fn sweep(&self, partition: Partition, from: Option<u64>) -> Result<Swept>;

    /// Makes room: takes about so many bytes of bodies away from an endpoint, if it still is a burden (and, where there are
    /// several nodes, if its node is short of memory, and no more than that needs): first the oldest of
    /// its dropped list, then the oldest that waits, never a current one, each told as dropped for bytes and not kept. One
    /// bounded step.
    async fn relieve(&self, burden: &Burden, bytes: u64) -> Result<Relieved>;

    /// What the gauges show of a partition; costs the same whatever it holds.
    async fn figures(&self, partition: Partition) -> Result<Figures>;

    /// Says that a deliverer is alive (`None`: only asks) and answers with all that are, in order of their names. Each
    /// beats every second and is dead after three.
    async fn beat(&self, member: Option<&str>) -> Result<Vec<String>>;

    /// Says that a deliverer is leaving, so that others take over at once.
    async fn leave(&self, member: &str) -> Result<()>;

    /// Tells a deliverer that lanes have become ready. A hint: it may be lost, and a poll finds the lanes then.
    async fn wake(&self, member: &str, lanes: &[LaneId]) -> Result<()>;

    /// The wakes for a deliverer, until the receiver is dropped or the connection is lost (the channel closes).
    async fn wakes(&self, member: &str) -> Result<tokio::sync::mpsc::Receiver<Vec<LaneId>>>;

    /// How much memory the store uses and may use, in bytes; `max` is 0 when unlimited.
    async fn memory(&self) -> Result<Memory>;
}

/// One unbroken way in for events. See [`Lanes::intake`].
#[async_trait]
pub trait Intake: Send + Sync {
    /// Appends a partition's events to their lanes, in order.
    ///
    /// Each event whose id was already seen in its workspace within the dedupe window is answered `Duplicate` and
    /// not appended (the window is divided into four buckets of time, and an id remembered in the bucket it was last
    /// met in and the four that follow: so a batch that cannot be made durable may be repeated for however long). At the first event whose routing version is not the present one it stops, a seen
    /// id or not, and answers with the present routing in [`Appended::stale`]; what came before is done. An idle lane
    /// of the endpoint's oldest unfinished layout becomes `ready`, whether or not the endpoint is disabled; lanes of
    /// newer layouts are filled but stay out of `due` until the older ones are empty and unleased.
    ///
    /// While the offer has places, a lane that would become `ready` is leased to its token instead, as a claim that came
    /// next would, if it is healthy and may send. An append that is repeated leases nothing again: whoever made an offer
    /// and hears no answer gives the lanes back, more than once, since it may be carried out late.
    ///
    /// Then the limits, for each endpoint that the group touched. Current events count in them and are never dropped.
    /// While more events wait than may, the oldest goes to the dropped list. While the bodies of waiting and dropped
    /// events have more bytes than they may, the oldest of the dropped list goes, then the oldest that waits, which is
    /// not kept.
    async fn append(&self, partition: Partition, items: &[Append], offer: Offer) -> Result<Appended>;

    /// Waits until everything appended on this intake has reached the durability that the store was opened with.
    async fn persist(&self) -> Result<()>;
}

/// One event and where it goes.
#[derive(Clone, Debug)]
pub struct Append {
    /// Whose event.
    pub workspace: WorkspaceId,
    /// Its id; with the workspace it is what is remembered against duplicates.
    pub id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// Its contact's place, for a later change of lanes and for resending.
    pub contact: Option<ContactHash>,
    /// The publisher's W3C trace context.
    pub traceparent: Option<Arc<str>>,
    /// What is delivered.
    pub body: Bytes,
    /// The routing that `lanes` was decided by; 0 never matches, and so asks for it.
    pub routing_version: u64,
    /// One lane per endpoint that wants it; empty when none does.
    pub lanes: Vec<LaneId>,
}

impl Append {
    /// The event as it stands in its lanes from this time on.
    pub fn waiting(&self, at_ms: u64) -> Waiting {
        Waiting {
            id: self.id.clone(),
            event_type: self.event_type.clone(),
            contact: self.contact,
            traceparent: self.traceparent.clone(),
            at_ms,
            resend: false,
            body: self.body.clone(),
        }
    }
}

/// What became of a group of events.
#[derive(Clone, Default, Debug)]
pub struct Appended {
    /// For the first events of the group, in order, what was done; shorter than the group when `stale` is there.
    pub taken: Vec<Taken>,
    /// Lanes that became ready by it.
    pub ready: Vec<LaneId>,
    /// Lanes that it leased.
    pub granted: Vec<Granted>,
    /// Events that the limits dropped to make room.
    pub dropped: Vec<(DropReason, u64)>,
    /// The workspace whose routing has another version now, and that routing.
    pub stale: Option<(WorkspaceId, Routing)>,
}

/// What was done with one event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It stands in all of its lanes.
    Stored,
    /// Its id was seen before.
    Duplicate,
    /// It has no lane. Its id counts as seen all the same.
    Unmatched,
}

/// The two kinds of lanes, which do not share working places (contract, section 3, *Isolation*).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pool {
    /// The last attempt was delivered, or there was none.
    Healthy,
    /// The last attempt failed.
    Suspect,
}

/// A lane to be claimed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Due {
    /// The lane.
    pub lane: LaneId,
    /// How long it has been due, in milliseconds of the store's clock.
    pub late_ms: u64,
}

/// A fencing token: random, made by the claimer, so that nobody else can act on its lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A lane somebody wants to work on.
#[derive(Clone, Debug)]
pub struct Want {
    /// Which.
    pub lane: LaneId,
    /// The claimer's token for this lease.
    pub token: Token,
    /// The version of the endpoint's configuration the claimer has at hand; the lease brings a newer one along.
    pub config: Option<Arc<Config>>,
}

/// What a claim came to.
#[derive(Clone, Debug)]
pub enum Claim {
    /// The lane is the claimer's until the lease ends.
    Leased(Box<Lease>),
    /// Its endpoint is disabled, or its workspace has no plan; it left `due`.
    Held,
    /// It is not to be had: idle, not due yet, another's, or gone.
    Taken,
}

/// The right to make the current attempt of a lane, for the policy's timeout and ten seconds.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The lane.
    pub lane: LaneId,
    /// The token that holds it.
    pub token: Token,
    /// The current event's number at this endpoint: rising, never used twice.
    pub seq: u64,
    /// Rounds of attempts that this event has begun, from 1.
    pub round: u32,
    /// The attempt to be made now, from 1.
    pub attempt: u32,
    /// The endpoint's generation: raised by every disabling and enabling.
    pub generation: u64,
    /// Which working places the lane belongs to.
    pub pool: Pool,
    /// The event.
    pub event: Arc<Waiting>,
    /// How to reach the endpoint, as of this lease.
    pub config: Arc<Config>,
}

/// An event in a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// Its contact's place.
    pub contact: Option<ContactHash>,
    /// The publisher's trace context.
    pub traceparent: Option<Arc<str>>,
    /// When the store took it, Unix milliseconds of the store's clock.
    pub at_ms: u64,
    /// Whether it was resent or recovered.
    pub resend: bool,
    /// What is delivered.
    pub body: Bytes,
}

/// What a step of upkeep found and did.
#[derive(Clone, Default, Debug)]
pub struct Swept {
    /// Where the next step goes on; `None` when the round is complete.
    pub next: Option<u64>,
    /// Events dropped by it.
    pub dropped: Vec<(DropReason, u64)>,
    /// Lanes that became ready by it.
    pub ready: Vec<LaneId>,
    /// The age of the oldest event met in this step, in milliseconds.
    pub oldest_ms: u64,
    /// The same among those whose endpoint is enabled.
    pub oldest_enabled_ms: u64,
    /// Endpoints met in this step that are disabled, or suspect in every lane that has events, and hold some.
    pub burdens: Vec<Burden>,
}

/// What relief came to.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Relieved {
    /// Bytes of bodies that went; 0 when there are none to be had.
    pub freed_bytes: u64,
    /// Events that were dropped from their lanes by it, all for [`DropReason::BacklogBytes`].
    pub dropped: u64,
    /// Lanes that became ready by it.
    pub ready: Vec<LaneId>,
}

/// A partition in figures.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Figures {
    /// Events that wait in its lanes.
    pub backlog_events: u64,
    /// Drops and warnings that were ever not told, since the outbox was full.
    pub shed: u64,
    /// The partition's endpoints by status; a status without any is left out.
    pub endpoints: Vec<(EndpointStatus, u64)>,
}

/// The store's memory, in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Memory {
    /// In use, by all nodes.
    pub used: u64,
    /// Their limits together; 0 when there is none.
    pub max: u64,
    /// What is in use on the node that is nearest to its limit, and that limit; 0 when there is none.
    pub fullest: (u64, u64),
}
