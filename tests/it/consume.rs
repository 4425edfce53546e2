//! Contract, section 2, on a real RabbitMQ: from the exchange into the lanes of a store in memory.

mod rejects;
mod routing;
mod topology;
mod world;
