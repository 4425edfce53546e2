//! What the contract promises, on real servers: private redis-server and rabbitmq-server processes, real HTTP, the
//! real binary. `rig` is what the tests stand on, `world` the same path on virtual time; every other module is about
//! one promise.

// Tests may ask for the time and may panic; and a rig holds what the next test will need.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, dead_code)]

mod consume;
mod faults;
mod rig;
mod rules;
mod store;
mod world;
