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

/// How deep objects and arrays may be nested (contract, section 2: `not_json` over 128). It bounds the recursion.
pub const NESTING_MAX: usize = 128;

/// Room for the members that may be added to a document, so that adding them seldom moves it.
const ADDED_BYTES: usize = 128;

/// Checks a document and writes it compact. What is compact already comes out as it went in.
pub fn compact(body: &[u8]) -> Result<Document, JsonError> {
    let text = std::str::from_utf8(body).map_err(|e| Fault::NotUtf8.at(e.valid_up_to()))?;
    let mut walk = Walk {
        text,
        at: 0,
        out: String::with_capacity(text.len() + ADDED_BYTES),
        keys: Vec::new(),
        wanted: Wanted::default(),
    };
    walk.skip_whitespace();
    let is_object = walk.peek() == Some(b'{');
    walk.value(0, Place::Top)?;
    walk.skip_whitespace();
    match walk.peek() {
        None => Ok(Document { compact: walk.out, is_object, wanted: walk.wanted }),
        Some(_) => Err(Fault::Behind.at(walk.at)),
    }
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

/// Where in the document a value is: only two objects hold wanted members.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Contact,
    Elsewhere,
}

/// A key of an object that is still open: where it was read, and where it is written.
struct Key {
    at: usize,
    written: Range<usize>,
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    out: String,
    /// The keys of all open objects, the innermost object's last.
    keys: Vec<Key>,
    wanted: Wanted,
}

impl Walk<'_> {
    fn value(&mut self, depth: usize, place: Place) -> Result<Kind, JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(|()| Kind::Text),
            Some(b'{' | b'[') if depth == NESTING_MAX => Err(Fault::TooDeep.at(self.at)),
            Some(b'{') => self.object(depth + 1, place).map(|()| Kind::Other),
            Some(b'[') => self.array(depth + 1).map(|()| Kind::Other),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Kind::Number),
            Some(b't') => self.word("true").map(|()| Kind::Other),
            Some(b'f') => self.word("false").map(|()| Kind::Other),
            Some(b'n') => self.word("null").map(|()| Kind::Null),
            _ => Err(self.missing(Fault::NoValue)),
        }
    }

    fn object(&mut self, depth: usize, place: Place) -> Result<(), JsonError> {
        let outer_keys = self.keys.len();
        self.copy(1);
        self.skip_whitespace();
        if self.peek() == Some(b'}') {
            self.copy(1);
            return Ok(());
        }
        loop {
            self.member(depth, place)?;
            self.skip_whitespace();
            match self.peek() {
                Some(b',') => self.copy(1),
                Some(b'}') => break,
                _ => return Err(self.missing(Fault::NoCommaInObject)),
            }
            self.skip_whitespace();
        }
        self.copy(1);
        self.close_keys(outer_keys)
    }

    fn member(&mut self, depth: usize, place: Place) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.missing(Fault::NoKey));
        }
        let (at, start) = (self.at, self.out.len());
        self.string()?;
        let key = start..self.out.len();
        self.keys.push(Key { at, written: key.clone() });
        self.skip_whitespace();
        if self.peek() != Some(b':') {
            return Err(self.missing(Fault::NoColon));
        }
        self.copy(1);
        self.skip_whitespace();

        let inside = match (place, &self.out[key.clone()]) {
            (Place::Top, r#""contact""#) => Place::Contact,
            _ => Place::Elsewhere,
        };
        let start = self.out.len();
        let kind = self.value(depth, inside)?;
        let wanted = match (place, &self.out[key]) {
            (Place::Top, r#""event_id""#) => &mut self.wanted.event_id,
            (Place::Top, r#""event_type""#) => &mut self.wanted.event_type,
            (Place::Contact, r#""id""#) => &mut self.wanted.contact_id,
            _ => return Ok(()),
        };
        *wanted = Some(Found { kind, place: start..self.out.len() });
        Ok(())
    }

    /// Forgets the innermost object's keys, unless two are the same.
    ///
    /// Equal keys are written alike whatever their escapes were, so sorting what is written brings them together:
    /// no allocation, and n log n for an object that is nothing but keys. A hash set would want both.
    fn close_keys(&mut self, outer_keys: usize) -> Result<(), JsonError> {
        let out = &self.out;
        let keys = &mut self.keys[outer_keys..];
        keys.sort_unstable_by(|a, b| {
            // Most keys differ in length, which is cheaper to see.
            let by_length = a.written.len().cmp(&b.written.len());
            by_length.then_with(|| out[a.written.clone()].cmp(&out[b.written.clone()])).then(a.at.cmp(&b.at))
        });
        let same = keys.windows(2).filter(|pair| out[pair[0].written.clone()] == out[pair[1].written.clone()]);
        match same.map(|pair| pair[1].at).min() {
            Some(at) => Err(Fault::KeyTwice.at(at)),
            None => {
                self.keys.truncate(outer_keys);
                Ok(())
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        self.copy(1);
        self.skip_whitespace();
        if self.peek() == Some(b']') {
            self.copy(1);
            return Ok(());
        }
        loop {
            self.value(depth, Place::Elsewhere)?;
            self.skip_whitespace();
            match self.peek() {
                Some(b',') => self.copy(1),
                Some(b']') => break,
                _ => return Err(self.missing(Fault::NoCommaInArray)),
            }
            self.skip_whitespace();
        }
        self.copy(1);
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        // What is plain is copied with the quotes around it, at once.
        let mut copied = self.at;
        self.at += 1;
        loop {
            let plain = self.rest().iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            self.at += plain.ok_or(Fault::Ended.at(self.text.len()))?;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    self.out.push_str(&self.text[copied..self.at]);
                    return Ok(());
                }
                Some(b'\\') => {
                    self.out.push_str(&self.text[copied..self.at]);
                    let character = self.escape()?;
                    push_escaped(&mut self.out, character);
                    copied = self.at;
                }
                _ => return Err(Fault::ControlCharacter.at(self.at)),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        self.at += 1;
        let character = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(start),
            _ => return Err(self.missing(Fault::UnknownEscape)),
        };
        self.at += 1;
        Ok(character)
    }

    /// Reads the rest of a `\u` escape, and the second half of its pair when it is the first.
    fn code_point(&mut self, start: usize) -> Result<char, JsonError> {
        let first = self.code_unit()?;
        let paired = (0xd800..0xdc00).contains(&first) && self.rest().starts_with(b"\\u");
        let code = if paired {
            self.at += 1;
            let second = self.code_unit()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(Fault::LoneSurrogate.at(start));
            }
            0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or(Fault::LoneSurrogate.at(start))
    }

    /// Reads `uXXXX`.
    fn code_unit(&mut self) -> Result<u32, JsonError> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.missing(Fault::UnknownEscape))?;
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.skip_if(|byte| byte == b'-');
        // A zero stands alone: "01" is a zero and something behind it.
        if !self.skip_if(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.skip_if(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.skip_if(|byte| matches!(byte, b'e' | b'E')) {
            self.skip_if(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        self.out.push_str(&self.text[start..self.at]);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.skip_if(|byte| byte.is_ascii_digit()) {
            return Err(self.missing(Fault::NoDigit));
        }
        while self.skip_if(|byte| byte.is_ascii_digit()) {}
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), JsonError> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(Fault::NoValue.at(self.at));
        }
        self.copy(word.len());
        Ok(())
    }

    /// The fault, or that the document ended where something was missing.
    fn missing(&self, fault: Fault) -> JsonError {
        let fault = if self.peek().is_none() { Fault::Ended } else { fault };
        fault.at(self.at)
    }

    fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_if(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let found = self.peek().is_some_and(wanted);
        self.at += usize::from(found);
        found
    }

    fn skip_whitespace(&mut self) {
        while self.skip_if(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {}
    }

    fn copy(&mut self, length: usize) {
        self.out.push_str(&self.text[self.at..self.at + length]);
        self.at += length;
    }
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
