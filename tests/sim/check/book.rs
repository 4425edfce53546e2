//! The books: what is known of events, endpoints and attempts after each fact.

use std::collections::{BTreeMap, BTreeSet};

use super::quota::Windows;
use super::records::{Endpoint, Event, Item, Lease, Pause, Place, Poison, Runs};
use super::{Complaint, LIMIT_MS, Rules};
use crate::trace::{Entry, Fact};

/// How long a claim holds: an attempt's limit and ten seconds.
const LEASE_MS: u64 = LIMIT_MS + 10_000;

pub struct Book {
    pub complaints: Vec<Complaint>,
    pub events: BTreeMap<String, Event>,
    pub poison: BTreeMap<String, Poison>,
    pub entitled: BTreeMap<String, (bool, usize)>,
    pub endpoints: BTreeMap<String, Endpoint>,
    pub leases: Vec<Lease>,
    pub processes: BTreeMap<String, Runs>,
    pub windows: Windows,
    /// Notices by id: kind, endpoint, event, reason, count; and how often each was sent.
    pub told: BTreeMap<String, (Fact, u32)>,
    /// Whether a notice may have been sent twice.
    pub repeats_excused: bool,
    /// Whether anything went wrong that makes things late.
    pub smooth: bool,
    /// The fact at hand.
    pub at: usize,
    pub now_ms: u64,
    /// How wrong processes' clocks are, and since when.
    pub skews_ms: BTreeMap<String, (i64, u64)>,
    read: usize,
}

impl Book {
    pub fn new(rules: Rules) -> Self {
        Self {
            windows: Windows::new(rules),
            complaints: Vec::new(),
            events: BTreeMap::new(),
            poison: BTreeMap::new(),
            entitled: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            leases: Vec::new(),
            processes: BTreeMap::new(),
            told: BTreeMap::new(),
            repeats_excused: false,
            smooth: true,
            at: 0,
            now_ms: 0,
            skews_ms: BTreeMap::new(),
            read: 0,
        }
    }

    pub fn complain(&mut self, rule: &'static str, text: String) {
        self.complaints.push(Complaint { rule, at: self.at, text });
    }

    pub fn read(&mut self, entry: &Entry) {
        (self.at, self.now_ms) = (self.read, entry.at_ms);
        self.read += 1;
        match &entry.fact {
            Fact::Published { workspace, event, contact } => {
                let place = self.events.len();
                let fresh = Event { workspace: workspace.clone(), contact: *contact, place, given: None, acked: None };
                self.events.entry(event.clone()).or_insert(fresh);
            }
            Fact::Poison { event, reason, body } => {
                self.poison.insert(event.clone(), Poison { reason, body: body.clone(), rejected: 0 });
            }
            Fact::Rejected { event, reason, body } => self.rejected(event, reason, body),
            Fact::Given { event, .. } if self.poison.contains_key(event) => {}
            Fact::Given { event, .. } => {
                let at = self.at;
                self.event(event).given.get_or_insert(at);
            }
            Fact::Acked { event } => self.acked(event),
            Fact::Plan { workspace, entitled } => {
                self.entitled.insert(workspace.clone(), (*entitled, self.at));
                let at = self.at;
                for endpoint in self.endpoints.values_mut().filter(|it| it.workspace == *workspace && !entitled) {
                    endpoint.left = Some(at);
                }
            }
            Fact::Created { workspace, endpoint, url, lanes } => {
                self.endpoints.insert(endpoint.clone(), Endpoint::new(workspace, url, *lanes, self.at));
            }
            Fact::Moved { endpoint, url } => self.endpoint(endpoint).url.clone_from(url),
            Fact::Laned { endpoint, lanes } => {
                let endpoint = self.endpoint(endpoint);
                endpoint.lanes_most = endpoint.lanes_most.max(*lanes);
            }
            Fact::Disabled { endpoint } => self.disabled(endpoint, "manual"),
            Fact::Enabled { endpoint } => self.endpoint(endpoint).enabled(),
            Fact::Discarded { endpoint, event } => self.discarded(endpoint, event),
            Fact::Displaced { endpoint, event, reason } => self.displaced(endpoint, event, reason),
            Fact::Deleted { endpoint } => {
                let at = self.at;
                let subject = self.endpoint(endpoint);
                (subject.deleted, subject.left) = (true, Some(at));
                self.windows.leave(endpoint);
            }
            Fact::Resent { endpoint, event } => self.resent(endpoint, event),
            Fact::Claimed { lease, process, endpoint, event, attempt, resend, url } => {
                let copy = if *resend { self.endpoint(endpoint).copies(event) } else { 0 };
                let generation = self.endpoint(endpoint).generation;
                let claimed = Lease {
                    process: process.clone(),
                    endpoint: endpoint.clone(),
                    item: (event.clone(), copy),
                    attempt: *attempt,
                    url: url.clone(),
                    generation,
                    at: self.at,
                    at_ms: self.now_ms,
                    requested_ms: None,
                    ended: None,
                    recorded: false,
                };
                self.claimed(*lease, claimed);
            }
            Fact::Request { process, url, event, attempt, resend, stamped } => {
                self.stamped(process, *stamped);
                self.request(process, url, event, *attempt, *resend);
            }
            Fact::Ended { process, url, event, status } => self.ended(process, url, event, *status),
            Fact::Recorded { lease, delivered, disabled, dropped } => {
                self.recorded(*lease, *delivered, *disabled, *dropped);
            }
            Fact::Started { process } => {
                self.processes.insert(process.clone(), Runs::default());
            }
            Fact::Stopped { .. } => self.smooth = false,
            Fact::Crashed { process } => self.harmed(process, |runs, at| runs.crashed = Some(at)),
            Fact::Paused { process } => {
                let from_ms = self.now_ms;
                self.harmed(process, |runs, from| runs.pauses.push(Pause { from, from_ms, until: None }));
            }
            Fact::Continued { process } => {
                let until = Some((self.at, self.now_ms));
                let runs = self.processes.get_mut(process).unwrap();
                runs.pauses.last_mut().unwrap().until = until;
            }
            Fact::Lost { .. } => (self.smooth, self.repeats_excused) = (false, true),
            Fact::Away { away } => {
                self.smooth &= !away;
                self.repeats_excused |= away;
            }
            Fact::Cut { .. } => self.smooth = false,
            Fact::Skewed { process, by_ms } => {
                let now_ms = self.now_ms;
                let skew = self.skews_ms.entry(process.clone()).or_default();
                *skew = (skew.0 + by_ms, now_ms);
            }
            Fact::Told { id, .. } => self.told.entry(id.clone()).or_insert((entry.fact.clone(), 0)).1 += 1,
            Fact::Row { endpoint, event, attempt, delivered } => {
                self.endpoint(endpoint).rows.push((event.clone(), *attempt, *delivered));
            }
            Fact::InDroppedList { endpoint, event, reason } => {
                self.endpoint(endpoint).dropped_list.push((event.clone(), reason.clone()));
            }
            Fact::Backlog { endpoint, events, status } => {
                self.endpoint(endpoint).backlog = Some((*events, status.clone()));
            }
            Fact::Quota { workspace, used, by_endpoint } => self.quota(workspace, *used, by_endpoint),
            Fact::Queue { messages: 0 } | Fact::Calm => {}
            Fact::Queue { messages } => self.complain("intake", format!("{messages} messages stay in the queue")),
        }
    }

    fn harmed(&mut self, process: &str, note: impl FnOnce(&mut Runs, usize)) {
        (self.smooth, self.repeats_excused) = (false, true);
        let at = self.at;
        note(self.processes.get_mut(process).unwrap(), at);
    }

    fn event(&mut self, event: &str) -> &mut Event {
        self.events.get_mut(event).expect("an event is published before anything else")
    }

    pub fn endpoint(&mut self, endpoint: &str) -> &mut Endpoint {
        self.endpoints.get_mut(endpoint).expect("an endpoint is created before anything else")
    }

    /// What can never be delivered, and nothing else, is rejected: for its reason, as it was, once if nothing went wrong.
    fn rejected(&mut self, event: &str, reason: &str, body: &str) {
        let excused = self.repeats_excused || !self.smooth;
        let wrong = match self.poison.get_mut(event) {
            None => Some("it can be delivered"),
            Some(poison) => {
                poison.rejected += 1;
                let as_it_was = (poison.reason, poison.body.as_str()) == (reason, body);
                let again = poison.rejected > 1 && !excused;
                if again { Some("it was rejected before") } else { (!as_it_was).then_some("it is another thing") }
            }
        };
        if let Some(wrong) = wrong {
            self.complain("rejects", format!("{event} is rejected as {reason}, {body}, but {wrong}"));
        }
    }

    /// An event is acknowledged only after every lane that it belongs to holds it: which ones these are was found out
    /// between the first time that it was given out and now.
    fn acked(&mut self, event: &str) {
        if let Some(poison) = self.poison.get(event) {
            if poison.rejected == 0 {
                self.complain("rejects", format!("{event} is acknowledged, and was rejected nowhere"));
            }
            return;
        }
        let at = self.at;
        let Event { workspace, given, acked, .. } = self.event(event);
        if acked.is_some() {
            return;
        }
        *acked = Some(at);
        let (workspace, given) = (workspace.clone(), given.expect("given before it is acknowledged"));
        let (entitled, plan_since) = self.entitled.get(&workspace).copied().unwrap_or_default();
        for endpoint in self.endpoints.values_mut().filter(|endpoint| endpoint.workspace == workspace) {
            let is = entitled && !endpoint.deleted;
            if is || endpoint.left.is_some_and(|left| left > given) {
                let item = endpoint.items.entry((event.to_owned(), 0)).or_insert_with(Item::new);
                (item.must, item.may) = (is && plan_since.max(endpoint.created) < given, true);
            }
        }
    }

    pub fn disabled(&mut self, endpoint: &str, reason: &'static str) {
        self.windows.leave(endpoint);
        self.endpoint(endpoint).disabled(reason);
    }

    fn discarded(&mut self, endpoint: &str, event: &str) {
        let at = self.at;
        let subject = self.endpoint(endpoint);
        let key = (event.to_owned(), subject.copies(event));
        let item = subject.items.entry(key).or_insert_with(Item::new);
        let was = std::mem::replace(&mut item.place, Place::Discarded);
        item.done = Some(at);
        subject.discards += 1;
        if was != Place::Waits {
            self.complain("places", format!("{event} of {endpoint} is discarded, but it was {was:?}"));
        }
    }

    /// The backlog's limits never take the event being tried; that of age takes none that has recorded attempts.
    fn displaced(&mut self, endpoint: &str, event: &str, reason: &str) {
        let at = self.at;
        let key = (event.to_owned(), self.endpoint(endpoint).copies(event));
        let claims = self.leases.iter().filter(|lease| lease.endpoint == endpoint && lease.item == key);
        let tried = match reason {
            "backlog_age" => claims.filter(|lease| lease.recorded || lease.at_ms + LEASE_MS > self.now_ms).count(),
            _ => claims.count(),
        };
        let subject = self.endpoint(endpoint);
        *subject.displaced.entry(reason.to_owned()).or_default() += 1;
        let item = subject.items.entry(key).or_insert_with(Item::new);
        let was = std::mem::replace(&mut item.place, Place::Displaced);
        item.displaced = Some(reason.to_owned());
        item.done = Some(at);
        if was != Place::Waits || tried > 0 {
            self.complain(
                "places",
                format!("{event} of {endpoint} is dropped by {reason}, but it was {was:?} or tried"),
            );
        }
    }

    fn resent(&mut self, endpoint: &str, event: &str) {
        let at = self.at;
        let subject = self.endpoint(endpoint);
        let copy = subject.copies(event);
        if let Some(before) = subject.items.get_mut(&(event.to_owned(), copy)) {
            before.resent = true;
        }
        subject
            .items
            .insert((event.to_owned(), copy + 1), Item { must: true, may: true, resent_at: Some(at), ..Item::new() });
    }

    fn quota(&mut self, workspace: &str, used: u32, by_endpoint: &[(String, u32)]) {
        let told: BTreeMap<&String, u32> = by_endpoint.iter().map(|(endpoint, count)| (endpoint, *count)).collect();
        let own = self.endpoints.iter().filter(|(_, endpoint)| endpoint.workspace == workspace);
        let own: Vec<_> = own.map(|(id, _)| (id, self.windows.of_endpoint(id, self.now_ms))).collect();
        let right = own.iter().all(|(id, counts)| counts.contains(&told.get(id).copied().unwrap_or(0)));
        if !right || told.values().sum::<u32>() != used || told.len() < by_endpoint.len() {
            let text = format!("{workspace} is said to have {used} {by_endpoint:?}, it has {own:?}");
            self.complain("quota", text);
        }
    }

    /// Names of what is known, for the rules about wholes.
    pub fn names(&self) -> BTreeSet<String> {
        self.endpoints.keys().cloned().collect()
    }
}
