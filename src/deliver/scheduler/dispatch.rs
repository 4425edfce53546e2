//! From ready lanes to workers: claims into free places, and the places' way back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngCore;
use tokio::time::Instant;

use super::{Note, Scheduler, Working, index};
use crate::decide::ids::{LaneId, Partition};
use crate::deliver::places::Slot;
use crate::deliver::{claims, worker};
use crate::store::lanes::{Claim, Lease, Pool, Token, Want};

/// Most lanes that one call claims.
const CLAIMS_PER_CALL_MAX: usize = 32;

impl Scheduler {
    /// Claims ready lanes into the free places.
    pub(super) fn dispatch(&mut self) {
        if Instant::now() < self.claim_after || self.is_cut_off() {
            return;
        }
        for pool in [Pool::Healthy, Pool::Suspect] {
            self.dispatch_pool(pool);
            let waits = !self.ready[index(pool)].is_empty();
            self.shared.wanted[index(pool)].store(waits, Ordering::Relaxed);
        }
        let hungry = |pool: &Pool| self.places.free(*pool) > 0 && self.ready[index(*pool)].is_empty();
        let more = self.deep.iter().any(|(_, pool)| hungry(pool));
        if more && self.claiming == 0 {
            self.poll_deep();
        }
    }

    fn dispatch_pool(&mut self, pool: Pool) {
        let mut groups: BTreeMap<Partition, Vec<Want>> = BTreeMap::new();
        while self.places.free(pool) > 0
            && let Some(lane) = self.ready[index(pool)].pop(&self.places)
        {
            self.want(pool, lane, &mut groups);
        }
        for (partition, wants) in groups {
            for part in wants.chunks(CLAIMS_PER_CALL_MAX) {
                self.claim(partition, pool, part.to_vec());
            }
        }
    }

    fn want(&mut self, pool: Pool, lane: LaneId, groups: &mut BTreeMap<Partition, Vec<Want>>) {
        self.known.remove(&lane);
        let partition = Partition::of(&lane.workspace, self.shared.partitions);
        if self.busy.contains_key(&lane) || self.shared.commits.troubled(partition) {
            return; // A poll finds it again.
        }
        let taken = self.places.take(pool, &lane.workspace);
        debug_assert!(taken, "only asked while a place is free");
        let config = self.shared.targets.config(&lane.endpoint);
        groups.entry(partition).or_default().push(Want { lane, token: Token(self.random.next_u64()), config });
    }

    fn claim(&mut self, partition: Partition, reserved: Pool, wants: Vec<Want>) {
        let (shared, notes) = (self.shared.clone(), self.notes.0.clone());
        self.claiming += 1;
        self.tasks.spawn(async move {
            let asked = shared.tools.clock.boot();
            let claims = claims::claim(&shared, partition, &wants, asked).await;
            if let Err(unheard) = notes.send(Note::Claimed { reserved, wants, claims, asked })
                && let Note::Claimed { claims, .. } = unheard.0
            {
                claims::give_back_all(&shared, claims).await;
            }
        });
    }

    /// Starts the worker of a lease. The place reserved may be of the wrong pool; then it is swapped, or the lane goes
    /// back.
    pub(super) fn begin(&mut self, reserved: Pool, lease: Box<Lease>, asked: Duration) {
        let (pool, workspace) = (lease.pool, lease.lane.workspace.clone());
        if pool != reserved {
            self.places.give(reserved, &workspace);
            let others_first = self.ready[index(pool)].must_wait(&workspace, &self.places);
            if others_first || !self.places.take(pool, &workspace) {
                let shared = self.shared.clone();
                self.tasks.spawn(async move { claims::give_back_all(&shared, vec![Claim::Leased(lease)]).await });
                return;
            }
        }
        self.worker_last += 1;
        let id = self.worker_last;
        let slot = Arc::new(Slot::default());
        self.busy.insert(lease.lane.clone(), false);
        self.placed.insert(id, Working { slot: slot.clone(), pool, lane: lease.lane.clone() });
        let (shared, notes) = (self.shared.clone(), self.notes.0.clone());
        self.tasks.spawn(async move {
            let left = worker::work(&shared, &slot, lease, asked).await;
            // When draining nobody listens, and nobody needs to.
            let _ = notes.send(Note::Left { id, left });
        });
    }

    /// Takes a worker's place back; answers also whether its lane was announced meanwhile.
    pub(super) fn leave(&mut self, id: u64) -> (Working, bool) {
        let working = if let Some(working) = self.placed.remove(&id) {
            self.places.give(working.pool, &working.lane.workspace);
            working
        } else {
            let working = self.slow.remove(&id).expect("a worker leaves once, from where it was put");
            self.places.end_slow(&working.lane.workspace);
            working
        };
        let announced = self.busy.remove(&working.lane).unwrap_or(false);
        (working, announced)
    }
}
