//! Lanes that came leased with an append, each with a place that was held for it.

use std::time::Duration;

use super::{Meanwhile, Scheduler};
use crate::decide::ids::{LaneId, Partition};
use crate::deliver::claims;
use crate::store::lanes::{Granted, Pool, Token, Want};

impl Scheduler {
    /// Begins with lanes of one partition.
    pub(super) fn accept(&mut self, partition: Partition, granted: Vec<Granted>, asked: Duration) {
        let mut strange = Vec::new();
        for granted in granted {
            let Granted { lane, token, config_version, .. } = &granted;
            if let Some(meanwhile) = self.busy.get_mut(lane) {
                // Its worker has recorded the last event and is about to leave.
                *meanwhile = Meanwhile::Leased(*token);
                self.places.give(Pool::Healthy, &lane.workspace);
                continue;
            }
            match self.shared.targets.config(&lane.endpoint) {
                Some(config) if config.version == *config_version => {
                    self.begin(Pool::Healthy, Box::new(granted.lease(config)), asked);
                }
                config => strange.push(Want { lane: lane.clone(), token: *token, config }),
            }
        }
        self.claim_all(partition, Pool::Healthy, &strange);
    }

    /// A lane was leased while its last worker was still here.
    pub(super) fn resume(&mut self, lane: LaneId, token: Token) {
        if !self.places.take(Pool::Healthy, &lane.workspace) {
            self.tasks.spawn(claims::give_back(self.shared.clone(), vec![(lane, token)]));
            return;
        }
        let partition = Partition::of(&lane.workspace, self.shared.partitions);
        let config = self.shared.targets.config(&lane.endpoint);
        self.claim_all(partition, Pool::Healthy, &[Want { lane, token, config }]);
    }
}
