//! The error quota of one workspace: the windows of [`decide::quota`](crate::decide::quota), and who was warned.

use std::collections::BTreeMap;

use super::state::ms;
use crate::decide::ids::EndpointId;
use crate::decide::policy::{Quota, QuotaScope};
use crate::decide::quota::{Window, exceeds, passes_half};
use crate::store::records::QuotaUse;

/// Who shares a window: `None` is the whole workspace.
type Scope = Option<EndpointId>;

#[derive(Default)]
pub(super) struct Failures {
    windows: BTreeMap<Scope, Window>,
    warned_ms: BTreeMap<Scope, u64>,
}

/// What a failure means for its endpoint.
pub(super) enum Verdict {
    Fine,
    /// So many failures are past half of the quota.
    Warn(u32),
    Disable,
}

impl Failures {
    /// Counts a failure that ended at `at_ms`.
    pub fn record(&mut self, endpoint: &EndpointId, at_ms: u64, now_ms: u64, quota: &Quota) -> Verdict {
        let scope = scope(endpoint, quota);
        let window_ms = ms(quota.window);
        let window = self.windows.entry(scope.clone()).or_default();
        window.record(at_ms, endpoint);
        window.expire(now_ms, window_ms);
        let count = window.count();
        if exceeds(count, quota.limit) {
            return Verdict::Disable;
        }
        let warned = self.warned_ms.get(&scope).is_some_and(|warned_ms| warned_ms + window_ms > now_ms);
        if !passes_half(count, quota.limit) || warned {
            return Verdict::Fine;
        }
        self.warned_ms.insert(scope, now_ms);
        Verdict::Warn(count)
    }

    /// Takes out the failures of an endpoint that leaves *enabled*.
    pub fn leave(&mut self, endpoint: &EndpointId) {
        for window in self.windows.values_mut() {
            window.leave(endpoint);
        }
    }

    /// The windows as they are now. `endpoints` in the order of their ids.
    pub fn view<'a>(&self, endpoints: impl Iterator<Item = &'a EndpointId>, now_ms: u64, quota: &Quota) -> QuotaUse {
        let mut windows: Vec<Window> = self.windows.values().cloned().collect();
        for window in &mut windows {
            window.expire(now_ms, ms(quota.window));
        }
        let of = |endpoint: &EndpointId| windows.iter().map(|window| window.count_of(endpoint)).sum();
        let by_endpoint = endpoints.map(|endpoint| (endpoint.clone(), of(endpoint))).filter(|(_, count)| *count > 0);
        QuotaUse {
            used: windows.iter().map(Window::count).sum(),
            by_endpoint: by_endpoint.collect(),
            next_leaves_ms: windows.iter().filter_map(Window::oldest_ms).min().map(|at_ms| at_ms + ms(quota.window)),
        }
    }
}

fn scope(endpoint: &EndpointId, quota: &Quota) -> Scope {
    match quota.scope {
        QuotaScope::Workspace => None,
        QuotaScope::Endpoint => Some(endpoint.clone()),
    }
}
