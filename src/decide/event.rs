//! From a message to an event: every check of the contract's section 2, in its order, and the body that is delivered.
//!
//! All of it happens here, before anything is stored, so that a message that can never be delivered is refused with
//! a reason a person understands, and so that nothing behind this module meets an unchecked name. The checks are
//! one straight function rather than a chain of validators: their order is a promise, and is read off it.
//!
//! Where the contract leaves room:
//! - An empty `message_id` property is none: clients write one where they have nothing to say.
//! - An `event_id` that is `null` is none; any other that is no string is `invalid_event_id`. The empty string is
//!   an id, and not a valid one.
//! - An `event_type` that is no string, `null` included, differs from the routing key: `event_type_mismatch`.
//! - A `workspace_id` header that is empty, or neither text nor integer, is there but `invalid_workspace_id`.
//! - A contact is a hint for the order and never a reason to refuse: an empty or odd `contact_id` header is none, and
//!   the body is asked; a contact that is neither text nor number is no contact. `1` and `"1"` are the same one.
//! - A `traceparent` that is not W3C's is none; one of a later version is kept as far as the first knows it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::decide::event_types::EventTypes;
use crate::decide::ids::{ContactHash, EventId, EventType, WorkspaceId};
use crate::decide::json::{self, Document, Field};
use crate::decide::trace::Traceparent;

/// How much of a publisher's own text a detail quotes.
const QUOTED_CHARS_MAX: usize = 48;

/// A message as RabbitMQ or HTTP brought it, before anything is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Published<'a> {
    /// The event type, by the contract.
    pub routing_key: &'a str,
    /// One JSON object, by the contract.
    pub body: &'a [u8],
    /// The property `message_id`.
    pub message_id: Option<&'a str>,
    /// The header `workspace_id`.
    pub workspace_id: Header<'a>,
    /// The header `contact_id`.
    pub contact_id: Header<'a>,
    /// The header `traceparent`.
    pub traceparent: Option<&'a str>,
}

/// A header of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header<'a> {
    /// Not there.
    Absent,
    /// UTF-8 text.
    Text(&'a str),
    /// An integer, taken as its decimal string.
    Integer(i64),
    /// Anything else: bytes that are no UTF-8, a table, a float.
    Other,
}

/// A checked event, as it is stored and delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The publisher's id for it.
    pub id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Whom it is about: with several lanes, the order holds per contact.
    pub contact: Option<ContactHash>,
    /// The publisher's trace, when it is a valid one, in W3C's form of version 00.
    pub traceparent: Option<Arc<str>>,
    /// The delivered body: compact JSON, with `event_type` and `event_id` added last where they were absent.
    pub body: Bytes,
}

/// Why a message can never be delivered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// The header `recadero-reason`, and the metric's label.
    pub reason: RejectReason,
    /// The header `recadero-detail`: one line for a person, without control characters.
    pub detail: String,
}

/// The contract's reasons, in the order they are checked (section 2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RejectReason {
    /// More than `RECADERO_MAX_EVENT_BYTES`.
    TooLarge,
    /// The body is not JSON, or not UTF-8, has a key twice in one object, or is nested too deep.
    NotJson,
    /// The body is JSON, but not an object.
    NotAnObject,
    /// No header `workspace_id`.
    MissingWorkspaceId,
    /// A header `workspace_id` that names no workspace.
    InvalidWorkspaceId,
    /// Neither the property `message_id` nor the body's `event_id`.
    MissingEventId,
    /// The property `message_id` and the body's `event_id` are different.
    EventIdMismatch,
    /// An id of characters or a length that no id has.
    InvalidEventId,
    /// The body's `event_type` is not the routing key.
    EventTypeMismatch,
    /// A type that this installation does not accept.
    UnknownEventType,
    /// The store alone refuses it, again and again; found later than the others.
    StoreError,
}

impl RejectReason {
    /// All of them, in the contract's order.
    pub const ALL: [Self; 11] = [
        Self::TooLarge,
        Self::NotJson,
        Self::NotAnObject,
        Self::MissingWorkspaceId,
        Self::InvalidWorkspaceId,
        Self::MissingEventId,
        Self::EventIdMismatch,
        Self::InvalidEventId,
        Self::EventTypeMismatch,
        Self::UnknownEventType,
        Self::StoreError,
    ];

    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::MissingWorkspaceId => "missing_workspace_id",
            Self::InvalidWorkspaceId => "invalid_workspace_id",
            Self::MissingEventId => "missing_event_id",
            Self::EventIdMismatch => "event_id_mismatch",
            Self::InvalidEventId => "invalid_event_id",
            Self::EventTypeMismatch => "event_type_mismatch",
            Self::UnknownEventType => "unknown_event_type",
            Self::StoreError => "store_error",
        }
    }

    /// Why a message was refused, for this reason. Control characters in the detail become spaces.
    pub fn because(self, detail: impl Into<String>) -> Rejection {
        let mut detail = detail.into();
        if detail.contains(char::is_control) {
            detail = detail.replace(char::is_control, " ");
        }
        Rejection { reason: self, detail }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Checks a message and makes the event of it (contract, section 2).
///
/// `max_bytes` is `RECADERO_MAX_EVENT_BYTES`, of the body as it was published.
pub fn decode(published: &Published<'_>, types: &EventTypes, max_bytes: usize) -> Result<Event, Rejection> {
    let size = published.body.len();
    if size > max_bytes {
        return Err(RejectReason::TooLarge.because(format!("the body has {size} bytes, the limit is {max_bytes}")));
    }
    let document = json::compact(published.body)
        .map_err(|error| RejectReason::NotJson.because(format!("the body is not accepted as JSON: {error}")))?;
    if !document.is_object() {
        return Err(RejectReason::NotAnObject.because("the body is JSON, but not an object"));
    }
    let workspace = workspace(published.workspace_id)?;
    let id = event_id(published.message_id, document.event_id())?;
    let event_type = event_type(published.routing_key, document.event_type(), types)?;
    let contact = contact(published.contact_id, &document);
    let traceparent = published.traceparent.and_then(Traceparent::parse).map(|trace| trace.to_string().into());
    let body = Bytes::from(document.complete(event_type.as_str(), id.as_str()));
    Ok(Event { id, event_type, workspace, contact, traceparent, body })
}

fn workspace(header: Header<'_>) -> Result<WorkspaceId, Rejection> {
    let invalid = |what: String| {
        let rule = "a workspace is named by 1 to 128 of A-Z a-z 0-9 . _ -";
        RejectReason::InvalidWorkspaceId.because(format!("the header workspace_id is {what}; {rule}"))
    };
    match header {
        Header::Absent => Err(RejectReason::MissingWorkspaceId.because("there is no header workspace_id")),
        Header::Text(text) => WorkspaceId::parse(text).ok_or_else(|| invalid(quoted(text))),
        Header::Integer(number) => {
            let text = number.to_string();
            WorkspaceId::parse(&text).ok_or_else(|| invalid(quoted(&text)))
        }
        Header::Other => Err(invalid("neither text nor an integer".to_owned())),
    }
}

fn event_id(message_id: Option<&str>, in_body: Field<'_>) -> Result<EventId, Rejection> {
    let in_body = match &in_body {
        Field::Absent | Field::Null => None,
        Field::Text(text) => Some(text.as_ref()),
        Field::Number(_) | Field::Other => {
            return Err(RejectReason::InvalidEventId.because("the body's event_id is not a string"));
        }
    };
    let id = match (message_id.filter(|text| !text.is_empty()), in_body) {
        (None, None) => {
            let detail = "there is neither a property message_id nor an event_id in the body";
            return Err(RejectReason::MissingEventId.because(detail));
        }
        (Some(property), Some(id)) if property != id => {
            let detail = format!("the property message_id is {}, the body's event_id {}", quoted(property), quoted(id));
            return Err(RejectReason::EventIdMismatch.because(detail));
        }
        (_, Some(id)) | (Some(id), None) => id,
    };
    EventId::parse(id).ok_or_else(|| {
        let rule = "an id is 1 to 128 visible ASCII characters other than '.'";
        RejectReason::InvalidEventId.because(format!("the event's id is {}; {rule}", quoted(id)))
    })
}

fn event_type(routing_key: &str, in_body: Field<'_>, types: &EventTypes) -> Result<EventType, Rejection> {
    let differs = match &in_body {
        Field::Absent => None,
        Field::Text(text) if text == routing_key => None,
        Field::Text(text) => Some(quoted(text)),
        Field::Null | Field::Number(_) | Field::Other => Some("not a string".to_owned()),
    };
    if let Some(what) = differs {
        let detail = format!("the body's event_type is {what}, the routing key {}", quoted(routing_key));
        return Err(RejectReason::EventTypeMismatch.because(detail));
    }
    types.get(routing_key).cloned().ok_or_else(|| {
        let detail = format!("the event type {} is not one of those accepted here", quoted(routing_key));
        RejectReason::UnknownEventType.because(detail)
    })
}

fn contact(header: Header<'_>, document: &Document) -> Option<ContactHash> {
    match header {
        Header::Text(text) if !text.is_empty() => Some(ContactHash::of(text)),
        Header::Integer(number) => Some(ContactHash::of(&number.to_string())),
        Header::Absent | Header::Text(_) | Header::Other => match document.contact_id() {
            Field::Text(text) if !text.is_empty() => Some(ContactHash::of(&text)),
            Field::Number(number) => Some(ContactHash::of(number)),
            _ => None,
        },
    }
}

/// The beginning of a publisher's text, in quotes, with all that is not visible escaped.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?} and {} bytes more", &text[..end], text.len() - end),
    }
}

#[cfg(test)]
mod tests;
