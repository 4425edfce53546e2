//! What can only be said of a whole history: order, places, repeats, notices.

use std::collections::BTreeMap;

use super::book::Book;
use super::records::{Endpoint, Item, ItemKey, Place};
use crate::trace::Fact;

pub fn check(book: &mut Book) {
    for endpoint in book.names() {
        let mut wrong = Vec::new();
        order(book, &endpoint, &mut wrong);
        places(&book.endpoints[&endpoint], &mut wrong);
        strangers(book, &endpoint, &mut wrong);
        notices(book, &endpoint, &mut wrong);
        for (rule, text) in wrong {
            book.complain(rule, format!("{endpoint}: {text}"));
        }
    }
    repeats(book);
}

type Wrong = Vec<(&'static str, String)>;

/// An event is not sent before its predecessor was delivered or dropped, nor any more after it was so itself.
fn order(book: &Book, endpoint: &str, wrong: &mut Wrong) {
    let subject = &book.endpoints[endpoint];
    let total = subject.lanes_most == 1;
    for (later, after) in &subject.items {
        let Some(first_request) = after.first_request else { continue };
        for (earlier, before) in &subject.items {
            let together = total || book.events[&earlier.0].contact == book.events[&later.0].contact;
            let in_time = before.done.is_some_and(|done| done < first_request);
            let concerned = before.must || before.first_request.is_some();
            if together && concerned && !in_time && precedes(book, (earlier, before), (later, after)) {
                let text = format!("{later:?} was sent before {earlier:?} was delivered or dropped: {before:?}");
                wrong.push(("order", text));
            }
        }
    }
}

/// Whether one stands before the other in their lane, as far as anybody outside can tell.
fn precedes(book: &Book, earlier: (&ItemKey, &Item), later: (&ItemKey, &Item)) -> bool {
    let (one, other) = (&book.events[&earlier.0.0], &book.events[&later.0.0]);
    match (earlier.1.resent_at, later.1.resent_at) {
        (None, None) => one.place < other.place,
        (Some(resent), None) => other.given.is_some_and(|given| resent < given),
        (None, Some(resent)) => one.acked.is_some_and(|acked| acked < resent),
        (Some(one), Some(other)) => one < other,
    }
}

/// What was accepted is delivered, dropped or waits, and each in one place.
fn places(subject: &Endpoint, wrong: &mut Wrong) {
    if subject.rows != subject.recorded && !subject.deleted {
        wrong.push(("records", format!("the log shows {:?}, recorded was {:?}", subject.rows, subject.recorded)));
    }
    let Some((backlog, status)) = &subject.backlog else {
        if !subject.deleted {
            wrong.push(("places", "it is gone, and nobody deleted it".to_owned()));
        }
        return;
    };
    let should = if subject.disabled.is_some() { "disabled" } else { "enabled" };
    if status != should && status != "paused" {
        wrong.push(("places", format!("it is {status}, should be {should}")));
    }
    let of = |place: Place| subject.items.iter().filter(move |(_, item)| item.place == place && !item.resent);
    let certain = of(Place::Waits).filter(|(_, item)| item.must || item.first_request.is_some()).count() as u64;
    let possible = of(Place::Waits).count() as u64;
    if status == "enabled" && (*backlog > 0 || certain > 0) {
        let waiting: Vec<_> = of(Place::Waits).collect();
        wrong.push(("places", format!("{backlog} events wait though nothing is in their way: {waiting:?}")));
    }
    if !(certain..=possible).contains(backlog) {
        wrong.push(("places", format!("{backlog} events wait, should be {certain} to {possible}")));
    }
    let dropped = [Place::Dropped, Place::Discarded, Place::Displaced];
    let mut own: Vec<_> =
        dropped.into_iter().flat_map(of).map(|((event, _), item)| (event.clone(), reason(item))).collect();
    let mut listed = subject.dropped_list.clone();
    own.sort();
    listed.sort();
    if own != listed {
        wrong.push(("places", format!("the dropped list has {listed:?}, dropped were {own:?}")));
    }
}

/// No endpoint has an event that it was not to have: of another workspace, or from when there was no plan for it.
fn strangers(book: &Book, endpoint: &str, wrong: &mut Wrong) {
    for (key, item) in &book.endpoints[endpoint].items {
        if !item.may && book.events[&key.0].acked.is_some() {
            wrong.push(("places", format!("{key:?} does not belong there: {item:?}")));
        }
    }
}

/// Why an event is in the dropped list.
fn reason(item: &Item) -> String {
    item.displaced.clone().unwrap_or_else(|| match item.place {
        Place::Discarded => "discarded".to_owned(),
        _ => "retries".to_owned(),
    })
}

/// An attempt is made again only where its process died or was stopped before it could record it.
fn repeats(book: &mut Book) {
    let mut last: BTreeMap<(String, ItemKey), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (number, lease) in book.leases.iter().enumerate().filter(|(_, lease)| lease.requested_ms.is_some()) {
        let before = last.insert((lease.endpoint.clone(), lease.item.clone()), number);
        let Some(before) = before.map(|before| &book.leases[before]) else { continue };
        let excused = before.recorded || book.processes[&before.process].excuses(before, lease);
        if !excused {
            wrong.push((lease.at, format!("{before:?} was never recorded, and is repeated by {lease:?}")));
        }
    }
    for (at, text) in wrong {
        book.at = at;
        book.complain("repeats", text);
    }
}

/// One notice for each disabling, enabling and drop; the same one twice only where something went wrong.
fn notices(book: &Book, endpoint: &str, wrong: &mut Wrong) {
    let subject = &book.endpoints[endpoint];
    let mut counts: BTreeMap<(String, String), (usize, u64)> = BTreeMap::new();
    for (id, (fact, times)) in &book.told {
        let Fact::Told { kind, endpoint: about, reason, count, .. } = fact else { continue };
        if about == endpoint {
            let (notices, sum) = counts.entry((kind.clone(), reason.clone())).or_default();
            (*notices, *sum) = (*notices + 1, *sum + count);
            if *times > 1 && !book.repeats_excused {
                wrong.push(("notices", format!("{id} was sent {times} times")));
            }
        }
    }
    let of = |kind: &str, reason: &str| counts.get(&(kind.to_owned(), reason.to_owned())).copied().unwrap_or_default();
    for reason in ["quota", "manual"] {
        let should = subject.disablings.iter().filter(|other| **other == reason).count();
        let (notices, _) = of("endpoint.disabled", reason);
        if notices != should {
            wrong.push(("notices", format!("{notices} notices of {should} disablings ({reason})")));
        }
    }
    let (enabled, _) = of("endpoint.enabled", "manual");
    if enabled != subject.enablings {
        wrong.push(("notices", format!("{enabled} notices of {} enablings", subject.enablings)));
    }
    let dropped = subject.items.values().filter(|item| item.place == Place::Dropped).count() as u64;
    let limits = subject.displaced.iter().map(|(reason, count)| (reason.as_str(), *count));
    for (reason, should) in limits.chain([("retries", dropped), ("discarded", subject.discards)]) {
        let (_, told) = of("event.dropped", reason);
        if told != should {
            wrong.push(("notices", format!("notices of {told} events dropped ({reason}), should be {should}")));
        }
    }
}
