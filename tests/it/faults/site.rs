//! An installation: what its processes are told, its workspaces and endpoints, and what it says about itself.

use std::time::Instant;

use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use recadero::decide::ids::{Partition, WorkspaceId};
use serde_json::json;

use crate::rig::rabbit::Rabbit;
use crate::rig::recadero::Process;
use crate::rig::receiver::Receiver;
use crate::rig::until;

use super::{ARRIVAL, ms};

/// `RECADERO_PARTITIONS`, as it is by default.
const PARTITIONS: u16 = 64;

/// The variables of all processes of an installation.
#[derive(Clone)]
pub struct Site(Vec<(String, String)>);

impl Site {
    /// With an attempt's limit of a second, so that a lease lasts eleven; and so that failures of a machine that is
    /// busy disable nobody.
    pub fn new(redis: &str, amqp: &str) -> Self {
        Self(Vec::new())
            .with("RECADERO_REDIS_URL", redis)
            .with("RECADERO_AMQP_URL", amqp)
            .with("RECADERO_TIMEOUT", "1s")
            .with("RECADERO_RETRY_DELAYS", "1s,1s,1s")
            .with("RECADERO_QUOTA_LIMIT", "10000")
            .with("RECADERO_LOG", "info")
    }

    /// With another variable, or another value.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.retain(|(present, _)| present != name);
        self.0.push((name.into(), value.into()));
        self
    }

    /// The variables.
    pub fn variables(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// `recadero serve`, ready.
    pub async fn serve(&self) -> Process {
        Process::serve(&self.variables()).await
    }
}

/// Gives the workspaces `w0`, `w1`, … an endpoint each: path `/w<number>`, all events, so many lanes.
pub async fn connect(process: &Process, receiver: &Receiver, lanes: &[u16]) {
    for (number, lanes) in lanes.iter().enumerate() {
        plan(process, &format!("w{number}")).await;
        let url = format!("{}/w{number}", receiver.url());
        endpoint(process, &format!("w{number}"), &url, *lanes).await;
    }
}

/// Gives a workspace a plan that has webhooks.
pub async fn plan(process: &Process, workspace: &str) {
    let (status, body) =
        process.api("PUT", &format!("/v1/workspaces/{workspace}"), Some(&json!({"plan": "advanced"}))).await;
    assert!((200..300).contains(&status), "{status} {body}");
}

/// Makes an endpoint for all events; its id.
pub async fn endpoint(process: &Process, workspace: &str, url: &str, lanes: u16) -> String {
    let wanted = json!({"url": url, "events": ["*"], "lanes": lanes});
    let (status, body) = process.api("POST", &format!("/v1/workspaces/{workspace}/endpoints"), Some(&wanted)).await;
    assert_eq!(status, 201, "{body}");
    body["id"].as_str().unwrap().to_owned()
}

/// Waits until nothing waits at the endpoints of `w0`, …: then nothing will be sent any more.
pub async fn idle(process: &Process, tenants: usize) {
    for number in 0..tenants {
        until(&format!("an empty backlog of w{number}"), ARRIVAL, async || waiting(process, number).await == 0).await;
    }
}

/// How many events wait at a tenant's endpoint.
pub async fn waiting(process: &Process, tenant: usize) -> u64 {
    let (status, body) = process.api("GET", &format!("/v1/workspaces/w{tenant}/endpoints"), None).await;
    if status == 503 {
        return u64::MAX; // The store is away: nobody knows.
    }
    assert_eq!(status, 200, "{body}");
    body["data"][0]["backlog"]["events"].as_u64().unwrap_or_else(|| panic!("{body}"))
}

/// The sum of the series of a metric whose labels contain `labels`: `metric(&p, "endpoints", "status=\"enabled\"")`.
pub async fn metric(process: &Process, name: &str, labels: &str) -> f64 {
    let text = process.metrics().await;
    let prefix = format!("recadero_{name}");
    text.lines()
        .filter_map(|line| line.strip_prefix(&prefix))
        .filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(labels))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// A key of the partition that a tenant is at home in.
pub fn key(tenant: usize, name: &str) -> String {
    let workspace = WorkspaceId::parse(&format!("w{tenant}")).unwrap();
    format!("recadero:{{p{:02}}}:{name}", Partition::of(&workspace, PARTITIONS).0)
}

/// How many attempts of a process have delivered.
pub async fn delivered(process: &Process) -> f64 {
    metric(process, "delivery_attempts_total", "outcome=\"delivered\"").await
}

/// What is told on `recadero.outcomes` from now on, under one routing key.
pub struct Told {
    _connection: Connection,
    channel: Channel,
}

impl Told {
    /// Begins to listen.
    pub async fn of(rabbit: &Rabbit, key: &str) -> Self {
        let connection = rabbit.connection().await;
        let channel = connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("told".into(), options, FieldTable::default()).await.unwrap();
        let options = QueueBindOptions::default();
        let exchange = "recadero.outcomes".into();
        channel.queue_bind("told".into(), exchange, key.into(), options, FieldTable::default()).await.unwrap();
        Self { _connection: connection, channel }
    }

    /// Waits until as many messages have come, which the notifier sends at its own pace; all there are then.
    pub async fn at_least(&self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        let start = Instant::now();
        while told.len() < count && start.elapsed() < ARRIVAL {
            tokio::time::sleep(ms(100)).await;
            told.extend(self.all().await);
        }
        told
    }

    /// The messages since it was asked last.
    pub async fn all(&self) -> Vec<String> {
        let mut told = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = self.channel.basic_get("told".into(), options).await.unwrap() {
            told.push(String::from_utf8(message.data.clone()).unwrap());
        }
        told
    }
}

/// The queue of events.
pub const QUEUE: &str = "recadero.events.0";

/// How many messages of a queue nobody holds; 0 when there is no such queue.
pub async fn queue_depth(rabbit: &Rabbit, queue: &str) -> u32 {
    let connection = rabbit.connection().await;
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
    declared.map_or(0, |queue| queue.message_count())
}
