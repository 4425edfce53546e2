//! A process's way to the store: the memory store behind [`Process::call`], with the facts that follow from each
//! operation written down when it takes effect, and the operation itself on the tape.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use recadero::decide::attempt::Outcome;
use recadero::decide::ids::{EndpointId, EventId, LaneId, Partition, WorkspaceId};
use recadero::decide::notice::Channel;
use recadero::decide::relief::Burden;
use recadero::decide::route::Routing;
use recadero::store::lanes::{
    self, After, Append, Appended, Claim, Commit, Committed, Due, Figures, Intake, Lease, Offer, Pool, Relieved, Swept,
    Token, Want,
};
use recadero::store::memory::Memory;
use recadero::store::once::OnceName;
use recadero::store::outbox::{Outgoing, Sent};
use recadero::store::overview::Overview;
use recadero::store::records::{
    Attempt, Config, Dropped, DroppedSpan, Endpoint, HourStats, Put, QuotaUse, ResendFrom, Resent, Workspace,
};
use recadero::store::retrying::Retrying;
use recadero::store::{Lanes, Once, Outbox, Records, Result};
use tokio::sync::mpsc;

use crate::plan::Plan;
use crate::process::Process;
use crate::tape::{self, ALL, Op, Tape, text};
use crate::trace::{Fact, Trace};

/// The store itself, and who writes down what happens in it. Clones are the same.
#[derive(Clone)]
pub struct Base {
    pub memory: Memory,
    pub trace: Trace,
    pub tape: Tape,
    partitions: u16,
    /// Whether limits of the backlog can be met.
    limited: bool,
    leases: Arc<Mutex<BTreeMap<LeaseKey, u64>>>,
}

/// An entry of a dropped list: endpoint, number, event, reason.
type Listed = (EndpointId, u64, String, String);

/// What tells the right to one attempt from all others: lane, token, seq, round, attempt, version of the endpoint.
type LeaseKey = (LaneId, u64, u64, u32, u32, u64);

impl Base {
    pub fn new(memory: Memory, trace: Trace, tape: Tape, plan: &Plan) -> Self {
        let (partitions, limited) = (plan.partitions, plan.is_limited());
        Self { memory, trace, tape, partitions, limited, leases: Arc::default() }
    }

    /// A process's way to it.
    pub fn connection(&self, process: Arc<Process>) -> Connection {
        Connection { base: self.clone(), process }
    }

    fn claimed(&self, process: &str, lease: &Lease) {
        let Lease { lane, token, seq, round, attempt, config, .. } = lease;
        let mut leases = self.leases.lock().unwrap();
        let number = leases.len() as u64;
        let Entry::Vacant(fresh) = leases.entry((lane.clone(), token.0, *seq, *round, *attempt, config.version)) else {
            return; // The same right, asked for again.
        };
        fresh.insert(number);
        self.trace.put(Fact::Claimed {
            lease: number,
            process: process.to_owned(),
            endpoint: lane.endpoint.to_string(),
            event: lease.event.id.to_string(),
            attempt: *attempt,
            resend: lease.event.resend,
            url: lease.config.url.clone(),
        });
    }

    fn recorded(&self, commit: &Commit, committed: &Committed) {
        let Commit { lane, token, seq, round, attempt, config, outcome, .. } = commit;
        let key = (lane.clone(), token.0, *seq, *round, *attempt, config.version);
        let lease = self.leases.lock().unwrap().get(&key).copied();
        self.trace.put(Fact::Recorded {
            lease: lease.unwrap_or(u64::MAX),
            delivered: *outcome == Outcome::Delivered,
            disabled: committed.disabled,
            dropped: committed.dropped,
        });
    }

    async fn append(&self, process: &str, partition: Partition, items: Vec<Append>, offer: Offer) -> Result<Appended> {
        let before = self.dropped(partition).await;
        let answer = self.memory.append(partition, &items, offer).await;
        for granted in answer.iter().flat_map(|appended| &appended.granted) {
            let endpoint = self.memory.endpoint(&granted.lane.workspace, &granted.lane.endpoint).await.unwrap();
            let config = endpoint.expect("what was leased is there").config;
            self.claimed(process, &granted.clone().lease(Arc::new(config)));
        }
        if answer.as_ref().is_ok_and(|appended| !appended.dropped.is_empty()) {
            self.displaced(partition, &before).await;
        }
        self.tape.put(|| (Op::Append(partition, items, offer), tape::appended(&answer)));
        answer
    }

    async fn claim(&self, process: &str, partition: Partition, wants: Vec<Want>) -> Result<Vec<Claim>> {
        let answer = self.memory.claim(partition, &wants).await;
        for claim in answer.iter().flatten() {
            if let Claim::Leased(lease) = claim {
                self.claimed(process, lease);
            }
        }
        self.tape.put(|| (Op::Claim(partition, wants), text(&answer)));
        answer
    }

    async fn commit(&self, process: &str, partition: Partition, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        // One by one, so that each is seen as it takes effect: what is recorded a second time is not written down.
        let mut answers = Vec::new();
        for commit in &commits {
            let before = self.log_length(&commit.lane).await;
            let committed = self.memory.commit(partition, std::slice::from_ref(commit)).await?.remove(0);
            if self.log_length(&commit.lane).await > before {
                self.recorded(commit, &committed);
            }
            if let After::Next(lease) = &committed.after {
                self.claimed(process, lease);
            }
            answers.push(committed);
        }
        self.tape.put(|| (Op::Commit(partition, commits), text(&Ok(&answers))));
        Ok(answers)
    }

    async fn sweep(&self, partition: Partition, from: Option<u64>) -> Result<Swept> {
        let before = self.dropped(partition).await;
        let answer = self.memory.sweep(partition, from).await;
        if answer.as_ref().is_ok_and(|swept| !swept.dropped.is_empty()) {
            self.displaced(partition, &before).await;
            self.tape.put(|| (Op::Sweep(partition), tape::swept(&answer)));
        }
        answer
    }

    async fn displaced(&self, partition: Partition, before: &[Listed]) {
        for (endpoint, seq, event, reason) in self.dropped(partition).await {
            if !before.iter().any(|(other, number, ..)| (other, *number) == (&endpoint, seq)) {
                self.trace.put(Fact::Displaced { endpoint: endpoint.to_string(), event, reason });
            }
        }
    }

    /// All that a partition's endpoints have dropped.
    async fn dropped(&self, partition: Partition) -> Vec<Listed> {
        let mut listed = Vec::new();
        if !self.limited {
            return listed;
        }
        for workspace in self.memory.workspaces(None, None, ALL).await.unwrap() {
            if Partition::of(&workspace, self.partitions) != partition {
                continue;
            }
            for Endpoint { id, .. } in self.memory.endpoints(&workspace).await.unwrap() {
                for Dropped { seq, event, reason, .. } in self.memory.dropped(&workspace, &id, None, ALL).await.unwrap()
                {
                    listed.push((id.clone(), seq, event.id.to_string(), reason.as_str().to_owned()));
                }
            }
        }
        listed
    }

    /// The number of the newest row of an endpoint's log.
    async fn log_length(&self, lane: &LaneId) -> u64 {
        let newest = self.memory.attempts(&lane.workspace, &lane.endpoint, None, 1).await.unwrap();
        newest.first().map_or(0, |row| row.number)
    }
}

/// One process's connection.
#[derive(Clone)]
pub struct Connection {
    base: Base,
    process: Arc<Process>,
}

impl Connection {
    fn memory(&self) -> &Memory {
        &self.base.memory
    }
}

#[async_trait]
impl Intake for Connection {
    async fn append(&self, partition: Partition, items: &[Append], offer: Offer) -> Result<Appended> {
        let (base, name, items) = (self.base.clone(), self.process.name.clone(), items.to_vec());
        self.process.call("append", async move { base.append(&name, partition, items, offer).await }).await
    }

    async fn persist(&self) -> Result<()> {
        self.process.look(async { Ok(()) }).await
    }
}

#[async_trait]
impl Lanes for Connection {
    async fn intake(&self) -> Result<Box<dyn Intake>> {
        self.process.look(async { Ok(()) }).await?;
        Ok(Box::new(self.clone()))
    }

    async fn due(&self, partition: Partition, pool: Pool, limit: usize) -> Result<Vec<Due>> {
        let answer = self.process.look(self.memory().due(partition, pool, limit)).await;
        if let Ok(due) = &answer
            && !due.is_empty()
        {
            self.base.tape.put(|| (Op::Due(partition, pool, limit), tape::due(&answer)));
        }
        answer
    }

    async fn claim(&self, partition: Partition, wants: &[Want]) -> Result<Vec<Claim>> {
        let (base, name, wants) = (self.base.clone(), self.process.name.clone(), wants.to_vec());
        self.process.call("claim", async move { base.claim(&name, partition, wants).await }).await
    }

    async fn commit(&self, partition: Partition, commits: &[Commit]) -> Result<Vec<Committed>> {
        let (base, name, commits) = (self.base.clone(), self.process.name.clone(), commits.to_vec());
        self.process.call("commit", async move { base.commit(&name, partition, commits).await }).await
    }

    async fn give_back(&self, partition: Partition, lane: &LaneId, token: Token) -> Result<()> {
        let (base, lane) = (self.base.clone(), lane.clone());
        let effect = async move {
            let answer = base.memory.give_back(partition, &lane, token).await;
            base.tape.put(|| (Op::GiveBack(partition, lane, token), text(&answer)));
            answer
        };
        self.process.call("give back", effect).await
    }

    async fn sweep(&self, partition: Partition, from: Option<u64>) -> Result<Swept> {
        self.process.look(self.base.sweep(partition, from)).await
    }

    async fn relieve(&self, burden: &Burden, bytes: u64) -> Result<Relieved> {
        self.process.look(self.memory().relieve(burden, bytes)).await
    }

    async fn figures(&self, partition: Partition) -> Result<Figures> {
        self.process.look(self.memory().figures(partition)).await
    }

    async fn beat(&self, member: Option<&str>) -> Result<Vec<String>> {
        self.process.look(self.memory().beat(member)).await
    }

    async fn leave(&self, member: &str) -> Result<()> {
        self.process.look(self.memory().leave(member)).await
    }

    async fn wake(&self, member: &str, lanes: &[LaneId]) -> Result<()> {
        self.process.travel().await;
        self.process.look(self.memory().wake(member, lanes)).await
    }

    async fn wakes(&self, member: &str) -> Result<mpsc::Receiver<Vec<LaneId>>> {
        self.process.look(self.memory().wakes(member)).await
    }

    async fn memory(&self) -> Result<lanes::Memory> {
        self.process.look(Lanes::memory(self.memory())).await
    }
}

#[async_trait]
impl Outbox for Connection {
    async fn notices(&self, partition: Partition, limit: usize) -> Result<Vec<Outgoing>> {
        let answer = self.process.look(self.memory().notices(partition, limit)).await;
        if let Ok(notices) = &answer
            && !notices.is_empty()
        {
            self.base.tape.put(|| (Op::Notices(partition, limit), tape::notices(&answer)));
        }
        answer
    }

    async fn settle(&self, partition: Partition, id: &str, channel: Channel, sent: Sent) -> Result<()> {
        let (base, id) = (self.base.clone(), id.to_owned());
        let effect = async move {
            let answer = base.memory.settle(partition, &id, channel, sent).await;
            base.tape.put(|| (Op::Settle(partition, id, channel, sent), text(&answer)));
            answer
        };
        self.process.call("settle", effect).await
    }
}

/// Routers and deliverers use none of these; people do, and theirs go straight to the store.
#[async_trait]
impl Records for Connection {
    async fn workspace(&self, workspace: &WorkspaceId) -> Result<Option<Workspace>> {
        self.memory().workspace(workspace).await
    }
    async fn workspaces(&self, after: Option<&WorkspaceId>, query: Option<&str>, n: usize) -> Result<Vec<WorkspaceId>> {
        self.memory().workspaces(after, query, n).await
    }
    async fn overview(&self, limit: usize) -> Result<Overview> {
        self.memory().overview(limit).await
    }
    async fn retrying(&self, workspace: &WorkspaceId, endpoint: &EndpointId, n: usize) -> Result<Vec<Retrying>> {
        self.memory().retrying(workspace, endpoint, n).await
    }
    async fn put_workspace(&self, workspace: &WorkspaceId, record: &Workspace) -> Result<()> {
        self.memory().put_workspace(workspace, record).await
    }
    async fn delete_workspace(&self, workspace: &WorkspaceId) -> Result<Option<u64>> {
        self.memory().delete_workspace(workspace).await
    }
    async fn routing(&self, workspace: &WorkspaceId) -> Result<Routing> {
        self.memory().routing(workspace).await
    }
    async fn endpoints(&self, workspace: &WorkspaceId) -> Result<Vec<Endpoint>> {
        self.memory().endpoints(workspace).await
    }
    async fn endpoints_among(&self, workspace: &WorkspaceId, endpoints: &[EndpointId]) -> Result<Vec<Endpoint>> {
        self.memory().endpoints_among(workspace, endpoints).await
    }
    async fn endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Option<Endpoint>> {
        self.memory().endpoint(workspace, endpoint).await
    }
    async fn put_endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId, config: &Config) -> Result<Put> {
        self.memory().put_endpoint(workspace, endpoint, config).await
    }
    async fn delete_endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Option<u64>> {
        self.memory().delete_endpoint(workspace, endpoint).await
    }
    async fn enable(&self, workspace: &WorkspaceId, endpoint: &EndpointId, discard: bool) -> Result<Option<u64>> {
        self.memory().enable(workspace, endpoint, discard).await
    }
    async fn disable(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<bool> {
        self.memory().disable(workspace, endpoint).await
    }
    async fn quota(&self, workspace: &WorkspaceId) -> Result<QuotaUse> {
        self.memory().quota(workspace).await
    }
    async fn attempts(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Attempt>> {
        self.memory().attempts(workspace, endpoint, before, limit).await
    }
    async fn stats(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Vec<HourStats>> {
        self.memory().stats(workspace, endpoint).await
    }
    async fn dropped(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Dropped>> {
        self.memory().dropped(workspace, endpoint, after, limit).await
    }
    async fn dropped_span(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        span_ms: Range<u64>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<DroppedSpan> {
        self.memory().dropped_span(workspace, endpoint, span_ms, after, limit).await
    }
    async fn payload(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        id: &EventId,
    ) -> Result<Option<lanes::Waiting>> {
        self.memory().payload(workspace, endpoint, id).await
    }
    async fn resend(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        from: ResendFrom,
        events: &[EventId],
    ) -> Result<Resent> {
        self.memory().resend(workspace, endpoint, from, events).await
    }
}

#[async_trait]
impl Once for Connection {
    async fn keep(&self, name: &OnceName, text: &str, span: Duration) -> Result<Option<String>> {
        self.memory().keep(name, text, span).await
    }
    async fn take(&self, name: &OnceName) -> Result<Option<String>> {
        self.memory().take(name).await
    }
}
