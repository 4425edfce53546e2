//! Every option of `recadero serve`, once: its name, its default, and what it says of itself.
//!
//! A table rather than a derived struct, because each option is four things that must not come apart: a flag, an
//! environment variable, sometimes a file to read it from, and a row of the contract. Of these the table is the
//! only source, and a test holds it against the contract.

/// One option. Its flag is `--name`, its variable `RECADERO_NAME`.
#[derive(Debug)]
pub struct Opt {
    /// The flag's name without dashes.
    pub name: &'static str,
    /// What is taken when it is not given, or empty; `None` when there is nothing then.
    pub default: Option<&'static str>,
    /// What kind of value, for the help.
    pub value: &'static str,
    /// What it means, and what there is to choose from.
    pub help: &'static str,
    /// Whether it can be read from a file, because it is a secret or may hold one: URLs, tokens, keys.
    pub file: bool,
}

impl Opt {
    const fn new(name: &'static str, default: &'static str, value: &'static str, help: &'static str) -> Self {
        let default = if default.is_empty() { None } else { Some(default) };
        Self { name, default, value, help, file: false }
    }

    const fn secret(name: &'static str, default: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { file: true, ..Self::new(name, default, value, help) }
    }

    /// The environment variable of the same name.
    pub fn env(&self) -> String {
        let upper = self.name.to_ascii_uppercase().replace('-', "_");
        // OpenTelemetry names its variables itself.
        if self.name.starts_with("otel-") { upper } else { format!("RECADERO_{upper}") }
    }

    /// How a message names it: `--timeout (RECADERO_TIMEOUT)`.
    pub fn title(&self) -> String {
        format!("--{} ({})", self.name, self.env())
    }
}

/// Options that belong together in the help.
#[derive(Debug)]
pub struct Section {
    /// The help's heading.
    pub heading: &'static str,
    /// In the order of the help.
    pub options: &'static [Opt],
}

/// What this process does.
pub const PROCESS: Section = Section {
    heading: "Process",
    options: &[
        Opt::new(
            "roles",
            "router,deliverer,api,notifier",
            "LIST",
            "Which parts this process runs: router (RabbitMQ to the store), deliverer (the store to endpoints), api, \
             notifier (e-mail and outcomes)",
        ),
        Opt::new("shutdown-grace", "20s", "DURATION", "Time to finish attempts on SIGTERM"),
        Opt::new("log", "info", "FILTER", "What is logged: a level or a `tracing` filter, such as info,recadero=debug"),
        Opt::new("log-format", "json", "FORMAT", "How it is logged: json or text"),
        Opt::secret(
            "otel-exporter-otlp-endpoint",
            "",
            "URL",
            "Where traces go, by OpenTelemetry's own variables; none without it",
        ),
    ],
};

/// Events in.
pub const AMQP: Section = Section {
    heading: "RabbitMQ",
    options: &[
        Opt::secret("amqp-url", "amqp://127.0.0.1:5672/%2f", "URL", "RabbitMQ, amqp:// or amqps://"),
        Opt::new("amqp-exchange", "recadero.events", "NAME", "Topic exchange that upstream publishes to"),
        Opt::new(
            "amqp-queues",
            "1",
            "COUNT",
            "Ordered queues the exchange is spread over, by workspace; more than 1 needs RabbitMQ's consistent-hash \
             exchange plugin",
        ),
    ],
};

/// How events are taken.
pub const INTAKE: Section = Section {
    heading: "RabbitMQ",
    options: &[
        Opt::new(
            "declare",
            "true",
            "BOOL",
            "Declare missing exchanges and queues at the start; false only checks them",
        ),
        Opt::new("amqp-prefetch", "512", "COUNT", "Un-acknowledged events a router may hold"),
    ],
};

/// What is remembered.
pub const STORE: Section = Section {
    heading: "Store",
    options: &[
        Opt::secret(
            "redis-url",
            "redis://127.0.0.1:6379",
            "URL",
            "Redis 7 or Valkey 7.2+: redis://, rediss://, redis-sentinel://h1:26379;h2:26379/service/db, or several URLs, \
             comma-separated, for a Cluster",
        ),
        Opt::new("redis-prefix", "recadero", "TEXT", "First part of every key"),
        Opt::new(
            "partitions",
            "64",
            "COUNT",
            "Hash-tag partitions of all keys, 1 to 1024; fixed when the store is first used",
        ),
        Opt::new(
            "durability",
            "memory",
            "LEVEL",
            "What an event must have reached before RabbitMQ's copy is acknowledged: memory (Redis answered), disk \
             (fsynced) or replica (on one replica)",
        ),
    ],
};

/// Who reaches this process, and how.
pub const API: Section = Section {
    heading: "API",
    options: &[
        Opt::new("http-addr", "0.0.0.0:8080", "ADDR", "Where API and console listen"),
        Opt::new(
            "ops-addr",
            "0.0.0.0:9464",
            "ADDR",
            "Where /metrics, /healthz and /readyz listen; no authentication, not for the public",
        ),
        Opt::secret(
            "admin-tokens",
            "",
            "LIST",
            "Bearer tokens of at least 32 characters, comma-separated; the api role needs one (openssl rand -hex 32)",
        ),
        Opt::secret(
            "token-keys",
            "",
            "LIST",
            "Keys of at least 32 characters for workspace tokens: the first signs, all verify; without one there are none",
        ),
        Opt::secret("public-url", "", "URL", "Base of links in e-mails"),
    ],
};

/// The rules.
pub const RULES: Section = Section {
    heading: "Rules",
    options: &[
        Opt::new(
            "timeout",
            "5s",
            "DURATION",
            "An attempt's limit, from the first DNS packet to the response's status line",
        ),
        Opt::new(
            "retry-delays",
            "30s,60s,90s",
            "LIST",
            "Waits before the 2nd, 3rd, … attempt; one attempt more than there are waits, then the event is dropped",
        ),
        Opt::new("success", "200", "STATUS", "What counts as delivered: 200, or 2xx"),
        Opt::new("quota-limit", "30", "COUNT", "Failures the window may hold; one more disables the endpoint"),
        Opt::new("quota-window", "30m", "DURATION", "How long a failure counts"),
        Opt::new(
            "quota-scope",
            "workspace",
            "SCOPE",
            "Who shares the count: workspace (all its endpoints, the rule) or endpoint",
        ),
        Opt::new("entitled-plans", "advanced,enterprise", "LIST", "Plans that may have webhooks"),
        Opt::new("default-plan", "none", "PLAN", "Plan of a workspace never set"),
        Opt::new("extra-event-types", "", "LIST", "Event types accepted besides the nine"),
        Opt::new("max-event-bytes", "262144", "SIZE", "Larger events are rejected"),
        Opt::new("dedupe-window", "1h", "DURATION", "How long an event id is remembered"),
    ],
};

/// Bounds.
pub const LIMITS: Section = Section {
    heading: "Limits",
    options: &[
        Opt::new("max-endpoints", "1000", "COUNT", "Endpoints a workspace may have"),
        Opt::new(
            "max-inflight",
            "1024",
            "COUNT",
            "Working places for attempts in this process: three quarters for healthy lanes, one for suspect ones",
        ),
        Opt::new(
            "max-slow",
            "16384",
            "COUNT",
            "Attempts that gave their place back because they take long; lowered to what the file descriptor limit allows",
        ),
        Opt::new(
            "backlog-max-events",
            "100000",
            "COUNT",
            "Events one endpoint may hold waiting; past it the oldest are dropped, never the one being tried",
        ),
        Opt::new("backlog-max-bytes", "64MiB", "SIZE", "Bytes one endpoint may hold, waiting and dropped together"),
        Opt::new("backlog-max-age", "72h", "DURATION", "How long an event may wait"),
        Opt::new("dropped-max-events", "10000", "COUNT", "Dropped events per endpoint that can still be resent"),
        Opt::new("dropped-retention", "72h", "DURATION", "How long a dropped event can still be resent"),
        Opt::new("log-attempts", "500", "COUNT", "Attempts kept in an endpoint's log"),
        Opt::new("log-max-age", "168h", "DURATION", "How long they are kept"),
        Opt::new(
            "log-payloads",
            "50",
            "COUNT",
            "Delivered events per endpoint whose payload is still kept, to be looked at and resent",
        ),
    ],
};

/// Where attempts may go.
pub const EGRESS: Section = Section {
    heading: "Deliveries",
    options: &[
        Opt::new("allow-http", "false", "BOOL", "Allow http:// endpoint URLs"),
        Opt::new("allow-nets", "", "LIST", "CIDRs exempt from the private-address ban, such as 10.20.0.0/16,fd12::/16"),
        Opt::new("allow-ports", "all", "LIST", "Ports that endpoints may use, such as 443,8443"),
        Opt::new("ca-file", "", "FILE", "Extra root certificates for deliveries, PEM"),
        Opt::secret(
            "egress-proxy",
            "",
            "URL",
            "HTTP CONNECT proxy for deliveries, http://[user:password@]host:port; CONNECT names the address that the guard \
             checked",
        ),
    ],
};

/// Notices.
pub const MAIL: Section = Section {
    heading: "E-mail",
    options: &[
        Opt::secret(
            "smtp-url",
            "",
            "URL",
            "smtp://user:password@host:587?tls=required (STARTTLS; also tls=opportunistic, or none) or smtps://host; without it \
             notices go to the log, the console and AMQP alone",
        ),
        Opt::new("mail-from", "", "ADDRESS", "Sender of e-mails, such as Webhooks <webhooks@example.com>"),
    ],
};

/// All of `recadero serve`, in the order of its help.
pub const SERVE: &[&Section] = &[&PROCESS, &AMQP, &INTAKE, &STORE, &API, &RULES, &LIMITS, &EGRESS, &MAIL];
