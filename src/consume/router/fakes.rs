//! A broker and a store that fail where they are told to: before an operation takes effect, or after, when only the
//! reply is lost. Behind them are the real in-process broker and the real memory store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::consume::local::LocalBroker;
use crate::consume::{Broker, BrokerError, Held, Message, Outgoing, Subscription, Tag, Wake};
use crate::decide::ids::{LaneId, Partition};
use crate::decide::relief::Burden;
use crate::observe::signal::{Signal, Tap};
use crate::store::lanes::{
    Append, Appended, Claim, Commit, Committed, Due, Figures, Granted, Intake, Lanes, Memory as Use, Offer, Pool,
    Relieved, Swept, Token, Want,
};
use crate::store::memory::Memory;
use crate::store::{Result, StoreError};

/// Operations that can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Op {
    Subscribe,
    Next,
    Ack,
    Reject,
    Intake,
    Append,
    Persist,
}

/// How an operation fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    /// Nothing is done.
    Before,
    /// All is done, and the reply is lost.
    After,
    /// No answer comes.
    Hang,
}

type Check = Box<dyn Fn(&[Append]) -> Option<StoreError> + Send>;

/// What is to fail, and what was done.
#[derive(Default)]
pub(super) struct Faults {
    /// The first count is of the operations of a kind, from 1.
    pub(super) plan: Mutex<Vec<(Op, usize, How)>>,
    pub(super) check: Mutex<Option<Check>>,
    /// How long the store stays away after a fault of the plan.
    pub(super) away: Mutex<Duration>,
    back: Mutex<Option<Instant>>,
    pub(super) used: Mutex<Use>,
    pub(super) closed: tokio::sync::Notify,
    counts: Mutex<BTreeMap<Op, usize>>,
}

impl Faults {
    pub(super) fn count(&self, op: Op) -> usize {
        self.counts.lock().unwrap().get(&op).copied().unwrap_or(0)
    }

    pub(super) fn check(&self, check: impl Fn(&[Append]) -> Option<StoreError> + Send + 'static) {
        *self.check.lock().unwrap() = Some(Box::new(check));
    }

    async fn meet(&self, op: Op) -> Option<How> {
        // An await before and after every effect, so that a test can stop the router at each of them.
        yield_now().await;
        let count = {
            let mut counts = self.counts.lock().unwrap();
            let count = counts.entry(op).or_default();
            *count += 1;
            *count
        };
        let how = self.plan.lock().unwrap().iter().find(|(of, nth, _)| *of == op && *nth == count).map(|fault| fault.2);
        if how == Some(How::Hang) {
            std::future::pending::<()>().await;
        }
        if how.is_some() {
            *self.back.lock().unwrap() = Some(Instant::now() + *self.away.lock().unwrap());
        }
        how
    }

    fn store_is_away(&self) -> bool {
        self.back.lock().unwrap().is_some_and(|back| Instant::now() < back)
    }
}

fn lost() -> BrokerError {
    BrokerError::Unavailable("told to fail".to_owned())
}

fn gone() -> StoreError {
    StoreError::Unavailable("told to fail".to_owned())
}

pub(super) struct FlakyBroker(pub(super) LocalBroker, pub(super) Arc<Faults>);

#[async_trait]
impl Broker for FlakyBroker {
    fn queues(&self) -> usize {
        1
    }

    async fn subscribe(&self, queue: usize, prefetch: u16) -> std::result::Result<Box<dyn Subscription>, BrokerError> {
        let how = self.1.meet(Op::Subscribe).await;
        let inner = self.0.subscribe(queue, prefetch).await?;
        if how.is_some() { Err(lost()) } else { Ok(Box::new(FlakySubscription(inner, Arc::clone(&self.1)))) }
    }
}

struct FlakySubscription(Box<dyn Subscription>, Arc<Faults>);

#[async_trait]
impl Subscription for FlakySubscription {
    async fn next(&mut self, limit: usize) -> std::result::Result<Vec<Message>, BrokerError> {
        let how = self.1.meet(Op::Next).await;
        if how == Some(How::Before) {
            return Err(lost());
        }
        let messages = self.0.next(limit).await?;
        if how.is_some() { Err(lost()) } else { Ok(messages) }
    }

    async fn closed(&mut self) -> BrokerError {
        self.1.closed.notified().await;
        lost()
    }

    async fn ack(&mut self, up_to: Tag) -> std::result::Result<(), BrokerError> {
        let how = self.1.meet(Op::Ack).await;
        if how != Some(How::Before) {
            self.0.ack(up_to).await?;
        }
        yield_now().await;
        how.map_or(Ok(()), |_| Err(lost()))
    }

    async fn reject(&mut self, rejected: Vec<Outgoing>) -> std::result::Result<(), BrokerError> {
        let how = self.1.meet(Op::Reject).await;
        if how != Some(How::Before) {
            self.0.reject(rejected).await?;
        }
        yield_now().await;
        how.map_or(Ok(()), |_| Err(lost()))
    }

    async fn close(self: Box<Self>) {
        self.0.close().await;
    }
}

pub(super) struct FlakyLanes(pub(super) Memory, pub(super) Arc<Faults>);

/// One that failed is broken: using it again is the caller's mistake.
struct FlakyIntake(Box<dyn Intake>, Arc<Faults>, AtomicBool);

impl FlakyIntake {
    fn fail<T>(&self, error: StoreError) -> Result<T> {
        self.2.store(true, Ordering::Relaxed);
        Err(error)
    }

    fn assert_whole(&self) {
        assert!(!self.2.load(Ordering::Relaxed), "an intake that failed is used again");
    }
}

#[async_trait]
impl Intake for FlakyIntake {
    async fn append(&self, partition: Partition, items: &[Append], offer: Offer) -> Result<Appended> {
        self.assert_whole();
        let how = self.1.meet(Op::Append).await;
        if how == Some(How::Before) {
            return self.fail(gone());
        }
        if let Some(error) = self.1.check.lock().unwrap().as_ref().and_then(|check| check(items)) {
            return self.fail(error);
        }
        let appended = self.0.append(partition, items, offer).await?;
        yield_now().await;
        if how.is_some() { self.fail(gone()) } else { Ok(appended) }
    }

    async fn persist(&self) -> Result<()> {
        self.assert_whole();
        match self.1.meet(Op::Persist).await {
            None => self.0.persist().await,
            Some(_) => self.fail(gone()),
        }
    }
}

#[async_trait]
impl Lanes for FlakyLanes {
    async fn intake(&self) -> Result<Box<dyn Intake>> {
        match self.1.meet(Op::Intake).await {
            None if self.1.store_is_away() => Err(gone()),
            None => Ok(Box::new(FlakyIntake(self.0.intake().await?, Arc::clone(&self.1), AtomicBool::default()))),
            Some(_) => Err(gone()),
        }
    }

    async fn memory(&self) -> Result<Use> {
        Ok(*self.1.used.lock().unwrap())
    }

    async fn due(&self, partition: Partition, pool: Pool, limit: usize) -> Result<Vec<Due>> {
        self.0.due(partition, pool, limit).await
    }

    async fn claim(&self, partition: Partition, wants: &[Want]) -> Result<Vec<Claim>> {
        self.0.claim(partition, wants).await
    }

    async fn commit(&self, partition: Partition, commits: &[Commit]) -> Result<Vec<Committed>> {
        self.0.commit(partition, commits).await
    }

    async fn give_back(&self, partition: Partition, lane: &LaneId, token: Token) -> Result<()> {
        self.0.give_back(partition, lane, token).await
    }

    async fn sweep(&self, partition: Partition, from: Option<u64>) -> Result<Swept> {
        self.0.sweep(partition, from).await
    }

    async fn relieve(&self, burden: &Burden, bytes: u64) -> Result<Relieved> {
        self.0.relieve(burden, bytes).await
    }

    async fn figures(&self, partition: Partition) -> Result<Figures> {
        self.0.figures(partition).await
    }

    async fn beat(&self, member: Option<&str>) -> Result<Vec<String>> {
        self.0.beat(member).await
    }

    async fn leave(&self, member: &str) -> Result<()> {
        self.0.leave(member).await
    }

    async fn wake(&self, member: &str, lanes: &[LaneId]) -> Result<()> {
        Lanes::wake(&self.0, member, lanes).await
    }

    async fn wakes(&self, member: &str) -> Result<tokio::sync::mpsc::Receiver<Vec<LaneId>>> {
        self.0.wakes(member).await
    }
}

/// Signals and wakes, as they came, and what became of the places that were held.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) signals: Mutex<Vec<String>>,
    pub(super) woken: Mutex<Vec<LaneId>>,
    /// How many are held for an append.
    pub(super) places: AtomicUsize,
    pub(super) held: Arc<Mutex<HeldSeen>>,
}

#[derive(Default)]
pub(super) struct HeldSeen {
    pub(super) granted: Vec<LaneId>,
    /// Lanes of appends that were not answered.
    pub(super) unheard: Vec<LaneId>,
}

struct Places {
    seen: Arc<Mutex<HeldSeen>>,
    lanes: Vec<LaneId>,
    offer: Offer,
}

impl Held for Places {
    fn offer(&self) -> Offer {
        self.offer
    }

    fn granted(mut self: Box<Self>, granted: Vec<Granted>) {
        self.lanes.clear();
        self.seen.lock().unwrap().granted.extend(granted.into_iter().map(|granted| granted.lane));
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.seen.lock().unwrap().unheard.append(&mut self.lanes);
    }
}

impl Seen {
    /// How many signals begin with these words.
    pub(super) fn count(&self, words: &str) -> usize {
        self.signals.lock().unwrap().iter().filter(|signal| signal.starts_with(words)).count()
    }
}

impl Tap for Seen {
    fn see(&self, signal: &Signal<'_>) {
        self.signals.lock().unwrap().push(format!("{signal:?}"));
    }
}

impl Wake for Seen {
    fn wake(&self, lanes: Vec<LaneId>) {
        self.woken.lock().unwrap().extend(lanes);
    }

    fn hold(&self, _: Partition, items: &[Append]) -> Option<Box<dyn Held>> {
        let lanes = items.iter().flat_map(|item| item.lanes.clone()).collect();
        let places = self.places.load(Ordering::Relaxed);
        let offer = Offer { token: Token(1), places };
        (places > 0).then(|| Box::new(Places { seen: self.held.clone(), lanes, offer }) as Box<dyn Held>)
    }
}

/// The pause after which a test that waits looks again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);
