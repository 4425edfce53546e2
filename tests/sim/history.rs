//! A history: the service's own code lives through a plan, on virtual time, and what happens is written down.
//!
//! One thread, one clock that moves only when nobody has anything to do, and no randomness but the plan's: the same
//! plan gives the same trace, byte for byte.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use recadero::app::{self, Parts};
use recadero::clock::Clock;
use recadero::decide::event_types::EventTypes;
use recadero::decide::policy::{Limits, Policy, Quota, QuotaScope};
use recadero::observe::signal::Signals;
use recadero::store::memory::Memory;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::broker::SimBroker;
use crate::people::People;
use crate::plan::{Act, Plan, Role};
use crate::process::{Process, Right, Weather};
use crate::receivers::Receivers;
use crate::store::Base;
use crate::tape::{ALL, Tape, Taped};
use crate::trace::{Entry, Fact, Trace};

/// How long after a pause's beginning the broker misses the heartbeats.
const HEARTBEATS_MISSED: Duration = Duration::from_secs(20);

/// How long the end lasts at the least, also after the last event that a limit dropped: a notice whose sender died
/// comes back after a minute, as one does that counts what was dropped in a minute.
const CALM_LEAST: Duration = Duration::from_secs(66);

/// And at the most: everybody behaves, so a lease and the longest wait before a retry are all that can be left.
const CALM_MOST: Duration = Duration::from_secs(220);

/// Lives through a plan on a runtime of its own.
pub fn live(plan: &Plan) -> Vec<Entry> {
    live_taped(plan, false).0
}

/// The same, with the store's operations if they are asked for.
pub fn live_taped(plan: &Plan, taped: bool) -> (Vec<Entry>, Vec<Taped>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let history = History::new(plan, taped);
        history.run(plan).await;
        (history.trace.take(), history.base.tape.take())
    })
}

/// The rules of a plan's history.
pub fn policy(plan: &Plan) -> Policy {
    let scope = if plan.quota_per_endpoint { QuotaScope::Endpoint } else { QuotaScope::Workspace };
    let quota = Quota { limit: plan.quota_limit, window: Duration::from_secs(plan.quota_window_s), scope };
    let limits = Limits {
        log_attempts: ALL as u64,
        backlog_events: plan.backlog_events,
        backlog_age: Duration::from_secs(plan.backlog_age_s),
        ..Limits::default()
    };
    Policy { quota, limits, ..Policy::default() }
}

/// The world that a history takes place in.
pub struct History {
    pub trace: Trace,
    pub base: Base,
    pub broker: SimBroker,
    pub receivers: Receivers,
    pub people: Mutex<People>,
    seed: u64,
    partitions: u16,
    roles: Vec<Role>,
    weather: Arc<Weather>,
    policy: Arc<Policy>,
    /// Where one process lives, and its successors.
    slots: Vec<Mutex<Arc<Process>>>,
}

impl History {
    fn new(plan: &Plan, taped: bool) -> Arc<Self> {
        let (trace, weather, policy) = (Trace::new(), Weather::new(plan.jitter), policy(plan));
        let memory = Memory::new(policy.clone(), plan.partitions, Clock::of(Right(trace.clone())));
        let first = |slot| Mutex::new(born(plan.seed, slot, 0, &trace, &weather));
        Arc::new(Self {
            slots: (0..plan.slots.len()).map(first).collect(),
            partitions: plan.partitions,
            roles: plan.slots.clone(),
            base: Base::new(memory, trace.clone(), Tape::new(trace.clone(), taped), plan),
            broker: SimBroker::new(trace.clone()),
            receivers: Receivers::new(trace.clone(), policy.timeout),
            people: Mutex::default(),
            seed: plan.seed,
            weather,
            policy: Arc::new(policy),
            trace,
        })
    }

    async fn run(self: &Arc<Self>, plan: &Plan) {
        for workspace in 0..2 {
            self.set_plan(workspace, true).await;
        }
        for (workspace, lanes) in &plan.endpoints {
            self.create(*workspace, *lanes).await;
        }
        for slot in 0..self.slots.len() {
            tokio::spawn(self.clone().keep_alive(slot));
        }
        let began = Instant::now();
        for (at_ms, act) in &plan.acts {
            sleep_until(began + Duration::from_millis(*at_ms)).await;
            self.act(act).await;
        }
        // What is going wrong goes on to its end, and its consequences may go wrong as well.
        sleep_until(began + plan.length() + Duration::from_secs(2)).await;
        self.calm(plan).await;
        self.tell().await;
    }

    /// Runs the process of a slot; whenever it is dead or has ended, its connections end and another one comes.
    async fn keep_alive(self: Arc<Self>, slot: usize) {
        for successor in 1.. {
            let process = self.process(slot);
            let service = self.start(&process, slot);
            process.stop.cancelled().await;
            process.ended(service).await;
            self.broker.cut(&process.name);
            process.vacant().await;
            *self.slots[slot].lock().unwrap() = born(self.seed, slot, successor, &self.trace, &self.weather);
        }
    }

    fn start(&self, process: &Arc<Process>, slot: usize) -> JoinHandle<()> {
        let connection = Arc::new(self.broker.connection(process.clone()));
        let parts = Parts {
            store: Arc::new(self.base.connection(process.clone())),
            broker: connection.clone(),
            publisher: connection,
            mail: None,
            sender: Arc::new(self.receivers.client(process.clone())),
            clock: process.clock(),
            signals: Signals::default(),
        };
        let options = app::Options {
            router: self.roles[slot] != Role::Deliverer,
            deliverer: self.roles[slot] != Role::Router,
            notifier: self.roles[slot] != Role::Router,
            name: process.name.clone(),
            partitions: self.partitions,
            policy: self.policy.clone(),
            event_types: Arc::new(EventTypes::new([])),
            prefetch: 8,
            event_bytes_max: 262_144,
            inflight_max: 16,
            slow_max: 64,
            grace: Duration::from_secs(20),
            seed: process.seed(u8::try_from(slot).unwrap()),
        };
        tokio::spawn(app::run(options, parts, process.stop.clone()))
    }

    fn process(&self, slot: usize) -> Arc<Process> {
        self.slots[slot].lock().unwrap().clone()
    }

    async fn act(self: &Arc<Self>, act: &Act) {
        match act {
            Act::Publish { workspace, contacts } => contacts.iter().for_each(|it| self.publish(*workspace, *it)),
            Act::PublishAgain { back } => self.publish_again(*back),
            Act::Poison { workspace, poison } => self.publish_poison(*workspace, *poison),
            Act::Behave { endpoint, manner } => self.behave(*endpoint, *manner),
            Act::Create { workspace, lanes } => self.create(*workspace, *lanes).await,
            Act::Move { endpoint } => self.change(*endpoint, None).await,
            Act::Lanes { endpoint, lanes } => self.change(*endpoint, Some(*lanes)).await,
            Act::Disable { endpoint } => self.disable(*endpoint).await,
            Act::Enable { endpoint, discard } => self.enable(*endpoint, *discard).await,
            Act::Delete { endpoint } => self.delete(*endpoint).await,
            Act::Recover { endpoint } => self.recover(*endpoint).await,
            Act::Resend { endpoint, back } => self.resend(*endpoint, *back).await,
            Act::DeleteWorkspace { workspace } => self.delete_workspace(*workspace).await,
            Act::Plan { workspace, entitled } => self.set_plan(*workspace, *entitled).await,
            Act::Crash { slot, steps, down_ms } => {
                self.process(*slot).crash_in(*steps, Duration::from_millis(*down_ms));
            }
            Act::Stop { slot } => self.process(*slot).stop.cancel(),
            Act::Pause { slot, steps, for_ms } => {
                let (process, span) = (self.process(*slot), Duration::from_millis(*for_ms));
                tokio::spawn(self.clone().pause(process, *steps, span));
            }
            Act::Lose { slot, fates } => self.process(*slot).lose(fates.clone()),
            Act::Away { for_ms } => {
                tokio::spawn(self.clone().store_away(Duration::from_millis(*for_ms)));
            }
            Act::Cut { slot } => self.broker.cut(&self.process(*slot).name),
            Act::Skew { slot, by_ms } => self.process(*slot).skew(*by_ms),
        }
    }

    async fn pause(self: Arc<Self>, process: Arc<Process>, steps: u32, span: Duration) {
        process.pause_in(steps).await;
        sleep(span.min(HEARTBEATS_MISSED)).await;
        if span > HEARTBEATS_MISSED {
            self.broker.cut(&process.name);
            sleep(span - HEARTBEATS_MISSED).await;
        }
        process.resume();
    }

    async fn store_away(self: Arc<Self>, span: Duration) {
        self.weather.set_away(true);
        self.trace.put(Fact::Away { away: true });
        sleep(span).await;
        self.clear();
    }

    fn clear(&self) {
        self.weather.set_away(false);
        self.trace.put(Fact::Away { away: false });
    }

    /// Nothing fails any more; waits until all that can be delivered is.
    async fn calm(&self, plan: &Plan) {
        self.trace.put(Fact::Calm);
        self.receivers.calm();
        self.clear();
        for slot in 0..self.slots.len() {
            self.process(slot).calm();
        }
        self.make_good(plan).await;
        let began = self.trace.elapsed();
        loop {
            sleep(Duration::from_secs(3)).await;
            let drained = self.broker.depth() == 0 && self.waiting().await == 0;
            let told = self.trace.last_ms(Fact::delays_notices).is_none_or(|last_ms| {
                let since = began.max(Duration::from_millis(last_ms));
                self.trace.elapsed() - since >= CALM_LEAST
            });
            if (drained && told) || self.trace.elapsed() - began >= CALM_MOST {
                return;
            }
        }
    }
}

fn born(seed: u64, slot: usize, successor: u64, trace: &Trace, weather: &Arc<Weather>) -> Arc<Process> {
    let own_seed = seed.wrapping_mul(1_000_003).wrapping_add(slot as u64 * 1009).wrapping_add(successor);
    Process::new(format!("p{slot}.{successor}"), own_seed, trace.clone(), weather.clone())
}
