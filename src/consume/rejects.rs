//! What can never be delivered as it is: looked at, and published again after a fix (contract, sections 2 and 5).
//!
//! The queue [`REJECTED`](super::REJECTED) is all there is; nothing is copied elsewhere. To look means to hold messages for a moment without
//! acknowledging them, and to put them back where they were; where that fails, RabbitMQ does it. To replay means to publish
//! first and to acknowledge then: what fails in between is there still, at worst twice, and the dedupe window knows it.

use async_trait::async_trait;
use lapin::types::{AMQPValue, FieldTable};
use sha2::{Digest, Sha256};

use super::{
    BrokerError, DETAIL_HEADER, EXPIRATION_HEADER, Header, Message, Outgoing, REASON_HEADER, WORKSPACE_HEADER, harmless,
};

/// Most messages that are looked at, from the queue's head on: all are held until the look is over.
pub const LOOK_MAX: usize = 1_000;

/// Messages that are published again in one step.
const REPLAY_STEP: usize = 100;

/// Where RabbitMQ says why it dead-lettered a message by itself.
const DEATH_REASON_HEADER: &str = "x-first-death-reason";

/// What the headers begin with that tell of a rejection.
const OURS: &str = "recadero-";

/// Hexadecimal digits of a rejected message's id.
const ID_DIGITS: usize = 32;

/// The rejected messages.
#[async_trait]
pub trait Rejects: Send + Sync {
    /// Messages from the head of the queue on, after the first `skip`, at most `limit`, and [`LOOK_MAX`] in all. All of
    /// them stay where they are.
    async fn look(&self, skip: usize, limit: usize) -> Result<Vec<Message>, BrokerError>;

    /// Publishes messages to an exchange again, and takes them out of the queue once that was confirmed: at most `limit`
    /// from the head on, or the one of an id ([`id`]) among the first [`LOOK_MAX`].
    async fn replay(&self, exchange: &str, id: Option<&str>, limit: usize) -> Result<Replayed, BrokerError>;
}

/// What came of a step of replaying.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Replayed {
    /// Messages that were published again.
    pub count: usize,
    /// Messages that were behind them.
    pub left: usize,
}

/// Publishes all messages that are there at the beginning again, as long as `go_on` says so: what is rejected again comes
/// back behind them, and is not met.
pub async fn replay_all(
    rejects: &dyn Rejects,
    exchange: &str,
    go_on: impl Fn() -> bool,
) -> Result<Replayed, BrokerError> {
    let mut all = rejects.replay(exchange, None, REPLAY_STEP).await?;
    while all.left > 0 && go_on() {
        let step = rejects.replay(exchange, None, REPLAY_STEP.min(all.left)).await?;
        all.count += step.count;
        // Somebody else may have taken the others.
        all.left = if step.count == 0 { 0 } else { all.left - step.count };
    }
    Ok(all)
}

/// What a message is called: it follows from what it is, so that it is the same at each look. Equal messages share it.
pub fn id(message: &Message) -> String {
    let text = |name| match message.header(name) {
        Header::Text(text) => text.to_owned(),
        Header::Integer(number) => number.to_string(),
        Header::Absent | Header::Other => String::new(),
    };
    let message_id = message.properties.message_id().as_ref().map_or("", |id| id.as_str());
    let mut digest = Sha256::new();
    for part in [&message.routing_key, message_id, &text(WORKSPACE_HEADER), &reason(message), &detail(message)] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.update(&message.body);
    let mut id = format!("{:x}", digest.finalize());
    id.truncate(ID_DIGITS);
    id
}

/// Why it was rejected: the contract's word, or RabbitMQ's where that gave it up by itself.
pub fn reason(message: &Message) -> String {
    match (message.header(REASON_HEADER), message.header(DEATH_REASON_HEADER)) {
        (Header::Text(reason), _) | (_, Header::Text(reason)) => reason.to_owned(),
        _ => String::new(),
    }
}

/// One line for a person.
pub fn detail(message: &Message) -> String {
    match message.header(DETAIL_HEADER) {
        Header::Text(detail) => detail.to_owned(),
        _ => String::new(),
    }
}

/// The same message as it was published, to be published again.
pub fn restored(message: &Message, exchange: &str) -> Outgoing {
    let given = message.properties.headers().clone().unwrap_or_default();
    let kept = given.inner().iter().filter(|(name, _)| !name.as_str().starts_with(OURS));
    let headers: std::collections::BTreeMap<_, AMQPValue> = kept.map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut properties = harmless(&message.properties).with_headers(FieldTable::from(headers));
    if let Header::Text(expiration) = message.header(EXPIRATION_HEADER) {
        properties = properties.with_expiration(expiration.into());
    }
    Outgoing {
        exchange: exchange.to_owned(),
        routing_key: message.routing_key.clone(),
        properties,
        body: message.body.clone(),
        mandatory: true,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lapin::BasicProperties;

    use super::*;
    use crate::consume::Tag;
    use crate::decide::event::RejectReason;

    fn published(body: &'static [u8]) -> Message {
        let mut headers = FieldTable::default();
        headers.insert("workspace_id".into(), AMQPValue::LongString("acme".into()));
        let properties = BasicProperties::default().with_message_id("e1".into()).with_expiration("60000".into());
        let properties = properties.with_priority(3).with_headers(headers);
        Message {
            tag: Tag(1),
            routing_key: "message.sent".to_owned(),
            properties,
            body: Bytes::from_static(body),
            redelivered: false,
        }
    }

    fn rejected(message: &Message) -> Message {
        let Outgoing { routing_key, properties, body, .. } = message.rejected(&RejectReason::NotJson.because("why"));
        Message { tag: Tag(2), routing_key, properties, body, redelivered: false }
    }

    #[test]
    fn a_message_is_restored_as_it_was_published() {
        let message = published(b"{");
        let rejected = rejected(&message);
        assert_eq!((reason(&rejected), detail(&rejected)), ("not_json".to_owned(), "why".to_owned()));
        let again = restored(&rejected, "events");
        assert_eq!((again.exchange.as_str(), again.mandatory), ("events", true));
        assert_eq!(
            (again.routing_key, again.properties, again.body),
            (message.routing_key, message.properties, message.body)
        );
    }

    #[test]
    fn another_message_has_another_id() {
        let one = id(&rejected(&published(b"{")));
        assert_eq!((one.len(), &one), (ID_DIGITS, &id(&rejected(&published(b"{")))));
        assert_ne!(one, id(&rejected(&published(b"["))));
        assert_ne!(one, id(&published(b"{")));
    }
}
