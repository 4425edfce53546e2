//! `recadero serve`: the service, on RabbitMQ, Redis and HTTP.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::{self, Parts};
use crate::clock::Clock;
use crate::config::{ConfigError, Mail, Settings};
use crate::consume::amqp::{AmqpBroker, AmqpPublisher, AmqpRejects};
use crate::deliver::guard::system::SystemLookup;
use crate::deliver::send::{HttpOptions, HttpSender};
use crate::notify::Courier;
use crate::notify::mail::{Mailer, Writer};
use crate::observe::health::{Health, ops};
use crate::observe::log::{self, LogTap};
use crate::observe::metrics::Metrics;
use crate::observe::signal::{Signal, Signals, Tap};
use crate::observe::trace::Traces;
use crate::operate::serve::{listen, serve};
use crate::operate::{AdminTokens, Api, WorkspaceTokens, api};
use crate::store::StoreError;
use crate::store::redis::{self, RedisStore};

/// The pauses before a store that is away is asked again at the start, growing from the first to the last.
const OPEN_AGAIN: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// How long the last spans may take, after everything else has ended.
const LAST_SPANS_MAX: Duration = Duration::from_secs(2);

/// File descriptors for all but attempts under way: connections to the store, the broker and the API, idle ones to
/// endpoints, the log.
const OTHER_DESCRIPTORS: usize = 1024;

/// Runs the service
///
/// Takes events from RabbitMQ into ordered lanes in Redis and delivers them. Every option is an environment variable as
/// well. Waits for RabbitMQ and Redis when they are away, at the start and later. SIGTERM or Ctrl-C: takes nothing new,
/// finishes the attempts under way, and ends.
#[derive(clap::Args, Clone)]
pub struct Options {
    #[command(flatten)]
    serve: crate::config::ServeOptions,
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    let mut settings = options.serve.check()?;
    log::init(&settings.log)?;
    settings.max_slow = settings.max_slow.min(slow_max_by_descriptors(settings.max_inflight));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let name = uuid::Uuid::now_v7().simple().to_string();
    let traces = match &settings.tracing {
        None => Traces::default(),
        Some(tracing) => {
            let _inside = runtime.enter();
            let started = Traces::start(tracing, &settings.amqp.topology.exchange, &name, Clock::system());
            started.map_err(|error| ConfigError::of("otel-exporter-otlp-endpoint", error))?
        }
    };
    let served = runtime.block_on(run_service(settings, name, traces.clone()));
    traces.finish(LAST_SPANS_MAX);
    // Not dropped: that would wait for a name lookup that hangs.
    runtime.shutdown_background();
    served
}

async fn run_service(settings: Settings, name: String, traces: Traces) -> anyhow::Result<()> {
    let stop = stop_on_signals()?;
    let (metrics, health) = (Arc::new(Metrics::new(&settings.event_types)), Arc::new(Health::new(settings.roles)));
    let taps: [Arc<dyn Tap>; 3] = [metrics.clone(), health.clone(), Arc::new(LogTap)];
    let signals = Signals::new(taps).traced(traces);

    // Health and metrics first: whoever looks while the store is away sees why nothing else is there.
    let last = CancellationToken::new();
    let ops_listener = listen(settings.ops_addr, "ops-addr").await?;
    let http_listener = match settings.roles.api {
        true => Some(listen(settings.http_addr, "http-addr").await?),
        false => None,
    };
    let ops = tokio::spawn(serve(ops_listener, ops(metrics, health.clone()), last.clone(), Duration::from_secs(1)));

    let served = match open(&settings, &signals, &stop).await? {
        Some(store) => {
            let parts = parts(&settings, store, signals)?;
            serve_parts(&settings, name, parts, http_listener, &health, stop).await
        }
        None => Ok(()),
    };
    last.cancel();
    // It ends by the token; a panic in it has been printed.
    let _ = ops.await;
    served
}

async fn serve_parts(
    settings: &Settings,
    name: String,
    parts: Parts,
    http_listener: Option<tokio::net::TcpListener>,
    health: &Health,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), roles = ?settings.roles, "recadero runs");
    let routes = api(Arc::new(Api {
        store: parts.store.clone(),
        sender: parts.sender.clone(),
        publisher: parts.publisher.clone(),
        rejects: Arc::new(AmqpRejects::new(&settings.amqp.url, parts.publisher.clone())),
        exchange: settings.amqp.topology.exchange.clone(),
        policy: settings.policy.clone(),
        event_types: settings.event_types.clone(),
        event_bytes_max: settings.max_event_bytes,
        guard: settings.egress.guard.clone(),
        admin_tokens: AdminTokens::new(&settings.admin_tokens),
        tokens: WorkspaceTokens::new(&settings.token_keys),
        public_url: settings.public_url.clone(),
        demo: None,
        clock: parts.clock.clone(),
        signals: parts.signals.clone(),
    }));
    let http =
        http_listener.map(|listener| tokio::spawn(serve(listener, routes, stop.clone(), settings.shutdown_grace)));
    let mut work = tokio::spawn(app::run(app_options(settings, name), parts, stop.clone()));
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        ended = &mut work => return ended.context("the service ended by itself"),
    }
    tracing::info!("stopping: attempts under way are finished");
    health.drain();
    if let Some(http) = http {
        http.await.context("the API ended by itself")?;
    }
    work.await.context("the service ended by itself")?;
    tracing::info!("stopped");
    Ok(())
}

/// Opens the store, and waits for it while it is away. `None` when asked to stop meanwhile.
async fn open(
    settings: &Settings,
    signals: &Signals,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Arc<RedisStore>>> {
    let options = store_options(settings);
    let mut pauses = OPEN_AGAIN.into_iter().chain(std::iter::repeat(OPEN_AGAIN[OPEN_AGAIN.len() - 1]));
    loop {
        let opening = RedisStore::open(options.clone(), signals.clone());
        match stop.run_until_cancelled(opening).await {
            None => return Ok(None),
            // The first heartbeat says that it is there.
            Some(Ok(store)) => return Ok(Some(Arc::new(store))),
            Some(Err(StoreError::Refused(detail))) => return Err(ConfigError::of("redis-url", detail).into()),
            Some(Err(error)) => {
                signals.emit(&Signal::Store { connected: false, detail: Some(&error.to_string()) });
            }
        }
        let pause = pauses.next().unwrap_or_default();
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return Ok(None);
        }
    }
}

/// What the store is told.
pub(super) fn store_options(settings: &Settings) -> redis::Options {
    let store = &settings.store;
    redis::Options {
        url: store.urls.iter().map(|url| url.reveal()).collect::<Vec<_>>().join(","),
        prefix: store.prefix.clone(),
        partitions: store.partitions,
        durability: store.durability,
        policy: settings.policy.clone(),
    }
}

fn parts(settings: &Settings, store: Arc<RedisStore>, signals: Signals) -> anyhow::Result<Parts> {
    let amqp = &settings.amqp;
    let publisher = AmqpPublisher::new(&amqp.url);
    let publisher = Arc::new(match settings.roles.notifier {
        true => publisher.of_outcomes(settings.declare),
        false => publisher,
    });
    let broker = AmqpBroker::new(&amqp.url, amqp.topology.clone(), settings.declare, publisher.clone());

    let egress = &settings.egress;
    let options = HttpOptions {
        timeout: settings.policy.timeout,
        extra_roots: egress.extra_roots.clone(),
        egress_proxy: egress.proxy.clone(),
    };
    let clock = Clock::system();
    let sender =
        HttpSender::new(&options, Arc::new(egress.guard.clone()), Arc::new(SystemLookup::new()), clock.clone())
            .map_err(|error| ConfigError::of("ca-file", error))?;
    let mail = settings.mail.clone().map(|Mail { relay, from }| {
        let (policy, public_url) = (Arc::new(settings.policy.clone()), settings.public_url.clone());
        let writer = Writer { store: store.clone(), policy, public_url };
        Arc::new(Mailer { writer, relay, from }) as Arc<dyn Courier>
    });
    Ok(Parts { store, broker: Arc::new(broker), publisher, mail, sender: Arc::new(sender), clock, signals })
}

fn app_options(settings: &Settings, name: String) -> app::Options {
    app::Options {
        router: settings.roles.router,
        deliverer: settings.roles.deliverer,
        notifier: settings.roles.notifier,
        name,
        partitions: settings.store.partitions,
        policy: Arc::new(settings.policy.clone()),
        event_types: Arc::new(settings.event_types.clone()),
        prefetch: settings.prefetch,
        event_bytes_max: settings.max_event_bytes,
        inflight_max: settings.max_inflight,
        slow_max: settings.max_slow,
        grace: settings.shutdown_grace,
        seed: rand::random(),
    }
}

/// Raises the limit of file descriptors as far as it may be raised, and answers how many slow attempts it leaves room for.
fn slow_max_by_descriptors(inflight_max: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it may not be raised, what it was is what there is.
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    let descriptors = current.map_or(usize::MAX, |current| usize::try_from(current).unwrap_or(usize::MAX));
    descriptors.saturating_sub(inflight_max).saturating_sub(OTHER_DESCRIPTORS)
}

/// A token that is cancelled by SIGTERM or SIGINT; a second one ends the process at once.
pub fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        for times in 1.. {
            tokio::select! {
                biased;
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            asked.cancel();
            if times > 1 {
                std::process::exit(1);
            }
        }
    });
    Ok(stop)
}
