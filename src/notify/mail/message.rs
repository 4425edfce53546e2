//! A letter as a message of RFC 5322. Header injection is impossible: every value is a type that lettre encodes.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};

use super::Letter;
use crate::decide::notice::Notice;

/// Whom e-mails are from: `RECADERO_MAIL_FROM`, as `name@host` or `Name <name@host>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sender(Mailbox);

impl Sender {
    /// Reads it; `None` when it is anything else, or when its address is not one that every server takes.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, address)) => (Some(name.trim().trim_matches('"').to_owned()), address),
            None => (None, text),
        };
        let address = address_of_ascii(address)?;
        let clean = |name: &String| !name.is_empty() && !name.contains(|c: char| c.is_control() || "<>\"".contains(c));
        if !name.as_ref().is_none_or(clean) {
            return None;
        }
        Some(Self(Mailbox::new(name, address)))
    }

    /// The address alone.
    pub fn address(&self) -> &Address {
        &self.0.email
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads a recipient's address, its domain as the DNS knows it; `None` for what SMTP cannot carry.
pub fn address(text: &str) -> Option<Address> {
    let (local, domain) = text.rsplit_once('@')?;
    let domain = if domain.is_ascii() { domain.to_owned() } else { url::Host::parse(domain).ok()?.to_string() };
    Address::new(local, domain).ok()
}

fn address_of_ascii(text: &str) -> Option<Address> {
    address(text).filter(|address| AsRef::<str>::as_ref(address).is_ascii())
}

/// Writes the message. It is the notice's own, whenever and by whomever it is sent: `Message-ID` and `Date` never change.
pub fn write(notice: &Notice, from: &Sender, to: &[Address], letter: &Letter) -> Vec<u8> {
    let id = format!("<{}@{}>", notice.id, from.address().domain());
    // RFC 3834: no out-of-office replies to this.
    let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let mut message = Message::builder()
        .from(from.0.clone())
        .message_id(Some(id))
        .date(UNIX_EPOCH + Duration::from_millis(notice.at_ms))
        .subject(letter.subject.as_str())
        .raw_header(automatic);
    for address in to {
        message = message.to(address.clone().into());
    }
    let body = MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone());
    message.multipart(body).expect("there are a sender and recipients").formatted()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_an_address_with_or_without_a_name() {
        let shown = |text| Sender::parse(text).map(|sender| sender.address().to_string());
        assert_eq!(shown("hooks@example.com").as_deref(), Some("hooks@example.com"));
        assert_eq!(shown("Acme, Inc. <hooks@example.com>").as_deref(), Some("hooks@example.com"));
        assert_eq!(shown("\"Webhooks\" <hooks@münchen.example>").as_deref(), Some("hooks@xn--mnchen-3ya.example"));
        for wrong in
            ["a", "<a@b.example", "a@b.example, c@d.example", "josé@b.example", "A\r\nBcc: x@y.z <a@b.example>"]
        {
            assert_eq!(shown(wrong), None, "{wrong:?}");
        }
    }
}
