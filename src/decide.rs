//! The rules, pure: what an event is, which lanes it belongs to, what an attempt's end means, what comes next.
//!
//! Invariants: no tokio, redis, reqwest or lapin in here; no clock (time comes in as an argument); a failed
//! attempt is data, not an `Err`.

pub mod attempt;
pub mod event;
pub mod event_types;
pub mod ids;
pub mod json;
pub mod notice;
pub mod policy;
pub mod quota;
pub mod relief;
pub mod retry;
pub mod route;
pub mod trace;
