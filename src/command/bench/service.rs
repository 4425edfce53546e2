//! The service under measurement: workspaces and endpoints in its store, the process itself, and what is left of it.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, ensure};
use tokio::process::{Child, Command};

use super::plan::Plan;
use super::readers::Console;
use super::usage::Process;
use super::waiting;
use crate::clock::Clock;
use crate::command::serve::store_options;
use crate::config::{Amqp, ServeOptions, Settings};
use crate::consume::amqp::{self, AmqpUrl};
use crate::consume::topology::Topology;
use crate::decide::ids::EventType;
use crate::deliver::sign::Secret;
use crate::observe::signal::{Signals, Tap};
use crate::store::records::{Config, Put, Records, SigningSecret, Workspace};
use crate::store::redis::RedisStore;

/// Endpoints are set side by side, by workspace; this many workspaces at once.
const WORKSPACES_AT_ONCE: usize = 64;

/// Any port that is free.
pub const FREE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The options of the service: those that were given, but in a place of its own, and patient with what is measured.
pub fn options(given: ServeOptions, name: &str, plan: &Plan) -> ServeOptions {
    let event_types = plan.event_types().map(|event_type| event_type.to_string()).collect::<Vec<_>>().join(",");
    given.with([
        ("roles", "router,deliverer,notifier"),
        ("amqp-exchange", name),
        ("amqp-queues", "1"),
        ("declare", "true"),
        ("redis-prefix", name),
        ("extra-event-types", event_types.as_str()),
        ("max-event-bytes", "16MiB"),
        ("max-endpoints", "100000"),
        ("quota-limit", "100000"),
        // A queue filled before is a backlog of the run's own; none of it may be dropped.
        ("backlog-max-events", "100000000"),
        ("backlog-max-bytes", "1024GiB"),
        ("allow-http", "true"),
        ("allow-nets", "127.0.0.0/8"),
        ("allow-ports", "all"),
        ("egress-proxy", ""),
        // Endpoints are disabled for --waiting, and nobody has to be told by mail.
        ("log", "warn,lapin=off,recadero::notify=error"),
        ("log-format", "text"),
    ])
}

/// The same with a console.
pub fn with_console(options: ServeOptions, console: &Console) -> ServeOptions {
    let at = console.at.to_string();
    options.with([
        ("roles", "router,deliverer,notifier,api"),
        ("http-addr", at.as_str()),
        ("admin-tokens", console.token.as_str()),
    ])
}

/// Where the service works, and nobody else.
pub struct Place {
    settings: Settings,
    url: AmqpUrl,
    topology: Topology,
    store: RedisStore,
}

impl Place {
    /// Opens it; nothing is there yet but the store's own record.
    pub async fn open(settings: Settings) -> anyhow::Result<Self> {
        let Amqp { url, topology } = settings.amqp.clone();
        let store =
            RedisStore::open(store_options(&settings), Signals::new([] as [std::sync::Arc<dyn Tap>; 0])).await?;
        Ok(Self { settings, url, topology, store })
    }

    /// Declares the queues and sets workspaces and endpoints.
    pub async fn set_up(&self, plan: Plan, receivers: SocketAddr, clock: &Clock) -> anyhow::Result<()> {
        amqp::prepare(&self.url, &self.topology, true).await?;
        let now_ms = now_ms(clock)?;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..plan.workspaces() {
            if tasks.len() == WORKSPACES_AT_ONCE {
                tasks.join_next().await.context("a task")???;
            }
            let plans = &self.settings.policy.plans.entitled;
            let entitled = plans.first().context("--entitled-plans names none")?.clone();
            tasks.spawn(set_workspace(self.store.clone(), plan, number, entitled, receivers, now_ms));
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Lets so many events wait in lanes of disabled endpoints.
    pub async fn wait(&self, plan: Plan, events: u64, receivers: SocketAddr, clock: &Clock) -> anyhow::Result<()> {
        waiting::fill(&self.store, plan, events, receivers, now_ms(clock)?, self.settings.store.partitions).await
    }

    /// The queue that events wait in; there is one.
    pub fn queue(&self) -> String {
        self.topology.queue(0)
    }

    /// Deletes queues, exchange and keys; tries each, whatever happens to the other.
    pub async fn clear(self) -> anyhow::Result<()> {
        let queues = amqp::remove(&self.url, &self.topology).await;
        self.store.erase().await.context("the keys of this run are left in Redis")?;
        queues.context("the queue of this run is left in RabbitMQ")
    }
}

async fn set_workspace(
    store: RedisStore,
    plan: Plan,
    number: u64,
    entitled: String,
    receivers: SocketAddr,
    now_ms: u64,
) -> anyhow::Result<()> {
    let workspace = plan.workspace(number);
    let record = Workspace { plan: entitled, name: "bench".to_owned(), notify: Vec::new(), locale: "en".to_owned() };
    store.put_workspace(&workspace, &record).await?;
    for index in plan.endpoints_of(number) {
        let (_, endpoint, event_type) = plan.endpoint(index);
        let config = configuration(receivers, index, event_type, plan.lanes(), now_ms);
        let put = store.put_endpoint(&workspace, &endpoint, &config).await?;
        ensure!(put == Put::Done, "endpoint {index} could not be set: {put:?}");
    }
    Ok(())
}

/// The configuration of an endpoint that is a path of the receivers.
pub fn configuration(receivers: SocketAddr, path: u64, event_type: EventType, lanes: u16, now_ms: u64) -> Config {
    let text = Secret::from_random(rand::random()).expose().to_owned();
    Config {
        version: 1,
        url: format!("http://{receivers}/{path}"),
        events: vec![event_type],
        description: String::new(),
        lanes,
        headers: Vec::new(),
        secrets: vec![SigningSecret { text, until_ms: None }],
        created_ms: now_ms,
        updated_ms: now_ms,
    }
}

fn now_ms(clock: &Clock) -> anyhow::Result<u64> {
    Ok(u64::try_from(clock.unix().as_millis())?)
}

/// The same options for a process that can be asked at this address.
fn at(options: &ServeOptions, ops: SocketAddr) -> ServeOptions {
    options.clone().with([("ops-addr", ops.to_string().as_str())])
}

/// Running processes that deliver; dropping it kills them.
pub struct Served {
    children: Vec<Child>,
    processes: Vec<Process>,
}

impl Served {
    /// Starts this very program as the service, so many times; the first can be asked at this address.
    pub fn service(options: &ServeOptions, ops: SocketAddr, processes: u16) -> anyhow::Result<Self> {
        let mut served = Self::of(vec![start("serve", [], at(options, ops).environment())?])?;
        for _ in 1..processes {
            served.add_service(options, FREE)?;
        }
        Ok(served)
    }

    /// Starts one more, where it can be asked at this address.
    pub fn add_service(&mut self, options: &ServeOptions, ops: SocketAddr) -> anyhow::Result<()> {
        let child = start("serve", [], at(options, ops).environment())?;
        self.processes.extend(child.id().map(Process));
        self.children.push(child);
        Ok(())
    }

    /// Starts it as the bare forwarder.
    pub fn forwarder(
        amqp_url: &str,
        queue: &str,
        receivers: SocketAddr,
        endpoints: u64,
        at_once: u16,
    ) -> anyhow::Result<Self> {
        let arguments = [
            format!("--queue={queue}"),
            format!("--receivers={receivers}"),
            format!("--endpoints={endpoints}"),
            format!("--at-once={at_once}"),
        ];
        Self::of(vec![start("forward", arguments, [("RECADERO_AMQP_URL".to_owned(), amqp_url)])?])
    }

    fn of(children: Vec<Child>) -> anyhow::Result<Self> {
        let ids: Option<Vec<_>> = children.iter().map(|child| child.id().map(Process)).collect();
        Ok(Self { children, processes: ids.context("it has ended at once")? })
    }

    /// The sum of a figure over all processes.
    pub fn all<T: std::iter::Sum>(&self, figure: impl Fn(Process) -> Option<T>) -> Option<T> {
        self.processes.iter().map(|process| figure(*process)).sum()
    }

    /// Waits for an end that nobody asked for.
    pub async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        let waits = self.children.iter_mut().map(|child| Box::pin(child.wait()));
        futures_util::future::select_all(waits).await.0
    }

    /// Kills them. What they leave is deleted with all the rest, so there is nothing to finish.
    pub async fn end(mut self) -> std::io::Result<()> {
        for child in &mut self.children {
            child.kill().await?;
        }
        Ok(())
    }
}

fn start(
    name: &str,
    arguments: impl IntoIterator<Item = String>,
    environment: impl IntoIterator<Item = (String, impl AsRef<OsStr>)>,
) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(name).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RECADERO_")) {
        command.env_remove(name);
    }
    command.envs(environment).spawn().with_context(|| format!("recadero {name} could not be started"))
}
