//! From ready lanes to workers: claims into free places, and the places' way back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngCore;
use tokio::time::Instant;

use super::{Meanwhile, Note, Scheduler, Working, index};
use crate::decide::ids::{LaneId, Partition};
use crate::deliver::places::Slot;
use crate::deliver::{claims, worker};
use crate::store::lanes::{Lease, Pool, Token, Want};

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
            self.claim_all(partition, pool, &wants);
        }
    }

    fn want(&mut self, pool: Pool, lane: LaneId, groups: &mut BTreeMap<Partition, Vec<Want>>) {
        self.known.remove(&lane);
        let partition = Partition::of(&lane.workspace, self.shared.partitions);
        if self.busy.contains_key(&lane) || self.shared.commits.troubled(partition) {
            return; // A poll finds it again.
        }
        if !self.places.take(pool, &lane.workspace) {
            self.learn(pool, lane); // The last one is held for an append.
            return;
        }
        let config = self.shared.targets.config(&lane.endpoint);
        groups.entry(partition).or_default().push(Want { lane, token: Token(self.random.next_u64()), config });
    }

    /// Claims lanes of one partition, for which places are taken.
    pub(super) fn claim_all(&mut self, partition: Partition, reserved: Pool, wants: &[Want]) {
        for part in wants.chunks(CLAIMS_PER_CALL_MAX) {
            self.claim(partition, reserved, part.to_vec());
        }
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
                claims::give_back(shared, claims::leases(&claims)).await;
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
                self.tasks.spawn(claims::give_back(self.shared.clone(), vec![(lease.lane, lease.token)]));
                return;
            }
        }
        self.worker_last += 1;
        let id = self.worker_last;
        let slot = Arc::new(Slot::default());
        self.busy.insert(lease.lane.clone(), Meanwhile::Nothing);
        self.placed.insert(id, Working { slot: slot.clone(), pool, lane: lease.lane.clone() });
        let (shared, notes) = (self.shared.clone(), self.notes.0.clone());
        self.tasks.spawn(async move {
            let left = worker::work(&shared, &slot, lease, asked).await;
            // When draining nobody listens, and nobody needs to.
            let _ = notes.send(Note::Left { id, left });
        });
    }

    /// Takes a worker's place back; answers also what happened to its lane meanwhile.
    pub(super) fn leave(&mut self, id: u64) -> (Working, Meanwhile) {
        let working = if let Some(working) = self.placed.remove(&id) {
            self.places.give(working.pool, &working.lane.workspace);
            working
        } else {
            let working = self.slow.remove(&id).expect("a worker leaves once, from where it was put");
            self.places.end_slow(&working.lane.workspace);
            working
        };
        let meanwhile = self.busy.remove(&working.lane).unwrap_or(Meanwhile::Nothing);
        (working, meanwhile)
    }
}
