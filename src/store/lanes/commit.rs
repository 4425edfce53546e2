//! The end of an attempt, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use super::{Lease, Token};
use crate::decide::attempt::Outcome;
use crate::decide::ids::LaneId;
use crate::decide::retry::Next;
use crate::store::records::{AttemptRow, Config};

/// The end of one attempt.
///
/// It takes effect only while `token` holds the lane's lease (also past the lease's end, if nobody took the lane)
/// and `seq`, `round` and `attempt` are the current ones; else the answer is [`After::Lost`] and nothing is
/// recorded. The lane remembers its last commit, for the length of a lease at least, and answers a repeat with the same
/// answer, without counting twice; where that was [`After::Next`], a repeat asks for that lease again, and is answered
/// `Held` or `Lost` in its place when it is no longer to be had.
///
/// In one step:
/// - the row goes into the attempts log and the hour's statistics;
/// - *delivered*: the event moves to the payloads kept, and the lane to its next event, whatever happened to the
///   endpoint meanwhile;
/// - *failed*, and the endpoint's generation is still the lease's: the failure is counted in the quota's window at
///   the time the attempt ended, and `next` is carried out: the lane waits until that time plus the delay, or the
///   event is dropped. If the window now holds more than the limit, the endpoint is disabled (its failures leave
///   the window, its generation rises, one notice is recorded); the event then stays current and begins a new round
///   on *Enable*, unless `next` was `Drop`, which drops it as well. Where the count passes half of the quota, a
///   warning is recorded, at most one per window and workspace (or endpoint, as the scope says);
/// - *failed* under an older generation: logged, counts for nothing; `Drop` drops, else the event stays current and
///   a new round begins at once if the endpoint is enabled again.
///
/// The lane's next lease follows by the same rules as a claim's, under the same token and for its full length less
/// [`LEASE_RENEWAL`](super::LEASE_RENEWAL) at least, if
/// `more` is set and the lane stays in its pool. An empty lane is `Idle`, whatever its endpoint's state. A lane whose
/// workspace lost its plan still counts failures and waits for its retry; it is held when it is claimed.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The lease's lane, token, seq, round, attempt and generation.
    pub lane: LaneId,
    /// See [`Lease`].
    pub token: Token,
    /// See [`Lease`].
    pub seq: u64,
    /// See [`Lease`].
    pub round: u32,
    /// See [`Lease`].
    pub attempt: u32,
    /// See [`Lease`].
    pub generation: u64,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// What follows if it failed.
    pub next: Next,
    /// How long ago it ended.
    pub ended_ago: Duration,
    /// The log's row.
    pub row: Arc<AttemptRow>,
    /// Whether the worker would go on with the lane's next event.
    pub more: bool,
    /// The configuration at hand, as in [`Want`](super::Want).
    pub config: Arc<Config>,
}

impl Commit {
    /// The end of a lease's attempt, just now, by a worker who would go on.
    pub fn of(lease: &Lease, row: AttemptRow, next: Next) -> Self {
        Self {
            lane: lease.lane.clone(),
            token: lease.token,
            seq: lease.seq,
            round: lease.round,
            attempt: lease.attempt,
            generation: lease.generation,
            outcome: row.outcome,
            next,
            ended_ago: Duration::ZERO,
            row: Arc::new(row),
            more: true,
            config: lease.config.clone(),
        }
    }
}

/// What a commit came to.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The lane's new state.
    pub after: After,
    /// Whether the failure disabled the endpoint.
    pub disabled: bool,
    /// Whether the event was dropped (always for [`DropReason::Retries`](crate::decide::notice::DropReason::Retries)).
    pub dropped: bool,
}

/// A lane after a commit.
#[derive(Clone, Debug)]
pub enum After {
    /// The next event, under the same token.
    Next(Box<Lease>),
    /// Nothing waits; the lane is idle.
    Idle,
    /// More waits, and the lane is ready for anybody: `more` was not set, or the lane changed its pool.
    Ready,
    /// The same event will be tried again.
    Waiting {
        /// When, Unix milliseconds of the store's clock.
        at_ms: u64,
    },
    /// The endpoint is disabled, or the workspace has no plan.
    Held,
    /// The lease was another's, or this attempt was not the current one: nothing was recorded.
    Lost,
    /// The endpoint was deleted: nothing was recorded.
    Gone,
}
