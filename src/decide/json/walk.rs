//! The walk over a document: checks each byte and copies what is kept.
//!
//! By recursive descent, since [`NESTING_MAX`] bounds the depth and the code then reads as JSON's grammar does.

use std::ops::Range;

use super::{Document, Fault, Found, JsonError, Kind, NESTING_MAX, Wanted, push_escaped};

/// Room for the members that may be added to a document, so that adding them seldom moves it.
const ADDED_BYTES: usize = 128;

/// A document that is read, and its compact form as far as it is written.
pub(super) struct Walk<'a> {
    text: &'a str,
    at: usize,
    out: String,
    /// The keys of all open objects, the innermost object's last.
    keys: Vec<Key>,
    wanted: Wanted,
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

impl<'a> Walk<'a> {
    /// Walks over the whole document, from the whitespace before its value to that behind it.
    pub(super) fn over(text: &'a str) -> Result<Document, JsonError> {
        let mut walk = Self {
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
