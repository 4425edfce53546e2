//! Everything worth seeing, as one type: a happening's log line and its metrics cannot come apart.
//!
//! Rejected: log macros and counters side by side at each place, which is how the two begin to disagree.

use std::sync::Arc;
use std::time::Duration;

use super::trace::Traces;
use crate::decide::attempt::Outcome;
use crate::decide::ids::{EndpointId, EventId, EventType, LaneId, WorkspaceId};
use crate::decide::notice::{Channel, DisableReason, DropReason};
use crate::store::records::EndpointStatus;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Signal<'a> {
    /// A well-formed event came from RabbitMQ and is acknowledged, whatever became of it. So one that comes again, since
    /// it could not be acknowledged, counts once.
    Received {
        /// Its type.
        event_type: &'a EventType,
    },
    /// All of an event's lanes hold it.
    Routed {
        /// Its type.
        event_type: &'a EventType,
        /// Whose.
        workspace: &'a WorkspaceId,
        /// Which.
        event: &'a EventId,
        /// In how many lanes.
        lanes: usize,
    },
    /// An event's id was seen before: it was published twice. (One that RabbitMQ gave out before and that the store then
    /// knows is taken for the same, come again.)
    Duplicate {
        /// Whose.
        workspace: &'a WorkspaceId,
        /// Which.
        event: &'a EventId,
    },
    /// No endpoint wants an event.
    Unmatched,
    /// A message that can never be delivered went to `recadero.rejected`.
    Rejected {
        /// The contract's word.
        reason: &'a str,
        /// One line for a person.
        detail: &'a str,
    },
    /// An attempt ended and was recorded.
    Attempted {
        /// On which lane.
        lane: &'a LaneId,
        /// Which event.
        event: &'a EventId,
        /// Its type.
        event_type: &'a EventType,
        /// Which attempt, from 1.
        attempt: u32,
        /// How it ended.
        outcome: Outcome,
        /// The status, if a status line came.
        status: Option<u16>,
        /// From beginning to status line or failure.
        took: Duration,
        /// For a delivered event that was not resent: from received to delivered.
        latency: Option<Duration>,
        /// Until the next attempt of the same event, if there will be one.
        retry_in: Option<Duration>,
    },
    /// Events were dropped.
    Dropped {
        /// Why.
        reason: DropReason,
        /// How many.
        count: u64,
        /// Whose, when it is one endpoint's.
        endpoint: Option<&'a EndpointId>,
    },
    /// An endpoint was disabled.
    Disabled {
        /// Whose.
        workspace: &'a WorkspaceId,
        /// Which.
        endpoint: &'a EndpointId,
        /// Why.
        reason: DisableReason,
    },
    /// An endpoint was enabled again.
    Enabled {
        /// Whose.
        workspace: &'a WorkspaceId,
        /// Which.
        endpoint: &'a EndpointId,
    },
    /// Somebody had events put into their lanes again.
    Resent {
        /// Whose.
        workspace: &'a WorkspaceId,
        /// At which endpoint.
        endpoint: &'a EndpointId,
        /// How many.
        count: u64,
    },
    /// A lease was lost before its outcome could be recorded; the attempt may repeat.
    LeaseLost {
        /// Which lane.
        lane: &'a LaneId,
    },
    /// A notice was sent, failed for now, or was given up.
    Notice {
        /// Which: its id names the kind and the endpoint.
        id: &'a str,
        /// How it travels.
        channel: Channel,
        /// `sent`, `failed` or `given_up`.
        outcome: &'a str,
        /// What went wrong.
        detail: Option<&'a str>,
    },
    /// RabbitMQ is there, or has gone (and why).
    Broker {
        /// Whether it is there.
        connected: bool,
        /// Why not.
        detail: Option<&'a str>,
    },
    /// The store takes a router's events, or does not (and why): it is away, full, or its replica lags. Apart from
    /// [`Signal::Store`], since a store that is full still answers everybody else.
    Intake {
        /// Whether it takes them.
        flows: bool,
        /// Why not, in the contract's word.
        reason: Option<&'static str>,
        /// Why not.
        detail: Option<&'a str>,
    },
    /// The store is there, or has gone (and why).
    Store {
        /// Whether it is there.
        connected: bool,
        /// Why not.
        detail: Option<&'a str>,
    },
    /// How many attempts are under way in a pool (`healthy`, `suspect`, `slow`), as of now.
    Inflight {
        /// The contract's word.
        pool: &'a str,
        /// How many.
        count: usize,
    },
    /// What waits in the partitions that this process looks after, as of the last sweep.
    Backlog {
        /// Events.
        events: u64,
        /// The age of the oldest.
        oldest: Duration,
        /// The same among those whose endpoint is enabled.
        oldest_enabled: Duration,
    },
    /// Endpoints of a status in the partitions that this process looks after, as of the last sweep.
    Endpoints {
        /// Which.
        status: EndpointStatus,
        /// How many.
        count: u64,
    },
    /// The store's memory, in bytes; `max` is 0 when unlimited.
    Memory {
        /// In use.
        used: u64,
        /// The limit.
        max: u64,
    },
    /// A store operation was answered.
    StoreOperation {
        /// Which, for example `append`.
        operation: &'static str,
        /// How long it took.
        took: Duration,
    },
}

/// Somebody else who wants to see the signals: the account on the terminal of `recadero dev`, a test.
pub trait Tap: Send + Sync {
    /// Called for every signal, in the task that emits it: it must be quick and never wait.
    fn see(&self, signal: &Signal<'_>);
}

/// Where signals go. Cheap to clone.
#[derive(Clone, Default)]
pub struct Signals {
    taps: Arc<[Arc<dyn Tap>]>,
    traces: Traces,
}

impl Signals {
    /// Signals to the metrics, the log, and whoever else taps.
    pub fn new(taps: impl IntoIterator<Item = Arc<dyn Tap>>) -> Self {
        Self { taps: taps.into_iter().collect(), traces: Traces::default() }
    }

    /// The same, and spans go there.
    #[must_use]
    pub fn traced(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Where spans go, if anywhere.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Says that something happened.
    pub fn emit(&self, signal: &Signal<'_>) {
        for tap in self.taps.iter() {
            tap.see(signal);
        }
    }
}
