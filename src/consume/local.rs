//! RabbitMQ's part within one process: for `recadero dev`, where nothing is installed, and for tests.
//!
//! It keeps what the router relies on and nothing more: one ordered queue, one active subscription at a time, at most
//! `prefetch` messages not acknowledged, and what was not acknowledged back at its place when a subscription ends.
//! Nothing survives the process. Rejected: skipping the broker in dev mode. Then dev mode would show other code.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::rejects::{Rejects, Replayed, id, restored};
use super::{Broker, BrokerError, Message, OUTCOMES, Outgoing, Publisher, REJECTED, Subscription, Tag};

/// The most messages that wait in the queue; more are refused to the publisher.
pub const QUEUE_MAX: usize = 100_000;
/// The most messages that are kept of each of [`REJECTED`] and [`OUTCOMES`]; the oldest go first.
pub const KEPT_MAX: usize = 1000;

/// A broker in this process. Clones are the same broker.
#[derive(Clone)]
pub struct LocalBroker(Arc<Shared>);

struct Shared {
    exchange: String,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    ready: VecDeque<Message>,
    held: VecDeque<Message>,
    subscriptions: BTreeSet<u64>,
    rejected: VecDeque<Outgoing>,
    outcomes: VecDeque<Outgoing>,
}

impl LocalBroker {
    /// An empty broker whose events exchange has this name.
    pub fn new(exchange: impl Into<String>) -> Self {
        let (exchange, state, changed) = (exchange.into(), Mutex::default(), Notify::new());
        Self(Arc::new(Shared { exchange, state, changed }))
    }

    /// What was rejected, oldest first.
    pub fn rejected(&self) -> Vec<Outgoing> {
        self.0.lock().rejected.iter().cloned().collect()
    }

    /// What happened, oldest first.
    pub fn outcomes(&self) -> Vec<Outgoing> {
        self.0.lock().outcomes.iter().cloned().collect()
    }

    /// Messages in the queue: those that wait, and those given out and not acknowledged.
    pub fn depth(&self) -> (usize, usize) {
        let state = self.0.lock();
        (state.ready.len(), state.held.len())
    }
}

#[async_trait]
impl Broker for LocalBroker {
    fn queues(&self) -> usize {
        1
    }

    async fn subscribe(&self, queue: usize, prefetch: u16) -> Result<Box<dyn Subscription>, BrokerError> {
        if queue != 0 {
            return Err(BrokerError::Refused(format!("there is no queue {queue}")));
        }
        let mut state = self.0.lock();
        state.next += 1;
        let id = state.next;
        state.subscriptions.insert(id);
        Ok(Box::new(LocalSubscription { shared: Arc::clone(&self.0), id, prefetch: usize::from(prefetch) }))
    }
}

#[async_trait]
impl Publisher for LocalBroker {
    async fn publish(&self, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
        self.0.publish(messages)
    }

    async fn reach(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}

#[async_trait]
impl Rejects for LocalBroker {
    async fn look(&self, skip: usize, limit: usize) -> Result<Vec<Message>, BrokerError> {
        Ok(self.0.lock().rejected.iter().skip(skip).take(limit).cloned().map(received).collect())
    }

    async fn replay(&self, exchange: &str, wanted: Option<&str>, limit: usize) -> Result<Replayed, BrokerError> {
        let mut state = self.0.lock();
        let all = std::mem::take(&mut state.rejected);
        let (mut chosen, mut rest) = (Vec::new(), VecDeque::new());
        for message in all {
            let is_wanted = match wanted {
                Some(wanted) => chosen.is_empty() && id(&received(message.clone())) == wanted,
                None => chosen.len() < limit,
            };
            if is_wanted { chosen.push(message) } else { rest.push_back(message) }
        }
        let replayed = Replayed { count: chosen.len(), left: rest.len() };
        state.rejected = rest;
        drop(state);
        let again = chosen.iter().map(|message| restored(&received(message.clone()), exchange)).collect();
        self.0.publish(again)?;
        Ok(replayed)
    }
}

/// A message as somebody gets it who looks.
fn received(Outgoing { routing_key, properties, body, .. }: Outgoing) -> Message {
    Message { tag: Tag(0), routing_key, properties, body, redelivered: false }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    fn publish(&self, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
        let mut state = self.lock();
        for message in messages {
            match message.exchange.as_str() {
                REJECTED => keep(&mut state.rejected, message),
                OUTCOMES => keep(&mut state.outcomes, message),
                exchange if exchange == self.exchange => state.push(message)?,
                exchange => return Err(BrokerError::Refused(format!("there is no exchange {exchange}"))),
            }
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }
}

impl State {
    fn push(&mut self, message: Outgoing) -> Result<(), BrokerError> {
        if self.ready.len() + self.held.len() >= QUEUE_MAX {
            return Err(BrokerError::Refused(format!("the queue is full: {QUEUE_MAX} messages")));
        }
        self.next += 1;
        let Outgoing { routing_key, properties, body, .. } = message;
        self.ready.push_back(Message { tag: Tag(self.next), routing_key, properties, body, redelivered: false });
        Ok(())
    }

    fn take(&mut self, id: u64, prefetch: usize, limit: usize) -> Vec<Message> {
        if self.subscriptions.first() != Some(&id) {
            return Vec::new();
        }
        let room = prefetch.saturating_sub(self.held.len());
        let count = self.ready.len().min(limit).min(room);
        let taken: Vec<_> = self.ready.drain(..count).collect();
        self.held.extend(taken.iter().cloned());
        taken
    }

    fn leave(&mut self, id: u64) {
        let was_active = self.subscriptions.first() == Some(&id);
        if self.subscriptions.remove(&id) && was_active {
            while let Some(message) = self.held.pop_back() {
                self.ready.push_front(Message { redelivered: true, ..message });
            }
        }
    }
}

fn keep(kept: &mut VecDeque<Outgoing>, message: Outgoing) {
    if kept.len() == KEPT_MAX {
        kept.pop_front();
    }
    kept.push_back(message);
}

struct LocalSubscription {
    shared: Arc<Shared>,
    id: u64,
    prefetch: usize,
}

#[async_trait]
impl Subscription for LocalSubscription {
    async fn next(&mut self, limit: usize) -> Result<Vec<Message>, BrokerError> {
        loop {
            // Asked for before the look, so that what comes between the look and the wait is not missed.
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            let taken = self.shared.lock().take(self.id, self.prefetch, limit);
            if !taken.is_empty() {
                return Ok(taken);
            }
            changed.await;
        }
    }

    async fn closed(&mut self) -> BrokerError {
        std::future::pending().await
    }

    async fn ack(&mut self, up_to: Tag) -> Result<(), BrokerError> {
        let mut state = self.shared.lock();
        while state.held.front().is_some_and(|message| message.tag <= up_to) {
            state.held.pop_front();
        }
        drop(state);
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn reject(&mut self, rejected: Vec<Outgoing>) -> Result<(), BrokerError> {
        self.shared.publish(rejected)
    }

    async fn close(self: Box<Self>) {}
}

impl Drop for LocalSubscription {
    fn drop(&mut self) {
        self.shared.lock().leave(self.id);
        self.shared.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::ids::{EventType, WorkspaceId};

    async fn publish(broker: &LocalBroker, count: usize) {
        let (workspace, event_type) = (WorkspaceId::trusted("acme"), EventType::trusted("message.sent"));
        let event = |n: usize| Outgoing::event("events", &workspace, &event_type, None, n.to_string().into());
        broker.publish((0..count).map(event).collect()).await.unwrap();
    }

    fn bodies(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| std::str::from_utf8(&message.body).unwrap()).collect()
    }

    #[tokio::test]
    async fn what_was_not_acknowledged_comes_again_in_order() {
        let broker = LocalBroker::new("events");
        publish(&broker, 5).await;
        let mut first = broker.subscribe(0, 4).await.unwrap();
        let taken = first.next(10).await.unwrap();
        assert_eq!(bodies(&taken), ["0", "1", "2", "3"], "as many as the prefetch allows");
        first.ack(taken[0].tag).await.unwrap();
        assert_eq!(bodies(&first.next(10).await.unwrap()), ["4"]);
        let mut second = broker.subscribe(0, 4).await.unwrap();
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(20), second.next(1)).await.is_err(),
            "not active"
        );
        drop(first);
        let again = second.next(10).await.unwrap();
        assert_eq!(bodies(&again), ["1", "2", "3", "4"]);
        assert!(again.iter().all(|message| message.redelivered) && taken.iter().all(|message| !message.redelivered));
    }

    #[tokio::test]
    async fn the_kept_messages_are_bounded() {
        let broker = LocalBroker::new("events");
        for n in 0..KEPT_MAX + 1 {
            broker.publish(vec![Outgoing::outcome("event.dropped", &n.to_string(), "{}".into())]).await.unwrap();
        }
        assert_eq!(broker.outcomes().len(), KEPT_MAX);
        assert_eq!(broker.outcomes()[0].properties.message_id().as_ref().unwrap().as_str(), "1");
    }
}
