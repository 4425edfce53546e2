//! The simulation: the service's own consume, decide, deliver and notify code over the memory store, on virtual time,
//! with a simulated broker, simulated receivers, several processes, and everything that can go wrong with them.
//!
//! A seed gives a [`plan`], a plan gives a [`history`], a history a [`trace`] of plain facts; the same seed gives the
//! same trace, byte for byte. [`check`] judges it by `docs/contract.md` alone. A seed that fails is shown as the smallest
//! plan that still does, and belongs into `regressions.txt` from then on.
//!
//! `RECADERO_SIM_SEEDS=5000..9000 cargo test --features testing --test sim by_hand` tries any other seeds;
//! `RECADERO_SIM_SHOW=17 …` shows one.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod broker;
mod check;
mod history;
mod mutations;
mod people;
mod plan;
mod process;
mod receivers;
mod regressions;
mod replay;
mod rig;
mod shrink;
mod store;
mod tape;
mod trace;

use std::ops::Range;

use check::{Complaint, Rules};
use plan::Plan;
use trace::Entry;

/// A history and what is wrong with it.
fn judge(plan: &Plan) -> (Vec<Entry>, Vec<Complaint>) {
    let trace = history::live(plan);
    let rules = Rules {
        quota_limit: plan.quota_limit,
        quota_window_ms: plan.quota_window_s * 1000,
        quota_per_endpoint: plan.quota_per_endpoint,
    };
    let complaints = check::check(rules, &trace);
    (trace, complaints)
}

/// What is shown of a plan that fails: the smallest one that still breaks the same promise, and its history.
fn told(plan: &Plan, complaint: &Complaint) -> String {
    let fails = |plan: &Plan| judge(plan).1.iter().any(|other| other.rule == complaint.rule);
    let small = shrink::shrink(plan, fails);
    let (trace, complaints) = judge(&small);
    let complaints: String = complaints.iter().map(|it| format!("{} at {}: {}\n", it.rule, it.at, it.text)).collect();
    format!("seed {} breaks a promise.\n\n{}\n{}\n{complaints}", plan.seed, small.text(), trace::text(&trace))
}

fn must_be_right(plan: &Plan) {
    if let Some(complaint) = judge(plan).1.first() {
        panic!("{}", told(plan, complaint));
    }
}

fn try_seeds(seeds: impl Iterator<Item = u64>) {
    seeds.for_each(|seed| must_be_right(&Plan::of(seed)));
}

#[test]
fn a_seed_gives_one_history() {
    for seed in 0..20 {
        let plan = Plan::of(seed);
        let (once, again) = (history::live(&plan), history::live(&plan));
        assert_eq!(trace::text(&once), trace::text(&again), "seed {seed}");
    }
}

/// Each an eighth of the seeds, so that they run side by side.
macro_rules! eighths {
    ($($name:ident $eighth:literal),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                try_seeds((0..2_000).skip($eighth).step_by(8));
            }
        )+
    };
}

mod two_thousand_histories_keep_every_promise {
    use super::try_seeds;

    eighths!(eighth_1 0, eighth_2 1, eighth_3 2, eighth_4 3, eighth_5 4, eighth_6 5, eighth_7 6, eighth_8 7);
}

#[test]
fn by_hand() {
    if let Some(seeds) = setting("RECADERO_SIM_SEEDS") {
        let (begin, end) = seeds.split_once("..").expect("RECADERO_SIM_SEEDS is begin..end");
        let seeds: Range<u64> = begin.parse().unwrap()..end.parse().unwrap();
        let broken = seeds.filter_map(|seed| Some((seed, judge(&Plan::of(seed)).1.into_iter().next()?)));
        let broken: Vec<_> = broken.inspect(|(seed, it)| println!("{seed}: {} {}", it.rule, it.text)).collect();
        assert!(broken.is_empty(), "{}", told(&Plan::of(broken[0].0), &broken[0].1));
    }
    if let Some(seed) = setting("RECADERO_SIM_SHOW") {
        let plan = Plan::of(seed.parse().unwrap());
        println!("{}{}", plan.text(), trace::text(&judge(&plan).0));
    }
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
