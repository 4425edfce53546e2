//! Another reading of JSON, for comparison: serde_json checks the grammar and the strings, and what it does not tell (keys
//! twice, their order, the depth, numbers as written) is seen by taking the document apart level by level.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Objects and arrays within each other (contract, section 2).
const NESTING_MAX: usize = 128;

#[derive(Clone, PartialEq, Debug)]
pub enum Tree {
    Object(Vec<(String, Tree)>),
    Array(Vec<Tree>),
    Text(String),
    /// A number as it was written.
    Number(String),
    /// `true`, `false`, `null`.
    Word(String),
}

/// Members in their order, one that is there twice twice.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl Tree {
    /// Reads a document; `None` where it must be refused.
    pub fn read(body: &[u8]) -> Option<Self> {
        let whole: &RawValue = serde_json::from_slice(body).ok()?;
        Self::of(whole.get(), 0)
    }

    fn of(text: &str, depth: usize) -> Option<Self> {
        match text.as_bytes()[0] {
            b'{' | b'[' if depth == NESTING_MAX => None,
            b'{' => {
                let Members(members) = serde_json::from_str(text).ok()?;
                let read = |(key, value): (String, Box<RawValue>)| Some((key, Self::of(value.get(), depth + 1)?));
                let members: Vec<_> = members.into_iter().map(read).collect::<Option<_>>()?;
                let mut keys: Vec<_> = members.iter().map(|(key, _)| key).collect();
                keys.sort();
                keys.windows(2).all(|pair| pair[0] != pair[1]).then_some(())?;
                Some(Self::Object(members))
            }
            b'[' => {
                let elements: Vec<Box<RawValue>> = serde_json::from_str(text).ok()?;
                elements
                    .iter()
                    .map(|element| Self::of(element.get(), depth + 1))
                    .collect::<Option<_>>()
                    .map(Self::Array)
            }
            b'"' => serde_json::from_str(text).ok().map(Self::Text),
            b'-' | b'0'..=b'9' => Some(Self::Number(text.to_owned())),
            _ => Some(Self::Word(text.to_owned())),
        }
    }

    /// Compact, with no escapes but the needed ones.
    pub fn written(&self) -> String {
        let list = |open, parts: Vec<String>, close| format!("{open}{}{close}", parts.join(","));
        match self {
            Self::Object(members) => {
                let member = |(key, value): &(String, Self)| format!("{}:{}", quoted(key), value.written());
                list('{', members.iter().map(member).collect(), '}')
            }
            Self::Array(elements) => list('[', elements.iter().map(Self::written).collect(), ']'),
            Self::Text(text) => quoted(text),
            Self::Number(text) | Self::Word(text) => text.clone(),
        }
    }

    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Word(word) if word == "null")
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}
