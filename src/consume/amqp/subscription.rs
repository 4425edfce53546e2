//! One consumer on a channel of its own.
//!
//! A subscription ends by closing its channel, never by cancelling the consumer: a single active consumer that is
//! cancelled keeps what it holds, while RabbitMQ already gives the messages behind to the next one, and the order is
//! gone. lapin cancels when a consumer is dropped on an open channel, so the channel is closed before that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};

use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Channel, Consumer};

use super::AmqpPublisher;
use super::link::within;
use crate::consume::{BrokerError, Message, Outgoing, Publisher, Subscription, Tag};

pub(super) struct AmqpSubscription {
    channel: Channel,
    /// `None` once it was handed to the task that closes the channel.
    consumer: Option<Consumer>,
    /// Came while only the end was waited for. Prefetch bounds it.
    waiting: VecDeque<Delivery>,
    /// Given out and not acknowledged. Prefetch bounds it.
    held: VecDeque<(Tag, Acker)>,
    publisher: Arc<AmqpPublisher>,
    /// Set when what rejected events need is gone.
    missing: Arc<AtomicBool>,
}

impl AmqpSubscription {
    pub(super) async fn open(
        channel: Channel,
        queue: &str,
        prefetch: u16,
        publisher: Arc<AmqpPublisher>,
        missing: Arc<AtomicBool>,
    ) -> Result<Self, BrokerError> {
        let consumer = within(async {
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            Ok(channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?)
        })
        .await?;
        let (waiting, held) = (VecDeque::new(), VecDeque::new());
        Ok(Self { channel, consumer: Some(consumer), waiting, held, publisher, missing })
    }

    async fn delivery(&mut self) -> Result<Delivery, BrokerError> {
        let Some(consumer) = &mut self.consumer else { return Err(ended()) };
        match consumer.next().await {
            Some(Ok(delivery)) => Ok(delivery),
            Some(Err(error)) => Err(error.into()),
            None => Err(ended()),
        }
    }

    fn give_out(&mut self, delivery: Delivery) -> Message {
        let tag = Tag(delivery.delivery_tag);
        self.held.push_back((tag, delivery.acker));
        Message {
            tag,
            routing_key: delivery.routing_key.to_string(),
            properties: delivery.properties,
            body: Bytes::from(delivery.data),
            redelivered: delivery.redelivered,
        }
    }
}

#[async_trait]
impl Subscription for AmqpSubscription {
    async fn next(&mut self, limit: usize) -> Result<Vec<Message>, BrokerError> {
        if self.waiting.is_empty() {
            let first = self.delivery().await?;
            self.waiting.push_back(first);
        }
        while self.waiting.len() < limit
            && let Some(next) = self.delivery().now_or_never()
        {
            self.waiting.push_back(next?);
        }
        let count = self.waiting.len().min(limit);
        let taken: Vec<Delivery> = self.waiting.drain(..count).collect();
        Ok(taken.into_iter().map(|delivery| self.give_out(delivery)).collect())
    }

    async fn closed(&mut self) -> BrokerError {
        loop {
            match self.delivery().await {
                Ok(delivery) => self.waiting.push_back(delivery),
                Err(error) => return error,
            }
        }
    }

    async fn ack(&mut self, up_to: Tag) -> Result<(), BrokerError> {
        let count = self.held.partition_point(|(tag, _)| *tag <= up_to);
        let Some((_, last)) = self.held.drain(..count).next_back() else { return Ok(()) };
        match within(async { Ok(last.ack(BasicAckOptions { multiple: true }).await?) }).await? {
            true => Ok(()),
            false => Err(BrokerError::Unavailable("the channel ended before the acknowledgement was sent".to_owned())),
        }
    }

    async fn reject(&mut self, rejected: Vec<Outgoing>) -> Result<(), BrokerError> {
        let published = self.publisher.publish(rejected).await;
        if matches!(published, Err(BrokerError::Unroutable(_) | BrokerError::Refused(_))) {
            self.missing.store(true, Ordering::Relaxed);
        }
        published
    }

    async fn close(mut self: Box<Self>) {
        shut(self.channel.clone(), self.consumer.take()).await;
    }
}

impl Drop for AmqpSubscription {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the socket with it, which gives everything back as well.
        if let (Some(consumer), Ok(runtime)) = (self.consumer.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(shut(self.channel.clone(), Some(consumer)));
        }
    }
}

async fn shut(channel: Channel, consumer: Option<Consumer>) {
    let _ = within(async { Ok(channel.close(200, "OK".into()).await?) }).await;
    drop(consumer);
}

fn ended() -> BrokerError {
    BrokerError::Unavailable("RabbitMQ ended the subscription".to_owned())
}
