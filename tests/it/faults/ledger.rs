//! What upstream was promised, and whether it came true.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use crate::rig::receiver::Receiver;

/// One event that RabbitMQ confirmed.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The workspace `w<number>`, whose endpoint is the path `/w<number>`.
    pub tenant: usize,
    /// The contact it belongs to.
    pub contact: u64,
    /// Its id.
    pub id: String,
    /// When RabbitMQ had confirmed it.
    pub confirmed: Instant,
}

/// Confirmed events, in the order they were published.
#[derive(Clone, Debug, Default)]
pub struct Ledger(pub Vec<Entry>);

/// What a receiver's log says about a ledger whose every event arrived, in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Findings {
    /// Events confirmed, those lost among them.
    pub events: usize,
    /// Those that Redis lost, where it may.
    pub lost: usize,
    /// The same attempt of the same event once more.
    pub repeats: usize,
    /// The most repeats in one lane (with several lanes: for one contact).
    pub repeats_per_lane_max: usize,
    /// Repeats that came after a later event of their lane.
    pub late: usize,
    /// Second and later attempts: those before them were recorded as failed.
    pub retries: usize,
    /// The longest time without an arrival at an endpoint, between its first and its last.
    pub gap_max: Duration,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, lost, repeats, repeats_per_lane_max, late, retries, gap_max } = self;
        write!(
            f,
            "{events} events, {lost} lost, {repeats} repeats (at most {repeats_per_lane_max} per lane, {late} late), \
             {retries} retries, longest standstill {:.1} s",
            gap_max.as_secs_f64()
        )
    }
}

impl Findings {
    /// With events that were taken out of the ledger, see [`Ledger::strike_lost`].
    pub fn but_lost(self, lost: usize) -> Self {
        Self { events: self.events + lost, lost, ..self }
    }
}

impl Ledger {
    /// Waits until every event has arrived; panics with the missing ones after `limit`.
    pub async fn arrive(&self, receiver: &Receiver, limit: Duration) {
        let start = Instant::now();
        loop {
            let missing = self.missing(receiver);
            if missing.is_empty() {
                return;
            }
            let count = missing.len();
            assert!(
                start.elapsed() < limit,
                "lost: {count} of {} confirmed events did not arrive within {limit:?}: {:?}",
                self.0.len(),
                &missing[..count.min(10)]
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The events that have not arrived.
    pub fn missing(&self, receiver: &Receiver) -> Vec<Entry> {
        let requests = receiver.requests();
        let arrived: HashSet<&str> = requests.iter().filter_map(|request| request.header("webhook-id")).collect();
        self.0.iter().filter(|entry| !arrived.contains(entry.id.as_str())).cloned().collect()
    }

    /// Where Redis itself loses writes: waits until all has arrived but what `may_be_lost`. Once nothing waits either,
    /// [`Ledger::strike_lost`] follows.
    pub async fn arrive_but(&self, receiver: &Receiver, limit: Duration, may_be_lost: impl Fn(&Entry) -> bool) {
        let sure = self.0.iter().filter(|entry| !may_be_lost(entry)).cloned().collect();
        Self(sure).arrive(receiver, limit).await;
    }

    /// Takes out what has not arrived; how many events that are.
    pub fn strike_lost(&mut self, receiver: &Receiver) -> usize {
        let lost: HashSet<String> = self.missing(receiver).into_iter().map(|entry| entry.id).collect();
        self.0.retain(|entry| !lost.contains(&entry.id));
        lost.len()
    }

    /// Holds the ledger against what arrived; panics when something is lost, unknown, or not in order. `lanes` says how
    /// many each tenant's endpoint has: with one, order holds for all of its events, with more, per contact.
    pub fn judge(&self, receiver: &Receiver, lanes: &[u16]) -> Findings {
        // Where each event is in its line: (tenant, contact or 0) and the position.
        let mut lines: BTreeMap<(usize, u64), Vec<&str>> = BTreeMap::new();
        let mut places: HashMap<&str, ((usize, u64), usize)> = HashMap::new();
        for entry in &self.0 {
            let name = (entry.tenant, if lanes[entry.tenant] > 1 { entry.contact } else { 0 });
            let line = lines.entry(name).or_default();
            assert!(places.insert(&entry.id, (name, line.len())).is_none(), "{} published as two events", entry.id);
            line.push(&entry.id);
        }

        let mut findings = Findings { events: self.0.len(), ..Findings::default() };
        let mut next: BTreeMap<(usize, u64), usize> = BTreeMap::new();
        let mut repeats: BTreeMap<(usize, u64), usize> = BTreeMap::new();
        let mut seen = HashSet::new();
        let mut last: HashMap<String, Instant> = HashMap::new();
        for request in receiver.requests() {
            let id = request.header("webhook-id").expect("a webhook-id").to_owned();
            let attempt = request.header("x-webhook-attempt").expect("an attempt").to_owned();
            let Some((name, position)) = places.get(id.as_str()).copied() else { panic!("{id} was never published") };
            assert_eq!(request.path, format!("/w{}", name.0), "{id} at another's endpoint");
            if let Some(before) = last.insert(request.path.clone(), request.at) {
                findings.gap_max = findings.gap_max.max(request.at.saturating_duration_since(before));
            }
            let expected = next.entry(name).or_default();
            if position > *expected {
                panic!("order: {id} arrived before {}", lines[&name][*expected]);
            }
            let first = position == *expected;
            if first {
                *expected += 1;
            }
            if !seen.insert((id, attempt.clone())) {
                findings.repeats += 1;
                *repeats.entry(name).or_default() += 1;
                findings.late += usize::from(position + 1 != *expected);
            } else if attempt != "1" {
                findings.retries += 1;
            }
        }
        for (name, line) in &lines {
            let arrived = next.get(name).copied().unwrap_or_default();
            assert_eq!(arrived, line.len(), "lost: {} and what follows it", line[arrived]);
        }
        findings.repeats_per_lane_max = repeats.values().copied().max().unwrap_or_default();
        findings
    }
}
