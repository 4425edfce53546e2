//! What people look at; nothing here changes anything.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use super::endpoint;
use super::state::{ROUTING_VERSION_FIRST, State};
use crate::decide::ids::{EndpointId, EventId, WorkspaceId};
use crate::decide::route::Routing;
use crate::store::lanes::Waiting;
use crate::store::overview::{LANES_MAX, Overview};
use crate::store::records::{Attempt, Dropped, DroppedSpan, Endpoint, HourStats, PAGE_ROWS_MAX, QuotaUse, Workspace};
use crate::store::retrying::Retrying;

impl State {
    pub fn record(&self, workspace: &WorkspaceId) -> Option<Workspace> {
        self.space(workspace).and_then(|space| space.record.clone())
    }

    pub fn workspaces(&self, after: Option<&WorkspaceId>, query: Option<&str>, limit: usize) -> Vec<WorkspaceId> {
        let spaces = self.parts.values().flat_map(|part| &part.spaces).filter(|(_, space)| space.exists());
        let names = spaces.map(|(name, _)| name).filter(|name| after.is_none_or(|after| *name > after));
        let found = names.filter(|name| query.is_none_or(|query| name.as_str().contains(query)));
        let mut found: Vec<WorkspaceId> = found.cloned().collect();
        found.sort();
        found.truncate(limit.min(PAGE_ROWS_MAX));
        found
    }

    pub fn overview(&self, limit: usize) -> Overview {
        let mut overview = Overview::default();
        let (mut endpoints, mut disabled, mut suspect) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (partition, part) in &self.parts {
            let figures = self.figures(*partition);
            overview.backlog_events += figures.backlog_events;
            for (status, count) in figures.endpoints {
                *endpoints.entry(status).or_default() += count;
            }
            let all = part.spaces.values().flat_map(|space| space.endpoints.values());
            let since = all.filter_map(|it| Some((Reverse(it.disabled?.at_ms), (it.workspace.clone(), it.id.clone()))));
            disabled.extend(since);
            suspect.extend(
                part.due
                    .suspect()
                    .take(LANES_MAX)
                    .map(|(due, lane)| (due, (lane.workspace.clone(), lane.endpoint.clone()))),
            );
        }
        overview.endpoints = endpoints.into_iter().collect();
        overview.disabled = Overview::first(disabled, limit);
        overview.suspect = Overview::first(suspect, limit);
        overview
    }

    pub fn routing(&self, workspace: &WorkspaceId) -> Routing {
        let Some(space) = self.space(workspace) else {
            return Routing { version: ROUTING_VERSION_FIRST, ..Routing::default() };
        };
        Routing {
            version: space.routing_version,
            plan: space.plan().map(str::to_owned),
            routes: space.created.iter().filter_map(|id| space.endpoints.get(id)).map(|it| it.route()).collect(),
        }
    }

    pub fn endpoints(&self, workspace: &WorkspaceId) -> Vec<Endpoint> {
        let Some(space) = self.space(workspace) else { return Vec::new() };
        let entitled = space.is_entitled(&self.policy.plans);
        space.created.iter().filter_map(|id| space.endpoints.get(id)).map(|it| it.view(entitled)).collect()
    }

    pub fn endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Option<Endpoint> {
        let space = self.space(workspace)?;
        let entitled = space.is_entitled(&self.policy.plans);
        space.endpoints.get(endpoint).map(|it| it.view(entitled))
    }

    pub fn quota(&self, workspace: &WorkspaceId, now_ms: u64) -> QuotaUse {
        let Some(space) = self.space(workspace) else { return QuotaUse::default() };
        space.failures.view(space.endpoints.keys(), now_ms, &self.policy.quota)
    }

    pub fn attempts(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        before: Option<u64>,
        limit: usize,
    ) -> Vec<Attempt> {
        let endpoint = self.endpoint_state(workspace, endpoint);
        endpoint.map(|it| it.log.page(before, limit.min(PAGE_ROWS_MAX))).unwrap_or_default()
    }

    pub fn retrying(&self, workspace: &WorkspaceId, endpoint: &EndpointId, limit: usize, now_ms: u64) -> Vec<Retrying> {
        let Some(endpoint) = self.endpoint_state(workspace, endpoint) else { return Vec::new() };
        let lanes = endpoint.lanes.values().filter(|lane| lane.generation == endpoint.generation);
        Retrying::worst(lanes.filter_map(|lane| lane.retrying(now_ms)).collect(), limit)
    }

    pub fn stats(&self, workspace: &WorkspaceId, endpoint: &EndpointId, now_ms: u64) -> Vec<HourStats> {
        self.endpoint_state(workspace, endpoint).map(|it| it.hours.shown(now_ms)).unwrap_or_default()
    }

    pub fn dropped(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        after: Option<u64>,
        limit: usize,
    ) -> Vec<Dropped> {
        let endpoint = self.endpoint_state(workspace, endpoint);
        endpoint.map(|it| it.dropped.page(after, limit.min(PAGE_ROWS_MAX))).unwrap_or_default()
    }

    pub fn dropped_span(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        span_ms: &Range<u64>,
        after: Option<u64>,
        limit: usize,
    ) -> DroppedSpan {
        let endpoint = self.endpoint_state(workspace, endpoint);
        endpoint.map(|it| it.dropped.span(span_ms, after, limit.min(PAGE_ROWS_MAX))).unwrap_or_default()
    }

    pub fn payload(&self, workspace: &WorkspaceId, endpoint: &EndpointId, event: &EventId) -> Option<Waiting> {
        let endpoint = self.endpoint_state(workspace, endpoint)?;
        let current = || endpoint.lanes.values().filter_map(|lane| lane.current.as_ref()).map(|current| &current.event);
        let queued = || endpoint.lanes.values().flat_map(|lane| &lane.queue).filter(|(_, queued)| queued.id == *event);
        let found = endpoint.kept.get(event).map(|(_, event)| event).or_else(|| endpoint.dropped.get(event));
        let found = found.or_else(|| current().find(|current| current.id == *event));
        let found = found.or_else(|| queued().min_by_key(|(seq, _)| *seq).map(|(_, event)| event));
        found.map(|event| Waiting::clone(event))
    }

    /// Bytes of the bodies that wait or can be resent.
    pub fn body_bytes(&self) -> u64 {
        let spaces = self.parts.values().flat_map(|part| part.spaces.values());
        let endpoints = spaces.flat_map(|space| space.endpoints.values());
        endpoints.map(|endpoint| endpoint.waiting_bytes + endpoint.dropped.bytes()).sum()
    }
}

impl endpoint::Endpoint {
    pub fn view(&self, entitled: bool) -> Endpoint {
        Endpoint {
            id: self.id.clone(),
            config: self.config.as_ref().clone(),
            paused: !entitled,
            disabled: self.disabled,
            generation: self.generation,
            backlog_events: self.waiting_events,
            oldest_ms: self.oldest_ms(),
            last_attempt: self.log.newest().cloned(),
        }
    }
}
