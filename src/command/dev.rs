//! `recadero dev`: the whole service in one process, with nothing installed but Rust.
//!
//! The very same consume, decide, deliver, notify and operate code as `serve`, on the memory store and a broker within
//! the process; besides, a demo workspace, receivers of its own, and an account on the terminal.

mod account;
mod console;
mod curl;
mod door;
mod letters;
mod receivers;
mod traffic;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use self::account::Account;
use self::console::Stage;
use self::curl::Curl;
use self::letters::Letters;
use self::receivers::{Behaviour, Receivers};
use crate::app::{self, Parts};
use crate::clock::Clock;
use crate::config::{LogFormat, Sensitive};
use crate::consume::local::LocalBroker;
use crate::consume::topology::EVENTS;
use crate::decide::event_types::EventTypes;
use crate::decide::ids::{EndpointId, EventType, WorkspaceId};
use crate::decide::policy::Policy;
use crate::deliver::guard::Guard;
use crate::deliver::guard::system::SystemLookup;
use crate::deliver::send::{HttpOptions, HttpSender, Sender};
use crate::deliver::sign::Secret;
use crate::notify::mail::Writer;
use crate::observe::log;
use crate::observe::signal::{Signals, Tap};
use crate::operate::serve::{listen, serve};
use crate::operate::{AdminTokens, Api, WorkspaceTokens, api};
use crate::store::Store;
use crate::store::memory::Memory;
use crate::store::records::{Config, Put, SigningSecret, Workspace};

/// The demo's workspace.
const WORKSPACE: &str = "demo";

/// The largest event.
const EVENT_BYTES_MAX: usize = 256 << 10;

/// Partitions of the store in memory.
const PARTITIONS: u16 = 16;

/// Shows all of it, with no server needed
///
/// Runs the whole service on a store and a broker in memory, with a demo workspace, a trickle of the nine sample events,
/// and five receivers: fine, slow, failing, hanging, recovering. Prints what happens and what to try next. Listens on
/// loopback only; nothing is kept when it ends.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Where API and console listen: a loopback address
    #[arg(long, default_value = "127.0.0.1:8080")]
    http_addr: SocketAddr,
    /// Shrinks all times, so that a disabling and a re-enabling can be seen within a minute
    #[arg(long)]
    fast: bool,
}

/// How long things take in a demo.
struct Pace {
    policy: Policy,
    slow: Duration,
    event_every: Duration,
}

impl Pace {
    fn of(fast: bool) -> Self {
        let mut policy = Policy::default();
        if !fast {
            return Self { policy, slow: Duration::from_secs(2), event_every: Duration::from_secs(3) };
        }
        policy.timeout = Duration::from_millis(500);
        policy.retry_delays = [1, 2, 3].map(Duration::from_secs).to_vec();
        policy.quota.window = Duration::from_secs(120);
        Self { policy, slow: Duration::from_millis(200), event_every: Duration::from_millis(500) }
    }
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    if !options.http_addr.ip().is_loopback() {
        bail!(crate::config::ConfigError::of("http-addr", "dev has no real tokens, so it listens on loopback only"));
    }
    log::init(&crate::config::Log { filter: "warn".to_owned(), format: LogFormat::Text })?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(demo(&options))
}

async fn demo(options: &Options) -> anyhow::Result<()> {
    let pace = Pace::of(options.fast);
    let stop = super::serve::stop_on_signals()?;
    let listener = listen(options.http_addr, "http-addr").await?;
    let receivers = Receivers::start(pace.slow).await.context("the demo's receivers")?;

    let clock = Clock::system();
    let (account, told) = Account::new(&pace.policy);
    let signals = Signals::new([account.clone() as Arc<dyn Tap>]);
    let store: Arc<dyn Store> = Arc::new(Memory::new(pace.policy.clone(), PARTITIONS, clock.clone()));
    let broker = LocalBroker::new(EVENTS);
    // Only its own receivers: a demo must not become a way into the machine's network.
    let guard = Guard {
        allow_http: true,
        allow_nets: vec!["127.0.0.0/8".parse().context("a network of loopback")?],
        allow_ports: None,
    };
    let http = HttpOptions { timeout: pace.policy.timeout, extra_roots: None, egress_proxy: None };
    let sender = HttpSender::new(&http, Arc::new(guard.clone()), Arc::new(SystemLookup::new()), clock.clone())?;

    let workspace = WorkspaceId::trusted(WORKSPACE);
    let names = set_up(&*store, &workspace, &receivers, &clock).await?;
    account.name(names.iter().cloned().collect());
    let token = Sensitive::new(format!("demo-{}", uuid::Uuid::new_v4().simple()));
    let api_url = format!("http://{}", listener.local_addr()?);
    let writer = Writer {
        store: store.clone(),
        policy: Arc::new(pace.policy.clone()),
        public_url: Some(api_url.parse().context("the console's URL")?),
    };
    let letters = Letters::new(writer, account);
    let curl = Curl {
        api: api_url,
        receivers: receivers.base(),
        token: token.reveal().to_owned(),
        workspace: workspace.clone(),
    };
    welcome(&curl, &pace);

    let sender: Arc<dyn Sender> = Arc::new(sender);
    let routes = api(Arc::new(Api {
        store: store.clone(),
        sender: sender.clone(),
        publisher: Arc::new(broker.clone()),
        rejects: Arc::new(broker.clone()),
        exchange: EVENTS.to_owned(),
        policy: pace.policy.clone(),
        event_types: EventTypes::new([]),
        event_bytes_max: EVENT_BYTES_MAX,
        guard,
        admin_tokens: AdminTokens::new(std::slice::from_ref(&token)),
        tokens: WorkspaceTokens::new(&[Sensitive::new(uuid::Uuid::new_v4().to_string())]),
        public_url: None,
        demo: Some(Arc::new(Stage { token, workspace: workspace.clone(), names, receivers, letters: letters.clone() })),
        clock: clock.clone(),
        signals: signals.clone(),
    }))
    .layer(axum::middleware::from_fn(door::guard));
    let parts = Parts {
        store: store.clone(),
        broker: Arc::new(broker.clone()),
        publisher: Arc::new(broker.clone()),
        mail: Some(Arc::new(letters)),
        sender,
        clock,
        signals,
    };
    tokio::spawn(serve(listener, routes, stop.clone(), Duration::from_secs(1)));
    tokio::spawn(traffic::trickle(broker, workspace.clone(), pace.event_every, stop.clone()));
    let writing = {
        let policy = pace.policy.clone();
        async move { told.write(workspace, &policy, store, curl).await }
    };
    tokio::spawn(writing);
    app::run(app_options(&pace), parts, stop).await;
    Ok(())
}

fn app_options(pace: &Pace) -> app::Options {
    app::Options {
        router: true,
        deliverer: true,
        notifier: true,
        name: "dev".to_owned(),
        partitions: PARTITIONS,
        policy: Arc::new(pace.policy.clone()),
        event_types: Arc::new(EventTypes::new([])),
        prefetch: 512,
        event_bytes_max: EVENT_BYTES_MAX,
        inflight_max: 64,
        slow_max: 256,
        grace: pace.policy.timeout + Duration::from_secs(1),
        seed: rand::random(),
    }
}

/// The demo workspace on the Advanced plan, with one endpoint per receiver.
async fn set_up(
    store: &dyn Store,
    workspace: &WorkspaceId,
    receivers: &Receivers,
    clock: &Clock,
) -> anyhow::Result<Vec<(EndpointId, &'static str)>> {
    let record = Workspace {
        plan: "advanced".to_owned(),
        name: "Demo".to_owned(),
        notify: vec!["owner@demo.test".to_owned()],
        locale: "en".to_owned(),
    };
    store.put_workspace(workspace, &record).await?;
    let mut names = Vec::new();
    for behaviour in Behaviour::ALL {
        let now_ms = u64::try_from(clock.unix().as_millis())?;
        let config = Config {
            version: 1,
            url: receivers.url(behaviour),
            events: vec![EventType::trusted("*")],
            description: format!("the receiver that is {}", behaviour.as_str()),
            lanes: 1,
            headers: Vec::new(),
            secrets: vec![SigningSecret {
                text: Secret::from_random(rand::random()).expose().to_owned(),
                until_ms: None,
            }],
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        let endpoint = EndpointId::trusted(format!("ep_{}", behaviour.as_str()));
        let put = store.put_endpoint(workspace, &endpoint, &config).await?;
        anyhow::ensure!(put == Put::Done, "the demo's endpoints are the first: {put:?}");
        names.push((endpoint, behaviour.as_str()));
    }
    Ok(names)
}

fn welcome(curl: &Curl, pace: &Pace) {
    let waits = pace.policy.retry_delays.iter().map(|wait| format!("{} s", wait.as_secs())).collect::<Vec<_>>();
    println!("Recadero, demo workspace \"{WORKSPACE}\" on the Advanced plan. API: {}", curl.api);
    println!("200 within {:?} is a delivery; else again after {}.", pace.policy.timeout, waits.join(", "));
    println!(
        "More than {} failures within {:?} disable the endpoint that failed. Ctrl-C ends.",
        pace.policy.quota.limit, pace.policy.quota.window
    );
    println!();
    println!("Open {}/console", curl.api);
    println!();
    println!("Or try:");
    println!("  see the endpoints:   {}", curl.endpoints());
    println!("  see the error quota: {}", curl.quota());
    println!("  break a receiver:    {}", curl.break_it("fine"));
    println!("  mend it:             {}", curl.mend("fine"));
    println!();
}
