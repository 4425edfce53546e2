//! The error quota, counted once more (section 4).

use std::collections::BTreeMap;

use super::Rules;
use super::records::Endpoint;

/// All failures that were ever counted and whose endpoint has not left *enabled* since.
pub struct Windows {
    rules: Rules,
    failures: Vec<(u64, String)>,
}

impl Windows {
    pub fn new(rules: Rules) -> Self {
        Self { rules, failures: Vec::new() }
    }

    /// Counts a failure; answers whether its endpoint is to be disabled.
    pub fn count(&mut self, all: &BTreeMap<String, Endpoint>, endpoint: &str, ended_ms: u64, now_ms: u64) -> bool {
        self.failures.push((ended_ms, endpoint.to_owned()));
        self.held(all, endpoint, now_ms) > self.rules.quota_limit
    }

    /// The failures of an endpoint leave.
    pub fn leave(&mut self, endpoint: &str) {
        self.failures.retain(|(_, other)| other != endpoint);
    }

    /// What a workspace's endpoints have, those without any left out.
    pub fn by_endpoint(&self, all: &BTreeMap<String, Endpoint>, workspace: &str, now_ms: u64) -> Vec<(String, u32)> {
        let counted = all.iter().filter(|(_, endpoint)| endpoint.workspace == workspace);
        let counted = counted.map(|(id, _)| (id.clone(), self.of(|other| other == id, now_ms)));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    pub fn told(&self, all: &BTreeMap<String, Endpoint>, endpoint: &str, now_ms: u64) -> String {
        format!("the window holds {} of at most {}", self.held(all, endpoint, now_ms), self.rules.quota_limit)
    }

    /// How many failures share a window with this endpoint's.
    fn held(&self, all: &BTreeMap<String, Endpoint>, endpoint: &str, now_ms: u64) -> u32 {
        let workspace = &all[endpoint].workspace;
        match self.rules.quota_per_endpoint {
            true => self.of(|other| other == endpoint, now_ms),
            false => self.of(|other| all[other].workspace == *workspace, now_ms),
        }
    }

    fn of(&self, whose: impl Fn(&str) -> bool, now_ms: u64) -> u32 {
        let young = |ended_ms: u64| ended_ms + self.rules.quota_window_ms > now_ms;
        let held = self.failures.iter().filter(|(ended_ms, other)| young(*ended_ms) && whose(other));
        u32::try_from(held.count()).unwrap()
    }
}
