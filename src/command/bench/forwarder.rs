//! The bare forwarder that `--limit` compares with: what RabbitMQ, HTTP and this machine allow when nothing is promised.
//!
//! It takes events from the queue, posts so many at once, and acknowledges in batches what was answered 200. No order, no
//! store, no retries, no signature, no log: what Recadero is slower by is what those cost. It is a process of its own,
//! as the service is, so that the two are measured alike.
//!
//! It is as lean as it can be made, since a slow one would flatter the service: each connection is one task that writes,
//! reads and does nothing else, without a pool, and events are handed out in turns.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::deliver::send::headers::WEBHOOK_ID;

/// Events under way at once, unless told otherwise.
pub const AT_ONCE: u16 = 256;

/// Events that RabbitMQ may have sent ahead of their acknowledgement: those under way, and a few batches.
const PREFETCH: u16 = 512;

/// Acknowledged together, while others are under way.
const ACKNOWLEDGED_TOGETHER: usize = 64;

/// The bare forwarder that `recadero bench --limit` compares with
#[derive(clap::Args, Clone)]
pub struct Options {
    /// RabbitMQ
    #[arg(long, env = "RECADERO_AMQP_URL", hide_env_values = true)]
    amqp_url: String,
    /// The queue
    #[arg(long)]
    queue: String,
    /// Address of the receivers; an event goes to the path that is its number modulo --endpoints
    #[arg(long)]
    receivers: String,
    /// How many there are
    #[arg(long)]
    endpoints: u64,
    /// Connections, and so events under way at once
    #[arg(long, default_value_t = AT_ONCE, value_parser = clap::value_parser!(u16).range(1..=256))]
    at_once: u16,
}

/// Runs until it is ended.
pub fn run(options: Options) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(forward(options))
}

async fn forward(options: Options) -> anyhow::Result<()> {
    let properties = ConnectionProperties::default().with_connection_name("recadero forwarder".into());
    let connection = Connection::connect(&options.amqp_url, properties).await.context("RabbitMQ")?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let (done, finished) = mpsc::unbounded_channel();
    let mut ways = Vec::new();
    for _ in 0..options.at_once {
        // The prefetch bounds what waits in it.
        let (way, events) = mpsc::unbounded_channel();
        let post = Post::connect(&options, done.clone()).await.context("the receivers")?;
        tokio::spawn(async move {
            if let Err(error) = post.all(events).await {
                eprintln!("recadero forwarder: {error:#}");
            }
        });
        ways.push(way);
    }
    tokio::spawn(acknowledge(channel.clone(), finished));

    let consuming = BasicConsumeOptions::default();
    let events = channel.basic_consume(options.queue.as_str().into(), "".into(), consuming, FieldTable::default());
    let mut events = events.await?;
    for way in ways.iter().cycle() {
        let event = events.next().await.context("RabbitMQ has ended the consumer")??;
        way.send(event).context("a connection has ended")?;
    }
    bail!("--at-once is none")
}

/// One connection to the receivers.
struct Post {
    stream: TcpStream,
    host: HeaderValue,
    paths: Vec<Uri>,
    done: mpsc::UnboundedSender<u64>,
}

impl Post {
    async fn connect(options: &Options, done: mpsc::UnboundedSender<u64>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(&options.receivers).await?;
        stream.set_nodelay(true)?;
        let paths = (0..options.endpoints).map(|endpoint| format!("/{endpoint}").parse()).collect::<Result<_, _>>()?;
        Ok(Self { stream, host: options.receivers.parse()?, paths, done })
    }

    /// Posts one event after the other. Connection and posts are one task, so that none wakes another.
    async fn all(self, events: mpsc::UnboundedReceiver<Delivery>) -> anyhow::Result<()> {
        let Self { stream, host, paths, done } = self;
        let (requests, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::select! {
            biased;
            ended = post(requests, &host, &paths, events, &done) => ended,
            ended = connection => Ok(ended?),
        }
    }
}

async fn post(
    mut requests: SendRequest<Full<Bytes>>,
    host: &HeaderValue,
    paths: &[Uri],
    mut events: mpsc::UnboundedReceiver<Delivery>,
    done: &mpsc::UnboundedSender<u64>,
) -> anyhow::Result<()> {
    while let Some(event) = events.recv().await {
        // The number that the publisher gave it as its id.
        let id = event.properties.message_id().as_ref().context("an event without an id")?.as_str();
        let path = usize::try_from(id.parse::<u64>()? % paths.len() as u64)?;
        let mut request = Request::new(Full::new(Bytes::from(event.data)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = paths[path].clone();
        let headers = request.headers_mut();
        headers.insert(HOST, host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(WEBHOOK_ID, id.parse()?);
        requests.ready().await?;
        let mut answer = requests.send_request(request).await?;
        if answer.status() != StatusCode::OK {
            bail!("answered {}", answer.status());
        }
        while let Some(frame) = answer.frame().await {
            frame?;
        }
        done.send(event.delivery_tag)?;
    }
    Ok(())
}

/// Acknowledges up to the first event that is still under way.
async fn acknowledge(channel: Channel, mut finished: mpsc::UnboundedReceiver<u64>) {
    let (mut acknowledged, mut beyond, mut found) = (0, BTreeSet::new(), Vec::new());
    while finished.recv_many(&mut found, usize::from(PREFETCH)).await > 0 {
        beyond.extend(found.drain(..));
        let mut up_to = acknowledged;
        for tag in &beyond {
            if *tag != up_to + 1 {
                break;
            }
            up_to = *tag;
        }
        let count = usize::try_from(up_to - acknowledged).unwrap_or(usize::MAX);
        let is_last = count == beyond.len();
        if count >= ACKNOWLEDGED_TOGETHER || is_last && count > 0 {
            if let Err(error) = channel.basic_ack(up_to, BasicAckOptions { multiple: true }).await {
                eprintln!("recadero forwarder: {error:#}");
                return;
            }
            acknowledged = up_to;
            beyond = beyond.split_off(&(up_to + 1));
        }
    }
}
