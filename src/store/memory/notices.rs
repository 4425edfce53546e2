//! A partition's outbox: notices by id and channel, each due at a time.

use std::collections::BTreeMap;

use crate::decide::ids::{EndpointId, EventId, WorkspaceId};
use crate::decide::notice::{Channel, DisableReason, DropReason, Notice, NoticeKind};
use crate::store::outbox::{NOTICE_LEASE, OUTBOX_ENTRIES_MAX, OUTBOX_ENTRIES_SHED, Outgoing, Sent};
use crate::testing::{Bug, has};

const MINUTE_MS: u64 = 60_000;

#[derive(Default)]
pub(super) struct Notices {
    entries: BTreeMap<(String, Channel), Entry>,
    /// Drops and warnings that were not told.
    pub shed: u64,
}

struct Entry {
    notice: Notice,
    due_ms: u64,
    tries: u32,
}

/// Whom a notice is about.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub workspace: &'a WorkspaceId,
    pub endpoint: &'a EndpointId,
    pub now_ms: u64,
}

impl About<'_> {
    fn notice(self, id: String, kind: NoticeKind, reason: &str) -> Notice {
        Notice {
            id,
            kind,
            at_ms: self.now_ms,
            workspace: self.workspace.clone(),
            endpoint: self.endpoint.clone(),
            event: None,
            reason: reason.to_owned(),
            count: None,
        }
    }
}

impl Notices {
    pub fn disabled(&mut self, about: About<'_>, generation: u64, reason: DisableReason) {
        let id = format!("disabled-{}-{generation}", about.endpoint);
        if has(Bug::NoticeTwice) {
            let once_more = about.notice(format!("{id}-again"), NoticeKind::Disabled, reason.as_str());
            self.record(once_more, about.now_ms);
        }
        self.record(about.notice(id, NoticeKind::Disabled, reason.as_str()), about.now_ms);
    }

    pub fn enabled(&mut self, about: About<'_>, generation: u64) {
        let id = format!("enabled-{}-{generation}", about.endpoint);
        self.record(about.notice(id, NoticeKind::Enabled, DisableReason::Manual.as_str()), about.now_ms);
    }

    pub fn warning(&mut self, about: About<'_>, scope: &str, failures: u32) {
        if self.is_full() {
            self.shed += 1;
            return;
        }
        let id = format!("warning-{scope}-{}", about.now_ms);
        let notice = about.notice(id, NoticeKind::Warning, DisableReason::Quota.as_str());
        self.record(Notice { count: Some(failures.into()), ..notice }, about.now_ms);
    }

    /// One event whose retries are used up: told alone, unless the outbox is long already.
    pub fn dropped(&mut self, about: About<'_>, reason: DropReason, seq: u64, event: &EventId) {
        if !reason.is_told() {
            return;
        }
        if reason == DropReason::Retries && self.entries.len() < OUTBOX_ENTRIES_MAX {
            let id = format!("dropped-{}-{seq}", about.endpoint);
            let notice = about.notice(id, NoticeKind::Dropped, reason.as_str());
            self.record(Notice { event: Some(event.clone()), ..notice }, about.now_ms);
        } else {
            self.count_dropped(about, reason);
        }
    }

    /// One more in the minute's notice, which goes out when the minute is over.
    fn count_dropped(&mut self, about: About<'_>, reason: DropReason) {
        let minute = about.now_ms / MINUTE_MS;
        let id = format!("dropped-{}-{}-{minute}", about.endpoint, reason.as_str());
        if self.is_full() && !self.entries.contains_key(&(id.clone(), Channel::Amqp)) {
            self.shed += 1;
            return;
        }
        let fresh = Notice { count: Some(0), ..about.notice(id, NoticeKind::Dropped, reason.as_str()) };
        for channel in fresh.kind.channels() {
            let due_ms = (minute + 1) * MINUTE_MS;
            let entry = self.entries.entry((fresh.id.clone(), *channel));
            let entry = entry.or_insert_with(|| Entry { notice: fresh.clone(), due_ms, tries: 0 });
            entry.notice.count = entry.notice.count.map(|count| count + 1);
        }
    }

    /// Whether what is worth a count alone is counted and not told.
    fn is_full(&self) -> bool {
        self.entries.len() >= OUTBOX_ENTRIES_SHED
    }

    fn record(&mut self, notice: Notice, due_ms: u64) {
        for channel in notice.kind.channels() {
            let entry = Entry { notice: notice.clone(), due_ms, tries: 0 };
            self.entries.insert((notice.id.clone(), *channel), entry);
        }
    }

    pub fn lease(&mut self, limit: usize, now_ms: u64) -> Vec<Outgoing> {
        let mut due: Vec<_> = self.entries.iter_mut().filter(|(_, entry)| entry.due_ms <= now_ms).collect();
        due.sort_by_key(|(_, entry)| entry.due_ms);
        due.truncate(limit);
        let lease_ms = u64::try_from(NOTICE_LEASE.as_millis()).unwrap_or(u64::MAX);
        let lease = |((_, channel), entry): (&(String, Channel), &mut Entry)| {
            let outgoing = Outgoing { notice: entry.notice.clone(), channel: *channel, tries: entry.tries };
            entry.tries += 1;
            entry.due_ms = now_ms + lease_ms;
            outgoing
        };
        due.into_iter().map(lease).collect()
    }

    pub fn settle(&mut self, id: &str, channel: Channel, sent: Sent, now_ms: u64) {
        let key = (id.to_owned(), channel);
        match sent {
            Sent::Done => {
                self.entries.remove(&key);
            }
            Sent::Again(pause) => {
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.due_ms = now_ms + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                }
            }
        }
    }
}
