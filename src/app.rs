//! The one place that builds the parts and wires them. `serve`, `dev` and the simulation are wirings of the same parts.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::consume::router::{self, Router};
use crate::consume::standing::Standing;
use crate::consume::{Broker, Held, Publisher, Wake};
use crate::decide::event_types::EventTypes;
use crate::decide::ids::{LaneId, Partition};
use crate::decide::policy::Policy;
use crate::deliver::announce::Announcer;
use crate::deliver::members::Members;
use crate::deliver::send::Sender;
use crate::deliver::{self, Deliverer};
use crate::notify::outcome::Outcomes;
use crate::notify::{self, Courier, Couriers};
use crate::observe::signal::{Signal, Signals};
use crate::store::Store;
use crate::store::lanes::Append;

/// How often a process without a router looks whether the broker is there.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// How long the store or the broker may take to be said goodbye to.
const END_MAX: Duration = Duration::from_secs(2);

/// What the service is made of; each wiring brings its own.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Where events come from.
    pub broker: Arc<dyn Broker>,
    /// Where outcomes are published.
    pub publisher: Arc<dyn Publisher>,
    /// The way to a workspace's people, if there is one.
    pub mail: Option<Arc<dyn Courier>>,
    /// The way to the endpoints.
    pub sender: Arc<dyn Sender>,
    /// The time.
    pub clock: Clock,
    /// Where happenings are shown.
    pub signals: Signals,
}

/// Which parts run here, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Takes events from the queues.
    pub router: bool,
    /// Delivers.
    pub deliverer: bool,
    /// Drains the outbox.
    pub notifier: bool,
    /// This process's name: unique among all.
    pub name: String,
    /// How many partitions the store has.
    pub partitions: u16,
    /// The rules.
    pub policy: Arc<Policy>,
    /// Accepted event types.
    pub event_types: Arc<EventTypes>,
    /// Un-acknowledged events per queue.
    pub prefetch: u16,
    /// The largest event.
    pub event_bytes_max: usize,
    /// Working places.
    pub inflight_max: usize,
    /// Attempts without a place.
    pub slow_max: usize,
    /// Time to finish attempts when asked to stop.
    pub grace: Duration,
    /// Where randomness comes from; a simulation gives its own.
    pub seed: [u8; 32],
}

/// The ready lanes of events that this process stored, and of what people change here.
struct Announced(Announcer);

impl Wake for Announced {
    fn wake(&self, lanes: Vec<LaneId>) {
        self.0.announce(lanes);
    }

    fn hold(&self, partition: Partition, items: &[Append]) -> Option<Box<dyn Held>> {
        self.0.hold(partition, items)
    }
}

/// Runs the parts until `stop`; then lets each finish what it has begun: intake first, so that nothing new comes.
pub async fn run(options: Options, parts: Parts, stop: CancellationToken) {
    let me = options.deliverer.then(|| options.name.clone());
    let members = Members::new(me);
    let last = CancellationToken::new();
    let (tasks, background) = (TaskTracker::new(), TaskTracker::new());

    let deliverer = options.deliverer.then(|| deliverer(&options, &parts, members.clone()));
    let waker = deliverer.as_ref().map(Deliverer::waker);
    let announcer = Announcer::start(members.clone(), waker, options.partitions, parts.store.clone(), last.clone());

    if options.router {
        let queues = parts.broker.queues();
        let standing = Arc::new(Standing::new(queues, parts.signals.clone()));
        for queue in 0..queues {
            let router = router(queue, &options, &parts, announcer.clone()).among(standing.clone());
            tasks.spawn(router.run(stop.clone()));
        }
    }
    background.spawn(members.clone().beat(parts.store.clone(), parts.signals.clone(), last.clone()));
    if options.notifier && !options.router {
        background.spawn(watch_broker(parts.publisher.clone(), parts.signals.clone(), last.clone()));
    }
    if options.notifier {
        let couriers = Couriers { amqp: Some(Arc::new(Outcomes(parts.publisher.clone()))), mail: parts.mail.clone() };
        let (store, signals) = (parts.store.clone(), parts.signals.clone());
        background.spawn(notify::run(options.partitions, store, couriers, signals, last.clone()));
    }
    if let Some(deliverer) = deliverer {
        tasks.spawn(deliverer.run(stop.clone()));
    }

    stop.cancelled().await;
    tasks.close();
    // The others take over at once; leases keep what is under way apart. Bounded: the store may be away.
    let _ = tokio::time::timeout(END_MAX, members.leave(&*parts.store)).await;
    // A router that waits for a store that is away must not hold the process: the queue keeps its events.
    let mut grace = std::pin::pin!(tokio::time::sleep(options.grace + Duration::from_secs(1)));
    tokio::select! {
        biased;
        () = tasks.wait() => {}
        () = &mut grace => tracing::warn!("the grace has ended before everything did"),
    }
    last.cancel();
    background.close();
    // What is left of the grace is the notifier's, for the notice that it is sending.
    let rest = futures_util::future::join(grace, tokio::time::sleep(END_MAX));
    tokio::select! {
        biased;
        () = background.wait() => {}
        _ = rest => tracing::warn!("something would not end and is left behind"),
    }
}

/// Tells whether the broker is there, where no router does.
async fn watch_broker(publisher: Arc<dyn Publisher>, signals: Signals, stop: CancellationToken) {
    let mut connected = None;
    loop {
        let Some(reached) = stop.run_until_cancelled(publisher.reach()).await else { return };
        if connected.replace(reached.is_ok()) != Some(reached.is_ok()) {
            let detail = reached.as_ref().err().map(ToString::to_string);
            signals.emit(&Signal::Broker { connected: reached.is_ok(), detail: detail.as_deref() });
        }
        if stop.run_until_cancelled(tokio::time::sleep(WATCH_EVERY)).await.is_none() {
            return;
        }
    }
}

fn deliverer(options: &Options, parts: &Parts, members: Arc<Members>) -> Deliverer {
    let tools = deliver::Tools {
        store: parts.store.clone(),
        sender: parts.sender.clone(),
        clock: parts.clock.clone(),
        signals: parts.signals.clone(),
    };
    let options = deliver::Options {
        member: options.name.clone(),
        partitions: options.partitions,
        policy: options.policy.clone(),
        inflight_max: options.inflight_max,
        slow_max: options.slow_max,
        grace: options.grace,
        seed: options.seed,
    };
    Deliverer::new(options, tools, members)
}

fn router(queue: usize, options: &Options, parts: &Parts, announcer: Announcer) -> Router {
    let [a, b, c, d, e, f, g, h, ..] = options.seed;
    let router_options = router::Options {
        queue,
        prefetch: options.prefetch,
        max_event_bytes: options.event_bytes_max,
        partitions: options.partitions,
        types: options.event_types.clone(),
        plans: options.policy.plans.clone(),
        store_patience: router::STORE_PATIENCE,
        seed: u64::from_le_bytes([a, b, c, d, e, f, g, h]).wrapping_add(queue as u64),
    };
    let wake = Arc::new(Announced(announcer));
    Router::new(parts.broker.clone(), parts.store.clone(), wake, parts.signals.clone(), router_options)
}
