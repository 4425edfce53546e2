//! What people set and look at: workspaces, endpoints, the quota, the log, dropped events.

use std::ops::Range;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Result;
use super::lanes::Waiting;
use super::overview::Overview;
use super::retrying::Retrying;
use crate::decide::attempt::Outcome;
use crate::decide::ids::{EndpointId, EventId, EventType, LaneId, WorkspaceId};
use crate::decide::notice::{DisableReason, DropReason};
use crate::decide::route::Routing;

/// Most rows that one page answers with.
pub const PAGE_ROWS_MAX: usize = 501;

/// How many layouts of lanes an endpoint may have that are not drained yet; one more change is refused.
pub const LAYOUTS_MAX: usize = 8;

/// Workspaces, endpoints and what is known of them.
#[async_trait]
pub trait Records: Send + Sync {
    /// A workspace's record; `None` when it was never set.
    async fn workspace(&self, workspace: &WorkspaceId) -> Result<Option<Workspace>>;

    /// Names of workspaces that were set or have endpoints, in byte order, after `after`, at most `limit`; only names
    /// that contain `query`, if given.
    async fn workspaces(
        &self,
        after: Option<&WorkspaceId>,
        query: Option<&str>,
        limit: usize,
    ) -> Result<Vec<WorkspaceId>>;

    /// The whole store at a glance: counters, and at most `limit` endpoints of either kind of trouble. Those that were
    /// deleted or enabled a moment ago may still be among them.
    async fn overview(&self, limit: usize) -> Result<Overview>;

    /// Sets a workspace's record. Where the plan becomes entitled, its held lanes become ready again in order; where
    /// it ceases to be, lanes are held as they are claimed. Raises the routing version when the plan changed (from none
    /// to one is a change).
    async fn put_workspace(&self, workspace: &WorkspaceId, record: &Workspace) -> Result<()>;

    /// Deletes a workspace with its endpoints and all that waits for them. `None` when there was none; else how many
    /// events were dropped by it. The routing version rises and is never used again, and ids seen stay seen.
    async fn delete_workspace(&self, workspace: &WorkspaceId) -> Result<Option<u64>>;

    /// The routing of a workspace, as [`Intake::append`](super::lanes::Intake::append) checks it. Versions count from 1,
    /// which is also that of a workspace that nothing was ever set of.
    async fn routing(&self, workspace: &WorkspaceId) -> Result<Routing>;

    /// All endpoints of a workspace, in the order of their creation.
    async fn endpoints(&self, workspace: &WorkspaceId) -> Result<Vec<Endpoint>>;

    /// Those of these endpoints that there are, in the order given: a page of a workspace that has many.
    async fn endpoints_among(&self, workspace: &WorkspaceId, endpoints: &[EndpointId]) -> Result<Vec<Endpoint>>;

    /// One endpoint.
    async fn endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Option<Endpoint>>;

    /// Creates an endpoint (`config.version` 1 and an id never used) or replaces its configuration (`config.version`
    /// one more than the present); asked again with the present one, it is done already. Raises the routing version by one, whatever changed; a change of `lanes` opens a new
    /// layout, with the next number, or replaces the newest one, under its number, if that was never used and is not the
    /// oldest. A layout that is not the newest ends when its lanes are empty; at once, if they are so already.
    async fn put_endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId, config: &Config) -> Result<Put>;

    /// Deletes an endpoint and all that waits for it; what was under way is answered `Gone`. `None` when there was
    /// none; else how many events were dropped by it, current ones included.
    async fn delete_endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Option<u64>>;

    /// Enables a disabled endpoint: its generation rises, its failures count is clean, a notice is recorded, and its
    /// lanes become ready, also those that waited for a retry, each beginning a new round with its current event; a lane
    /// with a running lease goes on when that is over. With `discard`, everything that waited at the time of the call is
    /// dropped first, current events too, but not one under a running lease. Enabling an enabled one changes nothing
    /// (and discards nothing).
    /// `None` when there is no such endpoint; else how many events were dropped by it.
    async fn enable(&self, workspace: &WorkspaceId, endpoint: &EndpointId, discard: bool) -> Result<Option<u64>>;

    /// Disables an enabled endpoint by hand: its generation rises, its failures leave the window, a notice is recorded.
    /// `false` when there is no such endpoint.
    async fn disable(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<bool>;

    /// The error quota's window as it is now.
    async fn quota(&self, workspace: &WorkspaceId) -> Result<QuotaUse>;

    /// Rows of the attempts log, newest first, older than row number `before`, at most `limit`.
    async fn attempts(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Attempt>>;

    /// Lanes of an endpoint whose first event has failed in its present round and is tried again, those first that hold
    /// most events, of equals the first lane, at most `limit`.
    async fn retrying(&self, workspace: &WorkspaceId, endpoint: &EndpointId, limit: usize) -> Result<Vec<Retrying>>;

    /// Statistics per hour of the last 24, oldest first; hours without any are left out.
    async fn stats(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Vec<HourStats>>;

    /// Dropped events that can still be resent, oldest event first, with a number above `after`, at most `limit`.
    async fn dropped(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Dropped>>;

    /// The ids of dropped events that left in a span of Unix milliseconds, oldest event first, among the `limit` with a
    /// number above `after`: one bounded step through the list, without the bodies.
    async fn dropped_span(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        span_ms: Range<u64>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<DroppedSpan>;

    /// An event whose payload this endpoint still has: delivered and kept, dropped, a lane's current one, or one that
    /// waits; in this order, and the one delivered last or numbered lowest, if several have its id. For one that is not
    /// there all that wait are looked at, in bounded steps.
    async fn payload(&self, workspace: &WorkspaceId, endpoint: &EndpointId, event: &EventId)
    -> Result<Option<Waiting>>;

    /// Puts events once more at the end of their lanes, in the order given, as resent ones: a dropped one moves (asked
    /// twice, it moves once), a delivered one whose payload is kept is copied (asked again while the copy waits, it is done
    /// already). Each gets a new number, `at_ms` is now,
    /// and its lane is its contact's in the newest layout. No limit is enforced here; the next append does. Answers for
    /// each whether it was done.
    async fn resend(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        from: ResendFrom,
        events: &[EventId],
    ) -> Result<Resent>;
}

/// A workspace's record (contract, section 5).
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Workspace {
    /// Its plan.
    pub plan: String,
    /// Its name, for people.
    pub name: String,
    /// Who gets its e-mail.
    pub notify: Vec<String>,
    /// `en` or `es`.
    pub locale: String,
}

/// What somebody set of an endpoint. The store keeps it whole and reads none of it but `version`, `lanes` and `events`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Raised by one with each change, from 1.
    pub version: u64,
    /// Where its events go.
    pub url: String,
    /// The event types it wants, or `*`.
    pub events: Vec<EventType>,
    /// For people.
    pub description: String,
    /// 1 to 64.
    pub lanes: u16,
    /// Its own headers, name and secret value.
    pub headers: Vec<(String, String)>,
    /// `whsec_…` texts: the newest first; older ones sign until their time.
    pub secrets: Vec<SigningSecret>,
    /// When it was created, Unix milliseconds.
    pub created_ms: u64,
    /// When it was changed last, Unix milliseconds.
    pub updated_ms: u64,
}

/// One of an endpoint's secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecret {
    /// `whsec_…`
    pub text: String,
    /// Until when it signs, Unix milliseconds; `None` for the newest.
    pub until_ms: Option<u64>,
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret")
    }
}

/// An endpoint as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// What was set.
    pub config: Config,
    /// Whether its workspace's plan is not entitled; goes before `disabled` in `status`.
    pub paused: bool,
    /// Since when and why it is disabled.
    pub disabled: Option<Disabled>,
    /// How many disablings and enablings it has seen.
    pub generation: u64,
    /// Events that wait for it, the current ones included.
    pub backlog_events: u64,
    /// When the oldest of them came, Unix milliseconds.
    pub oldest_ms: Option<u64>,
    /// The newest row of its log.
    pub last_attempt: Option<Attempt>,
}

impl Endpoint {
    /// The contract's one word for its state.
    pub fn status(&self) -> EndpointStatus {
        match (self.paused, &self.disabled) {
            (true, _) => EndpointStatus::Paused,
            (false, Some(_)) => EndpointStatus::Disabled,
            (false, None) => EndpointStatus::Enabled,
        }
    }
}

/// An endpoint's state in one word (contract, section 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointStatus {
    /// Events go out.
    Enabled,
    /// The quota or somebody stopped it; events wait.
    Disabled,
    /// The workspace's plan does not include webhooks; nothing new is stored.
    Paused,
}

impl EndpointStatus {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Paused => "paused",
        }
    }
}

/// Since when and why an endpoint is disabled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disabled {
    /// Why.
    pub reason: DisableReason,
    /// Since when, Unix milliseconds of the store's clock.
    pub at_ms: u64,
}

/// What came of setting an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// It is set.
    Done,
    /// Somebody else changed it meanwhile (or, for version 1, the id exists).
    Conflict,
    /// The workspace has as many endpoints as it may.
    LimitReached,
    /// Its lanes were changed [`LAYOUTS_MAX`] times while events of the earlier settings still wait.
    Draining,
    /// It does not exist.
    Missing,
}

/// The error quota's window (contract, section 5).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct QuotaUse {
    /// Failures that count now.
    pub used: u32,
    /// By endpoint, in the order of the ids; endpoints without any are left out.
    pub by_endpoint: Vec<(EndpointId, u32)>,
    /// When the next failure leaves the window, Unix milliseconds.
    pub next_leaves_ms: Option<u64>,
}

/// What a worker knows of an attempt; the log's row but for the store's own times.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttemptRow {
    /// The event.
    pub event_id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// Which attempt of its round, from 1.
    pub attempt: u32,
    /// From the beginning to the status line or the failure.
    pub duration_ms: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The status line's code, if one came.
    pub status: Option<u16>,
    /// The first bytes of the response's body, or one line on the failure.
    pub excerpt: String,
    /// When it was signed, Unix milliseconds: headers show the seconds, and the rest tells which secrets signed.
    pub signed_ms: u64,
    /// Whether it carried `X-Webhook-Resend`.
    pub resend: bool,
}

/// A row of the attempts log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Its number at the endpoint, rising.
    pub number: u64,
    /// When the attempt ended, Unix milliseconds of the store's clock.
    pub at_ms: u64,
    /// When the next one is due, if one is.
    pub next_attempt_ms: Option<u64>,
    /// The rest.
    pub row: AttemptRow,
}

/// Upper bounds of the duration buckets of the statistics, in milliseconds; the last bucket has none.
pub const DURATION_BUCKETS_MS: [u64; 7] = [50, 100, 250, 500, 1000, 2500, 5000];

/// One hour of an endpoint's statistics, by when the store recorded an attempt.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HourStats {
    /// When the hour began, Unix milliseconds.
    pub hour_ms: u64,
    /// Attempts that delivered.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Events dropped after their last attempt.
    pub dropped: u64,
    /// Attempts by duration: at most each of [`DURATION_BUCKETS_MS`] and above the bucket before, then the rest.
    pub durations: [u64; DURATION_BUCKETS_MS.len() + 1],
}

/// A dropped event that can still be resent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// Its number at the endpoint; the old order.
    pub seq: u64,
    /// When it was dropped, Unix milliseconds of the store's clock.
    pub dropped_ms: u64,
    /// Why.
    pub reason: DropReason,
    /// The event.
    pub event: Waiting,
}

/// A step through the dropped events of a span of time.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DroppedSpan {
    /// Those of the span, oldest event first.
    pub events: Vec<EventId>,
    /// The number after which the next step goes on; `None` at the list's end.
    pub next: Option<u64>,
}

/// Where events are resent from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResendFrom {
    /// The dropped list.
    Dropped,
    /// The payloads kept of delivered ones.
    Kept,
}

/// What came of resending.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Resent {
    /// For each event, in order, whether it was put into its lane.
    pub done: Vec<bool>,
    /// Lanes that became ready by it.
    pub ready: Vec<LaneId>,
}
