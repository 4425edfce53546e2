//! The error quota: a sliding window of failed attempts (contract, section 4).
//!
//! The Redis store keeps the same window as a sorted set and counts it in the commit script; this is the
//! model that it is held against.

use std::collections::VecDeque;

use super::ids::EndpointId;
use crate::testing::{Bug, has};

/// The failures that count together: those of a workspace, or of one endpoint, as the scope says.
#[derive(Clone, Default, Debug)]
pub struct Window {
    failures: VecDeque<Failure>,
}

#[derive(Clone, Debug)]
struct Failure {
    at_ms: u64,
    endpoint: EndpointId,
}

impl Window {
    /// Records a failure that ended at `at_ms` (Unix milliseconds).
    pub fn record(&mut self, at_ms: u64, endpoint: &EndpointId) {
        let place = self.failures.partition_point(|failure| failure.at_ms <= at_ms);
        self.failures.insert(place, Failure { at_ms, endpoint: endpoint.clone() });
    }

    /// Forgets failures that are no longer younger than the window.
    pub fn expire(&mut self, now_ms: u64, window_ms: u64) {
        while self.failures.front().is_some_and(|failure| failure.at_ms + window_ms <= now_ms) {
            self.failures.pop_front();
        }
    }

    /// Takes an endpoint's failures out: it leaves *enabled*, and they count against nobody else.
    pub fn leave(&mut self, endpoint: &EndpointId) {
        self.failures.retain(|failure| failure.endpoint != *endpoint);
    }

    /// When the oldest failure of the window ended, Unix milliseconds.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.failures.front().map(|failure| failure.at_ms)
    }

    /// How many failures the window holds.
    pub fn count(&self) -> u32 {
        u32::try_from(self.failures.len()).unwrap_or(u32::MAX)
    }

    /// How many of them are this endpoint's.
    pub fn count_of(&self, endpoint: &EndpointId) -> u32 {
        let of_endpoint = self.failures.iter().filter(|failure| failure.endpoint == *endpoint).count();
        u32::try_from(of_endpoint).unwrap_or(u32::MAX)
    }
}

/// Whether this many failures disable the endpoint that failed: when the count *exceeds* the limit.
pub fn exceeds(count: u32, limit: u32) -> bool {
    count > limit || (has(Bug::WindowOffByOne) && count == limit)
}

/// Whether the count has just risen past half of the quota, which is worth a warning.
pub fn passes_half(count: u32, limit: u32) -> bool {
    count == limit / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_MS: u64 = 30 * 60 * 1000;

    fn endpoint(name: &str) -> EndpointId {
        EndpointId::trusted(name)
    }

    #[test]
    fn the_31st_failure_exceeds_and_the_30th_does_not() {
        let mut window = Window::default();
        for at_ms in 0..30 {
            window.record(at_ms, &endpoint("ep_a"));
        }
        assert!(!exceeds(window.count(), 30));
        window.record(30, &endpoint("ep_b"));
        assert!(exceeds(window.count(), 30));
    }

    #[test]
    fn a_failure_counts_while_it_is_younger_than_the_window() {
        let mut window = Window::default();
        window.record(1_000, &endpoint("ep_a"));
        window.expire(1_000 + WINDOW_MS - 1, WINDOW_MS);
        assert_eq!(window.count(), 1);
        window.expire(1_000 + WINDOW_MS, WINDOW_MS);
        assert_eq!(window.count(), 0);
    }

    #[test]
    fn what_leaves_takes_its_failures_with_it() {
        let mut window = Window::default();
        window.record(1, &endpoint("ep_a"));
        window.record(2, &endpoint("ep_b"));
        window.leave(&endpoint("ep_a"));
        assert_eq!((window.count(), window.count_of(&endpoint("ep_b"))), (1, 1));
    }

    #[test]
    fn half_is_passed_once() {
        assert!(!passes_half(15, 30));
        assert!(passes_half(16, 30));
        assert!(!passes_half(17, 30));
    }
}
