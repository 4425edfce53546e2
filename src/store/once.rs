//! Short texts that are kept for a time: what must count only once, such as idempotency keys and one-time codes.
//!
//! One pair of operations for all of them, since they have one rule: the first to say it counts. A name is a digest, so
//! that neither a key of a client's nor a code can be read from the store.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::Result;

/// Texts that are kept under a name for a time.
#[async_trait]
pub trait Once: Send + Sync {
    /// Keeps a text for a span, unless there is one of that name: then answers with that one, and nothing changes.
    async fn keep(&self, name: &OnceName, text: &str, span: Duration) -> Result<Option<String>>;

    /// Takes a text away; `None` when there is none, or its span is over. Only one of several callers gets it.
    async fn take(&self, name: &OnceName) -> Result<Option<String>>;
}

/// What a text is kept under: a digest in hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OnceName(String);

impl OnceName {
    /// The name made of these parts, which no other parts have. The first says what kind of thing it is.
    pub fn of(parts: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(format!("{:x}", digest.finalize()))
    }

    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OnceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_parts_are_another_name() {
        let name = OnceName::of(&["key", "acme", "1"]);
        assert_eq!(name.as_str().len(), 64);
        for other in [&["key", "acme1", ""][..], &["key", "acm", "e1"], &["keyacme1"], &["code", "acme", "1"]] {
            assert_ne!(OnceName::of(other), name, "{other:?}");
        }
        assert_eq!(OnceName::of(&["key", "acme", "1"]), name);
    }
}
