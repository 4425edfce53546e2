//! The simulation: the service's own consume, decide, deliver and notify code over the memory store, on virtual time,
//! with a simulated broker, simulated receivers, several processes, and everything that can go wrong with them.
//!
//! A seed gives a [`plan`], a plan gives a [`history`], a history a [`trace`] of plain facts; the same seed gives the
//! same trace, byte for byte. [`check`] judges it by `docs/contract.md` alone.

// Tests may panic.
#![allow(clippy::unwrap_used)]

mod broker;
mod history;
mod people;
mod plan;
mod process;
mod receivers;
mod store;
mod tape;
mod trace;

use plan::Plan;

#[test]
fn a_seed_gives_one_history() {
    for seed in 0..20 {
        let plan = Plan::of(seed);
        let began = std::time::Instant::now();
        let (once, again) = (trace::text(&history::live(&plan)), trace::text(&history::live(&plan)));
        println!("{seed} {} {:?}", once.lines().count(), began.elapsed()/2);
        if seed < 1 { println!("{}{once}", plan.text()); }
        assert_eq!(once, again, "seed {seed}");
    }
}
