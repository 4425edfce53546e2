//! The status line of a response whose head is still on its way.
//!
//! An attempt's limit ends at the status line (contract, sections 1 and 3), but hyper tells of a response only when its
//! whole head is there. So every HTTP/1 connection remembers the status that it last heard, above TLS, for the attempt
//! that comes to its limit meanwhile, or whose head breaks off. Over HTTP/2 there is no such line: a head comes as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use hyper_util::client::legacy::connect::{CaptureConnection, Connected, capture_connection};

use super::heard::Ear;

/// As much of a status line as tells the status: `HTTP/1.1 200`.
const TELLING_BYTES: usize = 12;

/// The status of the last response of a connection; 0 before its line has ended.
#[derive(Clone, Default)]
struct Status(Arc<AtomicU16>);

/// Listens for status lines.
#[derive(Default)]
pub struct StatusEar {
    status: Status,
    at: At,
    /// The beginning of the line that is read.
    line: Vec<u8>,
}

/// Where in a response what comes next belongs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum At {
    #[default]
    StatusLine,
    /// A header of an informational response, before the one that is waited for.
    Informational,
    /// Behind a status line that counts, or in what is no HTTP/1.
    Behind,
}

impl Ear for StatusEar {
    fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                _ if self.at == At::Behind => return,
                b'\n' => self.end_line(),
                _ if self.line.len() < TELLING_BYTES => self.line.push(*byte),
                _ => {}
            }
        }
    }

    fn forget(&mut self) {
        self.status.0.store(0, Ordering::Relaxed);
        self.at = At::StatusLine;
        self.line.clear();
    }

    fn introduce(&self, connected: Connected) -> Connected {
        connected.extra(self.status.clone())
    }
}

impl StatusEar {
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.at = match (self.at, status(&line)) {
            (At::Informational, _) if matches!(line.as_slice(), b"" | b"\r") => At::StatusLine,
            (At::Informational, _) => At::Informational,
            (_, Some(100..=199)) => At::Informational,
            (_, status) => {
                self.status.0.store(status.unwrap_or(0), Ordering::Relaxed);
                At::Behind
            }
        };
        self.line = line;
        self.line.clear();
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let digits = line.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    let plain = digits.len() == 3 && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// The connection that a request is given.
pub struct Given(CaptureConnection);

impl Given {
    /// Watches for the connection of a request that is about to be sent.
    pub fn to<B>(request: &mut http::Request<B>) -> Self {
        Self(capture_connection(request))
    }

    /// The status that was heard there since something was last sent.
    pub fn status(&self) -> Option<u16> {
        let mut extras = http::Extensions::new();
        self.0.connection_metadata().as_ref()?.get_extras(&mut extras);
        let status = extras.get::<Status>()?.0.load(Ordering::Relaxed);
        (status > 0).then_some(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(ear: &mut StatusEar, text: &str) -> u16 {
        // In pieces, as it may come.
        text.as_bytes().chunks(5).for_each(|piece| ear.hear(piece));
        ear.status.0.load(Ordering::Relaxed)
    }

    #[test]
    fn a_status_counts_once_its_line_has_ended() {
        let mut ear = StatusEar::default();
        assert_eq!(heard(&mut ear, "HTTP/1.1 200 All is w"), 0);
        assert_eq!(heard(&mut ear, "ell\r\nX: y"), 200);
        assert_eq!(heard(&mut ear, "\r\n\r\nHTTP/1.1 500 Z\r\n"), 200, "a body is no status line");
        ear.forget();
        assert_eq!(heard(&mut ear, ""), 0);
        assert_eq!(heard(&mut ear, "HTTP/1.0 204\n"), 204);
    }

    #[test]
    fn informational_responses_are_waited_out() {
        let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: HTTP/1.1 200\r\n";
        let mut ear = StatusEar::default();
        assert_eq!(heard(&mut ear, early), 0);
        assert_eq!(heard(&mut ear, "\r\nHTTP/1.1 200 OK\r\n"), 200);
    }

    #[test]
    fn what_is_no_status_line_has_no_status() {
        for text in
            ["SMTP ready\r\n", "HTTP/2 200 OK\r\n", "HTTP/1.1 20\r\n", "HTTP/1.1 +20\r\n", "\r\nHTTP/1.1 200 OK\r\n"]
        {
            assert_eq!(heard(&mut StatusEar::default(), text), 0, "{text:?}");
        }
    }
}
