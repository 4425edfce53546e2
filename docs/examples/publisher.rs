//! Publishes events over AMQP, with lapin.
//!
//! ```sh
//! AMQP_URL=amqp://guest:guest@127.0.0.1:5672/%2f WORKSPACE=acme cargo run --example publisher
//! ```

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// AMQP's number for "persistent".
const PERSISTENT: u8 = 2;

/// Answers when RabbitMQ has the event on disk. After an error, publish it again with the same id: what arrives twice is
/// delivered once.
async fn publish(channel: &Channel, workspace: &str, event_type: &str, event_id: &str, event: &Value) -> Result<()> {
    let mut headers = FieldTable::default();
    headers.insert("workspace_id".into(), AMQPValue::LongString(workspace.into()));
    // Optional: who looks at a trace finds the delivery in it.
    let traceparent = format!("00-{:032x}-{:016x}-01", rand::random::<u128>(), rand::random::<u64>());
    headers.insert("traceparent".into(), AMQPValue::LongString(traceparent.into()));
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(event_id.into())
        .with_headers(headers);
    // Mandatory: an answer, in place of silence, when no queue is bound to the exchange.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let body = event.to_string();
    let published = channel
        .basic_publish("recadero.events".into(), event_type.into(), options, body.as_bytes(), properties)
        .await?;
    match published.await? {
        Confirmation::Ack(None) => Ok(()),
        refused => Err(format!("{event_id} was not taken: {refused:?}").into()),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let workspace = std::env::var("WORKSPACE").unwrap_or_else(|_| "acme".to_owned());
    let connection = Connection::connect(&std::env::var("AMQP_URL")?, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    for number in 1..=3 {
        // One contact, one order: events of an endpoint are delivered in the order in which they are published.
        let event = json!({
            "contact": {"id": 1},
            "message": {"messageId": number, "message": {"type": "text", "text": "¡Hola!"}},
        });
        let id = format!("rust-{number}");
        publish(&channel, &workspace, "message.sent", &id, &event).await?;
        println!("confirmed {id}");
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}
