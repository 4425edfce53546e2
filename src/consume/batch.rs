//! A batch: the messages that one acknowledgement will cover, and what has become of each.
//!
//! A batch goes into the store as a whole, over one intake, or is begun again at its first event: ids already seen
//! make that safe, and since every call carries on where the last one was answered, no event is ever appended before
//! an earlier one of its workspace. That also holds for a call whose reply was lost and which the store carries out
//! late: what it holds are the very next events, or ones that are in already.

mod narrow;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::try_join_all;

pub(super) use self::narrow::Barred;
use super::routings::Routings;
use super::{Message, Outgoing, Tag, Wake};
use crate::decide::event::{self, Event, Rejection};
use crate::decide::event_types::EventTypes;
use crate::decide::ids::Partition;
use crate::decide::policy::Plans;
use crate::decide::route;
use crate::observe::signal::{Signal, Signals};
use crate::observe::trace::{Begun, Traces};
use crate::store::lanes::{Append, Intake, Offer, Taken};
use crate::store::{Result, StoreError};

/// The most bytes of body in one call to the store; a single larger event goes alone.
const APPEND_BYTES_MAX: usize = 1 << 20;
/// How many times in a row the store may name a new routing without taking anything.
const STALE_MAX: usize = 8;

/// What appending needs besides an intake.
pub(super) struct Routes<'a> {
    pub(super) routings: &'a Routings,
    pub(super) plans: &'a Plans,
    pub(super) wake: &'a dyn Wake,
    pub(super) signals: &'a Signals,
}

/// What makes an event of a message.
pub(super) struct Decoder<'a> {
    pub(super) types: &'a EventTypes,
    pub(super) max_event_bytes: usize,
    pub(super) partitions: u16,
    pub(super) traces: &'a Traces,
}

/// Messages in the order of their queue.
#[derive(Default)]
pub(super) struct Batch {
    items: Vec<Item>,
    /// What follows an event that was blamed: it is not touched before that one is rejected and acknowledged.
    rest: Vec<Item>,
    /// Set once the store has refused a call: from then on every call carries one event.
    singly: bool,
    /// How often it was narrowed down.
    rounds: usize,
}

struct Item {
    message: Message,
    content: Content,
}

enum Content {
    Event(Box<Routable>),
    Poison(Rejection),
}

struct Routable {
    event: Event,
    partition: Partition,
    /// Set when the store alone refuses it: then it is poison.
    blame: Option<Rejection>,
    /// Its span, where it is traced.
    span: Option<Begun>,
    /// Whether the store was asked to take it and may have done so without an answer, over this router or another.
    asked: AtomicBool,
    /// The store's first answer. A later one, when the batch had to begin again, says no more than `Duplicate`.
    done: OnceLock<Done>,
}

struct Done {
    taken: Taken,
    lanes: usize,
    /// Whether it may have been in before only because it was asked for before.
    again: bool,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.items.len() + self.rest.len()
    }

    /// Goes on to what was cut off, when all before it is acknowledged; answers whether there is any.
    pub(super) fn advance(&mut self) -> bool {
        self.items = std::mem::take(&mut self.rest);
        self.rounds = 0;
        !self.items.is_empty()
    }

    /// The place up to which it can be acknowledged.
    pub(super) fn last(&self) -> Option<Tag> {
        self.items.last().map(|item| item.message.tag)
    }

    /// Takes more messages in.
    pub(super) fn extend(&mut self, messages: Vec<Message>, decoder: &Decoder<'_>) {
        let end = if self.rest.is_empty() { &mut self.items } else { &mut self.rest };
        end.extend(messages.into_iter().map(|message| {
            let content = match event::decode(&message.published(), decoder.types, decoder.max_event_bytes) {
                Ok(mut event) => {
                    let span = decoder.traces.begin_append(event.traceparent.as_deref(), &event.workspace, &event.id);
                    if let Some(span) = span {
                        event.traceparent = Some(span.context.to_string().into());
                    }
                    let partition = Partition::of(&event.workspace, decoder.partitions);
                    let (asked, done) = (message.redelivered.into(), OnceLock::new());
                    Content::Event(Box::new(Routable { event, partition, blame: None, span, asked, done }))
                }
                Err(rejection) => Content::Poison(rejection),
            };
            Item { message, content }
        }));
    }

    /// Appends every event, partitions side by side and each partition's events in order, one call in flight for each.
    pub(super) async fn append(&self, intake: &dyn Intake, routes: &Routes<'_>) -> Result<()> {
        let mut groups: BTreeMap<Partition, Vec<&Routable>> = BTreeMap::new();
        for routable in self.items.iter().filter_map(Item::routable) {
            groups.entry(routable.partition).or_default().push(routable);
        }
        // The first failure ends all: the others' calls are given up, whether they take effect or not.
        try_join_all(groups.values().map(|group| routes.append(intake, group, self.singly))).await?;
        Ok(())
    }

    /// The messages that can never be delivered, on their way out.
    pub(super) fn rejected(&self) -> Vec<Outgoing> {
        self.poison().map(|(message, rejection)| message.rejected(rejection)).collect()
    }

    /// Says what became of the messages. Called when they are acknowledged, so that one which comes again and again,
    /// since a router, the store or RabbitMQ ended before that, counts once; and as what it was the first time, as far
    /// as that can be known: one that was asked for before and is then known was not published twice.
    pub(super) fn tell(&self, queue: usize, signals: &Signals) {
        for Routable { event, span, done, .. } in self.items.iter().filter_map(Item::event) {
            let (event_type, workspace, id) = (&event.event_type, &event.workspace, &event.id);
            signals.emit(&Signal::Received { event_type });
            let lanes = done.get().map_or(0, |done| done.lanes);
            signals.traces().appended(*span, event.into(), queue, lanes);
            match done.get() {
                None => {}
                Some(Done { taken: Taken::Duplicate, again: false, .. }) => {
                    signals.emit(&Signal::Duplicate { workspace, event: id });
                }
                Some(Done { lanes: 0, .. }) => signals.emit(&Signal::Unmatched),
                Some(Done { lanes, .. }) => {
                    signals.emit(&Signal::Routed { event_type, workspace, event: id, lanes: *lanes });
                }
            }
        }
        for (_, rejection) in self.poison() {
            signals.emit(&Signal::Rejected { reason: rejection.reason.as_str(), detail: &rejection.detail });
        }
    }

    fn poison(&self) -> impl Iterator<Item = (&Message, &Rejection)> {
        self.items.iter().filter_map(|item| {
            let rejection = match &item.content {
                Content::Poison(rejection) => Some(rejection),
                Content::Event(routable) => routable.blame.as_ref(),
            };
            Some((&item.message, rejection?))
        })
    }
}

impl Item {
    /// The event that is to go into the store.
    fn routable(&self) -> Option<&Routable> {
        self.event().filter(|routable| routable.blame.is_none())
    }

    fn event(&self) -> Option<&Routable> {
        match &self.content {
            Content::Event(routable) => Some(routable),
            Content::Poison(_) => None,
        }
    }
}

impl Routes<'_> {
    /// Appends events of one partition, in order. Where the routing is another by now, it goes on from there.
    async fn append(&self, intake: &dyn Intake, group: &[&Routable], singly: bool) -> Result<()> {
        let mut rest = group;
        let mut stale = 0;
        while let Some(first) = rest.first() {
            let call = &rest[..if singly { 1 } else { fitting(rest) }];
            let appends: Vec<Append> = call.iter().map(|routable| self.route(&routable.event)).collect();
            let asked: Vec<bool> = call.iter().map(|routable| routable.asked.swap(true, Ordering::Relaxed)).collect();
            let held = self.wake.hold(first.partition, &appends);
            let offer = held.as_ref().map_or(Offer::NONE, |held| held.offer());
            let answer = intake.append(first.partition, &appends, offer).await?;
            if let Some(held) = held {
                held.granted(answer.granted);
            }
            let taken = answer.taken.len();
            for (((routable, append), again), taken) in call.iter().zip(&appends).zip(&asked).zip(answer.taken) {
                let _ = routable.done.set(Done { taken, lanes: append.lanes.len(), again: *again });
            }
            for (routable, again) in call.iter().zip(&asked).skip(taken) {
                routable.asked.store(*again, Ordering::Relaxed);
            }
            if !answer.ready.is_empty() {
                self.wake.wake(answer.ready);
            }
            for (reason, count) in answer.dropped {
                self.signals.emit(&Signal::Dropped { reason, count, endpoint: None });
            }
            stale = if taken == 0 { stale + 1 } else { 0 };
            match answer.stale {
                Some(_) if stale > STALE_MAX => {
                    return Err(StoreError::Unavailable("the routing changes faster than it can be followed".into()));
                }
                Some((workspace, routing)) if taken < call.len() => self.routings.put(workspace, routing),
                None if taken == call.len() => {}
                _ => return Err(StoreError::Unavailable(format!("{taken} answers to {} events", call.len()))),
            }
            rest = &rest[taken..];
        }
        Ok(())
    }

    fn route(&self, event: &Event) -> Append {
        let routing = self.routings.get(&event.workspace);
        Append {
            workspace: event.workspace.clone(),
            id: event.id.clone(),
            event_type: event.event_type.clone(),
            contact: event.contact,
            traceparent: event.traceparent.clone(),
            body: event.body.clone(),
            routing_version: routing.version,
            lanes: route::lanes(&event.workspace, &event.event_type, event.contact, &routing, self.plans),
        }
    }
}

/// How many of the first events one call takes: at least one.
fn fitting(group: &[&Routable]) -> usize {
    let mut bytes = 0;
    let more = group.iter().skip(1).take_while(|routable| {
        bytes += routable.event.body.len();
        bytes <= APPEND_BYTES_MAX
    });
    1 + more.count()
}
