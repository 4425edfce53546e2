//! What the contract promises, on real servers: private redis-server and rabbitmq-server processes, real HTTP, the
//! real binary. `rig` is what the tests stand on, `service` a whole service on it, `world` the same path on virtual
//! time; every other module is about one promise.

// Tests may ask for the time and may panic; and a rig holds what the next test will need.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, dead_code)]

mod answers;
mod api;
mod bench;
mod commands;
mod consume;
mod delivery;
mod examples;
mod faults;
mod mail;
mod options;
mod quota;
mod reach;
mod rejects;
mod rig;
mod rules;
mod service;
mod standstill;
mod store;
mod traces;
mod world;
