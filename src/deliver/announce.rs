//! Lanes that became ready, told to the deliverer that looks after them: here at once, elsewhere through the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::members::Members;
use super::scheduler::Waker;
use crate::consume::Held;
use crate::decide::ids::{LaneId, Partition};
use crate::store::Store;
use crate::store::lanes::Append;

/// Wakes for other processes that may wait for the store; beyond that they are lost, and polls find the lanes.
const WAKES_MAX: usize = 1024;

/// Announces ready lanes. Cheap to clone; never waits.
#[derive(Clone)]
pub struct Announcer {
    members: Arc<Members>,
    local: Option<Waker>,
    partitions: u16,
    others: mpsc::Sender<(String, Vec<LaneId>)>,
}

impl Announcer {
    /// An announcer, and a task for its messages to other processes, which ends at `stop`. `local` is this process's
    /// deliverer, if it has one.
    pub fn start(
        members: Arc<Members>,
        local: Option<Waker>,
        partitions: u16,
        store: Arc<dyn Store>,
        stop: CancellationToken,
    ) -> Self {
        let (others, mut messages) = mpsc::channel::<(String, Vec<LaneId>)>(WAKES_MAX);
        tokio::spawn(async move {
            while let Some(Some((member, lanes))) = stop.run_until_cancelled(messages.recv()).await {
                if let Err(error) = store.wake(&member, &lanes).await {
                    tracing::debug!(%error, member, "a wake was lost; a poll will find the lanes");
                }
            }
        });
        Self { members, local, partitions, others }
    }

    /// Holds places of this process's deliverer for the lanes that an append is about to fill.
    pub fn hold(&self, partition: Partition, items: &[Append]) -> Option<Box<dyn Held>> {
        self.local.as_ref()?.hold(partition, items)
    }

    /// Announces lanes.
    pub fn announce(&self, lanes: Vec<LaneId>) {
        let mut mine = Vec::new();
        let mut others: BTreeMap<String, Vec<LaneId>> = BTreeMap::new();
        for lane in lanes {
            match self.members.owner(Partition::of(&lane.workspace, self.partitions)) {
                Some(owner) if self.members.me() == Some(&owner) => mine.push(lane),
                Some(owner) => others.entry(owner).or_default().push(lane),
                None => {} // Nobody is there to be woken; who comes will poll.
            }
        }
        if let (Some(local), false) = (&self.local, mine.is_empty()) {
            local.wake(mine);
        }
        for message in others {
            // Full: a poll finds the lanes.
            let _ = self.others.try_send(message);
        }
    }
}
