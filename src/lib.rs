//! Recadero: events from RabbitMQ, in order, to webhooks.

pub mod clock;
pub mod decide;
pub mod deliver;
