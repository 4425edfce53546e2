//! Event ids that were seen, in time buckets: forgetting costs a bucket at a time, not an id at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::ids::EventId;

/// Buckets of a dedupe window. An id is remembered while its bucket is among the present one and the last four:
/// between one window and one and a quarter.
pub(super) const BUCKETS: u64 = 4;

/// The ids seen in one workspace.
#[derive(Default)]
pub(super) struct Seen(BTreeMap<u64, BTreeSet<EventId>>);

impl Seen {
    /// Whether the id was seen within the window; now it is seen, for the first time or again.
    pub fn is_repeat(&mut self, id: &EventId, now_ms: u64, window_ms: u64) -> bool {
        self.forget(now_ms, window_ms);
        let is_repeat = self.0.values().any(|bucket| bucket.contains(id));
        self.0.entry(bucket(now_ms, window_ms)).or_default().insert(id.clone());
        is_repeat
    }

    pub fn forget(&mut self, now_ms: u64, window_ms: u64) {
        let oldest = bucket(now_ms, window_ms).saturating_sub(BUCKETS);
        self.0.retain(|bucket, _| *bucket >= oldest);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn bucket(now_ms: u64, window_ms: u64) -> u64 {
    now_ms / (window_ms / BUCKETS).max(1)
}
