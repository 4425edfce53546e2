//! The error quota, counted once more (section 4).
//!
//! A failure's time is when its attempt ended. The store learns that from how long ago it was when the process said
//! so, and what it says may be under way for a while, most of all when the process is stopped just then. So each
//! failure is somewhere between its end and its record, and a count between two bounds, which are nearly always one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::Rules;
use super::records::Endpoint;

/// All failures that were ever counted and whose endpoint has not left *enabled* since.
pub struct Windows {
    rules: Rules,
    failures: Vec<Failure>,
}

struct Failure {
    ended_ms: u64,
    recorded_ms: u64,
    endpoint: String,
}

impl Windows {
    pub fn new(rules: Rules) -> Self {
        Self { rules, failures: Vec::new() }
    }

    /// Counts a failure; answers whether its endpoint may be disabled, and whether it may be left enabled.
    pub fn count(
        &mut self,
        all: &BTreeMap<String, Endpoint>,
        endpoint: &str,
        ended_ms: u64,
        now_ms: u64,
    ) -> (bool, bool) {
        self.failures.push(Failure { ended_ms, recorded_ms: now_ms, endpoint: endpoint.to_owned() });
        let (held, limit) = (self.held(all, endpoint, now_ms), self.rules.quota_limit);
        (*held.end() > limit, *held.start() <= limit)
    }

    /// The failures of an endpoint leave.
    pub fn leave(&mut self, endpoint: &str) {
        self.failures.retain(|failure| failure.endpoint != endpoint);
    }

    /// What an endpoint has.
    pub fn of_endpoint(&self, endpoint: &str, now_ms: u64) -> RangeInclusive<u32> {
        self.of(|other| other == endpoint, now_ms)
    }

    pub fn told(&self, all: &BTreeMap<String, Endpoint>, endpoint: &str, now_ms: u64) -> String {
        format!("the window holds {:?} of at most {}", self.held(all, endpoint, now_ms), self.rules.quota_limit)
    }

    /// How many failures share a window with this endpoint's.
    fn held(&self, all: &BTreeMap<String, Endpoint>, endpoint: &str, now_ms: u64) -> RangeInclusive<u32> {
        let workspace = &all[endpoint].workspace;
        match self.rules.quota_per_endpoint {
            true => self.of_endpoint(endpoint, now_ms),
            false => self.of(|other| all[other].workspace == *workspace, now_ms),
        }
    }

    fn of(&self, whose: impl Fn(&str) -> bool, now_ms: u64) -> RangeInclusive<u32> {
        let own = || self.failures.iter().filter(|failure| whose(&failure.endpoint));
        let young = |at_ms: u64| at_ms + self.rules.quota_window_ms > now_ms;
        let least = own().filter(|failure| young(failure.ended_ms)).count();
        let most = own().filter(|failure| young(failure.recorded_ms)).count();
        u32::try_from(least).unwrap()..=u32::try_from(most).unwrap()
    }
}
