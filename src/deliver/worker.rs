//! One leased lane: send, decide, commit, and on to its next event until its turn is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Tools;
use super::commits::Commits;
use super::members::Members;
use super::places::Slot;
use super::target::Targets;
use crate::decide::attempt::{Answer, Attempted, Outcome};
use crate::decide::ids::{LaneId, Partition};
use crate::decide::notice::{DisableReason, DropReason};
use crate::decide::policy::Policy;
use crate::decide::retry::{self, Next};
use crate::observe::signal::Signal;
use crate::store::lanes::{After, Commit, Committed, Lease, Pool};
use crate::store::records::AttemptRow;
use crate::testing::{Bug, has};

/// An attempt begins at most this long after its lease was asked for; the lease lasts the attempt's limit and ten
/// seconds, so an attempt is over well before anybody else can have the lane.
pub const BEGIN_WITHIN: Duration = Duration::from_secs(4);

/// A turn is over after this many events, if other lanes wait for the place, or another process looks after the lane.
const TURN_EVENTS_MAX: u32 = 64;

/// The same after this long.
const TURN_TIME_MAX: Duration = Duration::from_millis(250);

/// What all workers of a deliverer share.
pub struct Shared {
    /// The store, the sender, the clock, the signals.
    pub tools: Tools,
    /// The rules.
    pub policy: Arc<Policy>,
    /// How many partitions there are.
    pub partitions: u16,
    /// The way of outcomes into the store.
    pub commits: Commits,
    /// Prepared endpoints.
    pub targets: Targets,
    /// Who looks after which partition.
    pub members: Arc<Members>,
    /// Whether lanes wait for a healthy or a suspect place.
    pub wanted: [AtomicBool; 2],
    /// Whether no attempt may begin any more.
    pub draining: AtomicBool,
}

/// How a worker left its lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// Nothing waits, or nothing may be sent, or the lane is somebody else's now.
    Resting,
    /// More waits, and anybody may go on.
    Ready,
    /// The same event is to be tried again after this pause.
    Waiting(Duration),
}

/// Works on a lane until it is empty, its turn is over, or something went wrong with it. `asked` is when the lease
/// was asked for (boot time).
pub async fn work(shared: &Shared, slot: &Slot, mut lease: Box<Lease>, mut asked: Duration) -> Left {
    let clock = &shared.tools.clock;
    let turn_began = clock.boot();
    let mut events = 0;
    loop {
        let begin = clock.boot();
        let late = begin.saturating_sub(asked) > BEGIN_WITHIN && !has(Bug::BeginsLate);
        if shared.draining.load(Ordering::Relaxed) || late {
            return give_back(shared, &lease).await;
        }
        let signed_at = clock.unix();
        slot.begin(begin);
        let attempted = shared.targets.send(&lease, signed_at).await;
        slot.end();
        let ended = Ended {
            outcome: attempted.answer.outcome(shared.policy.success),
            next: retry::after_failure(lease.attempt, &shared.policy.retry_delays),
            attempted,
            signed_at,
            boot: if has(Bug::DelayFromBeginning) { begin } else { clock.boot() },
            unix: clock.unix(),
        };
        events += 1;

        let turn_over = events >= TURN_EVENTS_MAX || ended.boot.saturating_sub(turn_began) > TURN_TIME_MAX;
        let wanted = shared.wanted[usize::from(lease.pool == Pool::Suspect)].load(Ordering::Relaxed);
        let partition = Partition::of(&lease.lane.workspace, shared.partitions);
        let yields = turn_over && (wanted || !shared.members.is_mine(partition));
        let more = !(slot.is_slow() || yields || shared.draining.load(Ordering::Relaxed));
        asked = clock.boot();
        let committed = shared.commits.commit(partition, commit(&lease, &ended, more), ended.boot).await;
        tell(shared, &lease, &ended, &committed);
        match committed.after {
            After::Next(following) => lease = following,
            After::Ready => return Left::Ready,
            After::Waiting { .. } => {
                let Next::RetryAfter(pause) = ended.next else { return Left::Ready };
                return Left::Waiting(pause);
            }
            After::Idle | After::Held | After::Lost | After::Gone => return Left::Resting,
        }
    }
}

async fn give_back(shared: &Shared, lease: &Lease) -> Left {
    let partition = Partition::of(&lease.lane.workspace, shared.partitions);
    match shared.tools.store.give_back(partition, &lease.lane, lease.token).await {
        Ok(()) => Left::Ready,
        // The lease's end brings the lane back.
        Err(_) => Left::Resting,
    }
}

/// An attempt that ended, and what the rules say of it.
struct Ended {
    attempted: Attempted,
    outcome: Outcome,
    next: Next,
    /// The Unix time it was signed with.
    signed_at: Duration,
    /// When it ended, on the clock that runs during suspend.
    boot: Duration,
    /// When it ended, Unix time.
    unix: Duration,
}

fn commit(lease: &Lease, ended: &Ended, more: bool) -> Commit {
    let (status, excerpt) = match &ended.attempted.answer {
        Answer::Status { status, excerpt } => (Some(*status), excerpt.clone()),
        Answer::Failed { detail, .. } => (None, detail.clone()),
    };
    let row = AttemptRow {
        event_id: lease.event.id.clone(),
        event_type: lease.event.event_type.clone(),
        attempt: lease.attempt,
        duration_ms: millis(ended.attempted.took),
        outcome: ended.outcome,
        status,
        excerpt,
        signed_ms: millis(ended.signed_at),
        resend: lease.event.resend,
    };
    Commit { more, ..Commit::of(lease, row, ended.next) }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn tell(shared: &Shared, lease: &Lease, ended: &Ended, committed: &Committed) {
    let Ended { attempted, outcome, next, .. } = ended;
    let signals = &shared.tools.signals;
    signals.traces().attempted(lease, attempted, *outcome, ended.signed_at);
    let lane: &LaneId = &lease.lane;
    if matches!(committed.after, After::Lost) {
        signals.emit(&Signal::LeaseLost { lane });
        return;
    }
    let status = match attempted.answer {
        Answer::Status { status, .. } => Some(status),
        Answer::Failed { .. } => None,
    };
    let received = Duration::from_millis(lease.event.at_ms);
    let latency = (*outcome == Outcome::Delivered && !lease.event.resend).then(|| ended.unix.saturating_sub(received));
    let retry_in = match (&committed.after, next) {
        (After::Waiting { .. }, Next::RetryAfter(pause)) => Some(*pause),
        _ => None,
    };
    signals.emit(&Signal::Attempted {
        lane,
        event: &lease.event.id,
        event_type: &lease.event.event_type,
        attempt: lease.attempt,
        outcome: *outcome,
        status,
        took: attempted.took,
        latency,
        retry_in,
    });
    if committed.dropped {
        signals.emit(&Signal::Dropped { reason: DropReason::Retries, count: 1, endpoint: Some(&lane.endpoint) });
    }
    if committed.disabled {
        signals.emit(&Signal::Disabled {
            workspace: &lane.workspace,
            endpoint: &lane.endpoint,
            reason: DisableReason::Quota,
        });
    }
}
