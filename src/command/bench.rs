//! `recadero bench`: measures an installation end to end, and checks order and loss while it does.
//!
//! It publishes to RabbitMQ, runs `recadero serve` as a process of its own, and receives; so what is measured is what
//! operators run, and its costs can be told from those of the load. Exchange, queue and keys are the run's own, and are
//! deleted at the end, also after Ctrl-C.
//!
//! - `plan`: which events there are, and who hears them;
//! - `load` publishes, `receiver` receives, `tally` checks;
//! - `service`: the service under measurement, `forwarder`: what it is compared with, `run`: one run of either;
//! - `joining`: a process that comes while it is measured;
//! - `readers`: people at the console meanwhile;
//! - `waiting`: events that wait in other lanes meanwhile;
//! - `usage`, `report`, `comparison`: what it cost.
//!
//! Rejected: wiring the parts in this process, as `dev` does. The load would share its runtime and its figures.

mod comparison;
pub mod forwarder;
mod joining;
mod load;
mod plan;
mod readers;
mod receiver;
mod report;
mod run;
mod service;
mod tally;
mod usage;
mod waiting;

use std::fmt;

use anyhow::{bail, ensure};
use serde::Serialize;

use self::comparison::Comparison;
use self::plan::Plan;
use self::run::{Run, Subject};
use crate::config::ServeOptions;

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
    /// Run a bare forwarder beside it, in turns, and print the ratio: RabbitMQ to HTTP, 256 events at once, without
    /// order, store, retries or log
    #[arg(long, help_heading = "Load")]
    limit: bool,
    /// Events that the forwarder posts at once, with --limit; 1 for HTTP one by one, which a single lane compares with
    #[arg(long, default_value_t = forwarder::AT_ONCE, requires = "limit", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Load")]
    limit_at_once: u16,
    /// Turns of each, with --limit
    #[arg(long, default_value_t = 3, requires = "limit", value_parser = clap::value_parser!(u32).range(1..=100), help_heading = "Load")]
    turns: u32,
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
    /// Endpoints that events go to; the others are only configured [default: all]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    active: Option<u64>,
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
    /// Events that wait in other lanes meanwhile, those of disabled endpoints in the same workspaces; also tells what one
    /// takes of Redis's memory
    #[arg(long, default_value_t = Self::default().waiting, value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    waiting: u64,
    /// Processes of `recadero serve`
    #[arg(long, default_value_t = Self::default().processes, value_parser = clap::value_parser!(u16).range(1..=16))]
    processes: u16,
    /// Seconds into a filled queue's draining after which one more process comes; tells how fast it gets its share of the
    /// lanes
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["rate", "processes", "limit"], value_parser = clap::value_parser!(u32).range(1..=3600))]
    joins_after: Option<u32>,
    /// Share of the endpoints that never answer, such as 0.2; events for them are neither waited for nor counted. With
    /// --rate all begin to hang at once, and the first second is told apart
    #[arg(long, default_value_t = Self::default().hanging)]
    hanging: f64,
    /// Share of the endpoints that always answer 500, such as 0.2; events for them are neither waited for nor counted
    #[arg(long, default_value_t = Self::default().failing)]
    failing: f64,
    /// People who have an endpoint's page open in the console meanwhile, with --rate; it renews itself every two seconds
    #[arg(long, default_value_t = Self::default().readers, requires = "rate", conflicts_with = "processes", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    readers: u32,
}

impl Default for Load {
    fn default() -> Self {
        let (endpoints, events, payload) = (100, 20_000, 1024);
        Self {
            endpoints,
            active: None,
            events,
            payload,
            lanes: 1,
            fan_out: 1,
            workspaces: 1,
            rate: 0,
            waiting: 0,
            processes: 1,
            joins_after: None,
            hanging: 0.0,
            failing: 0.0,
            readers: 0,
        }
    }
}

impl Load {
    /// Whether a forwarder that keeps no order and tries nothing twice can do the same.
    fn can_be_forwarded(&self) -> bool {
        self.fan_out == 1 && self.lanes == 1 && self.hanging == 0.0 && self.failing == 0.0 && self.readers == 0
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoints, active, events, payload, lanes, fan_out, workspaces, rate, .. } = self;
        let Self { waiting, processes, joins_after, hanging, failing, readers, .. } = self;
        let endpoints = active.map_or(endpoints.to_string(), |active| format!("{active} active ones of {endpoints}"));
        write!(
            f,
            "{events} events of {payload} bytes, each to {fan_out} of {endpoints} endpoints with {lanes} lanes in "
        )?;
        write!(f, "{workspaces} workspaces; {hanging} of the endpoints hang, {failing} fail; ")?;
        if *waiting > 0 {
            write!(f, "{waiting} more events wait; ")?;
        }
        if *readers > 0 {
            write!(f, "{readers} people look at the console; ")?;
        }
        if *processes > 1 {
            write!(f, "{processes} processes; ")?;
        }
        if let Some(seconds) = joins_after {
            write!(f, "one more process comes after {seconds} s; ")?;
        }
        match rate {
            0 => write!(f, "a filled queue is drained"),
            rate => write!(f, "{rate} events per second"),
        }
    }
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(bench(options))
}

async fn bench(options: Options) -> anyhow::Result<()> {
    let stop = super::serve::stop_on_signals()?;
    let plan = Plan::new(&options.load)?;
    ensure!(
        !options.limit || options.load.can_be_forwarded(),
        "--limit compares where every endpoint answers, --fan-out and --lanes are 1, and nobody looks at the console"
    );
    let run = Run {
        load: options.load,
        plan,
        given: options.serve,
        rabbitmq: options.rabbitmq_pid,
        at_once: options.limit_at_once,
    };
    if !options.limit {
        let report = run.run(Subject::Service, &stop).await?;
        print(&report, options.json)?;
        return report.complaint().map_or(Ok(()), |complaint| bail!(complaint));
    }
    let mut comparison = Comparison::default();
    for turn in 1..=options.turns {
        for subject in [Subject::Forwarder, Subject::Service] {
            let report = run.run(subject, &stop).await?;
            eprintln!("turn {turn} of {}: {subject}, {}", options.turns, report.summary());
            comparison.add(subject, report);
        }
    }
    print(&comparison, options.json)?;
    comparison.complaint().map_or(Ok(()), |complaint| bail!(complaint))
}

fn print(findings: &(impl Serialize + fmt::Display), json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(findings)?);
    } else {
        println!("{findings}");
    }
    Ok(())
}
