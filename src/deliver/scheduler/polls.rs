//! Asking the store which lanes are due, and what its silence means.

use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use super::{Note, Scheduler};
use crate::decide::ids::Partition;
use crate::deliver::claims::{self, Ask};
use crate::store::lanes::Pool;
use crate::testing::{Bug, has};

/// A store that was away for less cannot have let a lease end, which lasts for [`LEASE_MARGIN`] at the least.
///
/// [`LEASE_MARGIN`]: crate::store::lanes::LEASE_MARGIN
const OUTAGE_MIN: Duration = Duration::from_secs(5);

/// How long nothing is claimed after such an outage: outcomes that could not be recorded get in first, here and
/// elsewhere, or leases that ended meanwhile would be taken over and their attempts repeated. Longer than the longest
/// pause between the tries of a commit.
const CLAIM_AFTER_OUTAGE: Duration = Duration::from_secs(2);

/// Every how many polls the other processes' partitions are looked at as well.
const HELP_EVERY: u32 = 2;

/// Most lanes that one poll of a partition answers with, and how many are asked for when there is no place for them:
/// enough to learn who waits besides those that have the places.
const DUE_PER_POLL_MAX: usize = 256;
const DUE_PER_POLL_MIN: usize = 16;

impl Scheduler {
    pub(super) fn poll(&mut self) {
        self.show_places();
        if self.polling || has(Bug::NoPoll) {
            return;
        }
        self.polls = self.polls.wrapping_add(1);
        let help = self.polls.is_multiple_of(HELP_EVERY);
        let partitions = (0..self.shared.partitions).map(Partition);
        let asks = partitions
            .filter(|partition| help || self.shared.members.is_mine(*partition))
            .flat_map(|partition| [(partition, Pool::Healthy), (partition, Pool::Suspect)])
            .collect();
        self.ask(asks);
    }

    pub(super) fn poll_deep(&mut self) {
        let asks = mem::take(&mut self.deep).into_iter().collect();
        self.ask(asks);
    }

    fn ask(&mut self, asks: Vec<(Partition, Pool)>) {
        if mem::replace(&mut self.polling, true) {
            return;
        }
        let asks = asks
            .into_iter()
            .map(|(partition, pool)| {
                let limit = (self.places.free(pool) * 2).clamp(DUE_PER_POLL_MIN, DUE_PER_POLL_MAX);
                Ask { partition, pool, limit }
            })
            .collect();
        let (shared, notes) = (self.shared.clone(), self.notes.0.clone());
        self.tasks.spawn(async move {
            let found = claims::poll(&shared, asks).await;
            // When draining nobody listens, and nobody needs to.
            let _ = notes.send(Note::Polled(found));
        });
    }

    pub(super) fn note_outage(&mut self, away: bool) {
        let now = Instant::now();
        if away {
            self.away_since.get_or_insert(now);
            return;
        }
        let cut_off = self.is_cut_off();
        (self.away_since, self.answered) = (None, true);
        if cut_off {
            self.claim_after = if has(Bug::ClaimsAfterOutage) { now } else { now + CLAIM_AFTER_OUTAGE };
        }
    }

    /// Whether the store has not answered polls for so long that leases can have ended: the next answer says when to go
    /// on, and until then a wake from elsewhere is no reason to.
    pub(super) fn is_cut_off(&self) -> bool {
        self.away_since.is_some_and(|since| !self.answered || since.elapsed() > OUTAGE_MIN)
    }
}
