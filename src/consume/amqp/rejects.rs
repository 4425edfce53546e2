//! The rejected messages in RabbitMQ.
//!
//! They are held by one consumer, whose messages RabbitMQ puts back in their order when its channel is closed, but behind
//! all others that were put back before; so whoever looks at some holds all that can be looked at. `basic.get` was
//! rejected: each message so got is a consumer of its own to a quorum queue, and those are put back in no order as soon as
//! there are more than 32.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Channel, Consumer};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::AmqpUrl;
use super::link::{Link, within};
use crate::consume::rejects::{LOOK_MAX, Rejects, Replayed, id, restored};
use crate::consume::{BrokerError, Message, Publisher, REJECTED, Tag};

/// How long the next message may take, of those that were said to be there: somebody else may hold some.
const NEXT_WAIT_MAX: Duration = Duration::from_secs(2);

/// How often it is asked whether messages that were put back are back. It takes RabbitMQ some milliseconds; fewer may be
/// there for good, when somebody else took some.
const BACK_ASKED_MAX: usize = 100;
const BACK_ASKED_EVERY: Duration = Duration::from_millis(10);

/// The rejected messages, by a connection of their own.
pub struct AmqpRejects {
    link: Link,
    publisher: Arc<dyn Publisher>,
    /// One at a time: whoever looks holds what others would not see meanwhile.
    turn: Mutex<()>,
}

impl AmqpRejects {
    /// Connects when it is first used; replays by `publisher`.
    pub fn new(url: &AmqpUrl, publisher: Arc<dyn Publisher>) -> Self {
        Self { link: Link::new(url, "recadero rejected"), publisher, turn: Mutex::default() }
    }

    /// Closes the connection. Looking again opens another.
    pub async fn close(&self) {
        self.link.close().await;
    }

    async fn replay_by(&self, hand: &mut Hand, exchange: &str, wanted: Option<&str>) -> Result<Replayed, BrokerError> {
        let mut batch = Vec::new();
        while let Some(message) = hand.next().await? {
            if wanted.is_none_or(|wanted| id(&message) == wanted) {
                batch.push(restored(&message, exchange));
            }
            if wanted.is_some() && !batch.is_empty() {
                break;
            }
        }
        let replayed = Replayed { count: batch.len(), left: hand.there - hand.held.len() };
        if replayed.count > 0 {
            self.publisher.publish(batch).await?;
            // All that are held; but of a single one, not those before it.
            hand.take_last(wanted.is_none()).await?;
            hand.there -= replayed.count;
        }
        Ok(replayed)
    }
}

#[async_trait]
impl Rejects for AmqpRejects {
    async fn look(&self, skip: usize, limit: usize) -> Result<Vec<Message>, BrokerError> {
        let _turn = self.turn.lock().await;
        let mut hand = Hand::reach(&self.link, LOOK_MAX).await?;
        let found = hand.look(skip, limit).await;
        hand.put_back(&self.link).await;
        found
    }

    async fn replay(&self, exchange: &str, id: Option<&str>, limit: usize) -> Result<Replayed, BrokerError> {
        let _turn = self.turn.lock().await;
        let mut hand = Hand::reach(&self.link, if id.is_some() { LOOK_MAX } else { limit }).await?;
        let replayed = self.replay_by(&mut hand, exchange, id).await;
        hand.put_back(&self.link).await;
        replayed
    }
}

/// Messages from the head of the queue that nobody else is given as long as the channel is open.
struct Hand {
    channel: Channel,
    /// `None` when there is nothing to consume.
    consumer: Option<Consumer>,
    /// How many messages were there, without those that were taken.
    there: usize,
    /// How many of them may be held.
    most: usize,
    held: Vec<Acker>,
}

impl Hand {
    /// Reaches for messages, at most so many, and [`LOOK_MAX`].
    async fn reach(link: &Link, most: usize) -> Result<Self, BrokerError> {
        let channel = link.channel().await?;
        let there = ready(&channel).await?;
        let most = most.min(there).min(LOOK_MAX);
        let mut hand = Self { channel, consumer: None, there, most, held: Vec::new() };
        if most > 0 {
            let prefetch = u16::try_from(most).expect("LOOK_MAX is a prefetch");
            hand.consumer = Some(within(hand.consume(prefetch)).await?);
        }
        Ok(hand)
    }

    async fn consume(&self, prefetch: u16) -> Result<Consumer, BrokerError> {
        self.channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        Ok(self.channel.basic_consume(REJECTED.into(), "".into(), options, none).await?)
    }

    /// The next message; `None` when that were all.
    async fn next(&mut self) -> Result<Option<Message>, BrokerError> {
        let Some(consumer) = self.consumer.as_mut().filter(|_| self.held.len() < self.most) else { return Ok(None) };
        let Ok(next) = timeout(NEXT_WAIT_MAX, consumer.next()).await else { return Ok(None) };
        let ended = || BrokerError::Unavailable("RabbitMQ ended the look".to_owned());
        let delivery = next.ok_or_else(ended)??;
        self.held.push(delivery.acker);
        Ok(Some(Message {
            tag: Tag(delivery.delivery_tag),
            routing_key: delivery.routing_key.to_string(),
            properties: delivery.properties,
            body: delivery.data.into(),
            redelivered: delivery.redelivered,
        }))
    }

    async fn look(&mut self, skip: usize, limit: usize) -> Result<Vec<Message>, BrokerError> {
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(message) = self.next().await?
        {
            if self.held.len() > skip {
                found.push(message);
            }
        }
        Ok(found)
    }

    /// Takes the last message out of the queue for good, and with `all` those before it.
    async fn take_last(&self, all: bool) -> Result<(), BrokerError> {
        let Some(last) = self.held.last() else { return Ok(()) };
        match within(async { Ok(last.ack(BasicAckOptions { multiple: all }).await?) }).await? {
            true => Ok(()),
            false => Err(BrokerError::Unavailable("what was published again could not be taken away".to_owned())),
        }
    }

    /// Closes the channel, which puts all others back, and waits until they are: whoever looks while they come in would see
    /// those behind before them. The consumer is dropped after that: dropped before, it would be cancelled, while RabbitMQ
    /// goes on with the messages behind.
    async fn put_back(self, link: &Link) {
        let _ = within(async { Ok(self.channel.close(200, "OK".into()).await?) }).await;
        drop(self.consumer);
        let Ok(channel) = link.channel().await else { return };
        for _ in 0..BACK_ASKED_MAX {
            match ready(&channel).await {
                Ok(count) if count < self.there => tokio::time::sleep(BACK_ASKED_EVERY).await,
                _ => break,
            }
        }
        let _ = within(async { Ok(channel.close(200, "OK".into()).await?) }).await;
    }
}

/// How many messages wait to be consumed.
async fn ready(channel: &Channel) -> Result<usize, BrokerError> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(REJECTED.into(), passive, FieldTable::default());
    let queue = within(async { Ok(declared.await?) }).await?;
    Ok(usize::try_from(queue.message_count()).unwrap_or(usize::MAX))
}
