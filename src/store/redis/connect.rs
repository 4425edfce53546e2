//! Connections: how they are made, how a script is called on one, and what an error means.
//!
//! Nothing here retries or reconnects behind the caller's back. A connection that failed is dropped, the call that
//! saw it fails, and the next call connects anew: so a caller always knows that what it sent may not have arrived.
//! The crate's `ConnectionManager` was rejected because it hides just that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::sync::mpsc::Receiver;

use super::scripts::Script;
use crate::observe::signal::{Signal, Signals};
use crate::store::{Result, StoreError};

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer may take.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long no new connection is tried after one could not be made.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that calls share; callers pipeline over them.
const LINKS: usize = 2;
/// Messages of a channel that may wait to be read; more are lost.
const MESSAGES_MAX: usize = 1_024;

/// A script with its keys and arguments.
#[derive(Debug)]
pub(super) struct Call {
    pub script: &'static Script,
    pub keys: Vec<String>,
    pub arguments: Vec<Bytes>,
}

impl Call {
    /// Adds an argument.
    pub fn arg(&mut self, argument: impl Into<Bytes>) -> &mut Self {
        self.arguments.push(argument.into());
        self
    }

    /// Runs it on a connection; a script that the server does not know (any more) is sent along.
    pub async fn on(&self, link: &mut Link) -> Result<Value> {
        let known = self.command("EVALSHA", &self.script.hash);
        match link.send(&known).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                link.send(&self.command("EVAL", &self.script.text)).await.map_err(failure)
            }
            answer => answer.map_err(failure),
        }
    }

    fn command(&self, verb: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(verb);
        command.arg(script).arg(self.keys.len()).arg(&self.keys);
        for argument in &self.arguments {
            command.arg(argument.as_ref());
        }
        command
    }
}

/// What the address names.
pub(super) enum Source {
    /// One server.
    Single(Client),
    /// A Redis Cluster.
    Cluster(ClusterClient),
}

impl Source {
    /// Reads one URL, or several separated by commas (a Cluster's).
    pub fn parse(url: &str) -> std::result::Result<Self, RedisError> {
        let urls: Vec<&str> = url.split(',').map(str::trim).filter(|url| !url.is_empty()).collect();
        if let [url] = urls.as_slice() {
            return Client::open(*url).map(Self::Single);
        }
        let cluster = ClusterClient::builder(urls).retries(0).connection_timeout(CONNECT_LIMIT);
        cluster.response_timeout(ANSWER_LIMIT).build().map(Self::Cluster)
    }

    /// Makes a connection.
    pub async fn connect(&self) -> Result<Link> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(ANSWER_LIMIT));
        match self {
            Self::Single(client) => {
                client.get_multiplexed_async_connection_with_config(&config).await.map(Link::Single)
            }
            Self::Cluster(client) => client.get_async_connection().await.map(Link::Cluster),
        }
        .map_err(failure)
    }

    /// The messages of a channel, over a connection of its own.
    pub async fn listen(&self, channel: &str) -> Result<Receiver<Vec<u8>>> {
        let (sender, receiver) = tokio::sync::mpsc::channel(MESSAGES_MAX);
        match self {
            Self::Single(client) => {
                let mut messages = client.get_async_pubsub().await.map_err(failure)?;
                messages.subscribe(channel).await.map_err(failure)?;
                tokio::spawn(async move {
                    let mut messages = messages.into_on_message();
                    loop {
                        let message = tokio::select! {
                            biased;
                            () = sender.closed() => break,
                            message = messages.next() => message,
                        };
                        let Some(message) = message else { break };
                        // A full channel loses the message, as it may.
                        let _ = sender.try_send(message.get_payload_bytes().to_vec());
                    }
                });
                Ok(receiver)
            }
            Self::Cluster(_) => Err(StoreError::Unavailable("wakes are not heard on a cluster yet".to_owned())),
        }
    }
}

/// A connection.
#[derive(Clone)]
pub(super) enum Link {
    /// To one server.
    Single(MultiplexedConnection),
    /// To the nodes of a Cluster.
    Cluster(ClusterConnection),
}

impl Link {
    /// Sends a command and waits for its answer.
    pub async fn send(&mut self, command: &Cmd) -> std::result::Result<Value, RedisError> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }
        .and_then(Value::extract_error)
    }
}

/// The connections that calls share.
#[derive(Clone)]
pub(super) struct Links(Arc<Shared>);

struct Shared {
    source: Source,
    slots: [Mutex<Slot>; LINKS],
    turn: AtomicUsize,
    connected: AtomicBool,
    signals: Signals,
}

#[derive(Default)]
struct Slot {
    link: Option<Link>,
    /// Counts connections, so that an error of an old one does not end a new one.
    made: u64,
    /// Why none could be made just now.
    failed: Option<StoreError>,
}

impl Links {
    pub fn new(source: Source, signals: Signals) -> Self {
        let slots = std::array::from_fn(|_| Mutex::default());
        let (turn, connected) = (AtomicUsize::new(0), AtomicBool::new(true));
        Self(Arc::new(Shared { source, slots, turn, connected, signals }))
    }

    pub fn source(&self) -> &Source {
        &self.0.source
    }

    /// Runs a script on one of the connections.
    pub async fn run(&self, call: &Call) -> Result<Value> {
        let (index, made, mut link) = self.link().await?;
        let answer = call.on(&mut link).await;
        self.look_at(index, made, answer).await
    }

    /// Sends a plain command on one of the connections.
    pub async fn send(&self, command: &Cmd) -> Result<Value> {
        let (index, made, mut link) = self.link().await?;
        let answer = link.send(command).await.map_err(failure);
        self.look_at(index, made, answer).await
    }

    async fn link(&self) -> Result<(usize, u64, Link)> {
        let index = self.0.turn.fetch_add(1, Ordering::Relaxed) % LINKS;
        let mut slot = self.0.slots[index].lock().await;
        if let Some(error) = &slot.failed {
            return Err(error.clone());
        }
        if let Some(link) = &slot.link {
            return Ok((index, slot.made, link.clone()));
        }
        match self.0.source.connect().await {
            Ok(link) => {
                slot.made += 1;
                slot.link = Some(link.clone());
                self.say(true, None);
                Ok((index, slot.made, link))
            }
            Err(error) => {
                slot.failed = Some(error.clone());
                let shared = self.0.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(CONNECT_PAUSE).await;
                    shared.slots[index].lock().await.failed = None;
                });
                self.say(false, Some(&error));
                Err(error)
            }
        }
    }

    async fn look_at(&self, index: usize, made: u64, answer: Result<Value>) -> Result<Value> {
        if let Err(error @ StoreError::Unavailable(_)) = &answer {
            let mut slot = self.0.slots[index].lock().await;
            if slot.made == made {
                slot.link = None;
            }
            self.say(false, Some(error));
        }
        answer
    }

    fn say(&self, connected: bool, error: Option<&StoreError>) {
        if self.0.connected.swap(connected, Ordering::Relaxed) != connected {
            let detail = error.map(ToString::to_string);
            self.0.signals.emit(&Signal::Store { connected, detail: detail.as_deref() });
        }
    }
}

/// What an error of the client means to whoever asked.
pub(super) fn failure(error: RedisError) -> StoreError {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Server(kind) => match kind {
            ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::TryAgain
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask => StoreError::Unavailable(text),
            _ => StoreError::Refused(text),
        },
        ErrorKind::Extension => match error.code() {
            Some("OOM") => StoreError::Full(text),
            Some("NOREPLICAS" | "MISCONF" | "BUSY" | "UNBLOCKED") => StoreError::Unavailable(text),
            _ => StoreError::Refused(text),
        },
        ErrorKind::UnexpectedReturnType | ErrorKind::InvalidClientConfig => StoreError::Refused(text),
        _ => StoreError::Unavailable(text),
    }
}
