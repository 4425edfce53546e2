//! Which lanes an event belongs to.

use serde::{Deserialize, Serialize};

use super::ids::{ContactHash, EndpointId, EventType, LaneId, WorkspaceId};
use super::policy::Plans;
use crate::testing::{Bug, has};

/// The event-type word that stands for all of them in a subscription (contract, section 5).
pub const ALL_EVENTS: &str = "*";

/// What a workspace's events are routed by. A router caches it under its version; the store refuses an append
/// that was routed by another version and answers with the present one.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Routing {
    /// Raised by every change of plan, subscriptions or lanes; 0 is never a stored version.
    pub version: u64,
    /// The workspace's plan; `None` when it was never set.
    pub plan: Option<String>,
    /// Its endpoints, in the order of their creation.
    pub routes: Vec<Route>,
}

/// One endpoint's part of the routing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Route {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The event types it subscribed to, or `*`.
    pub events: Vec<EventType>,
    /// Which setting of `lanes` is the newest.
    pub layout: u32,
    /// How many lanes that setting has, 1 to 64.
    pub lanes: u16,
}

impl Route {
    fn wants(&self, event_type: &EventType) -> bool {
        self.events.iter().any(|wanted| wanted == event_type || wanted.as_str() == ALL_EVENTS)
    }

    /// The lane of a contact; events without one use lane 0.
    pub fn lane(&self, workspace: &WorkspaceId, contact: Option<ContactHash>) -> LaneId {
        let lanes = u64::from(self.lanes.max(1));
        let index = contact.map_or(0, |ContactHash(hash)| hash % lanes);
        LaneId {
            workspace: workspace.clone(),
            endpoint: self.endpoint.clone(),
            layout: self.layout,
            index: u16::try_from(index).expect("a remainder of a u16 fits one"),
        }
    }
}

/// The lanes of an event, one per endpoint that subscribed to its type; none below an entitled plan.
pub fn lanes(
    workspace: &WorkspaceId,
    event_type: &EventType,
    contact: Option<ContactHash>,
    routing: &Routing,
    plans: &Plans,
) -> Vec<LaneId> {
    if !plans.entitle(routing.plan.as_deref()) && !has(Bug::PausedIsStored) {
        return Vec::new();
    }
    routing.routes.iter().filter(|route| route.wants(event_type)).map(|route| route.lane(workspace, contact)).collect()
}
