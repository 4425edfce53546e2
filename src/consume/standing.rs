//! What the routers of a process find out, each for its queue, told as one.
//!
//! RabbitMQ is connected when every queue that should be is subscribed to, and the store takes events when it takes
//! those of all. A trouble that all of them meet is told once, in the words of the first; its end, when it is over for
//! the last. Rejected: a series per queue. Who is called at night has one question, and the detail is in the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::BrokerError;
use crate::observe::signal::{Signal, Signals};
use crate::store::StoreError;

/// How RabbitMQ and the store stand, by what the routers of this process say.
pub struct Standing {
    signals: Signals,
    broker: Mutex<Found>,
    store: Mutex<Found>,
}

struct Found {
    /// How many have to be well before it is told that all are; others are only heard when they are not.
    needed: usize,
    /// What is wrong with each, if anything.
    known: BTreeMap<usize, Option<&'static str>>,
    told: Option<Option<&'static str>>,
}

impl Standing {
    /// Of so many queues.
    pub fn new(queues: usize, signals: Signals) -> Self {
        let found = |needed| Mutex::new(Found { needed, known: BTreeMap::new(), told: None });
        // A queue that nothing comes from never says anything about the store.
        Self { signals, broker: found(queues), store: found(1) }
    }

    /// A queue is subscribed to, or why not.
    pub(super) fn broker(&self, queue: usize, error: Option<&BrokerError>) {
        let detail = error.map(ToString::to_string);
        note(&self.broker, queue, error.map(|_| "away"), |wrong| {
            self.signals.emit(&Signal::Broker { connected: wrong.is_none(), detail: detail.as_deref() });
        });
    }

    /// The store takes a queue's events, or why not.
    pub(super) fn store(&self, queue: usize, error: Option<&StoreError>) {
        let detail = error.map(ToString::to_string);
        note(&self.store, queue, error.map(StoreError::reason), |reason| {
            self.signals.emit(&Signal::Intake { flows: reason.is_none(), reason, detail: detail.as_deref() });
        });
    }

    /// Whether the store was last found not to take a queue's events.
    pub(super) fn is_stopped(&self, queue: usize) -> bool {
        let found = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        found.known.get(&queue).is_some_and(Option::is_some)
    }

    /// A queue's events are not this process's any more, so that what was found of them says nothing of it.
    pub(super) fn left(&self, queue: usize) {
        if self.is_stopped(queue) {
            self.store(queue, None);
        }
    }
}

/// Notes what one found wrong, if anything, and tells it where that changes the whole: what is wrong with the first that
/// is not well. Told under the lock: in the order it came true.
fn note(found: &Mutex<Found>, queue: usize, wrong: Option<&'static str>, tell: impl FnOnce(Option<&'static str>)) {
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    found.known.insert(queue, wrong);
    let whole = found.known.values().find_map(|wrong| *wrong);
    let known = whole.is_some() || found.known.len() >= found.needed;
    if known && found.told.replace(whole) != Some(whole) {
        tell(whole);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::signal::Tap;

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Tap for Told {
        fn see(&self, signal: &Signal<'_>) {
            let (name, well, detail) = match signal {
                Signal::Broker { connected, detail } => ("broker", connected, detail),
                Signal::Intake { flows, detail, .. } => ("store", flows, detail),
                _ => panic!("{signal:?}"),
            };
            self.0.lock().unwrap().push(format!("{name} {well} {}", detail.unwrap_or("-")));
        }
    }

    #[test]
    fn rabbitmq_is_connected_when_all_queues_are_and_a_trouble_of_all_is_told_once() {
        let told = Arc::new(Told::default());
        let tap: Arc<dyn Tap> = told.clone();
        let standing = Standing::new(3, Signals::new([tap]));
        let lost = |why: &str| BrokerError::Unavailable(why.to_owned());
        let expect = |expected: &[&str]| {
            let said = std::mem::take(&mut *told.0.lock().unwrap());
            assert_eq!(said, expected);
        };
        standing.broker(0, None);
        standing.broker(1, None);
        expect(&[]);
        standing.broker(2, None);
        expect(&["broker true -"]);
        for queue in [1, 0, 2] {
            standing.broker(queue, Some(&lost(&format!("by {queue}"))));
        }
        expect(&["broker false RabbitMQ cannot be reached: by 1"]);
        standing.broker(1, None);
        standing.broker(0, None);
        expect(&[]);
        standing.broker(2, None);
        expect(&["broker true -"]);

        standing.store(1, None);
        expect(&["store true -"]);
        standing.store(0, Some(&StoreError::Full("OOM".to_owned())));
        standing.store(1, None);
        expect(&["store false the store is full: OOM"]);
        // Another reason is told; another queue's, behind the first, is not.
        let late = StoreError::NotDurable("late".to_owned());
        standing.store(2, Some(&late));
        expect(&[]);
        standing.store(0, Some(&late));
        expect(&["store false the store does not keep what it is given as it has to be kept: late"]);
        standing.left(0);
        standing.left(1);
        assert!(standing.is_stopped(2));
        expect(&[]);
        standing.left(2);
        expect(&["store true -"]);
    }
}
