//! Which deliverers are alive, and which of them looks after which partition.
//!
//! Rendezvous hashing: each partition belongs to the member that scores highest for it, so that one coming or going
//! moves only its own share. This is advice for polls and wakes; leases alone decide who works on a lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::scheduler::Waker;
use crate::decide::ids::{Partition, fnv1a};
use crate::observe::signal::{Signal, Signals};
use crate::store::Store;

/// How often a deliverer says that it is alive; the store counts it dead after three of these.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);

/// The pause before listening for wakes again after the connection was lost.
const LISTEN_AGAIN: Duration = Duration::from_millis(500);

/// The deliverers alive, as of the last beat that the store answered.
pub struct Members {
    me: Option<String>,
    leaving: AtomicBool,
    alive: watch::Sender<Arc<[String]>>,
}

impl Members {
    /// For a deliverer of this name, or for a process that only wakes others (`None`).
    pub fn new(me: Option<String>) -> Arc<Self> {
        let alive = watch::Sender::new(me.iter().cloned().collect());
        Arc::new(Self { me, leaving: AtomicBool::new(false), alive })
    }

    /// This process's name among the deliverers, if it is one.
    pub fn me(&self) -> Option<&str> {
        self.me.as_deref()
    }

    /// Who looks after a partition; `None` when nobody is alive.
    pub fn owner(&self, partition: Partition) -> Option<String> {
        owner(&self.alive.borrow(), partition).map(str::to_owned)
    }

    /// Whether this process looks after a partition.
    pub fn is_mine(&self, partition: Partition) -> bool {
        let Some(me) = &self.me else { return false };
        owner(&self.alive.borrow(), partition).is_none_or(|owner| owner == me)
    }

    /// Says goodbye, so that others look after this process's partitions while it finishes what it began.
    pub async fn leave(&self, store: &dyn Store) {
        self.leaving.store(true, Ordering::Relaxed);
        if let Some(me) = &self.me
            && let Err(error) = store.leave(me).await
        {
            tracing::debug!(%error, "could not say goodbye; the others will notice within three seconds");
        }
    }

    /// Beats until `stop`, and tells whether the store is there. While it is away, what was last known holds.
    pub async fn beat(self: Arc<Self>, store: Arc<dyn Store>, signals: Signals, stop: CancellationToken) {
        let mut connected = None;
        loop {
            let me = self.me.as_deref().filter(|_| !self.leaving.load(Ordering::Relaxed));
            let beat = store.beat(me).await;
            if connected.replace(beat.is_ok()) != Some(beat.is_ok()) {
                let detail = beat.as_ref().err().map(ToString::to_string);
                signals.emit(&Signal::Store { connected: beat.is_ok(), detail: detail.as_deref() });
            }
            match beat {
                Ok(alive) => {
                    self.alive.send_if_modified(|known| {
                        let changed = known[..] != alive[..];
                        if changed {
                            tracing::info!(deliverers = alive.len(), "the deliverers alive have changed");
                            *known = alive.into();
                        }
                        changed
                    });
                }
                Err(error) => tracing::debug!(%error, "no heartbeat"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(BEAT_EVERY) => {}
            }
        }
    }
}

fn owner(alive: &[String], partition: Partition) -> Option<&str> {
    let score = |member: &String| fnv1a(format!("{member} {}", partition.0).as_bytes());
    alive.iter().max_by_key(|member| (score(member), *member)).map(String::as_str)
}

/// Passes on the wakes that others send to this member, until `stop`.
pub async fn listen(member: String, store: Arc<dyn Store>, waker: Waker, stop: CancellationToken) {
    loop {
        if let Ok(mut wakes) = store.wakes(&member).await {
            loop {
                let lanes = tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    lanes = wakes.recv() => lanes,
                };
                match lanes {
                    Some(lanes) => waker.wake(lanes),
                    None => break,
                }
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LISTEN_AGAIN) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("member-{number}")).collect()
    }

    #[test]
    fn everyone_gets_a_share_and_one_who_leaves_moves_only_its_own() {
        let (three, two) = (names(3), names(2));
        let mut moved = 0;
        let mut shares = [0; 3];
        for partition in (0..64).map(Partition) {
            let before = owner(&three, partition).expect("three are alive");
            let after = owner(&two, partition).expect("two are alive");
            shares[three.iter().position(|name| name == before).expect("one of the three")] += 1;
            assert!(before == after || before == "member-2");
            moved += usize::from(before != after);
        }
        assert!(shares.iter().all(|share| *share >= 8), "{shares:?}");
        assert_eq!(moved, shares[2]);
    }

    #[test]
    fn alone_before_the_first_beat_a_deliverer_looks_after_everything() {
        let members = Members::new(Some("me".to_owned()));
        assert!((0..64).map(Partition).all(|partition| members.is_mine(partition)));
    }
}
