//! Recadero: events from RabbitMQ, in order, to webhooks.

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
