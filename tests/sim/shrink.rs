//! Makes a failing plan smaller: leaves out what it fails without, again and again.

use crate::plan::{Plan, Role};

/// How many plans are tried at the most.
const TRIES_MAX: usize = 400;

/// The smallest plan found that still fails as `fails` says.
pub fn shrink(plan: &Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut best = plan.clone();
    let mut tries = 0;
    let mut attempt = |candidate: Plan, best: &mut Plan| {
        tries += 1;
        let smaller = tries <= TRIES_MAX && fails(&candidate);
        if smaller {
            *best = candidate;
        }
        smaller
    };
    loop {
        let before = best.acts.len();
        // Large pieces first, then smaller ones, from the end: what comes late rarely matters.
        let mut size = best.acts.len().div_ceil(2).max(1);
        loop {
            let mut end = best.acts.len();
            while end > 0 {
                let begin = end.saturating_sub(size);
                let mut candidate = best.clone();
                candidate.acts.drain(begin..end);
                attempt(candidate, &mut best);
                end = begin.min(best.acts.len());
            }
            if size == 1 {
                break;
            }
            size /= 2;
        }
        if best.acts.len() == before {
            break;
        }
    }
    let simpler: [fn(&mut Plan); 5] = [
        |plan| plan.jitter = false,
        |plan| plan.slots.iter_mut().for_each(|role| *role = Role::All),
        |plan| plan.slots.truncate(1),
        |plan| (plan.left_disabled, plan.left_without_plan) = (false, false),
        |plan| plan.quota_per_endpoint = false,
    ];
    for simplify in simpler {
        let mut candidate = best.clone();
        simplify(&mut candidate);
        let slots = candidate.slots.len();
        candidate.acts.retain(|(_, act)| act.slot().is_none_or(|slot| slot < slots));
        attempt(candidate, &mut best);
    }
    best
}
