//! Judges a trace by `docs/contract.md`, sections 2 to 4, and by nothing else: it knows no type of the service's and keeps
//! books of its own.
//!
//! [`book`] and [`attempts`] read the facts one after the other and complain of what is wrong the moment it happens; [`whole`] looks
//! at the finished books for what can only be said at the end.

mod attempts;
mod book;
mod quota;
mod records;
mod whole;

use crate::trace::Entry;

pub use book::Book;

/// The waits before the second, third and fourth attempt (section 3).
const RETRY_DELAYS_MS: [u64; 3] = [30_000, 60_000, 90_000];

/// An attempt's limit (section 1).
const LIMIT_MS: u64 = 5_000;

/// What an operator may set and a plan does.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub quota_limit: u32,
    pub quota_window_ms: u64,
    pub quota_per_endpoint: bool,
}

/// Something that the contract forbids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    /// Which promise is broken.
    pub rule: &'static str,
    /// The fact that breaks it, by its number in the trace.
    pub at: usize,
    pub text: String,
}

/// All that is wrong with a history.
pub fn check(rules: Rules, trace: &[Entry]) -> Vec<Complaint> {
    let mut book = Book::new(rules);
    for entry in trace {
        book.read(entry);
    }
    whole::check(&mut book);
    book.complaints
}
