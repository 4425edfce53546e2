//! The publisher: one channel, in order, with confirms that are waited for behind it.
//!
//! The service's own publisher waits for each batch's confirms before the next goes out, which at a rate would be
//! measured as latency of the service.

use std::time::Duration;

use anyhow::{Context, bail};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::plan::Plan;
use super::tally::Measured;
use crate::clock::Clock;
use crate::consume::Outgoing;

/// Events that may wait for their confirms; then the publisher waits.
const UNCONFIRMED_MAX: usize = 2_048;

/// Publishes a plan's events in their order.
pub struct Publisher {
    plan: Plan,
    exchange: String,
    channel: Channel,
    _connection: Connection,
    unconfirmed: mpsc::Sender<PublisherConfirm>,
    confirmed: JoinHandle<anyhow::Result<()>>,
}

impl Publisher {
    /// Connects.
    pub async fn connect(url: &str, exchange: &str, plan: Plan) -> anyhow::Result<Self> {
        let properties = ConnectionProperties::default().with_connection_name("recadero bench".into());
        let connection = Connection::connect(url, properties).await.context("RabbitMQ")?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let (unconfirmed, confirms) = mpsc::channel(UNCONFIRMED_MAX);
        let confirmed = tokio::spawn(confirm(confirms));
        Ok(Self { plan, exchange: exchange.to_owned(), channel, _connection: connection, unconfirmed, confirmed })
    }

    /// Publishes so many events as fast as they are taken.
    pub async fn fill(&self, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
        for number in numbers {
            self.publish(number).await?;
        }
        Ok(())
    }

    /// Publishes events, each when it is due; those that are late at once.
    pub async fn pace(&self, measured: Measured, end: u64, clock: &Clock) -> anyhow::Result<()> {
        for number in measured.from..end {
            let early = measured.due(number).saturating_sub(clock.boot());
            // Timers have milliseconds; what is due within one goes out now and then, in order, in small bursts.
            if early > Duration::from_millis(1) {
                tokio::time::sleep(early).await;
            }
            self.publish(number).await?;
        }
        Ok(())
    }

    /// Waits until all are confirmed.
    pub async fn finish(self) -> anyhow::Result<()> {
        drop(self.unconfirmed);
        self.confirmed.await?
    }

    async fn publish(&self, number: u64) -> anyhow::Result<()> {
        let event = self.plan.event(number);
        let Outgoing { exchange, routing_key, properties, body, mandatory } =
            Outgoing::event(&self.exchange, &event.workspace, &event.event_type, Some(&event.id), event.body);
        let options = BasicPublishOptions { mandatory, immediate: false };
        let sent = self.channel.basic_publish(exchange.into(), routing_key.into(), options, &body, properties).await?;
        self.unconfirmed.send(sent).await.context("RabbitMQ did not take an event")
    }
}

async fn confirm(mut confirms: mpsc::Receiver<PublisherConfirm>) -> anyhow::Result<()> {
    while let Some(confirm) = confirms.recv().await {
        match confirm.await? {
            Confirmation::Ack(None) => {}
            other => bail!("RabbitMQ did not take an event: {other:?}"),
        }
    }
    Ok(())
}
