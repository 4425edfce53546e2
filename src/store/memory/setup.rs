//! What people set: workspaces, endpoints, enabling and disabling.

use std::sync::Arc;

use super::endpoint::Endpoint;
use super::state::State;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::decide::notice::DisableReason;
use crate::store::records::{Config, Put, Workspace};
use crate::testing::{Bug, has};

impl State {
    pub fn put_workspace(&mut self, workspace: &WorkspaceId, record: &Workspace, now_ms: u64) {
        let (space, mut step) = self.open_or_create(self.home(workspace), workspace, now_ms);
        let was_entitled = space.is_entitled(&step.policy.plans);
        if space.plan() != Some(record.plan.as_str()) {
            space.routing_version += 1;
        }
        space.record = Some(record.clone());
        if !was_entitled && space.is_entitled(&step.policy.plans) && !has(Bug::PlanReleasesNothing) {
            for endpoint in space.endpoints.values_mut() {
                endpoint.release_held(&mut step);
            }
        }
    }

    pub fn delete_workspace(&mut self, workspace: &WorkspaceId, now_ms: u64) -> Option<u64> {
        let (space, mut step) = self.open(self.home(workspace), workspace, now_ms)?;
        if !space.exists() {
            return None;
        }
        for endpoint in space.endpoints.values_mut() {
            endpoint.clear(&mut step);
            space.failures.leave(&endpoint.id);
        }
        if !has(Bug::WorkspaceOutlives) {
            space.endpoints.clear();
            space.created.clear();
        }
        space.record = None;
        space.routing_version += 1;
        Some(step.dropped_in_all())
    }

    pub fn put_endpoint(
        &mut self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        config: &Config,
        now_ms: u64,
    ) -> Put {
        let (space, mut step) = self.open_or_create(self.home(workspace), workspace, now_ms);
        let count = space.endpoints.len();
        match space.endpoints.get_mut(endpoint) {
            None if config.version != 1 => return Put::Missing,
            None if count >= step.policy.limits.endpoints as usize => return Put::LimitReached,
            None => {
                let created = Endpoint::new(workspace.clone(), endpoint.clone(), config.clone());
                space.endpoints.insert(endpoint.clone(), created);
                space.created.push(endpoint.clone());
            }
            Some(present) if *present.config == *config => return Put::Done,
            Some(present) => {
                if config.version != present.config.version + 1 {
                    return Put::Conflict;
                }
                if !present.lay_out(config.lanes, &mut step) {
                    return Put::Draining;
                }
                present.config = Arc::new(config.clone());
            }
        }
        space.routing_version += 1;
        Put::Done
    }

    pub fn delete_endpoint(&mut self, workspace: &WorkspaceId, endpoint: &EndpointId, now_ms: u64) -> Option<u64> {
        let (space, mut step) = self.open(self.home(workspace), workspace, now_ms)?;
        if has(Bug::DeletedIsClaimed) {
            return space.endpoints.get(endpoint).map(|_| 0);
        }
        let mut gone = space.endpoints.remove(endpoint)?;
        gone.clear(&mut step);
        space.failures.leave(endpoint);
        space.created.retain(|created| created != endpoint);
        space.routing_version += 1;
        Some(step.dropped_in_all())
    }

    pub fn enable(
        &mut self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        discard: bool,
        now_ms: u64,
    ) -> Option<u64> {
        let (space, mut step) = self.open(self.home(workspace), workspace, now_ms)?;
        let endpoint = space.endpoints.get_mut(endpoint)?;
        if endpoint.disabled.is_some() {
            if discard {
                endpoint.discard(&mut step);
            }
            endpoint.enable(&mut step);
        }
        Some(step.dropped_in_all())
    }

    pub fn disable(&mut self, workspace: &WorkspaceId, endpoint: &EndpointId, now_ms: u64) -> bool {
        let Some((space, mut step)) = self.open(self.home(workspace), workspace, now_ms) else { return false };
        let Some(endpoint) = space.endpoints.get_mut(endpoint) else { return false };
        if endpoint.disabled.is_none() {
            if !has(Bug::CountIsKept) {
                space.failures.leave(&endpoint.id);
            }
            endpoint.disable(DisableReason::Manual, &mut step);
        }
        true
    }
}
