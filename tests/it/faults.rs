//! Crashes, restarts and losses: the real binary, real servers, real kills.
//!
//! Upstream ([`upstream::Traffic`]) publishes with confirms while something breaks. What it was confirmed is written
//! into a [`ledger::Ledger`], and that is held against what a receiver wrote down: nothing lost, order kept, repeats
//! within the contract. The ledger knows the contract alone, nothing of the code. Each test prints its figures.
//!
//! The tests run in a shortened form; `RECADERO_FAULTS=full` makes them longer.

mod broker;
mod clock;
mod cluster;
mod disk;
mod durability;
mod enabling;
mod failover;
mod figures;
mod isolation;
mod ledger;
mod network;
mod processes;
mod proxy;
mod quota;
mod rabbit;
mod redis;
mod script;
mod site;
mod stops;
mod upstream;
mod versions;

use std::time::Duration;

/// How long everything may take to arrive once nothing is broken any more: several leases of eleven seconds.
const ARRIVAL: Duration = Duration::from_secs(60);

/// `short` by default, `full` when `RECADERO_FAULTS=full` is set.
fn sized<T>(short: T, full: T) -> T {
    if std::env::var("RECADERO_FAULTS").is_ok_and(|size| size == "full") { full } else { short }
}

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}
