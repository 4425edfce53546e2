//! The whole service as its users see it: real servers, a running `recadero serve`, the API and a publisher.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::publish::Publisher;
use crate::rig::rabbit::Rabbit;
use crate::rig::recadero::Process;
use crate::rig::redis::{Options, Redis};
use crate::rig::until;

/// How long a thing may take that takes milliseconds on a machine that has nothing else to do.
pub const SOON: Duration = Duration::from_secs(60);

/// A `recadero serve` with a Redis and a RabbitMQ of its own.
pub struct Service {
    pub process: Process,
    pub publisher: Publisher,
    pub redis: Redis,
    pub rabbit: Rabbit,
}

/// An endpoint, as its creation was answered.
pub struct Endpoint {
    pub workspace: String,
    pub id: String,
    pub secret: String,
}

impl Service {
    /// Starts all of it, `serve` with these variables on top of the rig's.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
        let process = Process::serve(&with_servers(&redis, &rabbit, variables)).await;
        let publisher = Publisher::connect(rabbit.url()).await;
        Self { process, publisher, redis, rabbit }
    }

    /// One more `serve` on the same servers.
    pub async fn another(&self, variables: &[(&str, &str)]) -> Process {
        Process::serve(&with_servers(&self.redis, &self.rabbit, variables)).await
    }

    /// Gives a workspace the Advanced plan.
    pub async fn entitle(&self, workspace: &str) {
        self.ask("PUT", &format!("/v1/workspaces/{workspace}"), json!({"plan": "advanced"})).await;
    }

    /// Connects an endpoint that wants all events, in a workspace that gets its plan now.
    pub async fn connect(&self, workspace: &str, url: &str) -> Endpoint {
        self.connect_with(workspace, json!({"url": url, "events": ["*"]})).await
    }

    /// Connects the endpoint of this body, in a workspace that gets its plan now.
    pub async fn connect_with(&self, workspace: &str, body: Value) -> Endpoint {
        self.entitle(workspace).await;
        let made = self.ask("POST", &format!("/v1/workspaces/{workspace}/endpoints"), body).await;
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Endpoint { workspace: workspace.to_owned(), id: text("id"), secret: text("secret") }
    }

    /// Asks the API for what must succeed.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.process.api(method, path, Some(&body).filter(|body| !body.is_null())).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Asks for something of an endpoint.
    pub async fn of(&self, endpoint: &Endpoint, method: &str, rest: &str, body: Value) -> Value {
        self.ask(method, &format!("{}{rest}", endpoint.path()), body).await
    }

    /// The endpoint as it is shown now.
    pub async fn shown(&self, endpoint: &Endpoint) -> Value {
        self.of(endpoint, "GET", "", Value::Null).await
    }

    /// The attempts in an endpoint's log, the oldest first.
    pub async fn attempts(&self, endpoint: &Endpoint) -> Vec<Value> {
        let page = self.of(endpoint, "GET", "/attempts?limit=100", Value::Null).await;
        assert_eq!(page["next_cursor"], Value::Null);
        page["data"].as_array().unwrap().iter().rev().cloned().collect()
    }

    /// How many failures the workspace's window holds.
    pub async fn failures(&self, workspace: &str) -> u64 {
        let quota = self.ask("GET", &format!("/v1/workspaces/{workspace}/quota"), Value::Null).await;
        quota["used"].as_u64().unwrap()
    }

    /// Waits until the endpoint is shown as `wanted` says it should be.
    pub async fn until_shown(&self, endpoint: &Endpoint, what: &str, wanted: impl Fn(&Value) -> bool) {
        until(what, SOON, async || wanted(&self.shown(endpoint).await)).await;
    }

    /// Waits until nothing waits for the endpoint.
    pub async fn until_idle(&self, endpoint: &Endpoint) {
        self.until_shown(endpoint, "an empty backlog", |shown| shown["backlog"]["events"] == 0).await;
    }
}

impl Endpoint {
    /// Its place in the API.
    pub fn path(&self) -> String {
        format!("/v1/workspaces/{}/endpoints/{}", self.workspace, self.id)
    }
}

/// The value of one series of `/metrics`, such as `recadero_events_rejected_total{reason="not_json"}`.
pub async fn metric(process: &Process, series: &str) -> f64 {
    let metrics = process.metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{metrics}")).parse().unwrap()
}

fn with_servers(redis: &Redis, rabbit: &Rabbit, variables: &[(&str, &str)]) -> Vec<(&'static str, &'static str)> {
    // Leaked: a test's few words, in a process that ends with it.
    let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let servers = [("RECADERO_REDIS_URL", leak(&redis.url())), ("RECADERO_AMQP_URL", leak(rabbit.url()))];
    let given = variables.iter().map(|(name, value)| (leak(name), leak(value)));
    servers.into_iter().chain(given).collect()
}
