//! An event as it stands in a queue: one line of text, then the body.
//!
//! `seq at_ms len body resent contact type id traceparent\n` and the body's bytes. `contact` is 16 hex digits or
//! `-`; `resent` is 1 or 0. An event with several lanes keeps its body once, in the hash `bodies`: then `body` is
//! its number there and nothing follows the line; else it is `-`. The script writes `seq` and `at_ms`, and where there are
//! several lanes `len` and `body`.
//!
//! Text and not JSON or a packed struct: Lua reads what it needs with one pattern, and a person can read it too.

use std::sync::Arc;

use bytes::Bytes;

use super::reply::damaged;
use crate::decide::ids::{ContactHash, EventId, EventType};
use crate::store::Result;
use crate::store::lanes::{Append, Waiting};

/// The part of the line that is known before the store has the event: `resent contact type id traceparent`. A
/// `traceparent` that would break the line is left out.
pub(super) fn head(item: &Append) -> String {
    let contact = item.contact.map_or_else(|| "-".to_owned(), |ContactHash(hash)| format!("{hash:016x}"));
    let traceparent = item.traceparent.as_deref().filter(|text| !text.is_empty() && !text.contains('\n'));
    format!("0 {contact} {} {} {}", item.event_type, item.id, traceparent.unwrap_or("-"))
}

/// All that follows `seq` and `at_ms` in the entry of an event with one lane.
pub(super) fn tail(item: &Append) -> Vec<u8> {
    let mut tail = format!("{} - {}\n", item.body.len(), head(item)).into_bytes();
    tail.extend_from_slice(&item.body);
    tail
}

/// An entry's number and its event; `shared` is the body from `bodies`, if the entry has none of its own.
pub(super) fn read(entry: Vec<u8>, shared: Vec<u8>) -> Result<(u64, Waiting)> {
    parse(entry, shared).ok_or_else(|| damaged("an event"))
}

fn parse(entry: Vec<u8>, shared: Vec<u8>) -> Option<(u64, Waiting)> {
    let entry = Bytes::from(entry);
    let end = entry.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&entry[..end]).ok()?;
    let mut words = line.splitn(9, ' ');
    let seq = words.next()?.parse().ok()?;
    let at_ms = words.next()?.parse().ok()?;
    let _len = words.next()?;
    let is_shared = words.next()? != "-";
    let resend = words.next()? == "1";
    let contact = match words.next()? {
        "-" => None,
        hex => Some(ContactHash(u64::from_str_radix(hex, 16).ok()?)),
    };
    let event_type = EventType::trusted(words.next()?);
    let id = EventId::trusted(words.next()?);
    let traceparent = words.next().filter(|text| *text != "-").map(Arc::from);
    let body = if is_shared { Bytes::from(shared) } else { entry.slice(end + 1..) };
    Some((seq, Waiting { id, event_type, contact, traceparent, at_ms, resend, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(entry: &str, shared: &str) -> Option<(u64, Waiting)> {
        parse(entry.as_bytes().to_vec(), shared.as_bytes().to_vec())
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let entry = "7 1700000000000 4 - 1 00000000000000ff message.sent a:1 00-ab-cd-01\n{\n\n}";
        let (seq, event) = read_back(entry, "").expect("it is whole");
        let expected = Waiting {
            id: EventId::trusted("a:1"),
            event_type: EventType::trusted("message.sent"),
            contact: Some(ContactHash(255)),
            traceparent: Some("00-ab-cd-01".into()),
            at_ms: 1_700_000_000_000,
            resend: true,
            body: Bytes::from_static(b"{\n\n}"),
        };
        assert_eq!((seq, event), (7, expected));
    }

    #[test]
    fn a_shared_body_comes_from_where_it_is_kept() {
        let (_, event) = read_back("1 2 2 9 0 - t i -\n", "{}").expect("it is whole");
        assert_eq!((event.body.as_ref(), event.contact, event.traceparent), (&b"{}"[..], None, None));
    }

    #[test]
    fn half_an_entry_is_not_taken_for_one() {
        assert_eq!(read_back("1 2 2 - 0 - t", ""), None);
    }
}
