//! [`Records`], by `setup` (what people set) and `views` (what they look at).

use std::ops::Range;

use async_trait::async_trait;

use super::RedisStore;
use crate::decide::ids::{EndpointId, EventId, WorkspaceId};
use crate::decide::route::Routing;
use crate::store::Result;
use crate::store::lanes::Waiting;
use crate::store::overview::Overview;
use crate::store::records::{
    Attempt, Config, Dropped, DroppedSpan, Endpoint, HourStats, Put, QuotaUse, Records, ResendFrom, Resent, Workspace,
};
use crate::store::retrying::Retrying;

#[async_trait]
impl Records for RedisStore {
    async fn workspace(&self, workspace: &WorkspaceId) -> Result<Option<Workspace>> {
        self.read_workspace(workspace).await
    }

    async fn workspaces(
        &self,
        after: Option<&WorkspaceId>,
        query: Option<&str>,
        limit: usize,
    ) -> Result<Vec<WorkspaceId>> {
        self.list_workspaces(after, query, limit).await
    }

    async fn overview(&self, limit: usize) -> Result<Overview> {
        self.look_over(limit).await
    }

    async fn put_workspace(&self, workspace: &WorkspaceId, record: &Workspace) -> Result<()> {
        self.set_workspace(workspace, record).await
    }

    async fn delete_workspace(&self, workspace: &WorkspaceId) -> Result<Option<u64>> {
        self.delete(workspace, None).await
    }

    async fn routing(&self, workspace: &WorkspaceId) -> Result<Routing> {
        self.read_routing(self.partition(workspace), workspace).await
    }

    async fn endpoints(&self, workspace: &WorkspaceId) -> Result<Vec<Endpoint>> {
        let routing = self.routing(workspace).await?;
        self.look_at(workspace, routing.routes.into_iter().map(|route| route.endpoint).collect()).await
    }

    async fn endpoints_among(&self, workspace: &WorkspaceId, endpoints: &[EndpointId]) -> Result<Vec<Endpoint>> {
        self.look_at(workspace, endpoints.to_vec()).await
    }

    async fn endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Option<Endpoint>> {
        Ok(self.look_at(workspace, vec![endpoint.clone()]).await?.pop())
    }

    async fn put_endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId, config: &Config) -> Result<Put> {
        self.set_endpoint(workspace, endpoint, config).await
    }

    async fn delete_endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Option<u64>> {
        self.delete(workspace, Some(endpoint)).await
    }

    async fn enable(&self, workspace: &WorkspaceId, endpoint: &EndpointId, discard: bool) -> Result<Option<u64>> {
        self.enable_endpoint(workspace, endpoint, discard).await
    }

    async fn disable(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<bool> {
        self.disable_endpoint(workspace, endpoint).await
    }

    async fn quota(&self, workspace: &WorkspaceId) -> Result<QuotaUse> {
        self.read_quota(workspace).await
    }

    async fn attempts(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Attempt>> {
        self.read_attempts(workspace, endpoint, before, limit).await
    }

    async fn retrying(&self, workspace: &WorkspaceId, endpoint: &EndpointId, limit: usize) -> Result<Vec<Retrying>> {
        self.read_retrying(workspace, endpoint, limit).await
    }

    async fn stats(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Vec<HourStats>> {
        self.read_stats(workspace, endpoint).await
    }

    async fn dropped(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Dropped>> {
        self.read_dropped(workspace, endpoint, after, limit).await
    }

    async fn dropped_span(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        span_ms: Range<u64>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<DroppedSpan> {
        self.read_dropped_span(workspace, endpoint, span_ms, after, limit).await
    }

    async fn payload(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        event: &EventId,
    ) -> Result<Option<Waiting>> {
        self.read_payload(workspace, endpoint, event).await
    }

    async fn resend(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        from: ResendFrom,
        events: &[EventId],
    ) -> Result<Resent> {
        self.resend_events(workspace, endpoint, from, events).await
    }
}
