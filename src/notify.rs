//! The outbox, drained: what came true in the store is told to the outside world, at least once.
//!
//! Notices are leased, sent and settled. A sender that dies, or loses the answer, before it could settle lets the
//! lease end, and somebody sends again under the same id; nothing else repeats. Rejected: sending from the task that
//! disabled the endpoint, which a crash would silence.

pub mod mail;
pub mod outcome;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::decide::ids::Partition;
use crate::decide::notice::{Channel, Notice};
use crate::observe::signal::{Signal, Signals};
use crate::store::Store;
use crate::store::outbox::{NOTICE_LEASE, Outgoing, Sent};
use crate::testing::{Bug, has};

/// The pause between two rounds over the partitions.
const ROUND_EVERY: Duration = Duration::from_secs(1);

/// Most notices leased at once from one partition. What a step has not begun to send after [`BEGIN_WITHIN`] it gives back.
const NOTICES_PER_STEP_MAX: usize = 16;

/// How long a step begins sendings, how long one may take, and how long its outcome is tried to be recorded. So a step
/// ends well within its leases, and nobody else sends what it is still sending.
const BEGIN_WITHIN: Duration = Duration::from_secs(15);
const SEND_MAX: Duration = Duration::from_secs(15);
const SETTLE_MAX: Duration = Duration::from_secs(15);
const _: () = assert!(BEGIN_WITHIN.as_secs() + SEND_MAX.as_secs() + SETTLE_MAX.as_secs() < NOTICE_LEASE.as_secs());

/// The pause before the outcome of a sending is recorded again after the store did not take it.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);

/// Most such leases of one partition in a round: an outbox that grows must not keep a round from its end.
const STEPS_MAX: usize = 64;

/// Partitions asked at once.
const PARTITIONS_AT_ONCE: usize = 16;

/// The pause after the first failed sending, doubled up to the last.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_LAST: Duration = Duration::from_secs(15 * 60);

/// After how long trying in vain an e-mail is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A way to tell the outside world.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Sends a notice; when this answers `Ok`, the other side has it. An error is one line for the log. After
    /// fifteen seconds it is given up, and counts as failed.
    async fn send(&self, notice: &Notice) -> Result<Told, String>;
}

/// Who was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// Those who are to be told.
    Somebody,
    /// There is nobody to tell, so that the log alone has it.
    Nobody,
}

/// The couriers of a process. A channel without one has nobody to tell.
#[derive(Clone, Default)]
pub struct Couriers {
    /// To `recadero.outcomes`.
    pub amqp: Option<Arc<dyn Courier>>,
    /// To the workspace's people.
    pub mail: Option<Arc<dyn Courier>>,
}

impl Couriers {
    fn of(&self, channel: Channel) -> Option<&Arc<dyn Courier>> {
        match channel {
            Channel::Amqp => self.amqp.as_ref(),
            Channel::Mail => self.mail.as_ref(),
        }
    }
}

/// Drains the outbox of all partitions until `stop`. Several processes may do so at once; leases keep them apart. What is
/// being sent then is finished and recorded, which takes half a minute at most.
pub async fn run(
    partitions: u16,
    store: Arc<dyn Store>,
    couriers: Couriers,
    signals: Signals,
    stop: CancellationToken,
) {
    let drainer = Drainer { store, couriers, signals, stop: stop.clone() };
    loop {
        futures_util::stream::iter((0..partitions).map(Partition))
            .for_each_concurrent(PARTITIONS_AT_ONCE, |partition| drainer.drain(partition))
            .await;
        if stop.run_until_cancelled(tokio::time::sleep(ROUND_EVERY)).await.is_none() {
            return;
        }
    }
}

struct Drainer {
    store: Arc<dyn Store>,
    couriers: Couriers,
    signals: Signals,
    stop: CancellationToken,
}

impl Drainer {
    async fn drain(&self, partition: Partition) {
        // The first goes alone: each lease counts as a try, and where a way is closed the others shall not lose theirs.
        let mut limit = 1;
        for _ in 0..STEPS_MAX {
            if self.stop.is_cancelled() {
                return;
            }
            // A store that is away says so elsewhere; the next round asks again.
            let Ok(leased) = self.store.notices(partition, limit).await else { return };
            let more = leased.len() == limit;
            // Where one way is closed, the rest need not be tried in vain before the next round.
            if !self.send(partition, leased).await || !more {
                return;
            }
            limit = NOTICES_PER_STEP_MAX;
        }
    }

    /// Sends and settles; answers whether all went out.
    async fn send(&self, partition: Partition, leased: Vec<Outgoing>) -> bool {
        let mut over = std::pin::pin!(tokio::time::sleep(BEGIN_WITHIN));
        let mut all = true;
        for outgoing in leased {
            if has(Bug::NoticeSettledFirst) {
                self.settle(partition, &outgoing, Sent::Done).await;
            }
            let late = self.stop.is_cancelled() || futures_util::poll!(&mut over).is_ready();
            let sent = match late {
                true => Sent::Again(Duration::ZERO),
                false => deliver(&outgoing, &self.couriers, &self.signals).await,
            };
            all &= matches!(sent, Sent::Done);
            self.settle(partition, &outgoing, sent).await;
        }
        all
    }

    /// Records what came of a sending. A store that is away for a moment shall not have it repeated.
    async fn settle(&self, partition: Partition, Outgoing { notice, channel, .. }: &Outgoing, sent: Sent) {
        let settling = async {
            while let Err(error) = self.store.settle(partition, &notice.id, *channel, sent).await {
                tracing::warn!(notice = notice.id, %channel, %error, "a sending could not be recorded; it may repeat");
                tokio::time::sleep(SETTLE_AGAIN).await;
            }
        };
        // What was not sent is somebody's again when its lease ends, recorded or not.
        let limit = if sent == Sent::Done { SETTLE_MAX } else { SETTLE_AGAIN };
        let _ = tokio::time::timeout(limit, settling).await;
    }
}

async fn deliver(outgoing: &Outgoing, couriers: &Couriers, signals: &Signals) -> Sent {
    let Outgoing { notice, channel, tries } = outgoing;
    let tell = |outcome, detail| signals.emit(&Signal::Notice { id: &notice.id, channel: *channel, outcome, detail });
    let told = match couriers.of(*channel) {
        Some(courier) => tokio::time::timeout(SEND_MAX, courier.send(notice))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", SEND_MAX.as_secs()))),
        None => Ok(Told::Nobody),
    };
    match told {
        Ok(Told::Nobody) => {
            let Notice { kind, workspace, endpoint, reason, .. } = notice;
            tracing::warn!(notice = notice.id, kind = kind.as_str(), %workspace, %endpoint, reason, "nobody is to be told this by {channel}");
            Sent::Done
        }
        Ok(Told::Somebody) => {
            tell("sent", None);
            Sent::Done
        }
        Err(detail) => match pause(*channel, *tries) {
            Some(pause) => {
                tell("failed", Some(&detail));
                Sent::Again(pause)
            }
            None => {
                tell("given_up", Some(&detail));
                Sent::Done
            }
        },
    }
}

/// How long to wait after a failed sending that had `tries` before it; `None` when a day was spent on an e-mail. A
/// message is never given up: programs rely on it.
fn pause(channel: Channel, tries: u32) -> Option<Duration> {
    let mut pause = AGAIN_FIRST;
    let mut spent = Duration::ZERO;
    for _ in 0..tries {
        spent += pause;
        pause = (pause * 2).min(AGAIN_LAST);
    }
    (spent < GIVE_UP_AFTER || channel == Channel::Amqp).then_some(pause)
}

#[cfg(test)]
mod tests;
