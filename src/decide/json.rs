//! The published JSON: checked strictly, written compact, in one walk over the bytes (contract, sections 2 and 3).
//!
//! A receiver verifies a signature over the very bytes it gets, and its parser may be any. So what leaves here is
//! JSON that every parser reads alike: RFC 8259, UTF-8, no key twice, no lone surrogates, bounded nesting. And it
//! is the publisher's own: keys in their order, numbers byte for byte as they were written. A general value tree
//! (`serde_json::Value`) was rejected for that: it loses digits of long numbers, keeps the last of two equal keys
//! without a word, and allocates for each key and string of each event. Here the document is copied run by run
//! into one buffer, and the few members that the router needs are remembered as places in it.

use std::borrow::Cow;
use std::ops::Range;

use walk::Walk;

mod walk;

/// How deep objects and arrays may be nested (contract, section 2: `not_json` over 128). It bounds the recursion.
pub const NESTING_MAX: usize = 128;

/// Checks a document and writes it compact. What is compact already comes out as it went in.
pub fn compact(body: &[u8]) -> Result<Document, JsonError> {
    let text = std::str::from_utf8(body).map_err(|e| Fault::NotUtf8.at(e.valid_up_to()))?;
    Walk::over(text)
}

/// A checked document in its compact form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    compact: String,
    is_object: bool,
    wanted: Wanted,
}

/// A member of the document, as far as the router wants to know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Field<'a> {
    /// There is no such member.
    Absent,
    /// `null`.
    Null,
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// A number, as it was written.
    Number(&'a str),
    /// `true`, `false`, an array or an object.
    Other,
}

/// Why a document was refused, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{fault} at byte {at}")]
pub struct JsonError {
    /// What is wrong.
    pub fault: Fault,
    /// The offset of the byte at fault, counted from 0.
    pub at: usize,
}

/// What can be wrong with a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// Bytes that are no UTF-8.
    #[error("invalid UTF-8")]
    NotUtf8,
    /// The document stops before its value does.
    #[error("unexpected end")]
    Ended,
    /// No value where one has to be.
    #[error("expected a value")]
    NoValue,
    /// No key where one has to be.
    #[error("expected a key in double quotes")]
    NoKey,
    /// A key without a value.
    #[error("expected ':'")]
    NoColon,
    /// A member that neither another one nor the object's end follows.
    #[error("expected ',' or '}}'")]
    NoCommaInObject,
    /// An element that neither another one nor the array's end follows.
    #[error("expected ',' or ']'")]
    NoCommaInArray,
    /// A number without a digit where one has to be.
    #[error("expected a digit")]
    NoDigit,
    /// An escape that JSON does not have.
    #[error("unknown escape in a string")]
    UnknownEscape,
    /// Half of a surrogate pair, which is no character.
    #[error("lone surrogate in a string")]
    LoneSurrogate,
    /// A control character that is not escaped.
    #[error("control character in a string")]
    ControlCharacter,
    /// A key that its object has already; escapes do not make it another one.
    #[error("the same key twice in one object")]
    KeyTwice,
    /// More than [`NESTING_MAX`] objects and arrays within each other.
    #[error("nesting over {NESTING_MAX}")]
    TooDeep,
    /// Something behind the value.
    #[error("expected the end")]
    Behind,
}

impl Fault {
    fn at(self, at: usize) -> JsonError {
        JsonError { fault: self, at }
    }
}

impl Document {
    /// Whether the document is an object. The fields of any other are absent.
    pub fn is_object(&self) -> bool {
        self.is_object
    }

    /// The object's `event_id`.
    pub fn event_id(&self) -> Field<'_> {
        self.field(&self.wanted.event_id)
    }

    /// The object's `event_type`.
    pub fn event_type(&self) -> Field<'_> {
        self.field(&self.wanted.event_type)
    }

    /// The `id` of the object's `contact`.
    pub fn contact_id(&self) -> Field<'_> {
        self.field(&self.wanted.contact_id)
    }

    /// The object's bytes, with `event_type` and then `event_id` as last members where it has none.
    ///
    /// An `event_id` that is `null` gives way to the id in its place: a second one would be a key twice.
    pub fn complete(mut self, event_type: &str, event_id: &str) -> Box<[u8]> {
        debug_assert!(self.is_object);
        if self.wanted.event_type.is_none() {
            self.add("event_type", event_type);
        }
        match self.wanted.event_id.take() {
            None => self.add("event_id", event_id),
            Some(Found { kind: Kind::Null, place }) => {
                let mut quoted = String::with_capacity(event_id.len() + 2);
                push_quoted(&mut quoted, event_id);
                self.compact.replace_range(place, &quoted);
            }
            Some(_) => {}
        }
        // A published document may be mostly whitespace: what is kept is no larger than what is delivered.
        self.compact.into_boxed_str().into()
    }

    /// The compact form as it is.
    pub fn as_str(&self) -> &str {
        &self.compact
    }

    fn add(&mut self, key: &str, value: &str) {
        let brace = self.compact.pop();
        debug_assert_eq!(brace, Some('}'));
        if self.compact.len() > 1 {
            self.compact.push(',');
        }
        push_quoted(&mut self.compact, key);
        self.compact.push(':');
        push_quoted(&mut self.compact, value);
        self.compact.push('}');
    }

    fn field(&self, found: &Option<Found>) -> Field<'_> {
        let Some(Found { kind, place }) = found else { return Field::Absent };
        let written = &self.compact[place.clone()];
        match kind {
            Kind::Null => Field::Null,
            Kind::Text => Field::Text(unquote(written)),
            Kind::Number => Field::Number(written),
            Kind::Other => Field::Other,
        }
    }
}

/// The members that the router wants, as places in the compact form.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Wanted {
    event_id: Option<Found>,
    event_type: Option<Found>,
    contact_id: Option<Found>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Found {
    kind: Kind,
    place: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Null,
    Text,
    Number,
    Other,
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    text.chars().for_each(|character| push_escaped(out, character));
    out.push('"');
}

/// Writes a character of a string with no escape beyond JSON's own need, and that one in its shortest form.
fn push_escaped(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0'..='\u{1f}' => {
            out.push_str("\\u00");
            out.push(if character < '\u{10}' { '0' } else { '1' });
            out.push(char::from(b"0123456789abcdef"[character as usize % 16]));
        }
        _ => out.push(character),
    }
}

fn unquote(written: &str) -> Cow<'_, str> {
    if written.contains('\\') {
        Cow::Owned(serde_json::from_str(written).expect("a string that was written here is JSON"))
    } else {
        Cow::Borrowed(&written[1..written.len() - 1])
    }
}

#[cfg(test)]
mod tests;
