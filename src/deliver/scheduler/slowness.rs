//! Long attempts give their places back.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Scheduler, Working, index};
use crate::deliver::places::{SLOW_AFTER, SLOW_WHEN_WANTED};
use crate::observe::signal::Signal;
use crate::store::lanes::Pool;

impl Scheduler {
    /// Lets long attempts go on without a place: all past 500 ms; past 50 ms as many as lanes wait for, the oldest
    /// first.
    pub(super) fn look_for_slowness(&mut self) {
        let now = self.shared.tools.clock.boot();
        let mut wanted = [Pool::Healthy, Pool::Suspect].map(|pool| {
            let waiting = self.ready[index(pool)].len();
            waiting.saturating_sub(self.places.free(pool))
        });
        let age = |working: &Working| working.slot.age(now).unwrap_or_default();
        let mut long: Vec<(Duration, u64)> = self
            .placed
            .iter()
            .map(|(id, working)| (age(working), *id))
            .filter(|(age, _)| *age > SLOW_WHEN_WANTED)
            .collect();
        long.sort_by_key(|(age, id)| (Reverse(*age), *id));
        for (age, id) in long {
            let working = &self.placed[&id];
            let pool = working.pool;
            let give = age > SLOW_AFTER || wanted[index(pool)] > 0;
            if give && self.places.become_slow(&working.slot, pool, &working.lane.workspace) {
                wanted[index(pool)] = wanted[index(pool)].saturating_sub(1);
                if let Some(working) = self.placed.remove(&id) {
                    self.slow.insert(id, working);
                }
            }
        }
        self.show_places();
    }

    pub(super) fn show_places(&self) {
        for (pool, count) in [
            ("healthy", self.places.taken(Pool::Healthy)),
            ("suspect", self.places.taken(Pool::Suspect)),
            ("slow", self.places.slow()),
        ] {
            self.shared.tools.signals.emit(&Signal::Inflight { pool, count });
        }
    }
}
