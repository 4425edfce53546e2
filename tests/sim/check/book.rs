//! The books: what is known of events, endpoints and attempts after each fact.

use std::collections::{BTreeMap, BTreeSet};

use super::quota::Windows;
use super::records::{Endpoint, Event, Item, ItemKey, Lease, Place, Runs};
use super::{Complaint, LIMIT_MS, RETRY_DELAYS_MS, Rules};
use crate::trace::{BEGIN_UNIX_MS, Entry, Fact};

/// The limit of an attempt and some time to begin it; after a request by then nobody else has the lane.
const BEGUN_WITHIN_MS: u64 = 9_000;

/// How much later than due an attempt may begin where nothing went wrong: all places may be taken for a while.
const LATE_MS: u64 = 3_000;

/// How long a claim holds: an attempt's limit and ten seconds.
const LEASE_MS: u64 = LIMIT_MS + 10_000;

/// How far a signature's time may be from the process's clock at the receiver: the way there takes time.
const STAMP_MS: i64 = 7_000;

pub struct Book {
    pub complaints: Vec<Complaint>,
    pub events: BTreeMap<String, Event>,
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
    skews_ms: BTreeMap<String, (i64, u64)>,
    read: usize,
}

impl Book {
    pub fn new(rules: Rules) -> Self {
        Self {
            windows: Windows::new(rules),
            complaints: Vec::new(),
            events: BTreeMap::new(),
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
            Fact::Given { event, .. } => {
                let at = self.at;
                self.event(event).given.get_or_insert(at);
            }
            Fact::Acked { event } => self.acked(event),
            Fact::Plan { workspace, entitled } => {
                self.entitled.insert(workspace.clone(), (*entitled, self.at));
                self.note_members();
            }
            Fact::Created { workspace, endpoint, url, lanes } => {
                self.endpoints.insert(endpoint.clone(), Endpoint::new(workspace, url, *lanes, self.at));
                self.note_members();
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
                self.endpoint(endpoint).deleted = true;
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
            Fact::Paused { process } => self.harmed(process, |runs, at| runs.pauses.push((at, None))),
            Fact::Continued { process } => {
                let at = self.at;
                let runs = self.processes.get_mut(process).unwrap();
                runs.pauses.last_mut().unwrap().1 = Some(at);
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

    /// Whether an endpoint is to have new events of its workspace, and since when that is so or not so.
    fn membership(&self, endpoint: &Endpoint) -> (bool, usize) {
        let (entitled, since) = self.entitled.get(&endpoint.workspace).copied().unwrap_or((false, 0));
        (entitled && !endpoint.deleted, since.max(endpoint.created))
    }

    fn note_members(&mut self) {
        let (at, entitled) = (self.at, &self.entitled);
        for endpoint in self.endpoints.values_mut() {
            if entitled.get(&endpoint.workspace).is_some_and(|(entitled, _)| *entitled) && !endpoint.deleted {
                endpoint.member_at.insert(at);
            }
        }
    }

    /// An event is acknowledged only after every lane that it belongs to holds it: which ones these are was found out
    /// between the first time that it was given out and now.
    fn acked(&mut self, event: &str) {
        let at = self.at;
        let Event { workspace, given, acked, .. } = self.event(event);
        if acked.is_some() {
            return;
        }
        *acked = Some(at);
        let (workspace, given) = (workspace.clone(), given.expect("given before it is acknowledged"));
        let mut members = Vec::new();
        for (id, endpoint) in &self.endpoints {
            let (is, since) = self.membership(endpoint);
            let always = is && since < given;
            let ever = always || is || endpoint.member_at.range(..at).next().is_some();
            if endpoint.workspace == workspace && ever {
                members.push((id.clone(), always));
            }
        }
        for (id, must) in members {
            let item = self.endpoint(&id).items.entry((event.to_owned(), 0)).or_insert_with(Item::new);
            item.must = must;
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
        subject.items.insert((event.to_owned(), copy + 1), Item { must: true, resent_at: Some(at), ..Item::new() });
    }

    fn claimed(&mut self, number: u64, lease: Lease) {
        assert_eq!(number, self.leases.len() as u64, "leases are numbered in their order");
        let (entitled, _) = self.entitled.get(&self.endpoints[&lease.endpoint].workspace).copied().unwrap_or_default();
        let subject = self.endpoint(&lease.endpoint);
        let mut wrong = Vec::new();
        if subject.deleted {
            wrong.push("its endpoint is deleted");
        }
        if subject.disabled.is_some() {
            wrong.push("its endpoint is disabled");
        }
        if !entitled {
            wrong.push("its workspace has no plan");
        }
        if subject.url != lease.url {
            wrong.push("its URL is not the endpoint's");
        }
        let item = subject.items.entry(lease.item.clone()).or_insert_with(Item::new);
        if item.attempt != lease.attempt {
            wrong.push("another attempt is next");
        }
        if item.place != Place::Waits {
            wrong.push("the event is in another place");
        }
        let told = format!("{lease:?}, while the event is {item:?}");
        self.leases.push(lease);
        for what in wrong {
            self.complain("begins", format!("an attempt is claimed though {what}: {told}"));
        }
    }

    fn stamped(&mut self, process: &str, stamped: u64) {
        let (skew_ms, since_ms) = self.skews_ms.get(process).copied().unwrap_or((0, 0));
        let clock_ms = i64::try_from(BEGIN_UNIX_MS + self.now_ms).unwrap() + skew_ms;
        let off_ms = clock_ms - i64::try_from(stamped * 1000).unwrap();
        let settled = since_ms == 0 || self.now_ms > since_ms + BEGUN_WITHIN_MS;
        if settled && !(0..=STAMP_MS).contains(&off_ms) {
            self.complain("headers", format!("webhook-timestamp is off by {off_ms} ms"));
        }
    }

    /// The newest claim of a process on an event of an endpoint that `open` says yes to.
    fn lease_of(&mut self, process: &str, url: &str, event: &str, open: impl Fn(&Lease) -> bool) -> Option<usize> {
        let is_it = |lease: &Lease| {
            lease.process == process
                && lease.url == url
                && lease.item.0 == event
                && lease.ended.is_none()
                && open(lease)
        };
        self.leases.iter().rposition(is_it)
    }

    fn request(&mut self, process: &str, url: &str, event: &str, attempt: u32, resend: bool) {
        let (at, now_ms) = (self.at, self.now_ms);
        let is_it = |lease: &Lease| lease.attempt == attempt && (lease.item.1 > 0) == resend;
        let Some(number) = self.lease_of(process, url, event, is_it) else {
            self.complain("begins", format!("{process} sends {event} to {url}, attempt {attempt}, without a claim"));
            return;
        };
        let lease = &mut self.leases[number];
        let again = lease.requested_ms.replace(now_ms).is_some();
        let (late, key, endpoint) = (now_ms - lease.at_ms, lease.item.clone(), lease.endpoint.clone());
        let subject = self.endpoint(&endpoint);
        let item = subject.items.get_mut(&key).expect("it was claimed");
        let (due_ms, due_since) = (item.due_ms, item.due_since);
        item.first_request.get_or_insert(at);
        if again {
            self.complain("repeats", format!("{event} is sent to {url} twice under one claim"));
        }
        if late > BEGUN_WITHIN_MS {
            self.complain("begins", format!("{event} is sent to {url} {late} ms after it was claimed"));
        }
        if now_ms < due_ms {
            self.complain("retries", format!("{event} is sent to {url} {} ms too early", due_ms - now_ms));
        }
        let (_, entitled_since) = self.entitled[&self.endpoints[&endpoint].workspace];
        if self.smooth && entitled_since < due_since && due_ms > 0 && now_ms > due_ms + LATE_MS {
            self.complain("retries", format!("{event} is sent to {url} {} ms late", now_ms - due_ms));
        }
        self.one_at_a_time(number, &endpoint, &key);
    }

    /// An attempt runs from its request until it ended, its process is dead, or its limit is over.
    fn one_at_a_time(&mut self, number: usize, endpoint: &str, key: &ItemKey) {
        let contact = |book: &Self, key: &ItemKey| book.events[&key.0].contact;
        let own = contact(self, key);
        let total = self.endpoints[endpoint].lanes_most == 1;
        let runs = |lease: &Lease| {
            let requested_ms = lease.requested_ms.filter(|_| lease.ended.is_none() && lease.endpoint == endpoint);
            requested_ms.is_some_and(|ms| ms + LIMIT_MS > self.now_ms)
                && self.processes[&lease.process].crashed.is_none()
        };
        let others = self.leases.iter().enumerate().filter(|(other, lease)| *other != number && runs(lease));
        let clash = others.map(|(_, lease)| lease).find(|lease| total || contact(self, &lease.item) == own);
        if let Some(clash) = clash {
            let text = format!("{} is sent to {endpoint} while {clash:?} is under way", key.0);
            self.complain("order", text);
        }
    }

    fn ended(&mut self, process: &str, url: &str, event: &str, status: Option<u16>) {
        let now_ms = self.now_ms;
        match self.lease_of(process, url, event, |_| true) {
            Some(number) => self.leases[number].ended = Some((now_ms, status)),
            None => {
                self.complain("begins", format!("{process} ends an attempt of {event} at {url} that it never began"))
            }
        }
    }

    fn recorded(&mut self, number: u64, delivered: bool, disabled: bool, dropped: bool) {
        let (at, now_ms) = (self.at, self.now_ms);
        let Some(lease) = usize::try_from(number).ok().and_then(|number| self.leases.get_mut(number)) else {
            self.complain("records", "an attempt is recorded that nobody claimed".to_owned());
            return;
        };
        let twice = std::mem::replace(&mut lease.recorded, true);
        let lease = lease.clone();
        let told = format!("attempt {} of {:?} at {}", lease.attempt, lease.item, lease.endpoint);
        if twice {
            self.complain("records", format!("{told} is recorded twice"));
        }
        let Some((ended_ms, status)) = lease.ended else {
            self.complain("records", format!("{told} is recorded before it ended"));
            return;
        };
        if delivered != (status == Some(200)) {
            self.complain("records", format!("{told} ended with {status:?} and is recorded as delivered: {delivered}"));
        }
        let generation = self.endpoint(&lease.endpoint).generation;
        let counts = !delivered && generation == lease.generation;
        let (may, may_not) = match counts {
            true => self.windows.count(&self.endpoints, &lease.endpoint, ended_ms, now_ms),
            false => (false, true),
        };
        if (disabled && !may) || (!disabled && !may_not) {
            let count = self.windows.told(&self.endpoints, &lease.endpoint, now_ms);
            self.complain("quota", format!("{told} failed: disabled is {disabled}, should not be; {count}"));
        }
        let last = !delivered && lease.attempt as usize > RETRY_DELAYS_MS.len();
        if last != dropped {
            self.complain("retries", format!("{told}: dropped is {dropped}, should be {last}"));
        }
        let subject = self.endpoint(&lease.endpoint);
        subject.recorded.push((lease.item.0.clone(), lease.attempt, delivered));
        let item = subject.items.get_mut(&lease.item).expect("it was claimed");
        if delivered || dropped {
            (item.place, item.done) = (if delivered { Place::Delivered } else { Place::Dropped }, Some(at));
        } else if counts && !disabled {
            item.attempt += 1;
            item.due_ms = ended_ms + RETRY_DELAYS_MS[lease.attempt as usize - 1];
            item.due_since = at;
        } else {
            (item.attempt, item.due_ms) = (1, 0);
        }
        if disabled {
            self.disabled(&lease.endpoint, "quota");
        }
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
