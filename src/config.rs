//! What an operator may set (contract, section 1): found by [`ServeOptions`], checked into [`Settings`].
//!
//! All of it is checked before anything is begun, each value and what they mean together, so that a wrong one is a
//! line on the terminal and not a failure at three in the morning. What only use can find (an address that is taken)
//! becomes a [`ConfigError`] too, through [`ConfigError::of`].

mod check;
mod given;
mod otel;
mod parse;
mod table;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use url::Url;

pub use check::{MAIL_ADDRESS_BYTES_MAX, is_mail_address};
pub use given::{ConfigError, Given, Sensitive};
pub use otel::{Sampler, Tracing};
pub use parse::duration;

use crate::consume::amqp::AmqpUrl;
use crate::consume::topology::Topology;
use crate::decide::attempt::Success;
use crate::decide::event_types::EventTypes;
use crate::decide::ids::EventType;
use crate::decide::policy::{Limits, Plans, Policy, Quota, QuotaScope};
use crate::deliver::guard::Guard;
use crate::deliver::send::EgressProxy;
use crate::notify::mail::{Relay, Sender};
use crate::store::redis::Durability;

/// Most waits between the attempts of one event.
pub const RETRY_DELAYS_MAX: usize = 16;

/// Most partitions.
pub const PARTITIONS_MAX: u64 = 1024;

/// The longest name of a plan, in bytes.
pub const PLAN_BYTES_MAX: usize = 64;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Everything that is set, checked. Printing it shows no secret.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which parts run.
    pub roles: Roles,
    /// Events in.
    pub amqp: Amqp,
    /// Whether what is missing there is declared, or only checked.
    pub declare: bool,
    /// Un-acknowledged events a router may hold.
    pub prefetch: u16,
    /// What is remembered.
    pub store: StoreSettings,
    /// Where API and console listen.
    pub http_addr: SocketAddr,
    /// Where metrics and health listen.
    pub ops_addr: SocketAddr,
    /// At least one where the api role runs.
    pub admin_tokens: Vec<Sensitive>,
    /// The first signs workspace tokens, all verify; without one there are none.
    pub token_keys: Vec<Sensitive>,
    /// The rules.
    pub policy: Policy,
    /// The nine event types and those accepted besides.
    pub event_types: EventTypes,
    /// Larger events are rejected.
    pub max_event_bytes: usize,
    /// Working places for attempts.
    pub max_inflight: usize,
    /// Attempts that gave their place back.
    pub max_slow: usize,
    /// Where attempts may go.
    pub egress: Egress,
    /// E-mail, if it is sent.
    pub mail: Option<Mail>,
    /// Base of links in e-mails.
    pub public_url: Option<Url>,
    /// Time to finish attempts on SIGTERM.
    pub shutdown_grace: Duration,
    /// What is logged, and how.
    pub log: Log,
    /// Where traces go, if anywhere.
    pub tracing: Option<Tracing>,
}

/// The parts that this process runs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Roles {
    /// RabbitMQ to the store.
    pub router: bool,
    /// The store to endpoints.
    pub deliverer: bool,
    /// API and console.
    pub api: bool,
    /// E-mail and outcomes.
    pub notifier: bool,
}

/// RabbitMQ: where it is, and what it has there.
#[derive(Clone, Debug)]
pub struct Amqp {
    /// `amqp://` or `amqps://`.
    pub url: AmqpUrl,
    /// The topic exchange that upstream publishes to, and the ordered queues that it is spread over.
    pub topology: Topology,
}

/// The store.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// One (a single server, or Sentinel), or several nodes of a Cluster.
    pub urls: Vec<Sensitive>,
    /// First part of every key.
    pub prefix: String,
    /// Hash-tag partitions of all keys.
    pub partitions: u16,
    /// What an event must have reached before it is acknowledged.
    pub durability: Durability,
}

/// Where attempts may go.
#[derive(Clone, Debug)]
pub struct Egress {
    /// Schemes, networks and ports.
    pub guard: Guard,
    /// Extra root certificates: PEM that was found to be good.
    pub extra_roots: Option<Vec<u8>>,
    /// HTTP CONNECT proxy.
    pub proxy: Option<EgressProxy>,
}

/// E-mail.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The SMTP server that takes it on.
    pub relay: Relay,
    /// Whom it is from.
    pub from: Sender,
}

/// The log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// A `tracing` filter that is well written.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The options of `recadero serve`.
#[derive(Clone, Default)]
pub struct ServeOptions(Given);

impl ServeOptions {
    /// Options by the names of their flags, for a wiring that is not the command line's.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(Given::of(pairs))
    }

    /// The same with some of them set, whatever was given.
    #[must_use]
    pub fn with<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.0.set(pairs);
        self
    }

    /// What is set, as the environment of a process that is to have the same options.
    pub fn environment(&self) -> impl Iterator<Item = (String, &OsStr)> {
        self.0.environment()
    }

    /// Checks every value, and what they mean together.
    pub fn check(&self) -> Result<Settings, ConfigError> {
        let given = &self.0;
        let settings = Settings {
            roles: roles(given)?,
            amqp: amqp(given)?,
            declare: given.need("declare", parse::switch)?,
            prefetch: given.count("amqp-prefetch", 1..=65_535)?,
            store: store(given)?,
            http_addr: given.need("http-addr", check::address)?,
            ops_addr: given.need("ops-addr", check::address)?,
            admin_tokens: given.list("admin-tokens", check::secret)?,
            token_keys: given.list("token-keys", check::secret)?,
            policy: policy(given)?,
            event_types: EventTypes::new(given.list("extra-event-types", |text| {
                EventType::parse(text)
                    .ok_or_else(|| format!("{text:?} is not an event type; 1 to 128 of A-Z a-z 0-9 . _ -"))
            })?),
            max_event_bytes: given.size("max-event-bytes", 1..=16 << 20)?,
            max_inflight: given.count("max-inflight", 1..=1_000_000)?,
            max_slow: given.count("max-slow", 0..=1_000_000)?,
            egress: egress(given)?,
            mail: mail(given)?,
            public_url: given.maybe("public-url", check::base_url)?,
            shutdown_grace: given.duration("shutdown-grace", Duration::ZERO..=HOUR)?,
            log: log(given)?,
            tracing: otel::tracing(given)?,
        };
        settings.agree()?;
        Ok(settings)
    }
}

impl Settings {
    /// What values mean together.
    fn agree(&self) -> Result<(), ConfigError> {
        if self.roles.api && self.admin_tokens.is_empty() {
            let missing = "is missing, and the api role needs one of at least 32 characters (openssl rand -hex 32); \
                           or leave api out of --roles";
            return Err(ConfigError::of("admin-tokens", missing));
        }
        if self.roles.api && self.http_addr == self.ops_addr && self.http_addr.port() != 0 {
            return Err(ConfigError::of("ops-addr", "is the same as --http-addr; they need one each"));
        }
        Ok(())
    }
}

/// The options of commands that only speak to RabbitMQ.
#[derive(Clone, Default)]
pub struct AmqpOptions(Given);

impl AmqpOptions {
    /// Checks them.
    pub fn check(&self) -> Result<Amqp, ConfigError> {
        amqp(&self.0)
    }
}

/// Checks a plan's name; the same wherever one is set.
pub fn plan(text: &str) -> Result<String, String> {
    parse::name(text, PLAN_BYTES_MAX, "._-").map(str::to_owned)
}

macro_rules! arguments {
    ($options:ident, $sections:expr) => {
        impl clap::FromArgMatches for $options {
            fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(Given::take(matches, $sections)))
            }

            fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }

        impl clap::Args for $options {
            fn augment_args(command: clap::Command) -> clap::Command {
                Given::augment(command, $sections)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                Self::augment_args(command)
            }
        }
    };
}

arguments!(ServeOptions, table::SERVE);
arguments!(AmqpOptions, &[&table::AMQP]);

fn roles(given: &Given) -> Result<Roles, ConfigError> {
    type Set = fn(&mut Roles);
    const WORDS: [(&str, Set); 4] = [
        ("router", |roles| roles.router = true),
        ("deliverer", |roles| roles.deliverer = true),
        ("api", |roles| roles.api = true),
        ("notifier", |roles| roles.notifier = true),
    ];
    let mut roles = Roles::default();
    for set in given.list("roles", |text| parse::word(text, &WORDS))? {
        set(&mut roles);
    }
    Ok(roles)
}

fn amqp(given: &Given) -> Result<Amqp, ConfigError> {
    // RabbitMQ keeps names that begin with `amq.` for itself.
    let exchange = |text: &str| match parse::name(text, 127, "._-:")?.strip_prefix("amq.") {
        Some(_) => Err(format!("{text:?} begins with amq., which RabbitMQ keeps for itself")),
        None => Ok(text.to_owned()),
    };
    let url = given.need("amqp-url", check::amqp_url)?;
    let exchange = given.need("amqp-exchange", exchange)?;
    let queues = given.count("amqp-queues", 1..=256)?;
    Ok(Amqp { url, topology: Topology { exchange, queues } })
}

fn store(given: &Given) -> Result<StoreSettings, ConfigError> {
    let levels = [("memory", Durability::Memory), ("disk", Durability::Disk), ("replica", Durability::Replica)];
    Ok(StoreSettings {
        urls: given.need("redis-url", check::redis_urls)?,
        // No braces: they would move the hash tag.
        prefix: given.need("redis-prefix", |text| parse::name(text, 64, "._-:").map(str::to_owned))?,
        partitions: given.count("partitions", 1..=PARTITIONS_MAX)?,
        durability: given.need("durability", |text| parse::word(text, &levels))?,
    })
}

fn policy(given: &Given) -> Result<Policy, ConfigError> {
    let statuses = [("200", Success::Exactly200), ("2xx", Success::Any2xx)];
    let scopes = [("workspace", QuotaScope::Workspace), ("endpoint", QuotaScope::Endpoint)];
    let retry_delays = given.list("retry-delays", |text| given::lasting(text, &(MS..=24 * HOUR)))?;
    if retry_delays.len() > RETRY_DELAYS_MAX {
        let many = format!("{} waits are too many; at most {RETRY_DELAYS_MAX}", retry_delays.len());
        return Err(ConfigError::of("retry-delays", many));
    }
    Ok(Policy {
        timeout: given.duration("timeout", MS..=Duration::from_secs(5 * 60))?,
        retry_delays,
        success: given.need("success", |text| parse::word(text, &statuses))?,
        quota: Quota {
            limit: given.count("quota-limit", 0..=100_000)?,
            window: given.duration("quota-window", MS..=168 * HOUR)?,
            scope: given.need("quota-scope", |text| parse::word(text, &scopes))?,
        },
        plans: Plans { entitled: given.list("entitled-plans", plan)?, default: given.need("default-plan", plan)? },
        limits: Limits {
            endpoints: given.count("max-endpoints", 1..=100_000)?,
            backlog_events: given.count("backlog-max-events", 1..=100_000_000)?,
            backlog_bytes: given.size("backlog-max-bytes", 1..=1 << 40)?,
            backlog_age: given.duration("backlog-max-age", MS..=YEAR)?,
            dropped_events: given.count("dropped-max-events", 0..=100_000_000)?,
            dropped_retention: given.duration("dropped-retention", MS..=YEAR)?,
            log_attempts: given.count("log-attempts", 1..=100_000)?,
            log_age: given.duration("log-max-age", MS..=YEAR)?,
            log_payloads: given.count("log-payloads", 0..=100_000)?,
            dedupe_window: given.duration("dedupe-window", MS..=168 * HOUR)?,
        },
    })
}

fn egress(given: &Given) -> Result<Egress, ConfigError> {
    Ok(Egress {
        guard: Guard {
            allow_http: given.need("allow-http", parse::switch)?,
            allow_nets: given.list("allow-nets", check::network)?,
            allow_ports: given.need("allow-ports", |text| match text {
                "all" => Ok(None),
                _ => parse::list(text)?.into_iter().map(check::port).collect::<Result<_, _>>().map(Some),
            })?,
        },
        extra_roots: given.maybe("ca-file", check::certificates)?,
        proxy: given.maybe("egress-proxy", |text| EgressProxy::parse(text).map_err(|wrong| wrong.to_string()))?,
    })
}

fn mail(given: &Given) -> Result<Option<Mail>, ConfigError> {
    let relay = given.maybe("smtp-url", |text| Relay::parse(text).map_err(|wrong| wrong.to_string()))?;
    let from = given.maybe("mail-from", check::sender)?;
    match (relay, from) {
        (None, _) => Ok(None),
        (Some(relay), Some(from)) => Ok(Some(Mail { relay, from })),
        (Some(_), None) => Err(ConfigError::of("mail-from", "is missing, and --smtp-url needs a sender")),
    }
}

fn log(given: &Given) -> Result<Log, ConfigError> {
    let formats = [("json", LogFormat::Json), ("text", LogFormat::Text)];
    Ok(Log {
        filter: given.need("log", |text| match EnvFilter::try_new(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(format!("{text:?} is not a filter: {error}; write it like info or info,recadero=debug")),
        })?,
        format: given.need("log-format", |text| parse::word(text, &formats))?,
    })
}

#[cfg(test)]
mod tests;
