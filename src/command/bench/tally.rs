//! What has arrived: order, loss and repeats, counted while it is measured, and how late it came.
//!
//! Every delivery marks a bit of its own, so that a repeat and a loss are told apart from a wrong order; and each
//! sequence remembers its newest event. Both are plain atomics: a receiver that takes a lock would be measured instead.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::Notify;

use super::Load;
use super::plan::Plan;
use crate::clock::Clock;

/// The longest latency that is told from longer ones, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;

/// The time after endpoints have begun to hang that is told apart.
const AT_FIRST: Duration = Duration::from_secs(1);

/// The clock and the counts of one run.
pub struct Tally {
    plan: Plan,
    clock: Clock,
    /// Deliveries that are waited for.
    expected: u64,
    arrived: Box<[AtomicU64]>,
    /// By sequence: one more than the newest event's number.
    newest: Box<[AtomicU64]>,
    distinct: AtomicU64,
    repeated: AtomicU64,
    disordered: AtomicU64,
    unknown: AtomicU64,
    first_us: AtomicU64,
    last_us: AtomicU64,
    /// When each tenth of what is expected was complete.
    tenths_us: [AtomicU64; 10],
    measured: OnceLock<Measured>,
    /// Whether nothing is measured before [`Tally::measure`].
    is_paced: bool,
    /// How long the beginning is that is told apart.
    at_first: Duration,
    latencies: Mutex<Latencies>,
    progress: Notify,
}

/// How late events came, in microseconds: those of the beginning, and all after.
struct Latencies {
    at_first: Histogram<u64>,
    after: Histogram<u64>,
}

/// From which event on it is measured how late they come.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The first such event.
    pub from: u64,
    /// When it should have been published.
    pub begin: Duration,
    /// Events per second after it.
    pub rate: u32,
}

impl Measured {
    /// When an event should be published, whether or not it could be: what a slow broker holds up counts as late.
    pub fn due(&self, number: u64) -> Duration {
        let nanos = u128::from(number - self.from) * 1_000_000_000 / u128::from(self.rate);
        self.begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Counts {
    pub expected: u64,
    pub delivered: u64,
    pub repeated: u64,
    pub disordered: u64,
    pub unknown: u64,
    /// From the first arrival to the last.
    pub span: Duration,
    pub first_tenth_per_second: Option<f64>,
    pub last_tenth_per_second: Option<f64>,
    pub latencies_at_first: Histogram<u64>,
    pub latencies: Histogram<u64>,
}

impl Tally {
    /// Nothing has arrived yet of so many events.
    pub fn new(load: &Load, plan: Plan, events: u64, clock: Clock) -> anyhow::Result<Self> {
        let latencies = || Histogram::new_with_max(LATENCY_US_MAX, 3);
        Ok(Self {
            expected: plan.deliveries(events)?,
            arrived: zeros(plan.places(events).div_ceil(64)),
            newest: zeros(plan.sequences()),
            distinct: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            disordered: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            first_us: AtomicU64::new(0),
            last_us: AtomicU64::new(0),
            tenths_us: Default::default(),
            measured: OnceLock::new(),
            is_paced: load.rate > 0,
            at_first: if load.hanging > 0.0 { AT_FIRST } else { Duration::ZERO },
            latencies: Mutex::new(Latencies { at_first: latencies()?, after: latencies()? }),
            progress: Notify::new(),
            plan,
            clock,
        })
    }

    /// An event has arrived at an endpoint that answers.
    pub fn arrive(&self, endpoint: u64, number: u64) {
        let now = self.clock.boot();
        let place = self.plan.place(endpoint, number);
        let Some((place, word)) = place.and_then(|place| Some((place, self.arrived.get(index(place.delivery / 64))?)))
        else {
            self.unknown.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let bit = 1 << (place.delivery % 64);
        if word.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            self.repeated.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.newest[index(place.sequence)].fetch_max(number + 1, Ordering::Relaxed) > number {
            self.disordered.fetch_add(1, Ordering::Relaxed);
        }
        let now_us = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        // Whoever is first sets it; the exchange fails for everybody after.
        let _ = self.first_us.compare_exchange(0, now_us, Ordering::Relaxed, Ordering::Relaxed);
        self.last_us.fetch_max(now_us, Ordering::Relaxed);
        if let Some(measured) = self.measured.get().filter(|measured| number >= measured.from) {
            let due = measured.due(number);
            let late = u64::try_from(now.saturating_sub(due).as_micros()).unwrap_or(u64::MAX);
            let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
            let is_first = due.saturating_sub(measured.begin) < self.at_first;
            let histogram = if is_first { &mut latencies.at_first } else { &mut latencies.after };
            histogram.saturating_record(late);
        }
        let (count, tenth) = (self.distinct.fetch_add(1, Ordering::Relaxed) + 1, self.tenth());
        if tenth > 0
            && count.is_multiple_of(tenth)
            && let Some(place) = self.tenths_us.get(index(count / tenth - 1))
        {
            place.store(now_us, Ordering::Relaxed);
        }
        if count == self.expected {
            self.progress.notify_waiters();
        }
    }

    /// Deliveries that have arrived, each counted once.
    pub fn delivered(&self) -> u64 {
        self.distinct.load(Ordering::Relaxed)
    }

    /// A tenth of what is expected, where it is seen how fast a filled queue is drained.
    fn tenth(&self) -> u64 {
        if self.is_paced { 0 } else { self.expected / 10 }
    }

    /// How fast a tenth came that lasted from one time to another.
    fn tenth_per_second(&self, from_us: &AtomicU64, to_us: &AtomicU64) -> Option<f64> {
        let [from_us, to_us] = [from_us, to_us].map(|us| us.load(Ordering::Relaxed));
        (self.tenth() > 0 && from_us > 0 && to_us > from_us)
            .then(|| self.tenth() as f64 * 1e6 / (to_us - from_us) as f64)
    }

    /// Whether those endpoints hang now that are to: with a rate they all begin to when it is measured.
    pub fn is_hanging(&self) -> bool {
        !self.is_paced || self.measured.get().is_some()
    }

    /// From here on it is measured how late events come.
    pub fn measure(&self, measured: Measured) {
        // Set once, by the one who publishes.
        let _ = self.measured.set(measured);
        self.first_us.store(0, Ordering::Relaxed);
    }

    /// Waits until so many deliveries have arrived, or nothing has arrived for as long as `patience`.
    pub async fn wait(&self, deliveries: u64, patience: Duration) {
        /// How often it is looked whether anything moves; the end itself is told at once.
        const LOOK_EVERY: Duration = Duration::from_millis(50);
        let (mut seen, mut since) = (self.delivered(), self.clock.boot());
        while seen < deliveries && self.clock.boot().saturating_sub(since) < patience {
            let _ = tokio::time::timeout(LOOK_EVERY, self.progress.notified()).await;
            let now = self.delivered();
            if now != seen {
                (seen, since) = (now, self.clock.boot());
            }
        }
    }

    /// What has come of it so far.
    pub fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let [first, .., ninth, last] = &self.tenths_us;
        let latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        Counts {
            expected: self.expected,
            delivered: of(&self.distinct),
            repeated: of(&self.repeated),
            disordered: of(&self.disordered),
            unknown: of(&self.unknown),
            span: Duration::from_micros(of(&self.last_us).saturating_sub(of(&self.first_us))),
            first_tenth_per_second: self.tenth_per_second(&self.first_us, first),
            last_tenth_per_second: self.tenth_per_second(ninth, last),
            latencies_at_first: latencies.at_first.clone(),
            latencies: latencies.after.clone(),
        }
    }
}

impl Counts {
    /// Deliveries that never came.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.delivered)
    }

    /// Whether everything came, and nothing else.
    pub fn is_complete(&self) -> bool {
        self.lost() + self.unknown == 0
    }
}

fn zeros(count: u64) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(events: u64) -> Tally {
        let load = Load { endpoints: 2, ..Load::default() };
        Tally::new(&load, Plan::new(&load).unwrap(), events, Clock::system()).unwrap()
    }

    #[test]
    fn what_arrives_once_and_in_order_is_right() {
        let tally = tally(4);
        for (endpoint, number) in [(1, 1), (0, 0), (0, 2), (1, 3)] {
            tally.arrive(endpoint, number);
        }
        let counts = tally.counts();
        assert!(counts.is_complete() && counts.disordered == 0, "{counts:?}");
    }

    #[test]
    fn loss_disorder_repeats_and_strangers_are_told_apart() {
        let tally = tally(8);
        for (endpoint, number) in [(0, 0), (0, 4), (0, 2), (0, 2), (1, 3), (0, 1), (7, 1), (0, 99)] {
            tally.arrive(endpoint, number);
        }
        let counts = tally.counts();
        let seen = [counts.delivered, counts.lost(), counts.disordered, counts.repeated, counts.unknown];
        assert_eq!(seen, [4, 4, 1, 1, 3]);
        assert!(!counts.is_complete());
    }

    #[tokio::test(start_paused = true)]
    async fn the_latency_counts_from_when_an_event_should_have_gone() {
        let tally = tally(4);
        let begin = tally.clock.boot();
        tally.measure(Measured { from: 2, begin, rate: 1 });
        tally.arrive(0, 0);
        tally.arrive(0, 2);
        let counts = tally.counts();
        assert_eq!(counts.latencies.len(), 1, "what comes before is not measured");
        assert_eq!(Measured { from: 2, begin, rate: 4 }.due(4), begin + Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_second_after_endpoints_hang_is_told_apart() {
        let load = Load { endpoints: 4, hanging: 0.25, rate: 2, ..Load::default() };
        let tally = Tally::new(&load, Plan::new(&load).unwrap(), 12, Clock::system()).unwrap();
        assert!(!tally.is_hanging());
        tally.measure(Measured { from: 0, begin: tally.clock.boot(), rate: 2 });
        assert!(tally.is_hanging());
        for number in [0, 1, 2, 4, 5] {
            tally.arrive(number % 4, number);
        }
        let counts = tally.counts();
        assert_eq!((counts.latencies_at_first.len(), counts.latencies.len()), (2, 3));
    }
}
