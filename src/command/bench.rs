//! `recadero bench`: measures an installation end to end, and checks order and loss while it does.
//!
//! It publishes to RabbitMQ, runs `recadero serve` as a process of its own, and receives; so what is measured is what
//! operators run, and its costs can be told from those of the load. Exchange, queue and keys are the run's own, and are
//! deleted at the end, also after Ctrl-C.
//!
//! - `plan`: which events there are, and who hears them;
//! - `load` publishes, `receiver` receives, `tally` checks;
//! - `service`: the service under measurement;
//! - `usage`, `report`: what it cost.
//!
//! Rejected: wiring the parts in this process, as `dev` does. The load would share its runtime and its figures.

mod load;
mod plan;
mod receiver;
mod report;
mod service;
mod tally;
mod usage;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use self::load::Publisher;
use self::plan::Plan;
use self::report::{Reading, Report};
use self::service::{Place, Served};
use self::tally::{Measured, Tally};
use self::usage::{Process, Redis};
use crate::clock::Clock;
use crate::config::{ConfigError, ServeOptions};
use crate::deliver::send::install_crypto;

/// How long nothing may arrive before the rest counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the service may go on after the last arrival, to record it.
const SETTLE: Duration = Duration::from_millis(200);

/// Measures this installation end to end
///
/// Publishes events, delivers them by a `recadero serve` of its own to receivers of its own, and prints what came of it:
/// rate, latency, what each process and Redis spent, and whether order held and nothing was lost (exit status 1 if not).
/// Needs RabbitMQ and Redis; `benches/run` starts private ones. Exchange, queue and keys are the run's own and are
/// deleted at the end. Every option of `recadero serve` is one of the service that is measured, but for those that name
/// its places and limits.
#[derive(clap::Args, Clone)]
pub struct Options {
    #[command(flatten, next_help_heading = "Load")]
    load: Load,
    /// Print JSON instead of a table
    #[arg(long, help_heading = "Load")]
    json: bool,
    /// RabbitMQ's process on this machine, to tell what it costs
    #[arg(long, value_name = "PID", help_heading = "Load")]
    rabbitmq_pid: Option<u32>,
    #[command(flatten)]
    serve: ServeOptions,
}

/// What is sent to whom.
#[derive(clap::Args, Clone, Copy, Debug, Serialize)]
pub struct Load {
    /// Endpoints
    #[arg(long, default_value_t = Self::default().endpoints, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    endpoints: u64,
    /// Events
    #[arg(long, default_value_t = Self::default().events, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    events: u64,
    /// Bytes of an event's body
    #[arg(long, default_value_t = Self::default().payload, value_name = "BYTES")]
    payload: usize,
    /// Lanes of each endpoint; with more than one, order is that of each contact
    #[arg(long, default_value_t = Self::default().lanes, value_parser = clap::value_parser!(u16).range(1..=64))]
    lanes: u16,
    /// Endpoints that hear each event
    #[arg(long, default_value_t = Self::default().fan_out, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    fan_out: u64,
    /// Workspaces that the endpoints are spread over
    #[arg(long, default_value_t = Self::default().workspaces, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    workspaces: u64,
    /// Events per second, and how late they arrive; 0 fills the queue before and measures how fast it is drained
    #[arg(long, default_value_t = Self::default().rate)]
    rate: u32,
    /// Share of the endpoints that never answer, such as 0.2; events for them are neither waited for nor counted
    #[arg(long, default_value_t = Self::default().hanging)]
    hanging: f64,
}

impl Default for Load {
    fn default() -> Self {
        let (endpoints, events, payload) = (100, 20_000, 1024);
        Self { endpoints, events, payload, lanes: 1, fan_out: 1, workspaces: 1, rate: 0, hanging: 0.0 }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoints, events, payload, lanes, fan_out, workspaces, rate, hanging } = self;
        write!(
            f,
            "{events} events of {payload} bytes, each to {fan_out} of {endpoints} endpoints with {lanes} lanes in "
        )?;
        write!(f, "{workspaces} workspaces; {hanging} of the endpoints hang; ")?;
        match rate {
            0 => write!(f, "a filled queue is drained"),
            rate => write!(f, "{rate} events per second"),
        }
    }
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    install_crypto();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(bench(options))
}

async fn bench(options: Options) -> anyhow::Result<()> {
    let stop = super::serve::stop_on_signals()?;
    let plan = Plan::new(&options.load)?;
    let name = format!("recadero.bench.{:08x}", rand::random::<u32>());
    let serve = service::options(options.serve, &name, &plan);
    let settings = serve.check()?;
    let [redis_url] = settings.store.urls.as_slice() else {
        bail!(ConfigError::of("redis-url", "names a Cluster, and bench measures a single server"));
    };
    let (redis_url, amqp_url) = (redis_url.clone(), settings.amqp.url.clone());

    let clock = Clock::system();
    let place = Place::open(settings).await?;
    let mut run =
        Run { load: options.load, plan, serve, name, clock, rabbitmq: options.rabbitmq_pid.map(Process), served: None };
    let measured = stop.run_until_cancelled(run.measure(&place, amqp_url.reveal(), redis_url.reveal())).await;
    // First its end, then the end of what it wrote.
    let ended = match run.served.take() {
        Some(served) => served.end().await.context("recadero serve is still there"),
        None => Ok(()),
    };
    let cleared = place.clear().await;
    let report = measured.context("interrupted; what the run made is deleted")??;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    ended.and(cleared)?;
    report.complaint().map_or(Ok(()), |complaint| bail!(complaint))
}

/// One run.
struct Run {
    load: Load,
    plan: Plan,
    serve: ServeOptions,
    /// Of exchange and keys.
    name: String,
    clock: Clock,
    rabbitmq: Option<Process>,
    served: Option<Served>,
}

impl Run {
    async fn measure(&mut self, place: &Place, amqp_url: &str, redis_url: &str) -> anyhow::Result<Report> {
        // With a rate, one event of each group goes before, so that caches and connections are there.
        let warm_up = if self.load.rate == 0 { 0 } else { self.plan.groups() };
        let events = warm_up + self.load.events;
        let tally = Arc::new(Tally::new(self.plan, events, self.clock.clone())?);
        let receivers = receiver::start(self.plan, Arc::clone(&tally)).await.context("the receivers")?;
        let mut redis = Redis::connect(redis_url).await?;
        place.set_up(self.plan, receivers, &self.clock).await?;
        let publisher = Publisher::connect(amqp_url, &self.name, self.plan).await?;

        let from = if self.load.rate == 0 {
            publisher.fill(0..events).await?;
            publisher.finish().await?;
            let from = self.read(&tally, &mut redis).await?;
            self.served = Some(Served::start(&self.serve)?);
            self.arrive(&tally, self.plan.deliveries(events)?).await?;
            Reading { service: Some(Duration::ZERO), ..from }
        } else {
            self.served = Some(Served::start(&self.serve)?);
            publisher.fill(0..warm_up).await?;
            self.arrive(&tally, self.plan.deliveries(warm_up)?).await?;
            let from = self.read(&tally, &mut redis).await?;
            let measured = Measured { from: warm_up, begin: self.clock.boot(), rate: self.load.rate };
            tally.measure(measured);
            publisher.pace(measured, events, &self.clock).await?;
            publisher.finish().await?;
            self.arrive(&tally, self.plan.deliveries(events)?).await?;
            from
        };
        tokio::time::sleep(SETTLE).await;
        let to = self.read(&tally, &mut redis).await?;
        let resident_max = self.served.as_ref().and_then(|served| served.process.resident_max());
        Ok(Report::new(self.load, &tally.counts(), &from, &to, resident_max))
    }

    /// Waits for deliveries, unless the service ends before.
    async fn arrive(&mut self, tally: &Tally, deliveries: u64) -> anyhow::Result<()> {
        let served = self.served.as_mut().context("the service was started")?;
        tokio::select! {
            biased;
            ended = served.ended() => bail!("recadero serve has ended by itself: {}", ended?),
            () = tally.wait(deliveries, PATIENCE) => Ok(()),
        }
    }

    async fn read(&self, tally: &Tally, redis: &mut Redis) -> anyhow::Result<Reading> {
        Ok(Reading {
            delivered: tally.delivered(),
            service: self.served.as_ref().and_then(|served| served.process.cpu()),
            redis: redis.process.and_then(Process::cpu),
            rabbitmq: self.rabbitmq.and_then(Process::cpu),
            bench: Process(std::process::id()).cpu(),
            scripts: redis.scripts().await?,
        })
    }
}
