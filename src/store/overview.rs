//! The whole store at a glance: what the platform's people look for among a hundred thousand endpoints.

use std::collections::BTreeSet;

use super::records::{EndpointStatus, PAGE_ROWS_MAX};
use crate::decide::ids::{EndpointId, WorkspaceId};

/// Suspect lanes of a partition that an overview looks at.
pub const LANES_MAX: usize = 256;

/// The whole store at a glance.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Overview {
    /// Events that wait in all lanes.
    pub backlog_events: u64,
    /// All endpoints by status; a status without any is left out.
    pub endpoints: Vec<(EndpointStatus, u64)>,
    /// Endpoints that are disabled, the last one first.
    pub disabled: Vec<(WorkspaceId, EndpointId)>,
    /// Endpoints with events of which the last attempt failed, those first that are tried again soonest.
    pub suspect: Vec<(WorkspaceId, EndpointId)>,
}

impl Overview {
    /// The first endpoints of those that each stand at a place in an order, each once.
    pub(super) fn first<P: Ord>(
        mut places: Vec<(P, (WorkspaceId, EndpointId))>,
        limit: usize,
    ) -> Vec<(WorkspaceId, EndpointId)> {
        places.sort();
        let mut seen = BTreeSet::new();
        let endpoints = places.into_iter().map(|(_, endpoint)| endpoint);
        endpoints.filter(|endpoint| seen.insert(endpoint.clone())).take(limit.min(PAGE_ROWS_MAX)).collect()
    }
}
