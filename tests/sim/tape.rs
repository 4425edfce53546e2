//! The store's operations of a history, in the order in which they took effect, with what the store answered: played
//! again on another store they must be answered alike.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use recadero::decide::ids::{EndpointId, EventId, LaneId, Partition, WorkspaceId};
use recadero::decide::notice::{Channel, DropReason};
use recadero::store::lanes::{Append, Appended, Commit, Due, Intake, Offer, Pool, Swept, Token, Want};
use recadero::store::outbox::{Outgoing, Sent};
use recadero::store::records::{Config, ResendFrom, Workspace};
use recadero::store::{Result, Store};

use crate::trace::Trace;

/// An operation that changed the store, or had something to answer. Looks that found nothing are left out: there are
/// ten of them for each of these.
#[derive(Clone, Debug)]
pub enum Op {
    Append(Partition, Vec<Append>, Offer),
    Due(Partition, Pool, usize),
    Claim(Partition, Vec<Want>),
    Commit(Partition, Vec<Commit>),
    GiveBack(Partition, LaneId, Token),
    Sweep(Partition),
    Notices(Partition, usize),
    Settle(Partition, String, Channel, Sent),
    PutWorkspace(WorkspaceId, Workspace),
    PutEndpoint(WorkspaceId, EndpointId, Config),
    DeleteWorkspace(WorkspaceId),
    DeleteEndpoint(WorkspaceId, EndpointId),
    Enable(WorkspaceId, EndpointId, bool),
    Disable(WorkspaceId, EndpointId),
    Resend(WorkspaceId, EndpointId, ResendFrom, Vec<EventId>),
    Endpoint(WorkspaceId, EndpointId),
    Quota(WorkspaceId),
    Attempts(WorkspaceId, EndpointId),
    Dropped(WorkspaceId, EndpointId),
}

/// An operation that took effect.
pub struct Taped {
    pub at_ms: u64,
    pub op: Op,
    pub answer: String,
}

/// Rows asked for: all of them.
pub const ALL: usize = 500;

/// Records operations, or does not. Clones write to the same tape.
#[derive(Clone)]
pub struct Tape {
    trace: Trace,
    taped: Option<Arc<Mutex<Vec<Taped>>>>,
}

impl Tape {
    pub fn new(trace: Trace, on: bool) -> Self {
        Self { trace, taped: on.then(Arc::default) }
    }

    /// Records an operation; only asked for where there is a tape.
    pub fn put(&self, taped: impl FnOnce() -> (Op, String)) {
        if let Some(tape) = &self.taped {
            let (op, answer) = taped();
            tape.lock().unwrap().push(Taped { at_ms: self.trace.now_ms(), op, answer });
        }
    }

    /// An operation of people's, done and recorded.
    pub async fn play(&self, store: &dyn Store, op: Op) -> String {
        let intake = store.intake().await.unwrap();
        let answer = apply(store, &*intake, &op).await;
        self.put(|| (op, answer.clone()));
        answer
    }

    pub fn take(&self) -> Vec<Taped> {
        self.taped.as_ref().map(|tape| std::mem::take(&mut *tape.lock().unwrap())).unwrap_or_default()
    }
}

/// Does an operation and answers in text.
pub async fn apply(store: &dyn Store, intake: &dyn Intake, op: &Op) -> String {
    match op {
        Op::Append(partition, items, offer) => appended(&intake.append(*partition, items, *offer).await),
        Op::Due(partition, pool, limit) => due(&store.due(*partition, *pool, *limit).await),
        Op::Claim(partition, wants) => text(&store.claim(*partition, wants).await),
        Op::Commit(partition, commits) => text(&store.commit(*partition, commits).await),
        Op::GiveBack(partition, lane, token) => text(&store.give_back(*partition, lane, *token).await),
        Op::Sweep(partition) => swept(&sweep(store, *partition).await),
        Op::Notices(partition, limit) => notices(&store.notices(*partition, *limit).await),
        Op::Settle(partition, id, channel, sent) => text(&store.settle(*partition, id, *channel, *sent).await),
        Op::PutWorkspace(workspace, record) => text(&store.put_workspace(workspace, record).await),
        Op::PutEndpoint(workspace, endpoint, config) => text(&store.put_endpoint(workspace, endpoint, config).await),
        Op::DeleteWorkspace(workspace) => text(&store.delete_workspace(workspace).await),
        Op::DeleteEndpoint(workspace, endpoint) => text(&store.delete_endpoint(workspace, endpoint).await),
        Op::Enable(workspace, endpoint, discard) => text(&store.enable(workspace, endpoint, *discard).await),
        Op::Disable(workspace, endpoint) => text(&store.disable(workspace, endpoint).await),
        Op::Resend(workspace, endpoint, from, events) => {
            let answer = store.resend(workspace, endpoint, *from, events).await;
            text(&answer.map(|mut resent| {
                resent.ready.sort();
                resent
            }))
        }
        Op::Endpoint(workspace, endpoint) => text(&store.endpoint(workspace, endpoint).await),
        Op::Quota(workspace) => text(&store.quota(workspace).await),
        Op::Attempts(workspace, endpoint) => text(&store.attempts(workspace, endpoint, None, ALL).await),
        Op::Dropped(workspace, endpoint) => text(&store.dropped(workspace, endpoint, None, ALL).await),
    }
}

/// A whole round of upkeep, in however many steps.
async fn sweep(store: &dyn Store, partition: Partition) -> Result<Swept> {
    let mut dropped = BTreeMap::<DropReason, u64>::new();
    let mut whole = Swept::default();
    loop {
        let step = store.sweep(partition, whole.next).await?;
        for (reason, count) in step.dropped {
            *dropped.entry(reason).or_default() += count;
        }
        whole.ready.extend(step.ready);
        whole.burdens.extend(step.burdens);
        whole.next = step.next;
        if whole.next.is_none() {
            whole.dropped = dropped.into_iter().collect();
            return Ok(whole);
        }
    }
}

// What the trait leaves open is put in order: lanes said to have become ready, and ties of what is due.

pub fn appended(answer: &Result<Appended>) -> String {
    let mut answer = answer.clone();
    if let Ok(appended) = &mut answer {
        appended.ready.sort();
        appended.dropped.sort();
    }
    text(&answer)
}

pub fn swept(answer: &Result<Swept>) -> String {
    let mut answer = answer.clone();
    if let Ok(swept) = &mut answer {
        swept.ready.sort();
        swept.ready.dedup();
        swept.burdens.sort();
        (swept.oldest_ms, swept.oldest_enabled_ms) = (0, 0); // Also met where nothing was to be done.
    }
    text(&answer)
}

pub fn due(answer: &Result<Vec<Due>>) -> String {
    let mut answer = answer.clone();
    if let Ok(due) = &mut answer {
        due.sort_by(|a, b| b.late_ms.cmp(&a.late_ms).then_with(|| a.lane.cmp(&b.lane)));
    }
    text(&answer)
}

pub fn notices(answer: &Result<Vec<Outgoing>>) -> String {
    let mut answer = answer.clone();
    if let Ok(notices) = &mut answer {
        notices.sort_by(|a, b| (&a.notice.id, a.channel).cmp(&(&b.notice.id, b.channel)));
    }
    text(&answer)
}

pub fn text<T: Debug>(answer: &Result<T>) -> String {
    format!("{answer:?}")
}
