//! Lanes that hold their events back: what the people of an endpoint with several lanes want to know when some of its
//! events do not arrive.

use std::cmp::Reverse;

use crate::decide::ids::{EventId, LaneId};

/// A lane whose first event has failed and is tried again before the others go out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retrying {
    /// The lane.
    pub lane: LaneId,
    /// Its first event.
    pub event: EventId,
    /// The attempt that comes next, or is being made, from 2.
    pub attempt: u32,
    /// When it is due, Unix milliseconds; `None` while it is being made, and where the lane is held.
    pub due_ms: Option<u64>,
    /// Events in the lane, the first one included.
    pub events: u64,
}

impl Retrying {
    /// The worst of a list: those with most events, of equals the first lane.
    pub(super) fn worst(mut lanes: Vec<Self>, limit: usize) -> Vec<Self> {
        lanes.sort_by(|a, b| (Reverse(a.events), &a.lane).cmp(&(Reverse(b.events), &b.lane)));
        lanes.truncate(limit);
        lanes
    }
}
