//! Confirmed publishing.
//!
//! A channel is used by one call at a time. lapin pairs a returned message with whichever confirmation comes next, so
//! that on a shared channel one caller's returned message could be another's failure, and its own be taken for
//! confirmed. Within a call that does not matter: a call succeeds or fails as a whole.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};

use lapin::types::ShortString;
use lapin::{Channel, Confirmation};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::AmqpUrl;
use super::fit::fit;
use super::link::{Link, Needs, silent, within};
use crate::consume::{BrokerError, Outgoing, Publisher};

/// Calls that publish at the same time, each on a channel of its own; more wait.
const CHANNELS_MAX: usize = 8;
/// How long RabbitMQ may take to confirm a portion. During an alarm it reads nothing from publishers.
const CONFIRM_WAIT_MAX: Duration = Duration::from_secs(10);
/// The most messages, and bytes of body, that are on their way at once; a single larger message goes alone. So the limit
/// above is one of a slow RabbitMQ, and not of a large batch.
const PORTION_MESSAGES_MAX: usize = 64;
const PORTION_BYTES_MAX: usize = 1 << 20;

/// Publishes over a connection of its own.
pub struct AmqpPublisher {
    link: Link,
    places: Semaphore,
    idle: Mutex<Vec<Channel>>,
    /// Whether something turned out to be gone: then it is declared, or checked, before the next message.
    missing: AtomicBool,
}

impl AmqpPublisher {
    /// Connects when it is first used.
    pub fn new(url: &AmqpUrl) -> Self {
        let (link, places) = (Link::new(url, "recadero publisher"), Semaphore::new(CHANNELS_MAX));
        Self { link, places, idle: Mutex::default(), missing: AtomicBool::default() }
    }

    /// One that publishes outcomes: declares their exchange, or only checks it (`RECADERO_DECLARE`), with every new
    /// connection and when it turns out to be gone. A process without a router has nobody else who does.
    #[must_use]
    pub fn of_outcomes(self, declare: bool) -> Self {
        Self { link: self.link.preparing(Needs::Outcomes, declare), ..self }
    }

    /// Closes the connection. Publishing again opens another.
    pub async fn close(&self) {
        self.link.close().await;
    }

    /// What is sent during an alarm would only pile up in this process.
    async fn expect_taken(&self) -> Result<(), BrokerError> {
        match self.link.blocked().await {
            true => Err(BrokerError::Unavailable("it takes no messages now: a memory or disk alarm".to_owned())),
            false => Ok(()),
        }
    }

    async fn channel(&self) -> Result<Channel, BrokerError> {
        if self.missing.load(Ordering::Relaxed) {
            self.link.prepare().await?;
            self.missing.store(false, Ordering::Relaxed);
        }
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
        self.expect_taken().await?;
        let channel = self.channel().await?;
        let frame_bytes_max = self.link.frame_bytes_max().await;
        let mut rest = &messages[..];
        while !rest.is_empty() {
            self.expect_taken().await?;
            let (portion, others) = rest.split_at(portion(rest));
            // Given up or failed, the channel is dropped: confirmations of this call may still come on it.
            let confirmed = timeout(CONFIRM_WAIT_MAX, confirmed(&channel, portion, frame_bytes_max)).await;
            let confirmed = confirmed.unwrap_or_else(|_| Err(silent(CONFIRM_WAIT_MAX)));
            if matches!(confirmed, Err(BrokerError::Refused(_))) {
                self.missing.store(true, Ordering::Relaxed);
            }
            confirmed?;
            rest = others;
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
        Ok(())
    }

    async fn reach(&self) -> Result<(), BrokerError> {
        let channel = self.channel().await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
        Ok(())
    }
}

/// How many of the first messages go together: at least one.
fn portion(messages: &[Outgoing]) -> usize {
    let mut bytes = 0;
    let fits = |message: &&Outgoing| {
        bytes += message.body.len();
        bytes <= PORTION_BYTES_MAX
    };
    messages.iter().take(PORTION_MESSAGES_MAX).take_while(fits).count().max(1)
}

async fn confirmed(channel: &Channel, messages: &[Outgoing], frame_bytes_max: usize) -> Result<(), BrokerError> {
    let mut confirmations = Vec::with_capacity(messages.len());
    let mut unsent = None;
    for message in messages {
        let (exchange, routing_key) = (short(&message.exchange)?, short(&message.routing_key)?);
        let options = BasicPublishOptions { mandatory: message.mandatory, immediate: false };
        let properties = fit(message.properties.clone(), frame_bytes_max);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_is_bounded_in_messages_and_bytes() {
        let of = |bytes: usize| Outgoing::outcome("event.dropped", "1", vec![0; bytes].into());
        assert_eq!(portion(&vec![of(2); 200]), PORTION_MESSAGES_MAX);
        assert_eq!(portion(&vec![of(2); 3]), 3);
        assert_eq!(portion(&vec![of(PORTION_BYTES_MAX / 2); 3]), 2);
        assert_eq!(portion(&[of(PORTION_BYTES_MAX + 1), of(1)]), 1, "a larger one goes alone");
    }
}
