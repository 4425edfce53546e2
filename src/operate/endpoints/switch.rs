//! Endpoints are enabled, disabled and deleted, for the API's handlers and the console alike.

use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::decide::notice::{DisableReason, DropReason};
use crate::observe::signal::Signal;
use crate::operate::conditional::IfMatch;
use crate::operate::{Api, Problem};

impl Api {
    /// Enables an endpoint; answers how many events were dropped on request.
    pub async fn enable_endpoint(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        discard: bool,
    ) -> Result<u64, Problem> {
        let before = self.endpoint(workspace, endpoint).await?;
        self.need_plan(workspace).await?;
        let count = self.store.enable(workspace, endpoint, discard).await?.ok_or_else(Problem::no_endpoint)?;
        if before.disabled.is_some() {
            self.signals.emit(&Signal::Enabled { workspace, endpoint });
        }
        self.tell_dropped(endpoint, DropReason::Discarded, count);
        Ok(count)
    }

    /// Disables an endpoint by hand.
    pub async fn disable_endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<(), Problem> {
        let before = self.endpoint(workspace, endpoint).await?;
        if !self.store.disable(workspace, endpoint).await? {
            return Err(Problem::no_endpoint());
        }
        if before.disabled.is_none() {
            self.signals.emit(&Signal::Disabled { workspace, endpoint, reason: DisableReason::Manual });
        }
        Ok(())
    }

    /// Deletes an endpoint; answers how many events were dropped by it.
    pub async fn delete_endpoint(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        known: &IfMatch,
    ) -> Result<u64, Problem> {
        if known.is_given() {
            known.admit(self.endpoint(workspace, endpoint).await?.config.version)?;
        }
        let count = self.store.delete_endpoint(workspace, endpoint).await?.ok_or_else(Problem::no_endpoint)?;
        self.tell_dropped(endpoint, DropReason::EndpointDeleted, count);
        Ok(count)
    }

    fn tell_dropped(&self, endpoint: &EndpointId, reason: DropReason, count: u64) {
        if count > 0 {
            self.signals.emit(&Signal::Dropped { reason, count, endpoint: Some(endpoint) });
        }
    }
}
