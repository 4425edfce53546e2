//! Notices on their way out. Each is recorded in the very step that made it true, once per channel, and leaves the
//! outbox only when its sending was recorded: at least once, always under the same id.
//!
//! | kind | id | due |
//! |---|---|---|
//! | disabled, enabled | `disabled-<endpoint>-<generation after>`, `enabled-…`; an enabling's reason is `manual` | now |
//! | warning | `warning-<workspace, or endpoint as the quota's scope says>-<at_ms>`; about the endpoint that failed | now |
//! | dropped after retries | `dropped-<endpoint>-<seq>`, with the event | now |
//! | dropped otherwise | `dropped-<endpoint>-<reason>-<minute>`, with a count; `at_ms` is the first one's | when the minute is over |
//!
//! The minute is the store's Unix time in whole minutes. A deletion's drops are not told: who deletes knows. Where nobody
//! takes notices for long, drops and warnings are at last counted and not told ([`OUTBOX_ENTRIES_SHED`]); a disabling and
//! an enabling always are.

use std::time::Duration;

use async_trait::async_trait;

use super::Result;
use crate::decide::ids::Partition;
use crate::decide::notice::{Channel, Notice};

/// How long a sender has a notice for itself.
pub const NOTICE_LEASE: Duration = Duration::from_secs(60);

/// From how many entries of one partition on dropped events are told per endpoint and minute, not one by one.
pub const OUTBOX_ENTRIES_MAX: usize = 10_000;

/// From how many entries of one partition on dropped events and warnings that would be entries of their own are counted,
/// in [`Figures`](super::lanes::Figures), and not told.
pub const OUTBOX_ENTRIES_SHED: usize = 2 * OUTBOX_ENTRIES_MAX;

/// Notices to be sent.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Leases notices that are due, the longest due first, at most `limit`, for [`NOTICE_LEASE`].
    async fn notices(&self, partition: Partition, limit: usize) -> Result<Vec<Outgoing>>;

    /// Records what came of a sending.
    async fn settle(&self, partition: Partition, id: &str, channel: Channel, sent: Sent) -> Result<()>;
}

/// A notice on one channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// What to tell.
    pub notice: Notice,
    /// How.
    pub channel: Channel,
    /// Leases on it before this one.
    pub tries: u32,
}

/// What came of a sending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It is out, or given up: the entry goes.
    Done,
    /// Try again after a pause.
    Again(Duration),
}
