//! The store in this process's memory: dev mode, the simulation, and the reference that the Redis store is held
//! against, operation by operation.
//!
//! It is written to be read as the specification: plain single-threaded state (`state.rs`), ordered maps only, so
//! that the same operations at the same times give the same answers, and one lock around it, never held over an
//! await. A store of actors and channels would be faster and could not be read that way. Its time is the given
//! clock's Unix time in milliseconds.
//!
//! Nothing survives the process, and every operation is durable in the only sense there is: it was done.

mod delivery;
mod endpoint;
mod failures;
mod history;
mod intake;
mod lane;
mod members;
mod notices;
mod once;
mod seen;
mod setup;
mod state;
mod views;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use self::state::State;
use super::lanes::{
    Append, Appended, Claim, Commit, Committed, Due, Figures, Intake, Offer, Pool, Relieved, Swept, Token, Waiting,
    Want,
};
use super::once::OnceName;
use super::outbox::{Outgoing, Sent};
use super::overview::Overview;
use super::records::{
    Attempt, Config, Dropped, DroppedSpan, Endpoint, HourStats, Put, QuotaUse, ResendFrom, Resent, Workspace,
};
use super::retrying::Retrying;
use super::{Lanes, Once, Outbox, Records, Result, lanes};
use crate::clock::Clock;
use crate::decide::ids::{EndpointId, EventId, LaneId, Partition, WorkspaceId};
use crate::decide::notice::Channel;
use crate::decide::policy::Policy;
use crate::decide::relief::Burden;
use crate::decide::route::Routing;

/// A store in memory; clones share it.
#[derive(Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

impl Memory {
    /// An empty store under these rules, with so many partitions, by this clock.
    pub fn new(policy: Policy, partitions: u16, clock: Clock) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(policy, partitions))), clock }
    }

    /// The state, and the time of the step about to be made.
    fn step(&self) -> (MutexGuard<'_, State>, u64) {
        // A step that panicked left the state whole as far as it got; the others are not to fail for it.
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = u64::try_from(self.clock.unix().as_millis()).unwrap_or(u64::MAX);
        (state, now_ms)
    }
}

#[async_trait]
impl Intake for Memory {
    async fn append(&self, partition: Partition, items: &[Append], offer: Offer) -> Result<Appended> {
        let (mut state, now_ms) = self.step();
        Ok(state.append(partition, items, offer, now_ms))
    }

    async fn persist(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Lanes for Memory {
    async fn intake(&self) -> Result<Box<dyn Intake>> {
        Ok(Box::new(self.clone()))
    }

    async fn due(&self, partition: Partition, pool: Pool, limit: usize) -> Result<Vec<Due>> {
        let (state, now_ms) = self.step();
        Ok(state.due(partition, pool, limit, now_ms))
    }

    async fn claim(&self, partition: Partition, wants: &[Want]) -> Result<Vec<Claim>> {
        let (mut state, now_ms) = self.step();
        Ok(wants.iter().map(|want| state.claim(partition, want, now_ms)).collect())
    }

    async fn commit(&self, partition: Partition, commits: &[Commit]) -> Result<Vec<Committed>> {
        let (mut state, now_ms) = self.step();
        Ok(commits.iter().map(|commit| state.commit(partition, commit, now_ms)).collect())
    }

    async fn give_back(&self, partition: Partition, lane: &LaneId, token: Token) -> Result<()> {
        let (mut state, now_ms) = self.step();
        state.give_back(partition, lane, token, now_ms);
        Ok(())
    }

    async fn sweep(&self, partition: Partition, _from: Option<u64>) -> Result<Swept> {
        let (mut state, now_ms) = self.step();
        Ok(state.sweep(partition, now_ms))
    }

    async fn relieve(&self, burden: &Burden, bytes: u64) -> Result<Relieved> {
        let (mut state, now_ms) = self.step();
        Ok(state.relieve(burden, bytes, now_ms))
    }

    async fn figures(&self, partition: Partition) -> Result<Figures> {
        Ok(self.step().0.figures(partition))
    }

    async fn beat(&self, member: Option<&str>) -> Result<Vec<String>> {
        let (mut state, now_ms) = self.step();
        Ok(state.members.beat(member, now_ms))
    }

    async fn leave(&self, member: &str) -> Result<()> {
        self.step().0.members.leave(member);
        Ok(())
    }

    async fn wake(&self, member: &str, lanes: &[LaneId]) -> Result<()> {
        self.step().0.members.wake(member, lanes);
        Ok(())
    }

    async fn wakes(&self, member: &str) -> Result<tokio::sync::mpsc::Receiver<Vec<LaneId>>> {
        Ok(self.step().0.members.listen(member))
    }

    async fn memory(&self) -> Result<lanes::Memory> {
        let used = self.step().0.body_bytes();
        Ok(lanes::Memory { used, max: 0, fullest: (used, 0) })
    }
}

#[async_trait]
impl Outbox for Memory {
    async fn notices(&self, partition: Partition, limit: usize) -> Result<Vec<Outgoing>> {
        let (mut state, now_ms) = self.step();
        Ok(state.part(partition).outbox.lease(limit, now_ms))
    }

    async fn settle(&self, partition: Partition, id: &str, channel: Channel, sent: Sent) -> Result<()> {
        let (mut state, now_ms) = self.step();
        state.part(partition).outbox.settle(id, channel, sent, now_ms);
        Ok(())
    }
}

#[async_trait]
impl Once for Memory {
    async fn keep(&self, name: &OnceName, text: &str, span: Duration) -> Result<Option<String>> {
        let (mut state, now_ms) = self.step();
        Ok(state.texts.keep(name, text, span, now_ms))
    }

    async fn take(&self, name: &OnceName) -> Result<Option<String>> {
        let (mut state, now_ms) = self.step();
        Ok(state.texts.take(name, now_ms))
    }
}

#[async_trait]
impl Records for Memory {
    async fn workspace(&self, workspace: &WorkspaceId) -> Result<Option<Workspace>> {
        Ok(self.step().0.record(workspace))
    }

    async fn workspaces(
        &self,
        after: Option<&WorkspaceId>,
        query: Option<&str>,
        limit: usize,
    ) -> Result<Vec<WorkspaceId>> {
        Ok(self.step().0.workspaces(after, query, limit))
    }

    async fn overview(&self, limit: usize) -> Result<Overview> {
        Ok(self.step().0.overview(limit))
    }

    async fn put_workspace(&self, workspace: &WorkspaceId, record: &Workspace) -> Result<()> {
        let (mut state, now_ms) = self.step();
        state.put_workspace(workspace, record, now_ms);
        Ok(())
    }

    async fn delete_workspace(&self, workspace: &WorkspaceId) -> Result<Option<u64>> {
        let (mut state, now_ms) = self.step();
        Ok(state.delete_workspace(workspace, now_ms))
    }

    async fn routing(&self, workspace: &WorkspaceId) -> Result<Routing> {
        Ok(self.step().0.routing(workspace))
    }

    async fn endpoints(&self, workspace: &WorkspaceId) -> Result<Vec<Endpoint>> {
        Ok(self.step().0.endpoints(workspace))
    }

    async fn endpoints_among(&self, workspace: &WorkspaceId, endpoints: &[EndpointId]) -> Result<Vec<Endpoint>> {
        let (state, _) = self.step();
        Ok(endpoints.iter().filter_map(|endpoint| state.endpoint(workspace, endpoint)).collect())
    }

    async fn endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Option<Endpoint>> {
        Ok(self.step().0.endpoint(workspace, endpoint))
    }

    async fn put_endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId, config: &Config) -> Result<Put> {
        let (mut state, now_ms) = self.step();
        Ok(state.put_endpoint(workspace, endpoint, config, now_ms))
    }

    async fn delete_endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Option<u64>> {
        let (mut state, now_ms) = self.step();
        Ok(state.delete_endpoint(workspace, endpoint, now_ms))
    }

    async fn enable(&self, workspace: &WorkspaceId, endpoint: &EndpointId, discard: bool) -> Result<Option<u64>> {
        let (mut state, now_ms) = self.step();
        Ok(state.enable(workspace, endpoint, discard, now_ms))
    }

    async fn disable(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<bool> {
        let (mut state, now_ms) = self.step();
        Ok(state.disable(workspace, endpoint, now_ms))
    }

    async fn quota(&self, workspace: &WorkspaceId) -> Result<QuotaUse> {
        let (state, now_ms) = self.step();
        Ok(state.quota(workspace, now_ms))
    }

    async fn attempts(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Attempt>> {
        Ok(self.step().0.attempts(workspace, endpoint, before, limit))
    }

    async fn retrying(&self, workspace: &WorkspaceId, endpoint: &EndpointId, limit: usize) -> Result<Vec<Retrying>> {
        let (state, now_ms) = self.step();
        Ok(state.retrying(workspace, endpoint, limit, now_ms))
    }

    async fn stats(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Vec<HourStats>> {
        let (state, now_ms) = self.step();
        Ok(state.stats(workspace, endpoint, now_ms))
    }

    async fn dropped(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Dropped>> {
        Ok(self.step().0.dropped(workspace, endpoint, after, limit))
    }

    async fn dropped_span(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        span_ms: Range<u64>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<DroppedSpan> {
        Ok(self.step().0.dropped_span(workspace, endpoint, &span_ms, after, limit))
    }

    async fn payload(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        event: &EventId,
    ) -> Result<Option<Waiting>> {
        Ok(self.step().0.payload(workspace, endpoint, event))
    }

    async fn resend(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        from: ResendFrom,
        events: &[EventId],
    ) -> Result<Resent> {
        let (mut state, now_ms) = self.step();
        Ok(state.resend(workspace, endpoint, from, events, now_ms))
    }
}
