//! Which trace a step belongs to, and which span of it the step is (W3C Trace Context).
//!
//! Ids follow from what a step is about, so that whoever takes the same step again (a batch that had to begin once more,
//! another replica) gives it the same ones, and that the header of an attempt can be told again without being kept.
//! Rejected: random ids, which a second try would replace while the first one's are in the store already.

use std::fmt;
use std::time::Duration;

use super::ids::{EndpointId, EventId, WorkspaceId, fnv1a};

/// A W3C `traceparent`: a trace, a span in it, and whether it is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traceparent {
    trace: u128,
    span: u64,
    flags: u8,
}

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 0b01;

/// `sampled` and `random`; others are not ours to pass on (W3C Trace Context, 3.2.2.5).
const KNOWN_FLAGS: u8 = 0b11;

impl Traceparent {
    /// Reads a header. `None` when it is not valid, which means: no trace.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let span = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        // Later versions may append parts; this one may not.
        let fits = version != 0xff && (version != 0 || parts.next().is_none());
        (fits && trace != 0 && span != 0).then_some(Self { trace, span, flags: flags & KNOWN_FLAGS })
    }

    /// One attempt's span. Its id follows from what the attempts log knows of the attempt; `at` is its time as signed, of
    /// which whole seconds count.
    pub fn attempt(self, endpoint: &EndpointId, event: &EventId, attempt: u32, at: Duration) -> Self {
        self.child(fnv1a(format!("{endpoint} {event} {attempt} {}", at.as_secs()).as_bytes()))
    }

    /// The span of an event's way into the store: of the publisher's trace, or of one that begins with it.
    pub fn append(parent: Option<Self>, workspace: &WorkspaceId, event: &EventId) -> Self {
        let parent = parent.unwrap_or_else(|| {
            let half = |name: &str| u128::from(fnv1a(format!("{name} {workspace} {event}").as_bytes()));
            Self { trace: (half("trace") << 64 | half("id")).max(1), span: 0, flags: 0 }
        });
        parent.child(fnv1a(format!("append {:016x} {workspace} {event}", parent.span).as_bytes()))
    }

    /// A span of this id (0 is not valid, and becomes 1) in the parent's trace, or else in the given one.
    pub fn of(parent: Option<Self>, trace: u128, span: u64) -> Self {
        parent.unwrap_or(Self { trace: trace.max(1), span: 0, flags: 0 }).child(span)
    }

    fn child(self, span: u64) -> Self {
        Self { span: span.max(1), ..self }
    }

    /// The same, recorded.
    #[must_use]
    pub fn sampled(self) -> Self {
        Self { flags: self.flags | SAMPLED, ..self }
    }

    /// Whether it is recorded.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The trace's id.
    pub fn trace(self) -> u128 {
        self.trace
    }

    /// The span's id.
    pub fn span(self) -> u64 {
        self.span
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// Exactly so many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (lower && text.len() == digits).then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_not_a_traceparent_is_no_trace() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Traceparent::parse(text), None, "{text}");
        }
        let later = Traceparent::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-more").unwrap();
        assert_eq!(later.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03");
    }

    #[test]
    fn every_step_is_a_span_of_its_own_in_the_publisher_s_trace_and_the_same_when_it_is_taken_again() {
        let publisher = Traceparent::parse(PUBLISHER).unwrap();
        let (workspace, event) = (WorkspaceId::trusted("acme"), EventId::trusted("e1"));
        let endpoint = EndpointId::trusted("ep_a");
        let append = Traceparent::append(Some(publisher), &workspace, &event);
        let attempt = |number, at| append.attempt(&endpoint, &event, number, Duration::from_millis(at));
        let steps = [publisher, append, attempt(1, 5_000), attempt(2, 5_000), attempt(1, 6_000)];
        for (n, step) in steps.iter().enumerate() {
            assert_eq!((step.trace(), step.is_sampled()), (publisher.trace(), true));
            assert!(steps[..n].iter().all(|earlier| earlier.span() != step.span()), "{steps:?}");
            assert_eq!(Traceparent::parse(&step.to_string()), Some(*step));
        }
        assert_eq!(append, Traceparent::append(Some(publisher), &workspace, &event));
        assert_eq!(attempt(1, 5_000), attempt(1, 5_999), "the log keeps whole seconds");
    }

    #[test]
    fn a_trace_that_begins_here_is_the_event_s_and_not_recorded_until_somebody_says_so() {
        let begun =
            |workspace, event| Traceparent::append(None, &WorkspaceId::trusted(workspace), &EventId::trusted(event));
        assert_eq!(begun("acme", "e1"), begun("acme", "e1"));
        assert_ne!(begun("acme", "e1").trace(), begun("acme", "e2").trace());
        assert_ne!(begun("acme", "e1").trace(), begun("other", "e1").trace());
        assert!(!begun("acme", "e1").is_sampled() && begun("acme", "e1").sampled().is_sampled());
        assert_eq!(Traceparent::of(None, 0, 0).to_string(), format!("00-{:032x}-{:016x}-00", 1, 1));
    }
}
