//! What the tests stand on: private servers, receivers and processes, which always end.
//!
//! Each server is started in a directory of its own on a port of its own, by a [`guard`] that kills it when the test
//! is gone. Rejected: containers (they need a daemon, and more start-up time than most tests take), and servers that
//! all tests share (a test that kills Redis would be everybody's concern). RabbitMQ is the exception, since it takes
//! seconds to start: tests that do no harm to it share a node and have a virtual host each.

pub mod cluster;
pub mod guard;
pub mod node;
pub mod ports;
pub mod publish;
pub mod python;
pub mod rabbit;
pub mod recadero;
pub mod receiver;
pub mod redis;
pub mod redis_cluster;
mod selftest;
pub mod sentinel;
pub mod smtp;

use std::time::{Duration, Instant};

/// How long a server may take to start or to end before the test fails. RabbitMQ has taken more than a minute on a
/// machine where several start at once.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Asks `ready` again and again until it says yes; panics with `what` when `limit` is over.
pub async fn until(what: &str, limit: Duration, mut ready: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !ready().await {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
