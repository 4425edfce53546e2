//! Numbers for a script, many in one argument, as Lua's `struct.unpack` reads them: big-endian, as what the scripts store.
//!
//! Redis parses, allocates, hashes and frees each argument, and Lua reads each number out of its text: most of a commit's
//! arguments were numbers, and a tenth of what it cost Redis.

use std::time::Duration;

use bytes::Bytes;

/// An argument that is being packed.
#[derive(Debug, Default)]
pub(super) struct Packed(Vec<u8>);

impl Packed {
    pub fn new() -> Self {
        Self::default()
    }

    /// `I8`. Lua's numbers are exact to 2⁵³.
    pub fn u64(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// `I4`.
    pub fn u32(&mut self, number: u32) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// `I4`: how many there are of something, or which one it is; no call has room for more.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// `I8`: milliseconds.
    pub fn ms(&mut self, span: Duration) -> &mut Self {
        self.u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    /// `B`.
    pub fn flag(&mut self, yes: bool) -> &mut Self {
        self.0.push(yes.into());
        self
    }

    /// `c` and its length.
    pub fn chars(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// `s`: a text that holds no zero byte.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.chars(text);
        self.0.push(0);
        self
    }
}

impl From<Packed> for Bytes {
    fn from(packed: Packed) -> Self {
        packed.0.into()
    }
}
