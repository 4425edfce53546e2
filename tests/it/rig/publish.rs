//! An upstream service: publishes events with confirms, as the contract's section 2 asks.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};

use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm};

/// The exchange that upstream publishes to.
pub const EXCHANGE: &str = "recadero.events";
/// AMQP's number for "persistent".
const PERSISTENT: u8 = 2;

/// A connection with one channel in confirm mode. Its errors fail the test, except where `try_` says otherwise.
pub struct Publisher {
    _connection: Connection,
    channel: Channel,
}

impl Publisher {
    /// Connects to RabbitMQ. The exchange must be there by the time something is published.
    pub async fn connect(url: &str) -> Self {
        Self::try_connect(url).await.expect("a publisher's connection")
    }

    /// The same, for tests that take RabbitMQ away.
    pub async fn try_connect(url: &str) -> lapin::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { _connection: connection, channel })
    }

    /// Publishes one event and waits for the confirm.
    pub async fn event(&self, event_type: &str, workspace: &str, id: &str, body: &[u8]) {
        self.message(EXCHANGE, event_type, event(workspace, id), body).await;
    }

    /// Publishes events, `(event_type, workspace, id, body)`, in this order, and then waits for all confirms.
    pub async fn events<'a>(&self, events: impl IntoIterator<Item = (&'a str, &'a str, &'a str, &'a [u8])>) {
        let mut confirms = Vec::new();
        for (event_type, workspace, id, body) in events {
            confirms.push(self.send(EXCHANGE, event_type, event(workspace, id), body).await.expect("published"));
        }
        for confirm in confirms {
            expect_confirmed(confirm.await.expect("a confirm"));
        }
    }

    /// Publishes any messages, mandatory, in this order, and then waits for all confirms.
    pub async fn all(&self, exchange: &str, routing_key: &str, messages: Vec<(BasicProperties, String)>) {
        let mut confirms = Vec::new();
        for (properties, body) in messages {
            confirms.push(self.send(exchange, routing_key, properties, body.as_bytes()).await.expect("published"));
        }
        for confirm in confirms {
            expect_confirmed(confirm.await.expect("a confirm"));
        }
    }

    /// The same, for tests that take RabbitMQ away: whether all were confirmed, and none returned.
    pub async fn try_events<'a>(
        &self,
        events: impl IntoIterator<Item = (&'a str, &'a str, &'a str, &'a [u8])>,
    ) -> lapin::Result<bool> {
        let mut confirms = Vec::new();
        for (event_type, workspace, id, body) in events {
            confirms.push(self.send(EXCHANGE, event_type, event(workspace, id), body).await?);
        }
        let mut all = true;
        for confirm in confirms {
            all &= confirm.await? == Confirmation::Ack(None);
        }
        Ok(all)
    }

    /// Publishes any message, mandatory, and waits for the confirm.
    pub async fn message(&self, exchange: &str, routing_key: &str, properties: BasicProperties, body: &[u8]) {
        expect_confirmed(self.try_message(exchange, routing_key, properties, body).await.expect("a confirm"));
    }

    /// The same, for tests that take RabbitMQ away: what came of it.
    pub async fn try_message(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: BasicProperties,
        body: &[u8],
    ) -> lapin::Result<Confirmation> {
        self.send(exchange, routing_key, properties, body).await?.await
    }

    async fn send(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: BasicProperties,
        body: &[u8],
    ) -> lapin::Result<PublisherConfirm> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        self.channel.basic_publish(exchange.into(), routing_key.into(), options, body, properties).await
    }
}

/// The properties of an event: persistent, `message_id`, and the header `workspace_id` as a string.
pub fn event(workspace: &str, id: &str) -> BasicProperties {
    headers(&[("workspace_id", AMQPValue::LongString(workspace.into()))]).with_message_id(id.into())
}

/// Persistent, with these headers and nothing else: the start of a message that is wrong on purpose.
pub fn headers(headers: &[(&str, AMQPValue)]) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), value.clone());
    }
    BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(table)
}

fn expect_confirmed(confirmation: Confirmation) {
    // A message that was returned is confirmed too: nobody had a queue for it.
    assert_eq!(confirmation, Confirmation::Ack(None), "not confirmed, or not routed");
}
