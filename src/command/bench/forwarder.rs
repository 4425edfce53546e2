//! The bare forwarder that `--limit` compares with: what RabbitMQ, HTTP and this machine allow when nothing is promised.
//!
//! It takes events from the queue, posts so many at once, and acknowledges each that was answered 200. No order, no
//! store, no retries, no signature, no log: what Recadero is slower by is what those cost. It is a process of its own,
//! as the service is, so that the two are measured alike.

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::StreamExt;
use http::StatusCode;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use reqwest::Client;

use crate::deliver::send::headers::WEBHOOK_ID;

/// Events under way at once.
const AT_ONCE: u16 = 256;

/// The bare forwarder that `recadero bench --limit` compares with
#[derive(clap::Args, Clone)]
pub struct Options {
    /// RabbitMQ
    #[arg(long, env = "RECADERO_AMQP_URL", hide_env_values = true)]
    amqp_url: String,
    /// The queue
    #[arg(long)]
    queue: String,
    /// The receivers; an event goes to the path that is its number modulo --endpoints
    #[arg(long)]
    receivers: String,
    /// How many there are
    #[arg(long)]
    endpoints: u64,
}

/// Runs until it is ended.
pub fn run(options: Options) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(forward(options))
}

async fn forward(options: Options) -> anyhow::Result<()> {
    let properties = ConnectionProperties::default().with_connection_name("recadero forwarder".into());
    let connection = Connection::connect(&options.amqp_url, properties).await.context("RabbitMQ")?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(AT_ONCE, BasicQosOptions::default()).await?;
    let consuming = BasicConsumeOptions::default();
    let events = channel.basic_consume(options.queue.as_str().into(), "".into(), consuming, FieldTable::default());
    let client = Client::builder().no_proxy().pool_max_idle_per_host(usize::from(AT_ONCE)).build()?;
    let urls: Vec<_> = (0..options.endpoints).map(|endpoint| format!("{}/{endpoint}", options.receivers)).collect();

    // The prefetch bounds how many there are. Tasks, so that both cores work.
    let mut events = events.await?;
    while let Some(event) = events.next().await {
        let (event, client) = (event?, client.clone());
        let number = number(&event)?;
        let url = urls[usize::try_from(number % options.endpoints)?].clone();
        tokio::spawn(async move {
            if let Err(error) = post(client, url, number, event).await {
                eprintln!("recadero forwarder: {error:#}");
            }
        });
    }
    bail!("RabbitMQ has ended the consumer")
}

/// The number that the publisher gave it as its id.
fn number(event: &Delivery) -> anyhow::Result<u64> {
    let id = event.properties.message_id().as_ref().context("an event without an id")?;
    Ok(id.as_str().parse()?)
}

async fn post(client: Client, url: String, number: u64, event: Delivery) -> anyhow::Result<()> {
    let request = client.post(url).header(WEBHOOK_ID, number).header("content-type", "application/json");
    let answer = request.body(Bytes::from(event.data)).send().await?;
    if answer.status() != StatusCode::OK {
        bail!("answered {}", answer.status());
    }
    event.acker.ack(BasicAckOptions::default()).await?;
    Ok(())
}
