//! What a router in the same process says to the scheduler: that lanes became ready, and that it is about to fill some,
//! for which it holds places, so that what was idle is leased by the append itself.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngCore;
use rand::rngs::StdRng;
use tokio::sync::mpsc;

use super::{Note, index};
use crate::consume::Held;
use crate::decide::ids::{LaneId, Partition};
use crate::deliver::claims;
use crate::deliver::places::Seats;
use crate::deliver::worker::Shared;
use crate::store::lanes::{Append, Granted, Offer, Pool, Token};

/// Most lanes of an append that places are held for: each is put back by itself where the answer is lost, and where so many
/// are filled at once most must wait for a place anyway.
const LANES_MAX: usize = 256;

/// Tells a deliverer in this process of lanes that became ready, and holds places for those that will. Cheap to clone;
/// never waits.
#[derive(Clone)]
pub struct Waker {
    pub(super) wakes: mpsc::Sender<Vec<LaneId>>,
    pub(super) notes: mpsc::UnboundedSender<Note>,
    pub(super) shared: Arc<Shared>,
    /// The healthy places.
    pub(super) seats: Arc<Seats>,
    pub(super) random: Arc<Mutex<StdRng>>,
}

impl Waker {
    /// Announces lanes. A hint: when the deliverer is swamped, it is dropped.
    pub fn wake(&self, lanes: Vec<LaneId>) {
        // Full or closed: a poll finds the lanes, here or elsewhere.
        let _ = self.wakes.try_send(lanes);
    }

    /// Holds healthy places for lanes of a partition that an append is about to fill, unless others wait for places.
    pub fn hold(&self, partition: Partition, items: &[Append]) -> Option<Box<dyn Held>> {
        let shared = &self.shared;
        let wanted = shared.wanted[index(Pool::Healthy)].load(Ordering::Relaxed);
        if wanted || shared.draining.load(Ordering::Relaxed) || !shared.members.is_mine(partition) {
            return None;
        }
        let lanes: BTreeSet<&LaneId> = items.iter().flat_map(|item| &item.lanes).collect();
        let places = if lanes.len() > LANES_MAX { 0 } else { self.seats.hold(lanes.len()) };
        if places == 0 {
            return None;
        }
        let token = Token(self.random.lock().unwrap_or_else(PoisonError::into_inner).next_u64());
        let asked = shared.tools.clock.boot();
        let (waker, lanes) = (self.clone(), lanes.into_iter().cloned().collect());
        Some(Box::new(HeldPlaces { waker, partition, lanes, asked, offer: Offer { token, places }, answered: false }))
    }
}

/// Places that are held for an append.
struct HeldPlaces {
    waker: Waker,
    partition: Partition,
    lanes: Vec<LaneId>,
    /// When they began to be held (boot time): before any lease began.
    asked: Duration,
    offer: Offer,
    answered: bool,
}

impl Held for HeldPlaces {
    fn offer(&self) -> Offer {
        self.offer
    }

    fn granted(mut self: Box<Self>, granted: Vec<Granted>) {
        self.answered = true;
        let (held, taken) = (self.offer.places, granted.len());
        if taken > 0 {
            let lanes = granted.iter().map(|granted| granted.lane.clone()).collect();
            if self.waker.notes.send(Note::Granted { partition: self.partition, granted, asked: self.asked }).is_err() {
                self.give_back(lanes); // The deliverer has ended.
            }
        }
        // After the note: what is held no longer has been told.
        self.waker.seats.release(held, taken);
    }
}

impl HeldPlaces {
    fn give_back(&self, lanes: Vec<LaneId>) {
        // Without a runtime the process is ending, and the leases end by themselves.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (tools, token) = (self.waker.shared.tools.clone(), self.offer.token);
            let leases = lanes.into_iter().map(|lane| (lane, token)).collect();
            runtime.spawn(claims::forget(tools, self.partition, leases));
        }
    }
}

impl Drop for HeldPlaces {
    /// Without an answer the append may have leased lanes that nobody hears of.
    fn drop(&mut self) {
        if !self.answered {
            let lanes = std::mem::take(&mut self.lanes);
            self.give_back(lanes);
            self.waker.seats.release(self.offer.places, 0);
        }
    }
}
