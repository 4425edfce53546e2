//! All of the state, from the partitions down to a workspace, and how a step gets at it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::failures::Failures;
use super::lane::DueSets;
use super::members::Members;
use super::notices::Notices;
use super::once::Texts;
use super::seen::Seen;
use crate::decide::ids::{EndpointId, LaneId, Partition, WorkspaceId};
use crate::decide::notice::DropReason;
use crate::decide::policy::{Plans, Policy};
use crate::store::records::Workspace;

pub(super) struct State {
    pub policy: Policy,
    partitions: u16,
    pub parts: BTreeMap<Partition, Part>,
    pub members: Members,
    pub texts: Texts,
}

/// What one partition holds; every operation but `workspaces` and those on members touches one alone.
#[derive(Default)]
pub(super) struct Part {
    pub spaces: BTreeMap<WorkspaceId, Space>,
    pub due: DueSets,
    pub outbox: Notices,
}

/// A workspace. The routing version and the ids seen outlive its deletion: a router may still hold the old routing.
pub(super) struct Space {
    pub record: Option<Workspace>,
    pub routing_version: u64,
    pub endpoints: BTreeMap<EndpointId, Endpoint>,
    /// The endpoints in the order of their creation.
    pub created: Vec<EndpointId>,
    pub seen: Seen,
    pub failures: Failures,
}

/// The version of a routing that nothing was ever set of.
pub(super) const ROUTING_VERSION_FIRST: u64 = 1;

impl Default for Space {
    fn default() -> Self {
        Self {
            record: None,
            routing_version: ROUTING_VERSION_FIRST,
            endpoints: BTreeMap::new(),
            created: Vec::new(),
            seen: Seen::default(),
            failures: Failures::default(),
        }
    }
}

impl Space {
    pub fn plan(&self) -> Option<&str> {
        self.record.as_ref().map(|record| record.plan.as_str())
    }

    pub fn is_entitled(&self, plans: &Plans) -> bool {
        plans.entitle(self.plan())
    }

    /// Whether it was set or has endpoints.
    pub fn exists(&self) -> bool {
        self.record.is_some() || !self.endpoints.is_empty()
    }

    /// Whether nothing would be different without it.
    pub fn is_blank(&self) -> bool {
        !self.exists() && self.routing_version == ROUTING_VERSION_FIRST && self.seen.is_empty()
    }
}

/// What an operation works with besides the workspace, and what it will have to tell.
pub(super) struct Step<'a> {
    pub now_ms: u64,
    pub policy: &'a Policy,
    pub due: &'a mut DueSets,
    pub outbox: &'a mut Notices,
    /// Lanes that became ready.
    pub ready: Vec<LaneId>,
    /// Events that were dropped.
    pub dropped: BTreeMap<DropReason, u64>,
}

impl Step<'_> {
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.values().sum()
    }
}

impl State {
    pub fn new(policy: Policy, partitions: u16) -> Self {
        Self { policy, partitions, parts: BTreeMap::new(), members: Members::default(), texts: Texts::default() }
    }

    pub fn home(&self, workspace: &WorkspaceId) -> Partition {
        Partition::of(workspace, self.partitions)
    }

    pub fn part(&mut self, partition: Partition) -> &mut Part {
        self.parts.entry(partition).or_default()
    }

    pub fn space(&self, workspace: &WorkspaceId) -> Option<&Space> {
        self.parts.get(&self.home(workspace)).and_then(|part| part.spaces.get(workspace))
    }

    pub fn endpoint_state(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Option<&Endpoint> {
        self.space(workspace).and_then(|space| space.endpoints.get(endpoint))
    }

    /// Begins a step on a workspace of a partition; `None` when nothing is known of the workspace.
    pub fn open(
        &mut self,
        partition: Partition,
        workspace: &WorkspaceId,
        now_ms: u64,
    ) -> Option<(&mut Space, Step<'_>)> {
        let Part { spaces, due, outbox } = self.parts.entry(partition).or_default();
        let space = spaces.get_mut(workspace)?;
        let (ready, dropped) = (Vec::new(), BTreeMap::new());
        Some((space, Step { now_ms, policy: &self.policy, due, outbox, ready, dropped }))
    }

    /// As [`State::open`], for one that may be new.
    pub fn open_or_create(
        &mut self,
        partition: Partition,
        workspace: &WorkspaceId,
        now_ms: u64,
    ) -> (&mut Space, Step<'_>) {
        let Part { spaces, due, outbox } = self.parts.entry(partition).or_default();
        let space = spaces.entry(workspace.clone()).or_default();
        let (ready, dropped) = (Vec::new(), BTreeMap::new());
        (space, Step { now_ms, policy: &self.policy, due, outbox, ready, dropped })
    }
}

/// Whole milliseconds.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
