//! Deliberate bugs, for the proof that the tests would find them.
//!
//! A place that can be broken asks [`has`]. Without the feature `testing` the answer is the constant `false` and costs
//! nothing; with it, a bug is there on one thread while [`with`] runs, so that tests run side by side. Rejected: a
//! mutation tool that builds the project anew for each bug, which nobody would run every time.

/// What can be made wrong, each in one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A batch is acknowledged before the store has it.
    AckBeforeAppend,
    /// An append without an answer counts as done.
    AppendTakenForDone,
    /// An id that was seen is taken again.
    DedupeForgotten,
    /// An event is appended by a routing that is no longer the present one.
    StaleRouting,
    /// Events are stored for a paused workspace.
    PausedIsStored,
    /// Lanes of a new layout are ready before the older ones are empty.
    NewLayoutAtOnce,
    /// A layout of lanes ends while the last of its events is being tried.
    LayoutEndsEarly,
    /// A lane that is leased is leased once more.
    SecondLease,
    /// A commit is taken from whoever sends it.
    CommitWithoutToken,
    /// A commit without an answer is not repeated.
    CommitNotRepeated,
    /// An attempt begins however long ago its lease was asked for.
    BeginsLate,
    /// Lanes are claimed at once after an outage.
    ClaimsAfterOutage,
    /// A lane that waits for a retry is never due.
    LostRetry,
    /// The wait before a retry counts from the attempt's beginning.
    DelayFromBeginning,
    /// One attempt more than there may be.
    FifthAttempt,
    /// Any 2xx is a delivery.
    AnySuccess,
    /// The quota's limit itself disables.
    WindowOffByOne,
    /// A failure counts although its endpoint was disabled meanwhile.
    LateFailureCounts,
    /// The failures of an endpoint that leaves *enabled* stay in the window.
    CountIsKept,
    /// A disabled endpoint's lanes are leased.
    DisabledIsClaimed,
    /// A paused workspace's lanes are leased.
    PausedIsClaimed,
    /// A plan that comes back lets nothing go on.
    PlanReleasesNothing,
    /// A deleted endpoint's lanes are leased.
    DeletedIsClaimed,
    /// An endpoint's old URL is used after a change.
    OldUrl,
    /// An interrupted round goes on where it was.
    RoundGoesOn,
    /// The backlog's limit of age takes an event that is being tried.
    AgeTakesTheTried,
    /// A dropped event is not in the dropped list.
    DropLosesEntry,
    /// A disabling is told by two notices.
    NoticeTwice,
    /// A notice is settled before it is sent.
    NoticeSettledFirst,
    /// What can never be delivered is acknowledged without being rejected.
    PoisonLost,
    /// A delivered event that is resent does not say so.
    ResentUnmarked,
    /// A deleted workspace's endpoints are there again with its plan.
    WorkspaceOutlives,
    /// Nobody looks for lanes whose wake was lost.
    NoPoll,
}

#[cfg(feature = "testing")]
mod present {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PRESENT: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether a bug is there.
    pub fn has(bug: Bug) -> bool {
        PRESENT.get() == Some(bug)
    }

    /// Runs something with a bug, on this thread alone.
    pub fn with<T>(bug: Bug, run: impl FnOnce() -> T) -> T {
        PRESENT.set(Some(bug));
        let answer = run();
        PRESENT.set(None);
        answer
    }
}

#[cfg(feature = "testing")]
pub use present::{has, with};

/// Whether a bug is there: never.
#[cfg(not(feature = "testing"))]
pub(crate) const fn has(_: Bug) -> bool {
    false
}
