//! What has to exist in RabbitMQ (contract, section 2), declared or compared.
//!
//! ```text
//!                                      one queue                   several queues
//! publishers ─▶ recadero.events ──#──▶ recadero.events.0     ──#──▶ recadero.events.hash ─▶ recadero.events.0 … N−1
//!                   (topic)                                          (workspace_id)
//! recadero.rejected (fanout) ─▶ recadero.rejected         recadero.outcomes (topic)
//! ```
//!
//! The queues are quorum queues with one active consumer, whose messages RabbitMQ itself never drops: the delivery
//! limit is far away (without one, 3.x puts requeued messages at the end; the default of 4.x is reached in an
//! ordinary crash loop), what still exceeds it is dead-lettered at least once, and that needs `reject-publish`.
//!
//! AMQP shows no bindings, so a *check* cannot see them. What it can see is a queue or hash exchange of another number
//! of queues: then nothing is declared, because two spreads at once would break the order of every workspace.

use std::fmt;

use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind};

use super::amqp::within;
use super::{BrokerError, OUTCOMES, REJECTED, WORKSPACE_HEADER};

/// The name of the events exchange unless it is set (`RECADERO_AMQP_EXCHANGE`).
pub const EVENTS: &str = "recadero.events";
/// Times a message may come back to its queue: once for every loss of a router that held it.
const DELIVERY_LIMIT: i32 = 1_000_000;
/// The type of RabbitMQ's consistent-hash exchange, which is a plugin.
const HASH_TYPE: &str = "x-consistent-hash";
/// Each queue's share of the workspaces, as that exchange's binding keys state it.
const HASH_WEIGHT: &str = "1";

/// The exchanges and queues of one installation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topology {
    /// The topic exchange that upstream publishes to (`RECADERO_AMQP_EXCHANGE`).
    pub exchange: String,
    /// Ordered queues it is spread over (`RECADERO_AMQP_QUEUES`), from 1.
    pub queues: u16,
}

/// What was declared or found, one line each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report(Vec<String>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Makes [`OUTCOMES`] be there, or only looks: for who publishes to it and takes no events.
///
/// # Errors
/// As [`Topology::prepare`].
pub(super) async fn prepare_outcomes(connection: &Connection, declare: bool) -> Result<(), BrokerError> {
    let part = Part::exchange(OUTCOMES, ExchangeKind::Topic);
    let seen = if declare { part.declare(connection).await } else { part.check(connection).await };
    seen.map(drop)
}

enum Part {
    Exchange { name: String, kind: ExchangeKind, arguments: FieldTable },
    Queue { name: String, arguments: FieldTable },
    QueueBinding { queue: String, exchange: String, key: &'static str },
    ExchangeBinding { to: String, from: String, key: &'static str },
}

impl Topology {
    /// The name of a queue.
    pub fn queue(&self, index: usize) -> String {
        format!("{}.{index}", self.exchange)
    }

    /// Declares what is missing, or only compares what is there.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] names what is missing, what differs, or what stands in the way, and what to do.
    pub async fn prepare(&self, connection: &Connection, declare: bool) -> Result<Report, BrokerError> {
        self.refuse_another_number(connection).await?;
        let mut report = Vec::new();
        for part in self.parts() {
            let seen = if declare { part.declare(connection).await } else { part.check(connection).await };
            report.push(format!("{part}{}", if seen? { "" } else { " (cannot be seen over AMQP)" }));
        }
        Ok(Report(report))
    }

    /// Deletes what is this topology's alone, whatever the queues hold: not [`REJECTED`] and [`OUTCOMES`], which all
    /// have in common. What is not there is not missed.
    pub async fn delete(&self, connection: &Connection) -> Result<(), BrokerError> {
        for queue in (0..usize::from(self.queues)).map(|index| self.queue(index)) {
            let options = QueueDeleteOptions::default();
            on_channel(connection, async |channel| Ok(channel.queue_delete(queue.into(), options).await.map(drop)?))
                .await?;
        }
        for exchange in [self.exchange.clone(), self.hash()] {
            let options = ExchangeDeleteOptions::default();
            on_channel(connection, async |channel| Ok(channel.exchange_delete(exchange.into(), options).await?))
                .await?;
        }
        Ok(())
    }

    fn hash(&self) -> String {
        format!("{}.hash", self.exchange)
    }

    /// In the order of declaration: nothing is bound before that which it leads to, and queue 0 is the last, so that
    /// where it exists all have been declared once.
    fn parts(&self) -> Vec<Part> {
        let mut parts = vec![
            Part::exchange(REJECTED, ExchangeKind::Fanout),
            Part::Queue { name: REJECTED.to_owned(), arguments: quorum() },
            Part::QueueBinding { queue: REJECTED.to_owned(), exchange: REJECTED.to_owned(), key: "" },
            Part::exchange(OUTCOMES, ExchangeKind::Topic),
            Part::exchange(&self.exchange, ExchangeKind::Topic),
        ];
        let several = self.queues > 1;
        if several {
            let mut arguments = FieldTable::default();
            arguments.insert("hash-header".into(), AMQPValue::LongString(WORKSPACE_HEADER.into()));
            parts.push(Part::Exchange { name: self.hash(), kind: ExchangeKind::Custom(HASH_TYPE.into()), arguments });
        }
        let queues = || (0..usize::from(self.queues)).rev().map(|index| self.queue(index));
        parts.extend(queues().map(|name| Part::Queue { name, arguments: ordered() }));
        let (exchange, key) = if several { (self.hash(), HASH_WEIGHT) } else { (self.exchange.clone(), "#") };
        parts.extend(queues().map(|queue| Part::QueueBinding { queue, exchange: exchange.clone(), key }));
        if several {
            parts.push(Part::ExchangeBinding { to: exchange, from: self.exchange.clone(), key: "#" });
        }
        parts
    }

    /// Looks for what only another number of queues would have left.
    async fn refuse_another_number(&self, connection: &Connection) -> Result<(), BrokerError> {
        let spread = exists(connection, &Part::exchange(&self.hash(), ExchangeKind::default())).await?;
        let queue = async |index: usize| {
            let part = Part::Queue { name: self.queue(index), arguments: FieldTable::default() };
            exists(connection, &part).await
        };
        let queues = usize::from(self.queues);
        let mut found = queue(queues).await?.then(|| format!("the queue {}", self.queue(queues)));
        if queues == 1 && spread {
            found = Some(format!("the exchange {}", self.hash()));
        }
        if queues > 1 && queue(0).await? && !(spread && queue(queues - 1).await?) {
            found = Some(format!("the queue {}, one of fewer,", self.queue(0)));
        }
        match found {
            None => Ok(()),
            Some(found) => Err(BrokerError::Refused(format!(
                "{found} exists, but RECADERO_AMQP_QUEUES is {queues}: with another number of queues the order of \
                 events would break. Set the old number again, or stop publishing, let the queues run empty, and \
                 delete them together with {}",
                self.hash()
            ))),
        }
    }
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
    arguments
}

fn ordered() -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(REJECTED.into()));
    arguments.insert("x-dead-letter-strategy".into(), AMQPValue::LongString("at-least-once".into()));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    arguments
}

impl Part {
    fn exchange(name: &str, kind: ExchangeKind) -> Self {
        Self::Exchange { name: name.to_owned(), kind, arguments: FieldTable::default() }
    }

    /// Makes it be there. Where it is there already, and the same, nothing changes. Answers `true`: it is there.
    async fn declare(&self, connection: &Connection) -> Result<bool, BrokerError> {
        on_channel(connection, async |channel| self.send(channel, false).await).await.map_err(|e| self.explain(e))?;
        Ok(true)
    }

    /// Compares it with what is there; `false` when that cannot be seen.
    async fn check(&self, connection: &Connection) -> Result<bool, BrokerError> {
        if matches!(self, Self::QueueBinding { .. } | Self::ExchangeBinding { .. }) {
            return Ok(false);
        }
        if !exists(connection, self).await? {
            let advice = "`recadero topology` declares it";
            return Err(BrokerError::Refused(format!("{self} does not exist; {advice}")));
        }
        // Declaring what is there changes nothing and compares everything, which a passive declaration does not. It
        // needs the right to configure; without it, being there has to be enough.
        match self.declare(connection).await {
            Err(BrokerError::Refused(text)) if text.contains("ACCESS_REFUSED") => Ok(true),
            compared => compared,
        }
    }

    async fn send(&self, channel: &Channel, passive: bool) -> Result<(), BrokerError> {
        let none = FieldTable::default;
        match self {
            Self::Exchange { name, kind, arguments } => {
                let options = ExchangeDeclareOptions { passive, durable: true, ..Default::default() };
                channel.exchange_declare(name.as_str().into(), kind.clone(), options, arguments.clone()).await?;
            }
            Self::Queue { name, arguments } => {
                let options = QueueDeclareOptions { passive, durable: true, ..Default::default() };
                channel.queue_declare(name.as_str().into(), options, arguments.clone()).await?;
            }
            Self::QueueBinding { queue, exchange, key } => {
                let (queue, exchange) = (queue.as_str().into(), exchange.as_str().into());
                channel.queue_bind(queue, exchange, (*key).into(), QueueBindOptions::default(), none()).await?;
            }
            Self::ExchangeBinding { to, from, key } => {
                let (to, from) = (to.as_str().into(), from.as_str().into());
                channel.exchange_bind(to, from, (*key).into(), ExchangeBindOptions::default(), none()).await?;
            }
        }
        Ok(())
    }

    fn explain(&self, error: BrokerError) -> BrokerError {
        let BrokerError::Refused(text) = error else { return error };
        BrokerError::Refused(if text.contains(HASH_TYPE) && text.contains("unknown exchange type") {
            format!(
                "it lacks the consistent-hash exchange, which more than one queue needs: enable the plugin with \
                 `rabbitmq-plugins enable rabbitmq_consistent_hash_exchange` on every node ({text})"
            )
        } else if text.contains("PRECONDITION_FAILED") {
            format!(
                "{self} exists with other settings: {text}. Delete it once it is empty, and it will be declared anew"
            )
        } else {
            format!("{self}: {text}")
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange { name, .. } => write!(f, "the exchange {name}"),
            Self::Queue { name, .. } => write!(f, "the queue {name}"),
            Self::QueueBinding { queue, exchange, .. } => {
                write!(f, "the binding of the queue {queue} to the exchange {exchange}")
            }
            Self::ExchangeBinding { to, from, .. } => {
                write!(f, "the binding of the exchange {to} to the exchange {from}")
            }
        }
    }
}

async fn exists(connection: &Connection, part: &Part) -> Result<bool, BrokerError> {
    match on_channel(connection, async |channel| part.send(channel, true).await).await {
        Ok(()) => Ok(true),
        Err(BrokerError::Refused(text)) if text.contains("NOT_FOUND") => Ok(false),
        Err(error) => Err(error),
    }
}

/// A channel of its own for each step, since RabbitMQ closes it to say no.
async fn on_channel(
    connection: &Connection,
    step: impl AsyncFnOnce(&Channel) -> Result<(), BrokerError>,
) -> Result<(), BrokerError> {
    within(async {
        let channel = connection.create_channel().await?;
        step(&channel).await?;
        let _ = channel.close(200, "OK".into()).await;
        Ok(())
    })
    .await
}
