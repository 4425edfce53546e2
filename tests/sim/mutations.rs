//! Each deliberate bug of `src/testing.rs` must break a promise within two thousand seeds: a simulation that finds none
//! of them proves nothing.

use recadero::testing::{self, Bug};

use crate::judge;
use crate::plan::Plan;

/// The seeds that every bug must be found in.
const SEEDS: u64 = 2_000;

/// Looks for a bug in all seeds, from one on that was the first to show it once: that saves time, and no more.
fn must_be_found(bug: Bug, from: u64) {
    let shown = |seed: u64| judge(&Plan::of(seed)).1.into_iter().next();
    let found = testing::with(bug, || (from..SEEDS).chain(0..from).find_map(|seed| Some((seed, shown(seed)?))));
    let Some((seed, complaint)) = found else { panic!("{SEEDS} histories do not show {bug:?}") };
    println!("{bug:?} is shown by seed {seed}: {} {}", complaint.rule, complaint.text);
}

macro_rules! bugs {
    ($($name:ident $bug:ident $from:literal),+ $(,)?) => {
        mod every_bug_is_found {
            use super::*;

            $(
                #[test]
                fn $name() {
                    must_be_found(Bug::$bug, $from);
                }
            )+
        }

        /// Whoever adds a bug adds it to the list.
        #[allow(dead_code)]
        fn is_listed(bug: Bug) {
            match bug {
                $(Bug::$bug => {})+
            }
        }
    };
}

bugs! {
    ack_before_append AckBeforeAppend 7,
    append_taken_for_done AppendTakenForDone 2,
    dedupe_forgotten DedupeForgotten 1,
    stale_routing StaleRouting 1,
    paused_is_stored PausedIsStored 1,
    new_layout_at_once NewLayoutAtOnce 10,
    layout_ends_early LayoutEndsEarly 65,
    second_lease SecondLease 25,
    commit_without_token CommitWithoutToken 80,
    commit_not_repeated CommitNotRepeated 212,
    begins_late BeginsLate 53,
    claims_after_outage ClaimsAfterOutage 212,
    lost_retry LostRetry 2,
    delay_from_beginning DelayFromBeginning 2,
    fifth_attempt FifthAttempt 4,
    any_success AnySuccess 4,
    window_off_by_one WindowOffByOne 2,
    late_failure_counts LateFailureCounts 6,
    count_is_kept CountIsKept 9,
    disabled_is_claimed DisabledIsClaimed 0,
    paused_is_claimed PausedIsClaimed 1,
    plan_releases_nothing PlanReleasesNothing 1,
    deleted_is_claimed DeletedIsClaimed 12,
    old_url OldUrl 4,
    round_goes_on RoundGoesOn 17,
    age_takes_the_tried AgeTakesTheTried 58,
    drop_loses_entry DropLosesEntry 1,
    notice_twice NoticeTwice 0,
    notice_settled_first NoticeSettledFirst 129,
    poison_lost PoisonLost 0,
    resent_unmarked ResentUnmarked 0,
    workspace_outlives WorkspaceOutlives 0,
    no_poll NoPoll 0,
}
