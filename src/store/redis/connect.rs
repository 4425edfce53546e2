//! Connections: how they are made, and how a script is called on one.
//!
//! Nothing here retries or reconnects behind the caller's back. A connection that failed is dropped, the call that
//! saw it fails, and the next call connects anew: so a caller always knows that what it sent may not have arrived.
//! The crate's `ConnectionManager` was rejected because it hides just that.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    RedisError, ServerErrorKind, Value,
};
use tokio::sync::Mutex;
use tokio::sync::mpsc::Receiver;

use super::failures::{failure, is_forbidden, is_not_to_be_asked, refusal};
use super::scripts::Script;
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

/// How servers are spoken to, whatever the address says: the newer protocol shapes answers otherwise, and pushes some.
const PROTOCOL: ProtocolVersion = ProtocolVersion::RESP2;

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
        let bytes = self.keys.iter().map(String::len).chain(self.arguments.iter().map(Bytes::len)).sum::<usize>();
        let mut command = Cmd::with_capacity(3 + self.keys.len() + self.arguments.len(), bytes + 64);
        command.arg(verb).arg(script).arg(self.keys.len()).arg(&self.keys);
        for argument in &self.arguments {
            command.arg(argument.as_ref());
        }
        command
    }
}

/// What the address names.
pub(super) enum Source {
    /// One server.
    Single(Box<Client>),
    /// A Redis Cluster; and its nodes one by one, for listening.
    Cluster(Box<ClusterClient>, Vec<Client>),
    /// The primary that Sentinels name.
    Sentinel(Box<Mutex<SentinelClient>>),
}

impl Source {
    /// Reads one URL, several separated by commas (a Cluster's), or `redis-sentinel://host:port;host:port/service/db`.
    pub fn parse(url: &str) -> std::result::Result<Self, RedisError> {
        if let Some(sentinels) = url.strip_prefix("redis-sentinel://") {
            return sentinel(sentinels).map(|client| Self::Sentinel(Box::new(Mutex::new(client))));
        }
        let urls: Vec<&str> = url.split(',').map(str::trim).filter(|url| !url.is_empty()).collect();
        if let [url] = urls.as_slice() {
            return client(url).map(|client| Self::Single(Box::new(client)));
        }
        let nodes = urls.iter().map(|url| client(url)).collect::<std::result::Result<_, _>>()?;
        let cluster = ClusterClient::builder(urls).use_protocol(PROTOCOL).retries(0);
        let cluster = cluster.connection_timeout(CONNECT_LIMIT).tcp_settings(at_once());
        let cluster = cluster.response_timeout(ANSWER_LIMIT).build()?;
        Ok(Self::Cluster(Box::new(cluster), nodes))
    }

    /// Makes a connection.
    pub async fn connect(&self) -> Result<Link> {
        self.make().await.map_err(failure)
    }

    /// Makes the first one: whom the server does not let in, with a wrong password for instance, is told so for good.
    pub async fn connect_first(&self) -> Result<Link> {
        let made = match self {
            // What a Cluster's client says of its nodes is only that there is none.
            Self::Cluster(_, nodes) => match self.make().await {
                Err(error) => Err(why_no_node(nodes).await.unwrap_or(error)),
                link => link,
            },
            _ => self.make().await,
        };
        let mut link = made.map_err(refusal)?;
        // Where a password is missing, any connection is made, and does not get far.
        match link.send(&redis::cmd("PING")).await {
            Err(error) if !is_not_to_be_asked(&error) => Err(refusal(error)),
            _ => Ok(link),
        }
    }

    async fn make(&self) -> std::result::Result<Link, RedisError> {
        match self {
            Self::Single(client) => {
                client.get_multiplexed_async_connection_with_config(&limits()).await.map(Link::Single)
            }
            Self::Cluster(client, _) => client.get_async_connection().await.map(Link::Cluster),
            Self::Sentinel(client) => {
                client.lock().await.get_async_connection_with_config(&limits()).await.map(Link::Single)
            }
        }
    }

    /// The messages of a channel, over a connection of its own.
    pub async fn listen(&self, channel: &str) -> Result<Receiver<Vec<u8>>> {
        let mut messages = match self {
            Self::Single(client) => client.get_async_pubsub().await,
            // Whatever node is asked, it hears what was published on any other.
            Self::Cluster(_, nodes) => first_to_listen(nodes).await,
            Self::Sentinel(client) => {
                let primary = client.lock().await.async_get_client().await.map_err(failure)?;
                primary.get_async_pubsub().await
            }
        }
        .map_err(failure)?;
        messages.subscribe(channel).await.map_err(failure)?;
        let (sender, receiver) = tokio::sync::mpsc::channel(MESSAGES_MAX);
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
}

fn limits() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_LIMIT)).set_response_timeout(Some(ANSWER_LIMIT))
}

/// That a node does not let us in, if that is so.
async fn why_no_node(nodes: &[Client]) -> Option<RedisError> {
    for node in nodes {
        let asked = async {
            let mut connection = node.get_multiplexed_async_connection_with_config(&limits()).await?;
            connection.req_packed_command(&redis::cmd("PING")).await?.extract_error()
        };
        if let Some(error) = asked.await.err().filter(|error| is_forbidden(error) && !is_not_to_be_asked(error)) {
            return Some(error);
        }
    }
    None
}

/// A client of one server.
fn client(url: &str) -> std::result::Result<Client, RedisError> {
    let address = url.into_connection_info()?;
    let login = address.redis_settings().clone().set_protocol(PROTOCOL);
    Client::open(address.set_redis_settings(login).set_tcp_settings(at_once()))
}

/// What is sent leaves at once: calls share connections, and one must not wait until the answer to another has come.
fn at_once() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

async fn first_to_listen(nodes: &[Client]) -> std::result::Result<PubSub, RedisError> {
    let mut answer = Err(RedisError::from((ErrorKind::Io, "no node is named")));
    for node in nodes {
        answer = node.get_async_pubsub().await;
        if answer.is_ok() {
            break;
        }
    }
    answer
}

/// Reads `user:password@host:port;host:port/service/db`: credentials and database are the primary's.
fn sentinel(url: &str) -> std::result::Result<SentinelClient, RedisError> {
    let wrong = |what| RedisError::from((ErrorKind::InvalidClientConfig, what));
    let (login, rest) = url.rsplit_once('@').unwrap_or(("", url));
    let mut parts = rest.split('/');
    let hosts = parts.next().filter(|hosts| !hosts.is_empty()).ok_or_else(|| wrong("no sentinel is named"))?;
    let service = parts.next().filter(|name| !name.is_empty()).ok_or_else(|| wrong("no service is named"))?;
    let database = parts.next().filter(|number| !number.is_empty()).unwrap_or("0");
    let database = database.parse().map_err(|_| wrong("the database is no number"))?;
    let mut primary = RedisConnectionInfo::default().set_protocol(PROTOCOL).set_db(database);
    if let Some((user, password)) = login.split_once(':') {
        primary = primary.set_password(password);
        if !user.is_empty() {
            primary = primary.set_username(user);
        }
    }
    let sentinels: Vec<String> = hosts.split(';').map(|host| format!("redis://{host}")).collect();
    let primary = SentinelNodeConnectionInfo::default().set_redis_connection_info(primary).set_tcp_settings(at_once());
    SentinelClient::build(sentinels, service, Some(primary), SentinelServerType::Master)
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

    /// As [`Link::send`], for a command without a key that is meant for the node that has this key.
    pub async fn send_to(&mut self, key: &str, command: Cmd) -> std::result::Result<Value, RedisError> {
        match self {
            Self::Single(connection) => connection.req_packed_command(&command).await,
            Self::Cluster(connection) => {
                let node = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master));
                connection.route_command(command, RoutingInfo::SingleNode(node)).await
            }
        }
        .and_then(Value::extract_error)
    }

    /// Whether all keys are on the same server.
    pub fn is_one_server(&self) -> bool {
        matches!(self, Self::Single(_))
    }

    /// Sends a command to every primary; their answers are in no order.
    pub async fn send_everywhere(&mut self, command: Cmd) -> std::result::Result<Vec<Value>, RedisError> {
        match self {
            Self::Single(_) => self.send(&command).await.map(|answer| vec![answer]),
            Self::Cluster(connection) => {
                let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                match connection.route_command(command, everywhere).await.and_then(Value::extract_error)? {
                    Value::Map(answers) => Ok(answers.into_iter().map(|(_, answer)| answer).collect()),
                    answer => Ok(vec![answer]),
                }
            }
        }
    }
}

/// The connections that calls share.
#[derive(Clone)]
pub(super) struct Links(Arc<Shared>);

struct Shared {
    source: Source,
    slots: [Slot; LINKS],
    turn: AtomicUsize,
}

#[derive(Default)]
struct Slot {
    present: std::sync::Mutex<Present>,
    /// Held by whoever makes a connection; apart from `present`, so that nobody else waits for it.
    making: Mutex<()>,
}

#[derive(Default)]
struct Present {
    link: Option<Link>,
    /// Counts connections, so that an error of an old one does not end a new one.
    made: u64,
    /// Why none could be made just now.
    failed: Option<StoreError>,
}

impl Slot {
    fn present(&self) -> std::sync::MutexGuard<'_, Present> {
        // Nothing in here panics between two changes that belong together.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection and its number, if there is one, or why there is none.
    fn link(&self) -> Result<Option<(u64, Link)>> {
        let present = self.present();
        match &present.failed {
            Some(error) => Err(error.clone()),
            None => Ok(present.link.clone().map(|link| (present.made, link))),
        }
    }
}

impl Links {
    pub fn new(source: Source) -> Self {
        let slots = std::array::from_fn(|_| Slot::default());
        Self(Arc::new(Shared { source, slots, turn: AtomicUsize::new(0) }))
    }

    pub fn source(&self) -> &Source {
        &self.0.source
    }

    /// Runs a script on one of the connections.
    pub async fn run(&self, call: &Call) -> Result<Value> {
        self.ask(async |link| call.on(link).await).await
    }

    /// Sends a plain command on one of the connections.
    pub async fn send(&self, command: &Cmd) -> Result<Value> {
        self.ask(async |link| link.send(command).await.map_err(failure)).await
    }

    /// Asks something on one of the connections.
    pub async fn ask<T>(&self, question: impl AsyncFnOnce(&mut Link) -> Result<T>) -> Result<T> {
        let index = self.0.turn.fetch_add(1, Ordering::Relaxed) % LINKS;
        let (made, mut link) = self.link(index).await?;
        let answer = question(&mut link).await;
        // One that lacks its replicas may be a primary of before.
        if let Err(StoreError::Unavailable(_) | StoreError::NotDurable(_)) = &answer {
            let mut present = self.0.slots[index].present();
            // A late answer over an older connection says nothing of the present one.
            if present.made == made {
                present.link = None;
            }
        }
        answer
    }

    async fn link(&self, index: usize) -> Result<(u64, Link)> {
        let slot = &self.0.slots[index];
        if let Some(found) = slot.link()? {
            return Ok(found);
        }
        let _making = slot.making.lock().await;
        if let Some(found) = slot.link()? {
            return Ok(found);
        }
        let made = self.0.source.connect().await;
        let mut present = slot.present();
        match made {
            Ok(link) => {
                present.made += 1;
                present.link = Some(link.clone());
                Ok((present.made, link))
            }
            Err(error) => {
                present.failed = Some(error.clone());
                let shared = self.0.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(CONNECT_PAUSE).await;
                    shared.slots[index].present().failed = None;
                });
                Err(error)
            }
        }
    }
}
