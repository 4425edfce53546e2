//! The outbox, drained: what came true in the store is told to the outside world, at least once.
//!
//! Notices are leased, sent and settled. A sender that dies, or loses the answer, before it could settle lets the
//! lease end, and somebody sends again under the same id; nothing else repeats. Rejected: sending from the task that
//! disabled the endpoint, which a crash would silence.

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
use crate::store::outbox::{Outgoing, Sent};

/// The pause between two rounds over the partitions.
const ROUND_EVERY: Duration = Duration::from_secs(1);

/// Most notices leased at once from one partition; few, so that each is sent well within its lease.
const NOTICES_PER_STEP_MAX: usize = 16;

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
    /// Sends a notice; when this answers `Ok`, the other side has it. An error is one line for the log.
    async fn send(&self, notice: &Notice) -> Result<(), String>;
}

/// The couriers of a process. A channel without one counts as sent: the log has the notice.
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

/// Drains the outbox of all partitions until `stop`. Several processes may do so at once; leases keep them apart.
pub async fn run(
    partitions: u16,
    store: Arc<dyn Store>,
    couriers: Couriers,
    signals: Signals,
    stop: CancellationToken,
) {
    loop {
        let round = futures_util::stream::iter((0..partitions).map(Partition))
            .for_each_concurrent(PARTITIONS_AT_ONCE, |partition| drain(partition, &store, &couriers, &signals));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = round => {}
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ROUND_EVERY) => {}
        }
    }
}

async fn drain(partition: Partition, store: &Arc<dyn Store>, couriers: &Couriers, signals: &Signals) {
    for _ in 0..STEPS_MAX {
        // A store that is away says so elsewhere; the next round asks again.
        let Ok(leased) = store.notices(partition, NOTICES_PER_STEP_MAX).await else { return };
        let more = leased.len() == NOTICES_PER_STEP_MAX;
        // Where one way is closed, the rest need not be tried in vain before the next round.
        if !send(partition, leased, store, couriers, signals).await || !more {
            return;
        }
    }
}

/// Sends and settles; answers whether all went out.
async fn send(
    partition: Partition,
    leased: Vec<Outgoing>,
    store: &Arc<dyn Store>,
    couriers: &Couriers,
    signals: &Signals,
) -> bool {
    let mut all = true;
    for outgoing in leased {
        let sent = deliver(&outgoing, couriers, signals).await;
        all &= matches!(sent, Sent::Done);
        let Outgoing { notice, channel, .. } = outgoing;
        if let Err(error) = store.settle(partition, &notice.id, channel, sent).await {
            tracing::warn!(notice = notice.id, %channel, %error, "a sending could not be recorded; it may repeat");
        }
    }
    all
}

async fn deliver(outgoing: &Outgoing, couriers: &Couriers, signals: &Signals) -> Sent {
    let Outgoing { notice, channel, tries } = outgoing;
    let Some(courier) = couriers.of(*channel) else {
        let Notice { kind, workspace, endpoint, reason, .. } = notice;
        tracing::warn!(notice = notice.id, kind = kind.as_str(), %workspace, %endpoint, reason, "no {channel} is set up for this notice");
        return Sent::Done;
    };
    let tell = |outcome, detail| signals.emit(&Signal::Notice { channel: *channel, outcome, detail });
    match courier.send(notice).await {
        Ok(()) => {
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
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_an_e_mail_is_given_up_after_a_day() {
        assert_eq!(pause(Channel::Mail, 0), Some(Duration::from_secs(1)));
        assert_eq!(pause(Channel::Mail, 3), Some(Duration::from_secs(8)));
        assert_eq!(pause(Channel::Mail, 20), Some(AGAIN_LAST));
        assert_eq!(pause(Channel::Mail, 200), None);
        assert_eq!(pause(Channel::Amqp, 200), Some(AGAIN_LAST), "a message is never given up");
    }
}
