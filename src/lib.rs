//! Recadero: events from RabbitMQ, in order, to webhooks.
//!
//! A map, in the order that data flows:
//!
//! | module | what it does |
//! |---|---|
//! | [`consume`] | takes events from RabbitMQ's ordered queues, appends them to lanes, then acknowledges |
//! | [`decide`] | the rules: what an event is, who hears it, what an outcome means; pure |
//! | [`store`] | lanes, leases and all that is remembered: one seam, on memory and on Redis |
//! | [`deliver`] | claims lanes, posts their events, commits the outcomes |
//! | [`notify`] | drains the outbox: what people and programs are told |
//! | [`observe`] | happenings as log lines and metrics; health |
//! | [`operate`] | the API and the console |
//! | [`app`] | the one place that wires the parts |
//! | [`command`], [`config`], [`clock`] | the binary's commands, its options, the only source of time |
//!
//! What never changes (`docs/contract.md` says what is promised, `ARCHITECTURE.md` how it is kept):
//!
//! - RabbitMQ's copy of an event is acknowledged only after every lane that it belongs to holds it.
//! - A lane has one event under way, and the next begins when that one was delivered or dropped.
//! - Who works on a lane holds its lease, and only the lease's token can record what came of it.
//! - An outcome and all that follows from it (retry, drop, disabling, notice) are one atomic step.
//! - `decide` knows no runtime, no client and no clock; all state is in the store.

pub mod app;
pub mod clock;
pub mod command;
pub mod config;
pub mod consume;
pub mod decide;
pub mod deliver;
pub mod notify;
pub mod observe;
pub mod operate;
pub mod store;
pub mod testing;
