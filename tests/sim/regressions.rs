//! Histories that broke a promise once: as plans, made smaller, since a seed means another history whenever something
//! is added to [`Plan::of`]. Seeds of today's plans are in `regressions.txt`.

use crate::plan::{Act, Plan, Role};
use crate::receivers::Manner;
use crate::{must_be_right, try_seeds};

/// A plan with nothing in it.
fn quiet() -> Plan {
    Plan {
        seed: 0,
        partitions: 2,
        slots: vec![Role::All],
        jitter: true,
        quota_limit: 30,
        quota_window_s: 1_800,
        quota_per_endpoint: false,
        backlog_events: 100_000,
        backlog_age_s: 72 * 3_600,
        endpoints: vec![(0, 1)],
        acts: Vec::new(),
        left_disabled: false,
        left_without_plan: false,
    }
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    let seeds = include_str!("regressions.txt").lines().filter(|line| !line.starts_with('#'));
    try_seeds(seeds.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()));
}

/// A deliverer without partitions of its own took every poll that asked nothing for an answer, and so forgot that the
/// store was away: it claimed the lane before the outcome, which could not be recorded meanwhile, got in.
#[test]
fn an_outcome_gets_in_before_its_lane_is_claimed_after_an_outage() {
    for late_ms in (0..2_000).step_by(50) {
        let plan = Plan {
            slots: vec![Role::All; 3],
            acts: vec![
                (0, Act::Behave { endpoint: 0, manner: Manner::Hangs }),
                (3_212, Act::Publish { workspace: 0, contacts: vec![None, None] }),
                (106_000 + late_ms, Act::Away { for_ms: 20_000 }),
            ],
            ..quiet()
        };
        must_be_right(&plan);
    }
}
