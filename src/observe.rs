//! What can be seen of a running service: signals (each one log line and its metrics), `/metrics`, health,
//! traces.

pub mod health;
pub mod log;
pub mod metrics;
pub mod signal;
pub mod trace;
