//! RabbitMQ, by lapin.
//!
//! Consuming and publishing have a connection each: on a memory or disk alarm RabbitMQ stops reading from connections
//! that publish, and acknowledgements must not be stuck behind that. lapin's own recovery stays off: it would carry
//! delivery tags over a loss, and with them the belief that a batch is still ours.
//!
//! - `link`: one connection, made when it is needed and again after a loss;
//! - `subscription`: one consumer on a channel of its own;
//! - `publisher`: confirmed publishing;
//! - `rejects`: what was rejected, looked at and replayed;
//! - `fit`: what a frame has room for.

mod fit;
mod link;
mod publisher;
mod rejects;
mod subscription;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use lapin::uri::AMQPUri;

pub(super) use self::link::within;
use self::link::{Link, Needs, goodbye};
pub use self::publisher::AmqpPublisher;
pub use self::rejects::AmqpRejects;
use self::subscription::AmqpSubscription;
use super::topology::{Report, Topology};
use super::{Broker, BrokerError, Subscription};

/// Where RabbitMQ is: an `amqp` or `amqps` URL. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpUrl {
    uri: AMQPUri,
    text: String,
}

impl AmqpUrl {
    /// The URL as it was given, password and all: for a process that is started with it.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl FromStr for AmqpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut uri: AMQPUri = text.parse()?;
        // lapin's parser knows names and IPv4 only, and takes `localhost` for an IPv6 literal.
        if let Ok(url) = url::Url::parse(text)
            && let Some(url::Host::Ipv6(address)) = url.host()
        {
            uri.authority.host = address.to_string();
        }
        Ok(Self { uri, text: text.to_owned() })
    }
}

impl fmt::Display for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uri, .. } = self;
        let colons = uri.authority.host.contains(':');
        let (open, close) = if colons { ("[", "]") } else { ("", "") };
        write!(f, "{}://{open}{}{close}:{}/{}", uri.scheme, uri.authority.host, uri.authority.port, uri.vhost)
    }
}

impl fmt::Debug for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// RabbitMQ as a [`Broker`].
pub struct AmqpBroker {
    link: Link,
    topology: Topology,
    publisher: Arc<AmqpPublisher>,
    /// Whether something turned out to be gone: then all is declared, or checked, before the next subscription.
    missing: Arc<AtomicBool>,
}

impl AmqpBroker {
    /// Connects when it is first used. With every new connection, and when something turns out to be gone, what is missing
    /// is declared, or only checked when `declare` is not set (`RECADERO_DECLARE`). Rejected events go out by `publisher`.
    pub fn new(url: &AmqpUrl, topology: Topology, declare: bool, publisher: Arc<AmqpPublisher>) -> Self {
        let link = Link::new(url, "recadero router").preparing(Needs::All(topology.clone()), declare);
        Self { link, topology, publisher, missing: Arc::default() }
    }

    /// Closes the connection, and with it every subscription. Subscribing again opens another.
    pub async fn close(&self) {
        self.link.close().await;
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    fn queues(&self) -> usize {
        usize::from(self.topology.queues)
    }

    async fn subscribe(&self, queue: usize, prefetch: u16) -> Result<Box<dyn Subscription>, BrokerError> {
        let queue = self.topology.queue(queue);
        let channel = self.link.channel().await?;
        if self.missing.load(Ordering::Relaxed) {
            self.link.prepare().await?;
            self.missing.store(false, Ordering::Relaxed);
        }
        let (publisher, missing) = (Arc::clone(&self.publisher), Arc::clone(&self.missing));
        let opened = AmqpSubscription::open(channel, &queue, prefetch, publisher, missing).await;
        if matches!(opened, Err(BrokerError::Refused(_))) {
            self.missing.store(true, Ordering::Relaxed);
        }
        Ok(Box::new(opened?))
    }
}

/// Declares what is missing of a topology, or only compares, on a connection of its own.
pub async fn prepare(url: &AmqpUrl, topology: &Topology, declare: bool) -> Result<Report, BrokerError> {
    let connection = Link::new(url, "recadero topology").connect().await?;
    let report = topology.prepare(&connection, declare).await;
    goodbye(&connection).await;
    report
}

/// Deletes what is a topology's alone, on a connection of its own; see [`Topology::delete`].
pub async fn remove(url: &AmqpUrl, topology: &Topology) -> Result<(), BrokerError> {
    let connection = Link::new(url, "recadero topology").connect().await?;
    let removed = topology.delete(&connection).await;
    let _ = connection.close(200, "OK".into()).await;
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url: AmqpUrl = "amqps://user:secret@[::1]:5673/%2f".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "amqps://[::1]:5673// amqps://[::1]:5673//");
        assert_eq!(url.uri.authority.host, "::1");
        assert_eq!(url.uri.authority.userinfo.password, "secret");
        assert!("http://127.0.0.1".parse::<AmqpUrl>().is_err());
    }
}
