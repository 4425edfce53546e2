//! What an operator may set of the rules, in one value; the defaults are the rules of the contract, section 1.

use std::time::Duration;

use super::attempt::Success;

/// Every number that a decision depends on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// An attempt's limit, from the first DNS packet to the status line.
    pub timeout: Duration,
    /// Waits before the 2nd, 3rd, … attempt; one attempt more than there are waits, then the event is dropped.
    pub retry_delays: Vec<Duration>,
    /// Which statuses are a delivery.
    pub success: Success,
    /// The error quota.
    pub quota: Quota,
    /// Who may have webhooks.
    pub plans: Plans,
    /// What an endpoint may hold.
    pub limits: Limits,
}

/// The error quota (contract, section 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Failures the window may hold; one more disables.
    pub limit: u32,
    /// A failure counts while it is younger than this.
    pub window: Duration,
    /// Who shares the count.
    pub scope: QuotaScope,
}

/// Who shares one error count (`RECADERO_QUOTA_SCOPE`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuotaScope {
    /// All webhooks of a workspace: the rule.
    Workspace,
    /// Each endpoint for itself.
    Endpoint,
}

/// Which plans may have webhooks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plans {
    /// Plans that may.
    pub entitled: Vec<String>,
    /// The plan of a workspace that was never set.
    pub default: String,
}

impl Plans {
    /// Whether a workspace on this plan (`None`: never set) may have webhooks.
    pub fn entitle(&self, plan: Option<&str>) -> bool {
        let plan = plan.unwrap_or(&self.default);
        self.entitled.iter().any(|entitled| entitled == plan)
    }
}

/// Bounds on what is kept for one endpoint, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Endpoints a workspace may have.
    pub endpoints: u32,
    /// Events that may wait.
    pub backlog_events: u64,
    /// Bytes of body that waiting and dropped events may hold together.
    pub backlog_bytes: u64,
    /// How long an event may wait.
    pub backlog_age: Duration,
    /// Dropped events that can still be resent.
    pub dropped_events: u64,
    /// How long a dropped event can still be resent.
    pub dropped_retention: Duration,
    /// Rows of the attempts log.
    pub log_attempts: u64,
    /// How long a row is kept.
    pub log_age: Duration,
    /// Delivered events whose payload is still kept.
    pub log_payloads: u64,
    /// How long an event id is remembered.
    pub dedupe_window: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            retry_delays: [30, 60, 90].map(Duration::from_secs).to_vec(),
            success: Success::Exactly200,
            quota: Quota { limit: 30, window: Duration::from_secs(30 * 60), scope: QuotaScope::Workspace },
            plans: Plans { entitled: vec!["advanced".to_owned(), "enterprise".to_owned()], default: "none".to_owned() },
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        Self {
            endpoints: 1000,
            backlog_events: 100_000,
            backlog_bytes: 64 << 20,
            backlog_age: 72 * HOUR,
            dropped_events: 10_000,
            dropped_retention: 72 * HOUR,
            log_attempts: 500,
            log_age: 168 * HOUR,
            log_payloads: 50,
            dedupe_window: HOUR,
        }
    }
}
