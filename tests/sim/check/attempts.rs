//! Attempts: what may be claimed, sent and recorded, and when.

use super::book::Book;
use super::records::{Item, ItemKey, Lease, Place};
use super::{LIMIT_MS, RETRY_DELAYS_MS};
use crate::trace::BEGIN_UNIX_MS;

/// The limit of an attempt and some time to begin it; after a request by then nobody else has the lane.
const BEGUN_WITHIN_MS: u64 = 9_000;

/// How much later than due an attempt may begin where nothing went wrong: all places may be taken for a while.
const LATE_MS: u64 = 3_000;

/// How far a signature's time may be from the process's clock at the receiver: the way there takes time.
const STAMP_MS: i64 = 7_000;

impl Book {
    pub fn claimed(&mut self, number: u64, lease: Lease) {
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

    pub fn stamped(&mut self, process: &str, stamped: u64) {
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

    pub fn request(&mut self, process: &str, url: &str, event: &str, attempt: u32, resend: bool) {
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

    pub fn ended(&mut self, process: &str, url: &str, event: &str, status: Option<u16>) {
        let now_ms = self.now_ms;
        match self.lease_of(process, url, event, |_| true) {
            Some(number) => self.leases[number].ended = Some((now_ms, status)),
            None => {
                self.complain("begins", format!("{process} ends an attempt of {event} at {url} that it never began"))
            }
        }
    }

    pub fn recorded(&mut self, number: u64, delivered: bool, disabled: bool, dropped: bool) {
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
}
