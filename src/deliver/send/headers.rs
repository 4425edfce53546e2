//! The headers of a POST (contract, section 3).
//!
//! All values of one attempt are written into one buffer and cut from it, so that eleven headers cost two
//! allocations.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::own::OwnHeaders;
use crate::decide::ids::{EventId, EventType};
pub use crate::decide::trace::Traceparent;
use crate::deliver::sign::{SIGNATURE_BYTES, Secret};

/// HMAC of the body, by the endpoint's secret as text.
pub const X_WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("x-webhook-signature");
/// The event type.
pub const X_WEBHOOK_EVENT: HeaderName = HeaderName::from_static("x-webhook-event");
/// 1, 2, 3 or 4.
pub const X_WEBHOOK_ATTEMPT: HeaderName = HeaderName::from_static("x-webhook-attempt");
/// `true` on resent and recovered events.
pub const X_WEBHOOK_RESEND: HeaderName = HeaderName::from_static("x-webhook-resend");
/// Standard Webhooks: the event's id.
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// Standard Webhooks: Unix seconds of this attempt.
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// Standard Webhooks: the signatures.
pub const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The headers that an endpoint cannot set for itself.
pub const OURS: [HeaderName; 10] = [
    CONTENT_TYPE,
    USER_AGENT,
    X_WEBHOOK_SIGNATURE,
    X_WEBHOOK_EVENT,
    X_WEBHOOK_ATTEMPT,
    X_WEBHOOK_RESEND,
    WEBHOOK_ID,
    WEBHOOK_TIMESTAMP,
    WEBHOOK_SIGNATURE,
    TRACEPARENT,
];

/// `User-Agent`.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("Recadero/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// Room for what is not the id, the type and the signatures: digits, a traceparent.
const SMALL_VALUES_BYTES: usize = 96;

/// One attempt, as its headers describe it.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The event's id.
    pub event: &'a EventId,
    /// Its type.
    pub event_type: &'a EventType,
    /// 1, 2, 3, 4.
    pub attempt: u32,
    /// When the attempt begins, since the Unix epoch.
    pub at: Duration,
    /// The bytes that are sent.
    pub body: &'a [u8],
    /// The endpoint's secrets, the newest first: two for 24 h after a rotation.
    pub secrets: &'a [Secret],
    /// This attempt's own span (see [`Traceparent::attempt`]), when the publisher sent a traceparent.
    pub traceparent: Option<Traceparent>,
    /// The endpoint's own headers.
    pub own: &'a OwnHeaders,
    /// Whether the event was resent or recovered.
    pub resend: bool,
}

/// All headers but those that HTTP itself needs (`Host`, `Content-Length`).
pub fn build(outgoing: &Outgoing<'_>) -> HeaderMap {
    let Outgoing { event, event_type, attempt, at, body, secrets, traceparent, own, resend } = *outgoing;
    let signatures_bytes = (secrets.len() + 1) * (SIGNATURE_BYTES + "v1, ".len());
    let text_bytes = event.as_str().len() + event_type.as_str().len() + signatures_bytes + SMALL_VALUES_BYTES;
    let mut text = BytesMut::with_capacity(text_bytes);
    let mut headers = HeaderMap::with_capacity(OURS.len() + 1 + own.len());

    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(USER_AGENT, AGENT);
    // Some receivers refuse a request that does not say so.
    headers.insert(ACCEPT, ANYTHING);
    if let Some(newest) = secrets.first() {
        text.put_slice(newest.sign_body(body).as_bytes());
        headers.insert(X_WEBHOOK_SIGNATURE, cut(&mut text));
    }
    text.put_slice(event.as_str().as_bytes());
    headers.insert(WEBHOOK_ID, cut(&mut text));
    write!(text, "{}", at.as_secs()).expect("a buffer takes all text");
    let timestamp = cut(&mut text);
    let seconds = timestamp.to_str().expect("digits are ASCII");
    for signature in secrets.iter().filter_map(|secret| secret.sign_standard(event.as_str(), seconds, body)) {
        let separator: &[u8] = if text.is_empty() { b"v1," } else { b" v1," };
        text.put_slice(separator);
        text.put_slice(signature.as_bytes());
    }
    if !text.is_empty() {
        headers.insert(WEBHOOK_SIGNATURE, cut(&mut text));
    }
    headers.insert(WEBHOOK_TIMESTAMP, timestamp);
    text.put_slice(event_type.as_str().as_bytes());
    headers.insert(X_WEBHOOK_EVENT, cut(&mut text));
    headers.insert(X_WEBHOOK_ATTEMPT, HeaderValue::from(attempt));
    if let Some(span) = traceparent {
        write!(text, "{span}").expect("a buffer takes all text");
        headers.insert(TRACEPARENT, cut(&mut text));
    }
    if resend {
        headers.insert(X_WEBHOOK_RESEND, TRUE);
    }
    for (name, value) in own.iter() {
        headers.insert(name.clone(), value.clone());
    }
    headers
}

/// What has been written since the last cut.
fn cut(text: &mut BytesMut) -> HeaderValue {
    HeaderValue::from_maybe_shared(text.split().freeze())
        .expect("ids and types were checked when they came in, the rest is ASCII of ours")
}

#[cfg(test)]
mod tests;
