//! Recadero: events from RabbitMQ, in order, to webhooks.

pub mod clock;
pub mod config;
pub mod decide;
pub mod deliver;
pub mod observe;
pub mod operate;
pub mod store;
