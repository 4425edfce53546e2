//! What the books hold of events, endpoints, attempts and processes.

use std::collections::BTreeMap;

/// How long a claim holds beyond what its attempt may take, from a late beginning to the limit.
const SPARE_MS: u64 = 5_000;

/// An event as upstream knows it.
pub struct Event {
    pub workspace: String,
    pub contact: Option<u64>,
    /// Its place in the queue.
    pub place: usize,
    /// When it was first given out, and first acknowledged.
    pub given: Option<usize>,
    pub acked: Option<usize>,
}

/// What can never be delivered, and how often it was rejected.
pub struct Poison {
    pub reason: &'static str,
    pub body: String,
    pub rejected: usize,
}

/// An event's id, and how often it was resent before.
pub type ItemKey = (String, u32);

pub struct Endpoint {
    pub workspace: String,
    pub url: String,
    pub lanes_most: u16,
    pub created: usize,
    /// When it last ceased to have its workspace's new events.
    pub left: Option<usize>,
    pub deleted: bool,
    pub disabled: Option<&'static str>,
    /// Raised by each disabling and enabling.
    pub generation: u32,
    pub disablings: Vec<&'static str>,
    pub enablings: usize,
    pub discards: u64,
    /// Dropped by limits of the backlog, by reason.
    pub displaced: BTreeMap<String, u64>,
    pub items: BTreeMap<ItemKey, Item>,
    /// Attempts recorded: event, attempt, delivered.
    pub recorded: Vec<(String, u32, bool)>,
    /// What the API says at the end.
    pub rows: Vec<(String, u32, bool)>,
    pub dropped_list: Vec<(String, String)>,
    pub backlog: Option<(u64, String)>,
}

/// Where an event is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Waits,
    Delivered,
    Dropped,
    Discarded,
    /// Dropped by a limit of the backlog.
    Displaced,
}

/// An event at an endpoint.
#[derive(Debug)]
pub struct Item {
    /// Whether it certainly belongs there, and whether it can: between the two nobody outside can tell.
    pub must: bool,
    pub may: bool,
    pub place: Place,
    /// The attempt to be made next, and not before when.
    pub attempt: u32,
    pub due_ms: u64,
    /// Since which fact that is so.
    pub due_since: usize,
    pub first_request: Option<usize>,
    pub done: Option<usize>,
    /// When it was put into its lane by hand, and whether this one was dropped and then resent.
    pub resent_at: Option<usize>,
    pub resent: bool,
    /// The limit that dropped it.
    pub displaced: Option<String>,
}

/// The right to one attempt, and what became of it.
#[derive(Clone, Debug)]
pub struct Lease {
    pub process: String,
    pub endpoint: String,
    pub item: ItemKey,
    pub attempt: u32,
    pub url: String,
    pub generation: u32,
    pub at: usize,
    pub at_ms: u64,
    pub requested_ms: Option<u64>,
    pub ended: Option<(u64, Option<u16>)>,
    pub recorded: bool,
}

/// What happened to a process.
#[derive(Default)]
pub struct Runs {
    pub crashed: Option<usize>,
    pub pauses: Vec<Pause>,
}

/// A pause: the numbers of its facts, and its times.
pub struct Pause {
    pub from: usize,
    pub from_ms: u64,
    pub until: Option<(usize, u64)>,
}

impl Runs {
    /// Whether an attempt of one claim may have been repeated under the next, since its process died in between, or was
    /// stopped for longer than the time that a claim has to spare.
    pub fn excuses(&self, claim: &Lease, next: &Lease) -> bool {
        let met = |pause: &&Pause| pause.from < next.at && pause.until.is_none_or(|(until, _)| until > claim.at);
        let span_ms = |pause: &Pause| pause.until.map_or(next.at_ms, |(_, until_ms)| until_ms) - pause.from_ms;
        let stopped_ms: u64 = self.pauses.iter().filter(met).map(span_ms).sum();
        self.crashed.is_some_and(|crashed| crashed < next.at) || stopped_ms >= SPARE_MS
    }
}

impl Item {
    pub fn new() -> Self {
        Self {
            must: false,
            may: false,
            place: Place::Waits,
            attempt: 1,
            due_ms: 0,
            due_since: 0,
            first_request: None,
            done: None,
            resent_at: None,
            resent: false,
            displaced: None,
        }
    }
}

impl Endpoint {
    pub fn new(workspace: &str, url: &str, lanes: u16, at: usize) -> Self {
        Self {
            workspace: workspace.to_owned(),
            url: url.to_owned(),
            lanes_most: lanes,
            created: at,
            left: None,
            deleted: false,
            disabled: None,
            generation: 0,
            disablings: Vec::new(),
            enablings: 0,
            discards: 0,
            displaced: BTreeMap::new(),
            items: BTreeMap::new(),
            recorded: Vec::new(),
            rows: Vec::new(),
            dropped_list: Vec::new(),
            backlog: None,
        }
    }

    /// How often an event was resent.
    pub fn copies(&self, event: &str) -> u32 {
        let keys = self.items.range((event.to_owned(), 0)..=(event.to_owned(), u32::MAX));
        keys.map(|((_, copy), _)| *copy).max().unwrap_or(0)
    }

    pub fn disabled(&mut self, reason: &'static str) {
        self.disabled = Some(reason);
        self.generation += 1;
        self.disablings.push(reason);
    }

    /// What was interrupted begins a new round.
    pub fn enabled(&mut self) {
        self.disabled = None;
        self.generation += 1;
        self.enablings += 1;
        for item in self.items.values_mut() {
            (item.attempt, item.due_ms) = (1, 0);
        }
    }
}
