//! Pauses between tries: growing, bounded, and spread, so that replicas do not all come back at the same instant.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A sequence of pauses, each twice the last one, between two bounds.
pub(super) struct Pauses {
    least: Duration,
    most: Duration,
    next: Duration,
    random: SmallRng,
}

impl Pauses {
    /// The seed decides the spread: two routers of one process should differ, two runs of a simulation should not.
    pub(super) fn new(least: Duration, most: Duration, seed: u64) -> Self {
        Self { least, most, next: least, random: SmallRng::seed_from_u64(seed) }
    }

    /// The next pause: between half of it and all of it.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.most);
        pause.mul_f64(self.random.random_range(0.5..=1.0))
    }

    /// Begins with the shortest again.
    pub(super) fn reset(&mut self) {
        self.next = self.least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_begin_anew() {
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut pauses = Pauses::new(least, most, 7);
        let mut full = least;
        for _ in 0..20 {
            let pause = pauses.next();
            assert!(full / 2 <= pause && pause <= full, "{pause:?} of {full:?}");
            full = (full * 2).min(most);
        }
        assert_eq!(full, most);
        pauses.reset();
        assert!(pauses.next() <= least);
    }
}
