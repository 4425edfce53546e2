//! Leases that an append gives at once, so that a lane which was idle costs no claim.

use std::sync::Arc;

use super::{Lease, Pool, Token, Waiting};
use crate::decide::ids::LaneId;
use crate::store::records::Config;

/// Free working places, held for lanes that an append finds idle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// What the leases are given to; made for one append.
    pub token: Token,
    /// At most so many lanes.
    pub places: usize,
}

impl Offer {
    /// Nothing is to be leased.
    pub const NONE: Self = Self { token: Token(0), places: 0 };
}

/// A lane leased by an append: for the first attempt of an event, in the healthy pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Granted {
    /// Which.
    pub lane: LaneId,
    /// The token of the offer.
    pub token: Token,
    /// The event's number at this endpoint.
    pub seq: u64,
    /// The endpoint's generation.
    pub generation: u64,
    /// Which version of the endpoint's configuration is the present one; whoever has another at hand claims the lane
    /// under the token, which brings it.
    pub config_version: u64,
    /// The event.
    pub event: Arc<Waiting>,
}

impl Granted {
    /// The lease, with the configuration of that version.
    pub fn lease(self, config: Arc<Config>) -> Lease {
        let Self { lane, token, seq, generation, event, .. } = self;
        Lease { lane, token, seq, round: 1, attempt: 1, generation, pool: Pool::Healthy, event, config }
    }
}
