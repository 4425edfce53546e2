//! The beginning of a response's body, for the log.
//!
//! More of the body is read than is kept, since a connection whose body was read to its end serves the next event.

use std::pin::Pin;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::Sleep;

/// How far a body is read (contract, section 3); the connection of a longer one is closed.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// How much of it is kept.
pub const EXCERPT_BYTES_MAX: usize = 1024;

/// Reads a body at most [`BODY_BYTES_MAX`] far and until the limit; an error only ends it.
pub async fn read<B>(body: B, mut limit: Pin<&mut Sleep>) -> String
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut body = body;
    let mut kept = Vec::new();
    let mut seen = 0;
    while seen < BODY_BYTES_MAX {
        let frame = tokio::select! {
            biased;
            // First, so that a body that is always ready cannot outrun it.
            () = limit.as_mut() => break,
            frame = body.frame() => frame,
        };
        let Some(Ok(frame)) = frame else { break };
        let Some(bytes) = frame.data_ref() else { continue };
        seen += bytes.len();
        let room = EXCERPT_BYTES_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    clean(&kept)
}

/// Text that can be shown on a terminal and in a page: line breaks and tabs as spaces, other control characters and
/// those that turn the direction of text left out, what is not UTF-8 as `�`. A character cut off at the end is left out.
pub fn clean(bytes: &[u8]) -> String {
    let whole = match std::str::from_utf8(bytes) {
        Err(cut) if cut.error_len().is_none() => &bytes[..cut.valid_up_to()],
        _ => bytes,
    };
    let visible = |c: char| match c {
        '\t' | '\n' | '\r' => Some(' '),
        c if c.is_control() => None,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => None,
        c => Some(c),
    };
    String::from_utf8_lossy(whole).chars().filter_map(visible).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::{Full, StreamBody};

    use super::*;

    async fn read_all<B: Body<Data = Bytes> + Unpin>(body: B) -> String {
        let limit = std::pin::pin!(tokio::time::sleep(Duration::from_secs(5)));
        read(body, limit).await
    }

    #[tokio::test]
    async fn the_first_kilobyte_is_kept() {
        assert_eq!(read_all(Full::new(Bytes::from_static(b"thanks"))).await, "thanks");
        assert_eq!(read_all(Full::new(Bytes::from(vec![b'x'; 5000]))).await, "x".repeat(EXCERPT_BYTES_MAX));
    }

    #[tokio::test]
    async fn an_endless_body_is_read_sixteen_kilobytes_far() {
        let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = taken.clone();
        let frames = futures_util::stream::repeat_with(move || {
            counted.fetch_add(1000, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(&[b'x'; 1000])))
        });
        read_all(StreamBody::new(frames)).await;
        assert_eq!(taken.load(std::sync::atomic::Ordering::Relaxed), 17_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_left_at_the_limit() {
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from("a")))]);
        let body = futures_util::StreamExt::chain(first, futures_util::stream::pending());
        assert_eq!(read_all(StreamBody::new(body)).await, "a");
    }

    #[test]
    fn nothing_in_it_can_steer_a_terminal() {
        assert_eq!(clean(b"a\r\n\tb\x1b[31mc\0d\x7f\xc2\x9b"), "a   b[31mcd");
        assert_eq!(clean("a\u{202e}b\u{2066}c".as_bytes()), "abc");
        assert_eq!(clean(b"a\xffb"), "a\u{fffd}b");
    }

    #[test]
    fn a_character_cut_in_two_is_left_out() {
        assert_eq!(clean(&"aé".as_bytes()[..2]), "a");
    }
}
