//! What happened in a history, as plain facts: texts and numbers that anybody outside could have written down.
//!
//! This is all that the checker gets to see. None of the service's types are in it, so that no mistake of theirs can
//! excuse itself.

use std::fmt::{self, Display, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

/// When histories begin, Unix milliseconds: an hour's beginning.
pub const BEGIN_UNIX_MS: u64 = 1_800_000_000_000;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    // Upstream and the broker.
    /// The broker confirmed an event; these facts are in the order of the queue.
    Published {
        workspace: String,
        event: String,
        contact: Option<u64>,
    },
    /// Something that can never be delivered, and why; its id is nobody else's.
    Poison {
        event: String,
        reason: &'static str,
        body: String,
    },
    /// It was put into the queue of what was rejected.
    Rejected {
        event: String,
        reason: String,
        body: String,
    },
    /// The broker gave an event to a consumer.
    Given {
        event: String,
        process: String,
    },
    /// A consumer acknowledged it.
    Acked {
        event: String,
    },

    // People; each is done the moment it is written down.
    /// A workspace's plan may have webhooks, or may not.
    Plan {
        workspace: String,
        entitled: bool,
    },
    Created {
        workspace: String,
        endpoint: String,
        url: String,
        lanes: u16,
    },
    Moved {
        endpoint: String,
        url: String,
    },
    Laned {
        endpoint: String,
        lanes: u16,
    },
    /// By hand, and it was enabled.
    Disabled {
        endpoint: String,
    },
    /// It was disabled.
    Enabled {
        endpoint: String,
    },
    /// What enabling discarded.
    Discarded {
        endpoint: String,
        event: String,
    },
    /// Limits of the backlog dropped it.
    Displaced {
        endpoint: String,
        event: String,
        reason: String,
    },
    /// By itself, or with its workspace.
    Deleted {
        endpoint: String,
    },
    /// Dropped or delivered before; now it waits once more, behind all the others.
    Resent {
        endpoint: String,
        event: String,
    },

    // Attempts.
    /// The store let a process make an attempt.
    Claimed {
        lease: u64,
        process: String,
        endpoint: String,
        event: String,
        attempt: u32,
        resend: bool,
        url: String,
    },
    /// A receiver has a whole request before it.
    Request {
        process: String,
        url: String,
        event: String,
        attempt: u32,
        resend: bool,
        stamped: u64,
    },
    /// The attempt is over for the process that made it; no status when no status line came within the limit.
    Ended {
        process: String,
        url: String,
        event: String,
        status: Option<u16>,
    },
    /// The store recorded how an attempt ended.
    Recorded {
        lease: u64,
        delivered: bool,
        disabled: bool,
        dropped: bool,
    },

    // What excuses repeats.
    Started {
        process: String,
    },
    /// It was asked to, and has ended.
    Stopped {
        process: String,
    },
    Crashed {
        process: String,
    },
    Paused {
        process: String,
    },
    Continued {
        process: String,
    },
    /// The process does not know whether an operation was done.
    Lost {
        process: String,
        operation: &'static str,
        fate: &'static str,
    },
    /// Nobody reaches the store, or everybody does again.
    Away {
        away: bool,
    },
    /// The broker ended a process's subscription.
    Cut {
        process: String,
    },
    /// A process's clock is wrong by so much from now on.
    Skewed {
        process: String,
        by_ms: i64,
    },

    // What the outside world is told.
    Told {
        id: String,
        kind: String,
        endpoint: String,
        event: Option<String>,
        reason: String,
        count: u64,
    },

    // What the API says at the end.
    /// From here on nothing fails any more and receivers behave.
    Calm,
    Row {
        endpoint: String,
        event: String,
        attempt: u32,
        delivered: bool,
    },
    InDroppedList {
        endpoint: String,
        event: String,
        reason: String,
    },
    Backlog {
        endpoint: String,
        events: u64,
        status: String,
    },
    Quota {
        workspace: String,
        used: u32,
        by_endpoint: Vec<(String, u32)>,
    },
    /// Messages that are still in the queue.
    Queue {
        messages: usize,
    },
}

impl Fact {
    /// Whether a notice may go out much later because of it.
    pub fn delays_notices(&self) -> bool {
        matches!(
            self,
            Self::Crashed { .. }
                | Self::Stopped { .. }
                | Self::Paused { .. }
                | Self::Lost { .. }
                | Self::Away { away: true }
                | Self::Displaced { .. }
                | Self::Discarded { .. }
        )
    }
}

impl Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Debug` of plain texts and numbers is readable and loses nothing.
        write!(f, "{self:?}")
    }
}

/// A fact and when it was, in milliseconds since the history began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub at_ms: u64,
    pub fact: Fact,
}

/// Takes facts down. Clones write to the same paper.
#[derive(Clone)]
pub struct Trace {
    began: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Trace {
    /// Begins now.
    pub fn new() -> Self {
        Self { began: Instant::now(), entries: Arc::default() }
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap()
    }

    pub fn put(&self, fact: Fact) {
        let at_ms = self.now_ms();
        self.entries.lock().unwrap().push(Entry { at_ms, fact });
    }

    /// When the last of some facts was.
    pub fn last_ms(&self, which: impl Fn(&Fact) -> bool) -> Option<u64> {
        let entries = self.entries.lock().unwrap();
        entries.iter().rev().find(|entry| which(&entry.fact)).map(|entry| entry.at_ms)
    }

    pub fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.entries.lock().unwrap())
    }
}

/// A trace to be read, a fact a line.
pub fn text(entries: &[Entry]) -> String {
    entries.iter().enumerate().fold(String::new(), |mut text, (n, Entry { at_ms, fact })| {
        writeln!(text, "{n:5} {:4}.{:03} {fact}", at_ms / 1000, at_ms % 1000).unwrap();
        text
    })
}
