//! What an endpoint remembers of what is over: attempts, hours, delivered payloads, dropped events. Each is capped.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crate::decide::attempt::Outcome;
use crate::decide::ids::EventId;
use crate::decide::notice::DropReason;
use crate::decide::policy::Limits;
use crate::store::lanes::Waiting;
use crate::store::records::{Attempt, AttemptRow, DURATION_BUCKETS_MS, Dropped, DroppedSpan, HourStats};

const HOUR_MS: u64 = 60 * 60 * 1000;

/// Hours that the statistics show.
const HOURS_SHOWN: u64 = 24;

/// The attempts log.
#[derive(Default)]
pub(super) struct Log {
    rows: VecDeque<Attempt>,
    numbered: u64,
}

impl Log {
    pub fn push(&mut self, at_ms: u64, next_attempt_ms: Option<u64>, row: &AttemptRow, limits: &Limits) {
        self.numbered += 1;
        self.rows.push_back(Attempt { number: self.numbered, at_ms, next_attempt_ms, row: row.clone() });
        while self.rows.len() as u64 > limits.log_attempts {
            self.rows.pop_front();
        }
    }

    pub fn newest(&self) -> Option<&Attempt> {
        self.rows.back()
    }

    pub fn page(&self, before: Option<u64>, limit: usize) -> Vec<Attempt> {
        let older = self.rows.iter().rev().filter(|row| before.is_none_or(|before| row.number < before));
        older.take(limit).cloned().collect()
    }

    /// Rows leave in the order of their numbers: one that is not old yet keeps those after it.
    pub fn expire(&mut self, now_ms: u64, age_ms: u64) {
        while self.rows.front().is_some_and(|row| row.at_ms.saturating_add(age_ms) <= now_ms) {
            self.rows.pop_front();
        }
    }
}

/// Statistics by the hour of the store's clock.
#[derive(Default)]
pub(super) struct Hours(BTreeMap<u64, HourStats>);

impl Hours {
    pub fn count(&mut self, now_ms: u64, row: &AttemptRow, outcome: Outcome, dropped: bool) {
        let first_shown = first_shown(now_ms);
        self.0.retain(|hour, _| *hour >= first_shown);
        let hour = now_ms / HOUR_MS;
        let stats = self.0.entry(hour).or_insert_with(|| HourStats { hour_ms: hour * HOUR_MS, ..Default::default() });
        match outcome {
            Outcome::Delivered => stats.delivered += 1,
            Outcome::Failed(_) => stats.failed += 1,
        }
        stats.dropped += u64::from(dropped);
        let bucket = DURATION_BUCKETS_MS.iter().position(|bound_ms| row.duration_ms <= *bound_ms);
        stats.durations[bucket.unwrap_or(DURATION_BUCKETS_MS.len())] += 1;
    }

    pub fn shown(&self, now_ms: u64) -> Vec<HourStats> {
        self.0.range(first_shown(now_ms)..).map(|(_, stats)| stats.clone()).collect()
    }
}

fn first_shown(now_ms: u64) -> u64 {
    (now_ms / HOUR_MS).saturating_sub(HOURS_SHOWN - 1)
}

/// The events of the last deliveries, whose payloads are still there, each under the last number that it had in a lane;
/// one delivered twice is there twice.
#[derive(Default)]
pub(super) struct Kept(VecDeque<(u64, Arc<Waiting>)>);

impl Kept {
    pub fn push(&mut self, seq: u64, event: Arc<Waiting>, limits: &Limits) {
        self.0.push_back((seq, event));
        while self.0.len() as u64 > limits.log_payloads {
            self.0.pop_front();
        }
    }

    pub fn get(&self, id: &EventId) -> Option<&(u64, Arc<Waiting>)> {
        self.0.iter().rev().find(|(_, kept)| kept.id == *id)
    }

    /// The event is in a lane once more, under this number.
    pub fn renumber(&mut self, id: &EventId, seq: u64) {
        if let Some((present, _)) = self.0.iter_mut().rev().find(|(_, kept)| kept.id == *id) {
            *present = seq;
        }
    }
}

/// Dropped events that can still be resent, by their numbers; an id once.
#[derive(Default)]
pub(super) struct DroppedList {
    by_seq: BTreeMap<u64, Entry>,
    by_id: BTreeMap<EventId, u64>,
    bytes: u64,
}

struct Entry {
    dropped_ms: u64,
    reason: DropReason,
    event: Arc<Waiting>,
}

impl DroppedList {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn push(&mut self, seq: u64, event: Arc<Waiting>, reason: DropReason, now_ms: u64, limits: &Limits) {
        self.take(&event.id);
        self.bytes += event.body.len() as u64;
        self.by_id.insert(event.id.clone(), seq);
        self.by_seq.insert(seq, Entry { dropped_ms: now_ms, reason, event });
        while self.by_seq.len() as u64 > limits.dropped_events {
            self.evict_oldest();
        }
    }

    pub fn get(&self, id: &EventId) -> Option<&Arc<Waiting>> {
        self.by_id.get(id).and_then(|seq| self.by_seq.get(seq)).map(|entry| &entry.event)
    }

    pub fn take(&mut self, id: &EventId) -> Option<Arc<Waiting>> {
        let seq = *self.by_id.get(id)?;
        self.remove(seq)
    }

    /// `false` when there is none.
    pub fn evict_oldest(&mut self) -> bool {
        let oldest = self.by_seq.keys().next().copied();
        oldest.and_then(|seq| self.remove(seq)).is_some()
    }

    pub fn expire(&mut self, now_ms: u64, retention_ms: u64) {
        let old = self.by_seq.iter().filter(|(_, entry)| entry.dropped_ms.saturating_add(retention_ms) <= now_ms);
        let old: Vec<u64> = old.map(|(seq, _)| *seq).collect();
        for seq in old {
            self.remove(seq);
        }
    }

    pub fn page(&self, after: Option<u64>, limit: usize) -> Vec<Dropped> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        let rows = self.by_seq.range(from..).take(limit);
        rows.map(|(seq, entry)| Dropped {
            seq: *seq,
            dropped_ms: entry.dropped_ms,
            reason: entry.reason,
            event: Waiting::clone(&entry.event),
        })
        .collect()
    }

    pub fn span(&self, span_ms: &Range<u64>, after: Option<u64>, limit: usize) -> DroppedSpan {
        let from = after.map_or(0, |after| after.saturating_add(1));
        let looked: Vec<_> = self.by_seq.range(from..).take(limit).collect();
        let next = looked.last().filter(|_| looked.len() == limit).map(|(seq, _)| **seq);
        let found = looked.into_iter().filter(|(_, entry)| span_ms.contains(&entry.dropped_ms));
        DroppedSpan { events: found.map(|(_, entry)| entry.event.id.clone()).collect(), next }
    }

    fn remove(&mut self, seq: u64) -> Option<Arc<Waiting>> {
        let entry = self.by_seq.remove(&seq)?;
        self.by_id.remove(&entry.event.id);
        self.bytes -= entry.event.body.len() as u64;
        Some(entry.event)
    }
}
