//! Deliverers that are alive, and the way to wake them.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::decide::ids::LaneId;

/// A deliverer that did not beat for so long is dead.
const DEAD_AFTER_MS: u64 = 3_000;

/// Wakes that may wait for one deliverer; more are dropped, and its poll finds the lanes.
const WAKES_MAX: usize = 1_024;

#[derive(Default)]
pub(super) struct Members {
    beats_ms: BTreeMap<String, u64>,
    wakes: BTreeMap<String, mpsc::Sender<Vec<LaneId>>>,
}

impl Members {
    pub fn beat(&mut self, member: &str, now_ms: u64) -> Vec<String> {
        self.beats_ms.insert(member.to_owned(), now_ms);
        self.beats_ms.retain(|_, beat_ms| *beat_ms + DEAD_AFTER_MS > now_ms);
        self.beats_ms.keys().cloned().collect()
    }

    pub fn leave(&mut self, member: &str) {
        self.beats_ms.remove(member);
        self.wakes.remove(member);
    }

    pub fn listen(&mut self, member: &str) -> mpsc::Receiver<Vec<LaneId>> {
        let (sender, receiver) = mpsc::channel(WAKES_MAX);
        self.wakes.insert(member.to_owned(), sender);
        receiver
    }

    pub fn wake(&mut self, member: &str, lanes: &[LaneId]) {
        let Some(sender) = self.wakes.get(member) else { return };
        match sender.try_send(lanes.to_vec()) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.wakes.remove(member);
            }
        }
    }
}
