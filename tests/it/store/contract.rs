//! The promises of the store, by subject; each runs on every store.

mod grants;
mod intake;
mod layouts;
mod leases;
mod limits;
mod once;
mod outbox;
mod outcomes;
mod quota;
mod setup;
mod views;
