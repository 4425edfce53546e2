//! The integration tests' private Redis, for the one test here that needs a server.

// It holds what its other users need.
#![allow(dead_code, clippy::disallowed_methods)]

#[path = "../it/rig/guard.rs"]
pub mod guard;
#[path = "../it/rig/ports.rs"]
pub mod ports;
#[path = "../it/rig/redis.rs"]
pub mod redis;

use std::time::{Duration, Instant};

/// How long a server may take to start or to end before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `ready` again and again until it says yes; panics with `what` when `limit` is over.
pub async fn until(what: &str, limit: Duration, mut ready: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !ready().await {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
