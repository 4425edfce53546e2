//! Events in: from RabbitMQ's ordered queues into the store's lanes (contract, section 2).
//!
//! One [`router::Router`] per queue takes what is there, in order, appends it, waits for durability, and acknowledges
//! the whole batch at once. It knows RabbitMQ only through the three traits below, so that the same router runs on
//! [`amqp`] (lapin), on [`local`] (dev mode, in this process) and on a simulated broker. [`topology`] is what has to
//! exist on the RabbitMQ side.
//!
//! Messages carry lapin's own property type: a rejected message must keep *all* of its properties, and a copy of
//! AMQP's types in types of our own would be a second place to forget one.
//!
//! Rejected: several consumers on one queue, or one task per event. Both are faster to write and lose the order.

pub mod amqp;
mod batch;
pub mod local;
mod pauses;
pub mod rejects;
pub mod router;
mod routings;
pub mod standing;
pub mod topology;

use async_trait::async_trait;
use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};

pub use crate::decide::event::Header;
use crate::decide::event::{Published, Rejection};
use crate::decide::ids::{EventId, EventType, LaneId, Partition, WorkspaceId};
use crate::store::lanes::{Append, Granted, Offer};

/// The header that names the workspace (contract, section 2).
pub const WORKSPACE_HEADER: &str = "workspace_id";
/// The header that names the contact (contract, section 2).
pub const CONTACT_HEADER: &str = "contact_id";
/// The header of W3C trace context (contract, section 2).
pub const TRACEPARENT_HEADER: &str = "traceparent";
/// The exchange and queue of what can never be delivered (contract, section 2).
pub const REJECTED: &str = "recadero.rejected";
/// The header with the contract's word for why.
pub const REASON_HEADER: &str = "recadero-reason";
/// The header with one line for a person.
pub const DETAIL_HEADER: &str = "recadero-detail";
/// The header that carries a rejected message's `user_id`.
pub const USER_HEADER: &str = "recadero-user-id";
/// The header that carries a rejected message's `expiration`.
pub const EXPIRATION_HEADER: &str = "recadero-expiration";
/// The header that names those of a rejected message for which a frame had no room, besides the reason.
pub const OMITTED_HEADER: &str = "recadero-omitted";
/// The topic exchange of what happened (contract, section 2).
pub const OUTCOMES: &str = "recadero.outcomes";
/// The most bytes of a routing key, of AMQP 0-9-1's short strings.
pub const ROUTING_KEY_BYTES_MAX: usize = 255;
/// AMQP's delivery mode that outlives a restart of the broker.
const PERSISTENT: u8 = 2;

/// Where events come from.
#[async_trait]
pub trait Broker: Send + Sync {
    /// How many ordered queues there are.
    fn queues(&self) -> usize;

    /// Subscribes to a queue, holding at most `prefetch` messages that are not acknowledged.
    async fn subscribe(&self, queue: usize, prefetch: u16) -> Result<Box<dyn Subscription>, BrokerError>;
}

/// One unbroken subscription to one queue. After an error, or when it is dropped, what was not acknowledged goes back
/// to its place in the queue before anybody else is given a message of it.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for at least one message, then takes what is there, at most `limit`. Cancelling it loses nothing.
    async fn next(&mut self, limit: usize) -> Result<Vec<Message>, BrokerError>;

    /// Waits until the subscription has ended. Cancelling it loses nothing.
    async fn closed(&mut self) -> BrokerError;

    /// Acknowledges every message up to and including this one.
    async fn ack(&mut self, up_to: Tag) -> Result<(), BrokerError>;

    /// Publishes messages to [`REJECTED`], with properties and body unchanged and the two headers, and waits until all
    /// are confirmed. It does not acknowledge them.
    async fn reject(&mut self, rejected: Vec<Outgoing>) -> Result<(), BrokerError>;

    /// Ends the subscription and waits until it has ended.
    async fn close(self: Box<Self>);
}

/// Where messages are published: events by the API, outcomes by the notifier.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Publishes messages in their order, and waits until the broker has confirmed all of them. After an error any of
    /// them may have been published or not.
    async fn publish(&self, messages: Vec<Outgoing>) -> Result<(), BrokerError>;

    /// Connects, if that was lost or not yet done.
    async fn reach(&self) -> Result<(), BrokerError>;
}

/// Who is told of lanes that became ready. A hint: a poll finds lanes whose wake was lost.
pub trait Wake: Send + Sync {
    /// Hands the lanes over; must not wait.
    fn wake(&self, lanes: Vec<LaneId>);

    /// Holds working places for those lanes that an append of these events finds idle, if there is anybody to work on
    /// them at once; must not wait.
    fn hold(&self, partition: Partition, items: &[Append]) -> Option<Box<dyn Held>>;
}

/// Working places held for one append. To drop them is to say that its answer was not heard: what it may have leased is
/// put back then.
pub trait Held: Send + Sync {
    /// What the append is offered.
    fn offer(&self) -> Offer;

    /// Hands over what it leased.
    fn granted(self: Box<Self>, granted: Vec<Granted>);
}

/// The place of a message in its subscription, rising.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Tag(pub u64);

/// A message from a queue.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Its place.
    pub tag: Tag,
    /// The event type, by the contract.
    pub routing_key: String,
    /// All of its properties, headers included.
    pub properties: BasicProperties,
    /// The body.
    pub body: Bytes,
    /// Whether RabbitMQ has given it out before, to whomever.
    pub redelivered: bool,
}

impl Message {
    /// What [`decide::event`](crate::decide::event) checks.
    pub fn published(&self) -> Published<'_> {
        Published {
            routing_key: &self.routing_key,
            body: &self.body,
            message_id: self.properties.message_id().as_ref().map(ShortString::as_str),
            workspace_id: self.header(WORKSPACE_HEADER),
            contact_id: self.header(CONTACT_HEADER),
            traceparent: match self.header(TRACEPARENT_HEADER) {
                Header::Text(text) => Some(text),
                Header::Absent | Header::Integer(_) | Header::Other => None,
            },
        }
    }

    /// The same message on its way to [`REJECTED`]. Two properties cannot go along, and travel as headers instead:
    /// RabbitMQ closes the channel of whoever publishes another's `user_id`, and the batch would come back for ever; and
    /// after its `expiration` it would throw away what somebody is still to look at. A `CC` header stays, since a fanout
    /// exchange pays no attention to routing keys; RabbitMQ never shows a `BCC`.
    pub fn rejected(&self, rejection: &Rejection) -> Outgoing {
        let mut headers = self.properties.headers().clone().unwrap_or_default();
        let mut tell = |name: &str, value: &str| {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        };
        tell(REASON_HEADER, rejection.reason.as_str());
        tell(DETAIL_HEADER, &rejection.detail);
        if let Some(user) = self.properties.user_id() {
            tell(USER_HEADER, user.as_str());
        }
        if let Some(expiration) = self.properties.expiration() {
            tell(EXPIRATION_HEADER, expiration.as_str());
        }
        Outgoing {
            exchange: REJECTED.to_owned(),
            routing_key: self.routing_key.clone(),
            properties: harmless(&self.properties).with_headers(headers),
            body: self.body.clone(),
            mandatory: true,
        }
    }

    /// A header, as the contract reads it.
    pub fn header(&self, name: &str) -> Header<'_> {
        let Some(value) = self.properties.headers().as_ref().and_then(|headers| headers.inner().get(name)) else {
            return Header::Absent;
        };
        match value {
            AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).map_or(Header::Other, Header::Text),
            AMQPValue::ShortString(text) => Header::Text(text.as_str()),
            AMQPValue::ShortShortInt(n) => Header::Integer(i64::from(*n)),
            AMQPValue::ShortShortUInt(n) => Header::Integer(i64::from(*n)),
            AMQPValue::ShortInt(n) => Header::Integer(i64::from(*n)),
            AMQPValue::ShortUInt(n) => Header::Integer(i64::from(*n)),
            AMQPValue::LongInt(n) => Header::Integer(i64::from(*n)),
            AMQPValue::LongUInt(n) => Header::Integer(i64::from(*n)),
            AMQPValue::LongLongInt(n) => Header::Integer(*n),
            _ => Header::Other,
        }
    }
}

/// All properties but `user_id`, `expiration` and the headers; AMQP's type has no way to take one out.
fn harmless(given: &BasicProperties) -> BasicProperties {
    type Set<T> = fn(BasicProperties, T) -> BasicProperties;
    fn put<T: Clone>(properties: BasicProperties, value: &Option<T>, set: Set<T>) -> BasicProperties {
        match value {
            Some(value) => set(properties, value.clone()),
            None => properties,
        }
    }
    let kept = BasicProperties::default();
    let kept = put(kept, given.content_type(), BasicProperties::with_content_type);
    let kept = put(kept, given.content_encoding(), BasicProperties::with_content_encoding);
    let kept = put(kept, given.delivery_mode(), BasicProperties::with_delivery_mode);
    let kept = put(kept, given.priority(), BasicProperties::with_priority);
    let kept = put(kept, given.correlation_id(), BasicProperties::with_correlation_id);
    let kept = put(kept, given.reply_to(), BasicProperties::with_reply_to);
    let kept = put(kept, given.message_id(), BasicProperties::with_message_id);
    let kept = put(kept, given.timestamp(), BasicProperties::with_timestamp);
    let kept = put(kept, given.kind(), BasicProperties::with_type);
    let kept = put(kept, given.app_id(), BasicProperties::with_app_id);
    put(kept, given.cluster_id(), BasicProperties::with_cluster_id)
}

/// A message to be published.
#[derive(Clone, PartialEq, Debug)]
pub struct Outgoing {
    /// To which exchange.
    pub exchange: String,
    /// Under which routing key, at most [`ROUTING_KEY_BYTES_MAX`] bytes.
    pub routing_key: String,
    /// With which properties.
    pub properties: BasicProperties,
    /// The body.
    pub body: Bytes,
    /// Whether it is a failure when no queue takes it.
    pub mandatory: bool,
}

impl Outgoing {
    /// An event of a workspace, as the contract's section 2 has it. `id` may be left to the body's `event_id`.
    pub fn event(
        exchange: &str,
        workspace: &WorkspaceId,
        event_type: &EventType,
        id: Option<&EventId>,
        body: Bytes,
    ) -> Self {
        let mut message = Self::json(exchange, event_type.as_str(), body);
        message.mandatory = true;
        if let Some(id) = id {
            message = message.with_message_id(id.as_str());
        }
        message.with_header(WORKSPACE_HEADER, workspace.as_str())
    }

    /// Something that happened, for [`OUTCOMES`]: nobody has to listen.
    pub fn outcome(kind: &str, message_id: &str, body: Bytes) -> Self {
        Self::json(OUTCOMES, kind, body).with_message_id(message_id)
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let mut headers = self.properties.headers().clone().unwrap_or_default();
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
        self.properties = self.properties.with_headers(headers);
        self
    }

    fn with_message_id(mut self, id: &str) -> Self {
        self.properties = self.properties.with_message_id(id.into());
        self
    }

    fn json(exchange: &str, routing_key: &str, body: Bytes) -> Self {
        let properties =
            BasicProperties::default().with_delivery_mode(PERSISTENT).with_content_type("application/json".into());
        let (exchange, routing_key) = (exchange.to_owned(), routing_key.to_owned());
        Self { exchange, routing_key, properties, body, mandatory: false }
    }
}

/// Why the broker did not do something, or may not have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BrokerError {
    /// The connection or the channel is gone, or the server ended the subscription.
    #[error("RabbitMQ cannot be reached: {0}")]
    Unavailable(String),
    /// RabbitMQ refuses, and will until somebody changes something there.
    #[error("RabbitMQ refuses: {0}")]
    Refused(String),
    /// A mandatory message that no queue takes.
    #[error("no queue takes what is published to the exchange {0}; `recadero topology` declares what is missing")]
    Unroutable(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::event::RejectReason;

    #[test]
    fn a_rejected_message_keeps_its_properties_and_carries_two_of_them_as_headers() {
        let given = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_delivery_mode(PERSISTENT)
            .with_priority(3)
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_message_id("m".into())
            .with_timestamp(7)
            .with_type("t".into())
            .with_app_id("a".into())
            .with_cluster_id("k".into())
            .with_content_encoding("gzip".into());
        let message = Message {
            tag: Tag(1),
            routing_key: "message.sent".to_owned(),
            properties: given.clone().with_user_id("upstream".into()).with_expiration("60000".into()),
            body: Bytes::from_static(b"{"),
            redelivered: false,
        };
        let rejected = message.rejected(&RejectReason::NotJson.because("it ends too soon"));
        let headers = rejected.properties.headers().clone().unwrap();
        assert_eq!(rejected.properties, given.with_headers(headers.clone()));
        let header = |name| headers.inner().get(name).and_then(AMQPValue::as_long_string).map(ToString::to_string);
        assert_eq!(header(USER_HEADER).as_deref(), Some("upstream"));
        assert_eq!(header(EXPIRATION_HEADER).as_deref(), Some("60000"));
        assert_eq!(header(REASON_HEADER).as_deref(), Some("not_json"));
    }
}
