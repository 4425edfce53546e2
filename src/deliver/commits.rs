//! The ends of attempts on their way into the store, grouped by partition.
//!
//! One call per partition is in flight; what ends meanwhile shares the next one. So a busy partition's commits
//! travel in groups without anybody waiting for a group to fill. A call that fails is repeated, the same group
//! first, until the store answers: commits are idempotent, and a lease that ended but was not taken over still
//! commits. Rejected: a connection per worker (a round trip each), and a timer that collects groups (latency).

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Tools;
use crate::decide::ids::Partition;
use crate::store::lanes::{After, Commit, Committed};
use crate::store::{Result, StoreError};
use crate::testing::{Bug, has};

/// Most commits in one call: bounds the time that one script holds the store.
pub const COMMITS_PER_CALL_MAX: usize = 32;

/// The first pause after a call that failed, doubled up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_LAST: Duration = Duration::from_secs(1);

/// How often the store may refuse one commit by itself before it is given up; the lease's end brings the lane back.
const REFUSALS_MAX: u32 = 3;

/// Where workers hand in the ends of their attempts. Cheap to clone.
#[derive(Clone)]
pub struct Commits {
    lines: Arc<[Line]>,
    tools: Tools,
}

/// One partition's commits.
#[derive(Default)]
struct Line {
    queue: Mutex<Queue>,
    troubled: AtomicBool,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Pending>,
    in_flight: bool,
}

struct Pending {
    commit: Commit,
    /// When the attempt ended, on the clock that runs during suspend.
    ended: Duration,
    reply: oneshot::Sender<Committed>,
}

impl Commits {
    /// Commits to a store with this many partitions.
    pub fn new(partitions: u16, tools: Tools) -> Self {
        Self { lines: (0..partitions).map(|_| Line::default()).collect(), tools }
    }

    /// Records an attempt's end and answers what follows. `ended` is boot time; waits as long as the store is away.
    pub async fn commit(&self, partition: Partition, commit: Commit, ended: Duration) -> Committed {
        let (reply, answer) = oneshot::channel();
        let leads = {
            let mut queue = self.queue(partition);
            queue.waiting.push(Pending { commit, ended, reply });
            !mem::replace(&mut queue.in_flight, true)
        };
        if leads {
            tokio::spawn(self.clone().flush(partition));
        }
        // The flush answers every commit it takes; it is gone only when the runtime itself is ending.
        answer.await.unwrap_or(LOST)
    }

    /// Whether commits of a partition are being repeated: until they are in, nothing of it should be claimed, or
    /// attempts that are about to be recorded would be made again.
    pub fn troubled(&self, partition: Partition) -> bool {
        self.line(partition).troubled.load(Ordering::Relaxed)
    }

    async fn flush(self, partition: Partition) {
        loop {
            let mut group = {
                let mut queue = self.queue(partition);
                let size = queue.waiting.len().min(COMMITS_PER_CALL_MAX);
                if size == 0 {
                    queue.in_flight = false;
                    return;
                }
                queue.waiting.drain(..size).collect::<Vec<_>>()
            };
            let answers = self.record(partition, &mut group).await;
            self.line(partition).troubled.store(false, Ordering::Relaxed);
            for (pending, answer) in group.into_iter().zip(answers) {
                // A worker that no longer waits was stopped; the store has the outcome.
                let _ = pending.reply.send(answer);
            }
        }
    }

    async fn record(&self, partition: Partition, group: &mut [Pending]) -> Vec<Committed> {
        let mut pause = PAUSE_FIRST;
        loop {
            match self.call(partition, group).await {
                Ok(answers) => return answers,
                Err(StoreError::Refused(_)) => return self.record_singly(partition, group).await,
                Err(_) if has(Bug::CommitNotRepeated) => return vec![LOST; group.len()],
                Err(error) => {
                    tracing::debug!(%error, partition = partition.0, "commit failed; repeating it");
                    self.line(partition).troubled.store(true, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LAST);
                }
            }
        }
    }

    /// The store refuses the group: find the commit that it is about, so that its neighbours do not suffer.
    async fn record_singly(&self, partition: Partition, group: &mut [Pending]) -> Vec<Committed> {
        let mut answers = Vec::with_capacity(group.len());
        for one in group.chunks_mut(1) {
            let mut pause = PAUSE_FIRST;
            let mut refusals = 0;
            let answer = loop {
                match self.call(partition, one).await {
                    Ok(mut alone) => break alone.pop().unwrap_or(LOST),
                    Err(StoreError::Refused(detail)) if refusals + 1 >= REFUSALS_MAX => {
                        tracing::error!(lane = %one[0].commit.lane, detail, "the store refuses a commit; its attempt may repeat");
                        break LOST;
                    }
                    Err(StoreError::Refused(_)) => refusals += 1,
                    Err(_) => {}
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_LAST);
            };
            answers.push(answer);
        }
        answers
    }

    async fn call(&self, partition: Partition, group: &mut [Pending]) -> Result<Vec<Committed>> {
        let now = self.tools.clock.boot();
        for pending in group.iter_mut() {
            pending.commit.ended_ago = now.saturating_sub(pending.ended);
        }
        let commits: Vec<Commit> = group.iter().map(|pending| pending.commit.clone()).collect();
        self.tools.store.commit(partition, &commits).await
    }

    fn queue(&self, partition: Partition) -> std::sync::MutexGuard<'_, Queue> {
        // No code under this lock can panic half-way through a change, so a poisoned queue is whole.
        self.line(partition).queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, partition: Partition) -> &Line {
        &self.lines[usize::from(partition.0)]
    }
}

const LOST: Committed = Committed { after: After::Lost, disabled: false, dropped: false };
