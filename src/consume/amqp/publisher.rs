//! Confirmed publishing.
//!
//! A channel is used by one call at a time. lapin pairs a returned message with whichever confirmation comes next, so
//! that on a shared channel one caller's returned message could be another's failure, and its own be taken for
//! confirmed. Within a call that does not matter: a call succeeds or fails as a whole.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};

use lapin::types::ShortString;
use lapin::{Channel, Confirmation};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::AmqpUrl;
use super::link::{Link, silent, within};
use crate::consume::{BrokerError, Outgoing, Publisher};

/// Calls that publish at the same time, each on a channel of its own; more wait.
const CHANNELS_MAX: usize = 8;
/// How long RabbitMQ may take to confirm. During an alarm it reads nothing from publishers.
const CONFIRM_WAIT_MAX: Duration = Duration::from_secs(10);

/// Publishes over a connection of its own.
pub struct AmqpPublisher {
    link: Link,
    places: Semaphore,
    idle: Mutex<Vec<Channel>>,
}

impl AmqpPublisher {
    /// Connects when it is first used.
    pub fn new(url: &AmqpUrl) -> Self {
        let link = Link::new(url, "recadero publisher");
        Self { link, places: Semaphore::new(CHANNELS_MAX), idle: Mutex::default() }
    }

    /// Closes the connection. Publishing again opens another.
    pub async fn close(&self) {
        self.link.close().await;
    }

    async fn channel(&self) -> Result<Channel, BrokerError> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(channel) if channel.status().connected() => return Ok(channel),
                Some(_) => {}
                None => break,
            }
        }
        let channel = self.link.channel().await?;
        within(async { Ok(channel.confirm_select(ConfirmSelectOptions::default()).await?) }).await?;
        Ok(channel)
    }
}

#[async_trait]
impl Publisher for AmqpPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        // What is sent now would only pile up in this process.
        if self.link.blocked().await {
            return Err(BrokerError::Unavailable("it takes no messages now: a memory or disk alarm".to_owned()));
        }
        let channel = self.channel().await?;
        // Given up or failed, the channel is dropped: confirmations of this call may still come on it.
        timeout(CONFIRM_WAIT_MAX, confirmed(&channel, messages))
            .await
            .unwrap_or_else(|_| Err(silent(CONFIRM_WAIT_MAX)))?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
        Ok(())
    }

    async fn reach(&self) -> Result<(), BrokerError> {
        let channel = self.channel().await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
        Ok(())
    }
}

async fn confirmed(channel: &Channel, messages: Vec<Outgoing>) -> Result<(), BrokerError> {
    let mut confirmations = Vec::with_capacity(messages.len());
    let mut unsent = None;
    for message in &messages {
        let (exchange, routing_key) = (short(&message.exchange)?, short(&message.routing_key)?);
        let options = BasicPublishOptions { mandatory: message.mandatory, immediate: false };
        let properties = message.properties.clone();
        match channel.basic_publish(exchange, routing_key, options, &message.body, properties).await {
            Ok(confirmation) => confirmations.push(confirmation),
            Err(error) => {
                unsent = Some(error);
                break;
            }
        }
    }
    for confirmation in confirmations {
        match confirmation.await? {
            Confirmation::Ack(None) => {}
            Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
                return Err(BrokerError::Unroutable(returned.exchange.to_string()));
            }
            Confirmation::Nack(None) => return Err(BrokerError::Unavailable("it did not take a message".to_owned())),
            Confirmation::NotRequested => unreachable!("the channel is in confirm mode"),
        }
    }
    // Last: a channel that RabbitMQ closed says here no more than that, while what was sent before has the reason.
    unsent.map_or(Ok(()), |error| Err(error.into()))
}

fn short(text: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(text).map_err(|error| BrokerError::Refused(format!("{text:.40}…: {error}")))
}
