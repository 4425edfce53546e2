//! The loop that takes batches from a queue and acknowledges what the store holds.
//!
//! Subscribe; take what is there; append; wait for durability; publish the poison; acknowledge all of it at once. What
//! is not acknowledged is RabbitMQ's: wherever this stops, the queue gives the same messages again, in order, and ids
//! already seen keep them from being delivered twice. So there is nothing to save and nothing to undo, and every error
//! has one of two answers:
//!
//! - *the store*: the same batch begins again at its first event on a new intake, after a pause. Meanwhile RabbitMQ
//!   holds everything else back (prefetch). After [`STORE_PATIENCE`] the subscription is given up, so that RabbitMQ's
//!   consumer timeout does not end it, and taken up again when the store is back;
//! - *the broker*: batch and tags are forgotten, and a new subscription begins.
//!
//! Rejected: taking batch *n + 1* into the store while the acknowledgement of batch *n* is on its way. An
//! acknowledgement only waits until it is written to the socket, so there is next to nothing to gain. Also rejected:
//! nacking. A message given back by choice could come back behind its successors.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::batch::{Barred, Batch, Decoder, Routes};
use super::pauses::Pauses;
use super::routings::Routings;
use super::standing::Standing;
use super::{Broker, BrokerError, Message, Subscription, Wake};
use crate::decide::event_types::EventTypes;
use crate::decide::policy::Plans;
use crate::observe::signal::Signals;
use crate::store::lanes::{Intake, Lanes};
use crate::store::{self, StoreError};
use crate::testing::{Bug, has};

/// The most events of one batch.
pub const BATCH_MAX: usize = 256;
/// How long a router holds messages that the store does not take.
pub const STORE_PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing comes from RabbitMQ before what the store did not take counts as somebody else's: another process's
/// router, which is the active consumer now.
const QUIET: Duration = Duration::from_secs(10);
/// The shortest and the longest pause before the store, or RabbitMQ, is tried again.
const PAUSE_LEAST: Duration = Duration::from_millis(100);
const PAUSE_MOST: Duration = Duration::from_secs(5);

/// What a router is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which of the broker's queues it takes from.
    pub queue: usize,
    /// Un-acknowledged events it may hold (`RECADERO_AMQP_PREFETCH`).
    ///
    /// Make it smaller only over an empty queue. A quorum queue puts what a lost router held before everything else,
    /// but what the next one held and lost *behind the rest of that*: in order only if it had taken all of it.
    pub prefetch: u16,
    /// The largest body (`RECADERO_MAX_EVENT_BYTES`).
    pub max_event_bytes: usize,
    /// `RECADERO_PARTITIONS`.
    pub partitions: u16,
    /// Event types that are accepted.
    pub types: Arc<EventTypes>,
    /// Plans that may have webhooks.
    pub plans: Plans,
    /// [`STORE_PATIENCE`].
    pub store_patience: Duration,
    /// Spreads the pauses; different for every router.
    pub seed: u64,
}

/// Takes events from one queue into the store.
pub struct Router {
    broker: Arc<dyn Broker>,
    lanes: Arc<dyn Lanes>,
    wake: Arc<dyn Wake>,
    signals: Signals,
    options: Options,
    routings: Routings,
    /// Taken out while it is used: one that failed, or whose call was given up, is not used again.
    intake: Option<Box<dyn Intake>>,
    barred: Barred,
    broker_pauses: Pauses,
    standing: Arc<Standing>,
}

/// Why a subscription is not used any further.
enum End {
    Stopped,
    StoreGone,
    Broker(BrokerError),
}

impl From<BrokerError> for End {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

impl Router {
    /// A router between a broker and a store, alone in its process unless it is told otherwise.
    pub fn new(
        broker: Arc<dyn Broker>,
        lanes: Arc<dyn Lanes>,
        wake: Arc<dyn Wake>,
        signals: Signals,
        options: Options,
    ) -> Self {
        let broker_pauses = Pauses::new(PAUSE_LEAST, PAUSE_MOST, options.seed);
        let routings = Routings::default();
        let (intake, barred) = (None, Barred::default());
        let standing = Arc::new(Standing::new(1, signals.clone()));
        Self { broker, lanes, wake, signals, options, routings, intake, barred, broker_pauses, standing }
    }

    /// The same among the routers of the process's other queues.
    #[must_use]
    pub fn among(mut self, standing: Arc<Standing>) -> Self {
        self.standing = standing;
        self
    }

    /// Routes until it is stopped, whatever happens to RabbitMQ and the store. The batch in hand is finished then,
    /// unless the store does not take it.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let end = match self.subscribe(&stop).await {
                Ok(mut subscription) => {
                    let end = self.session(&mut *subscription, &stop).await;
                    subscription.close().await;
                    end
                }
                Err(end) => end,
            };
            match end {
                End::Stopped => break,
                End::StoreGone => self.await_store(&stop).await,
                End::Broker(error) => {
                    self.standing.left(self.options.queue);
                    self.standing.broker(self.options.queue, Some(&error));
                    let pause = self.broker_pauses.next();
                    let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                }
            }
        }
    }

    async fn subscribe(&mut self, stop: &CancellationToken) -> Result<Box<dyn Subscription>, End> {
        let subscribing = self.broker.subscribe(self.options.queue, self.options.prefetch);
        match stop.run_until_cancelled(subscribing).await {
            None => Err(End::Stopped),
            Some(Err(error)) => Err(End::Broker(error)),
            Some(Ok(subscription)) => {
                self.standing.broker(self.options.queue, None);
                Ok(subscription)
            }
        }
    }

    async fn session(&mut self, subscription: &mut dyn Subscription, stop: &CancellationToken) -> End {
        loop {
            let messages = tokio::select! {
                biased;
                () = stop.cancelled() => return End::Stopped,
                next = subscription.next(BATCH_MAX) => next,
                () = tokio::time::sleep(QUIET), if self.standing.is_stopped(self.options.queue) => {
                    self.standing.left(self.options.queue);
                    continue;
                }
            };
            let settled = match messages {
                Ok(messages) => self.settle(subscription, messages, stop).await,
                Err(error) => Err(End::Broker(error)),
            };
            match settled {
                Ok(()) => self.broker_pauses.reset(),
                Err(end) => return end,
            }
        }
    }

    /// Brings a batch to its end: every event in the store, all poison in `recadero.rejected`, all acknowledged.
    async fn settle(
        &mut self,
        subscription: &mut dyn Subscription,
        messages: Vec<Message>,
        stop: &CancellationToken,
    ) -> Result<(), End> {
        let mut batch = Batch::default();
        batch.extend(messages, &self.decoder());
        loop {
            if let Some(last) = batch.last().filter(|_| has(Bug::AckBeforeAppend)) {
                subscription.ack(last).await?;
            }
            self.take_in(subscription, &mut batch, stop).await?;
            let rejected = batch.rejected();
            if !rejected.is_empty() && !has(Bug::PoisonLost) {
                subscription.reject(rejected).await?;
            }
            if let Some(last) = batch.last() {
                subscription.ack(last).await?;
            }
            batch.tell(self.options.queue, &self.signals);
            batch.lift(&mut self.barred);
            if !batch.advance() {
                return Ok(());
            }
        }
    }

    /// Gets a batch, or the part of it that it is cut to, into the store, however often that takes.
    async fn take_in(
        &mut self,
        subscription: &mut dyn Subscription,
        batch: &mut Batch,
        stop: &CancellationToken,
    ) -> Result<(), End> {
        let mut patience = std::pin::pin!(tokio::time::sleep(self.options.store_patience));
        let mut pauses = Pauses::new(PAUSE_LEAST, PAUSE_MOST, self.options.seed);
        loop {
            let stored = tokio::select! {
                biased;
                error = subscription.closed() => return Err(End::Broker(error)),
                stored = self.store(batch) => stored,
                () = &mut patience => Err(StoreError::Unavailable("it does not answer".to_owned())),
            };
            let Err(error) = stored else { break };
            self.standing.store(self.options.queue, Some(&error));
            let mut pause = std::pin::pin!(tokio::time::sleep(pauses.next()));
            loop {
                let room = BATCH_MAX.saturating_sub(batch.len());
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Err(End::Stopped),
                    () = &mut patience => return Err(End::StoreGone),
                    () = &mut pause => break,
                    more = more(subscription, room) => batch.extend(more?, &self.decoder()),
                }
            }
        }
        self.standing.store(self.options.queue, None);
        Ok(())
    }

    /// All of the batch into the store, over one intake, as durable as the store was opened for.
    async fn store(&mut self, batch: &mut Batch) -> store::Result<()> {
        let (wake, signals) = (&*self.wake, &self.signals);
        let routes = Routes { routings: &self.routings, plans: &self.options.plans, wake, signals };
        loop {
            let mut refused = "an event whose successor may be in".to_owned();
            if !batch.holds(&self.barred) {
                let intake = match self.intake.take() {
                    Some(intake) => intake,
                    None => self.lanes.intake().await?,
                };
                match batch.append(&*intake, &routes).await {
                    Ok(()) => {
                        intake.persist().await?;
                        self.intake = Some(intake);
                        return Ok(());
                    }
                    Err(StoreError::Unavailable(_)) if has(Bug::AppendTakenForDone) => return Ok(()),
                    Err(StoreError::Refused(detail)) => refused = detail,
                    Err(error) => return Err(error),
                }
            }
            if !batch.narrow(&*self.lanes, &routes, &mut self.barred).await? {
                return Err(StoreError::Refused(refused));
            }
        }
    }

    /// Waits until the store looks as if it took writes again. Whether it does, the next batch shows.
    async fn await_store(&mut self, stop: &CancellationToken) {
        let mut pauses = Pauses::new(PAUSE_LEAST, PAUSE_MOST, self.options.seed);
        let lanes = Arc::clone(&self.lanes);
        let ready = async {
            loop {
                tokio::time::sleep(pauses.next()).await;
                match (lanes.intake().await, lanes.memory().await) {
                    (Ok(_), Ok(memory)) if memory.max == 0 || memory.used < memory.max => return,
                    _ => {}
                }
            }
        };
        let _ = stop.run_until_cancelled(ready).await;
    }

    fn decoder(&self) -> Decoder<'_> {
        Decoder {
            types: &self.options.types,
            max_event_bytes: self.options.max_event_bytes,
            partitions: self.options.partitions,
            traces: self.signals.traces(),
        }
    }
}

/// More messages while there is room for them in the batch; else only the end of the subscription.
async fn more(subscription: &mut dyn Subscription, room: usize) -> Result<Vec<Message>, BrokerError> {
    if room > 0 { subscription.next(room).await } else { Err(subscription.closed().await) }
}

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
