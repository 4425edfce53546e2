//! The broker's part: one ordered queue with a single active consumer, confirms, redelivery.
//!
//! What a consumer has not acknowledged goes back to its place when its subscription ends, and the one that subscribed
//! next takes over. A paused process loses its connection by its missing heartbeats.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use recadero::consume::{Broker, BrokerError, Message, OUTCOMES, Outgoing, Publisher, REJECTED, Subscription, Tag};
use tokio::sync::Notify;

use crate::process::{Fate, Process};
use crate::trace::{Fact, Trace};

/// The one broker of a history. Clones are the same.
#[derive(Clone)]
pub struct SimBroker(Arc<Shared>);

struct Shared {
    trace: Trace,
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    next: u64,
    ready: VecDeque<Message>,
    held: VecDeque<Message>,
    /// Whose they are, the active one first.
    subscriptions: Vec<(u64, String)>,
    given: BTreeSet<String>,
}

impl SimBroker {
    pub fn new(trace: Trace) -> Self {
        Self(Arc::new(Shared { trace, queue: Mutex::default(), changed: Notify::new() }))
    }

    /// What an upstream service publishes, confirmed at once.
    pub fn publish(&self, message: Outgoing) {
        let mut queue = self.0.queue();
        queue.next += 1;
        let Outgoing { routing_key, properties, body, .. } = message;
        let tag = Tag(queue.next);
        queue.ready.push_back(Message { tag, routing_key, properties, body, redelivered: false });
        drop(queue);
        self.0.changed.notify_waiters();
    }

    /// Messages in the queue, acknowledged ones not counted.
    pub fn depth(&self) -> usize {
        let queue = self.0.queue();
        queue.ready.len() + queue.held.len()
    }

    /// Ends a process's subscriptions.
    pub fn cut(&self, process: &str) {
        let mut queue = self.0.queue();
        let ids: Vec<u64> =
            queue.subscriptions.iter().filter(|(_, owner)| owner == process).map(|(id, _)| *id).collect();
        for id in &ids {
            queue.leave(*id);
        }
        drop(queue);
        if !ids.is_empty() {
            self.0.trace.put(Fact::Cut { process: process.to_owned() });
            self.0.changed.notify_waiters();
        }
    }

    /// A process's way to it.
    pub fn connection(&self, process: Arc<Process>) -> Connection {
        Connection { shared: self.0.clone(), process }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap()
    }
}

impl Queue {
    fn leave(&mut self, id: u64) {
        if self.subscriptions.first().is_some_and(|(active, _)| *active == id) {
            while let Some(message) = self.held.pop_back() {
                self.ready.push_front(Message { redelivered: true, ..message });
            }
        }
        self.subscriptions.retain(|(other, _)| *other != id);
    }

    fn has(&self, id: u64) -> bool {
        self.subscriptions.iter().any(|(other, _)| *other == id)
    }

    fn take(&mut self, id: u64, prefetch: usize, limit: usize) -> Vec<Message> {
        if self.subscriptions.first().is_none_or(|(active, _)| *active != id) {
            return Vec::new();
        }
        let room = prefetch.saturating_sub(self.held.len());
        let count = self.ready.len().min(limit).min(room);
        let taken: Vec<Message> = self.ready.drain(..count).collect();
        self.held.extend(taken.iter().cloned());
        taken
    }
}

/// One process's connection.
pub struct Connection {
    shared: Arc<Shared>,
    process: Arc<Process>,
}

#[async_trait]
impl Broker for Connection {
    fn queues(&self) -> usize {
        1
    }

    async fn subscribe(&self, _: usize, prefetch: u16) -> Result<Box<dyn Subscription>, BrokerError> {
        self.process.travel().await;
        let mut queue = self.shared.queue();
        queue.next += 1;
        let id = queue.next;
        queue.subscriptions.push((id, self.process.name.clone()));
        let (shared, process) = (self.shared.clone(), self.process.clone());
        Ok(Box::new(Subscribed { shared, process, id, prefetch: usize::from(prefetch) }))
    }
}

#[async_trait]
impl Publisher for Connection {
    /// Only notices are published by the processes of a history.
    async fn publish(&self, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
        self.process.travel().await;
        let fate = self.process.fate("publish");
        if matches!(fate, None | Some(Fate::After)) {
            for message in messages.iter().filter(|message| message.exchange == OUTCOMES) {
                self.shared.trace.put(told(message));
            }
        }
        self.process.travel().await;
        if fate.is_some() { Err(gone()) } else { Ok(()) }
    }

    async fn reach(&self) -> Result<(), BrokerError> {
        self.process.gate().await;
        Ok(())
    }
}

struct Subscribed {
    shared: Arc<Shared>,
    process: Arc<Process>,
    id: u64,
    prefetch: usize,
}

#[async_trait]
impl Subscription for Subscribed {
    async fn next(&mut self, limit: usize) -> Result<Vec<Message>, BrokerError> {
        loop {
            self.process.gate().await;
            let changed = self.shared.changed.notified();
            {
                let mut queue = self.shared.queue();
                if !queue.has(self.id) {
                    return Err(gone());
                }
                let taken = queue.take(self.id, self.prefetch, limit);
                for message in &taken {
                    let event = event(&message.properties);
                    queue.given.insert(event.clone());
                    self.shared.trace.put(Fact::Given { event, process: self.process.name.clone() });
                }
                if !taken.is_empty() {
                    return Ok(taken);
                }
            }
            changed.await;
        }
    }

    async fn closed(&mut self) -> BrokerError {
        loop {
            let changed = self.shared.changed.notified();
            if !self.shared.queue().has(self.id) {
                self.process.gate().await;
                return gone();
            }
            changed.await;
        }
    }

    async fn ack(&mut self, up_to: Tag) -> Result<(), BrokerError> {
        self.process.travel().await;
        let fate = self.process.fate("ack");
        let mut queue = self.shared.queue();
        if !queue.has(self.id) {
            return Err(gone());
        }
        if matches!(fate, None | Some(Fate::After)) {
            while queue.held.front().is_some_and(|message| message.tag <= up_to) {
                let message = queue.held.pop_front().unwrap();
                self.shared.trace.put(Fact::Acked { event: event(&message.properties) });
            }
        }
        if fate.is_some() {
            queue.leave(self.id);
        }
        drop(queue);
        self.shared.changed.notify_waiters();
        if fate.is_some() { Err(gone()) } else { Ok(()) }
    }

    async fn reject(&mut self, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
        self.process.travel().await;
        let fate = self.process.fate("reject");
        if matches!(fate, None | Some(Fate::After)) {
            for message in messages {
                assert_eq!((message.exchange.as_str(), message.mandatory), (REJECTED, true));
                self.shared.trace.put(Fact::Rejected {
                    event: event(&message.properties),
                    reason: header(&message.properties, "recadero-reason"),
                    body: String::from_utf8(message.body.to_vec()).unwrap(),
                });
            }
        }
        self.process.travel().await;
        if fate.is_some() { Err(gone()) } else { Ok(()) }
    }

    async fn close(self: Box<Self>) {
        self.process.gate().await;
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        // A dead process's is cut by whoever ends it; a task that is torn down with the history is no matter.
        self.shared.queue().leave(self.id);
        self.shared.changed.notify_waiters();
    }
}

fn event(properties: &lapin::BasicProperties) -> String {
    properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default()
}

fn header(properties: &lapin::BasicProperties, name: &str) -> String {
    let value = properties.headers().as_ref().and_then(|headers| headers.inner().get(name));
    value.and_then(|value| value.as_long_string()).map(ToString::to_string).unwrap_or_default()
}

fn told(message: &Outgoing) -> Fact {
    let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    Fact::Told {
        id: event(&message.properties),
        kind: text("type").unwrap(),
        endpoint: text("endpoint").unwrap(),
        event: text("event"),
        reason: text("reason").unwrap(),
        count: body["count"].as_u64().unwrap_or(1),
    }
}

fn gone() -> BrokerError {
    BrokerError::Unavailable("the connection is gone".to_owned())
}
