//! Upstream: publishes with confirms, and again, under the same ids and in the same order, what was not confirmed.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ledger::{Entry, Ledger};
use crate::rig::publish::Publisher;

/// How long RabbitMQ may take to confirm, or to accept a connection, before upstream connects anew.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before it does.
const AGAIN: Duration = Duration::from_millis(200);
/// How long RabbitMQ may be away altogether.
const AWAY_MAX: Duration = Duration::from_secs(90);

/// What is published.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The workspaces `w0` to `w<tenants - 1>`, in turn.
    pub tenants: usize,
    /// Events in all, unless it is stopped before.
    pub events: usize,
    /// Events on their way at once. Those of a batch that were not confirmed are published again with the whole batch.
    pub batch: usize,
    /// The pause after a batch.
    pub pause: Duration,
    /// Contacts per workspace, in turn.
    pub contacts: u64,
    /// Bytes that make a body larger.
    pub filler: usize,
    /// What the ids begin with.
    pub name: &'static str,
}

impl Plan {
    /// Small events for so many workspaces.
    pub fn new(tenants: usize, events: usize) -> Self {
        let pause = Duration::from_millis(20);
        Self { tenants, events, batch: 40, pause, contacts: 5, filler: 0, name: "e" }
    }

    /// The same, more slowly, until it is stopped: whatever comes meanwhile comes under traffic.
    pub fn endless(tenants: usize) -> Self {
        Self { pause: Duration::from_millis(60), ..Self::new(tenants, usize::MAX) }
    }
}

/// Publishing under way.
pub struct Traffic {
    stop: CancellationToken,
    task: JoinHandle<Ledger>,
}

impl Traffic {
    /// Begins.
    pub fn start(url: &str, plan: Plan) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(publish(url.to_owned(), plan, stop.clone()));
        Self { stop, task }
    }

    /// Waits until all is published and confirmed.
    pub async fn finish(self) -> Ledger {
        self.task.await.expect("upstream")
    }

    /// Ends it after the batch under way.
    pub async fn stop(self) -> Ledger {
        self.stop.cancel();
        self.finish().await
    }

    /// Whether all is published.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

async fn publish(url: String, plan: Plan, stop: CancellationToken) -> Ledger {
    let mut ledger = Ledger::default();
    let mut publisher = None;
    let filler = "x".repeat(plan.filler);
    for first in (0..plan.events).step_by(plan.batch) {
        if stop.is_cancelled() {
            break;
        }
        let batch: Vec<(Entry, String, String)> = (first..plan.events.min(first + plan.batch))
            .map(|number| {
                let tenant = number % plan.tenants;
                let contact = (number / plan.tenants) as u64 % plan.contacts;
                let id = format!("{}-w{tenant}-{number}", plan.name);
                let body = format!(r#"{{"n":{number},"contact":{{"id":{contact}}},"filler":"{filler}"}}"#);
                (Entry { tenant, contact, id, confirmed: Instant::now() }, format!("w{tenant}"), body)
            })
            .collect();
        let start = Instant::now();
        while !tokio::time::timeout(PATIENCE, confirmed(&url, &mut publisher, &batch)).await.unwrap_or(false) {
            assert!(start.elapsed() < AWAY_MAX, "RabbitMQ did not confirm within {AWAY_MAX:?}");
            publisher = None;
            tokio::time::sleep(AGAIN).await;
        }
        let confirmed = Instant::now();
        ledger.0.extend(batch.into_iter().map(|(entry, ..)| Entry { confirmed, ..entry }));
        tokio::time::sleep(plan.pause).await;
    }
    ledger
}

async fn confirmed(url: &str, publisher: &mut Option<Publisher>, batch: &[(Entry, String, String)]) -> bool {
    if publisher.is_none() {
        *publisher = Publisher::try_connect(url).await.ok();
    }
    let Some(publisher) = publisher else { return false };
    let mut events = Vec::with_capacity(batch.len());
    for (entry, workspace, body) in batch {
        events.push(("message.received", workspace.as_str(), entry.id.as_str(), body.as_bytes()));
    }
    publisher.try_events(events).await.unwrap_or(false)
}
