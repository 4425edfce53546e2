//! Receivers that mean harm: each attempt ends by its limit and with its reason, a bounded number of bytes is taken
//! from them, and whoever is sent to meanwhile notices nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use recadero::decide::attempt::{Attempted, Reason};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::receivers::{AnyStream, Log, Receiver, Tls, answering, write};
use super::{Set, assert_failed, hold, post, status, to};

const HOST: &str = "receiver.example";

/// The limit of an attempt, and how much longer than all of them together any test may wait.
const LIMIT: Duration = Duration::from_secs(6);
const AT_LAST: Duration = Duration::from_secs(60);

/// How many attempts are made at once.
const CROWD: usize = 16;

/// What may have left a receiver per connection: the sockets' buffers hold some megabytes.
const BYTES_MAX: usize = 32 << 20;

/// What the process may have grown by, receivers included; ten times and more what it does.
const GROWTH_MAX_MB: usize = 100;

/// What a receiver does with a connection.
type Script = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sends a crowd of events to a receiver of the script, and to one that behaves until the last of them has ended.
async fn besiege<F>(tls: Option<&Tls>, script: F) -> Vec<Attempted>
where
    F: Fn(Log, AnyStream) -> Script + Clone + Send + 'static,
{
    let hostile = match tls {
        Some(tls) => Receiver::start_tls(tls, script).await,
        None => Receiver::start(script).await,
    };
    let url = if tls.is_some() { hostile.https(HOST) } else { hostile.url() };
    let attempts = besiege_at(tls, url).await;
    let most = BYTES_MAX * hostile.connections();
    assert!(hostile.counted() < most, "{} bytes over {} connections", hostile.counted(), hostile.connections());
    attempts
}

async fn besiege_at(tls: Option<&Tls>, url: String) -> Vec<Attempted> {
    let good = Receiver::start(answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let mut set = Set { lookup: Arc::new(to("127.0.0.1")), ..Set::limit(LIMIT) };
    set.options.extra_roots = tls.map(|tls| tls.pem.clone().into_bytes());
    let sender = Arc::new(set.sender());
    assert_eq!(status(&post(&sender, &good.url()).await), Some(200));

    let before = resident_mb();
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let (sender, url) = (sender.clone(), url.clone());
        crowd.spawn(async move { post(&sender, &url).await });
    }
    let mut attempts = Vec::new();
    let siege = async {
        while attempts.len() < CROWD {
            assert_eq!(status(&post(&sender, &good.url()).await), Some(200));
            while let Some(ended) = crowd.try_join_next() {
                attempts.push(ended.unwrap());
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(AT_LAST, siege).await.expect("every attempt ends by its limit");
    let growth = resident_mb().saturating_sub(before);
    println!("{CROWD} attempts, grown by {growth} MB");
    assert!(growth < GROWTH_MAX_MB, "grown by {growth} MB");
    attempts
}

/// What the process has in memory. Linux only, as the clock that runs during suspend is.
fn resident_mb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

fn assert_all_failed(attempts: &[Attempted], reason: Reason, words: &str) {
    attempts.iter().for_each(|attempted| assert_failed(attempted, reason, words));
}

fn assert_all_delivered(attempts: &[Attempted]) {
    assert!(attempts.iter().all(|attempted| status(attempted) == Some(200)), "{attempts:?}");
}

/// Writes the same until nobody takes it.
async fn flood(log: &Log, stream: &mut AnyStream, bytes: &[u8]) {
    while stream.write_all(bytes).await.is_ok() {
        log.add(bytes.len());
    }
}

/// Writes a byte at a time, with pauses.
async fn drip(stream: &mut AnyStream, text: &str) {
    for byte in text.bytes().cycle() {
        if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// A script that reads the request, writes this, and goes on with a flood of that.
fn then_flood(first: &'static str, rest: Vec<u8>) -> impl Fn(Log, AnyStream) -> Script + Clone + Send {
    let rest: Arc<[u8]> = rest.into();
    move |log, mut stream| {
        let rest = rest.clone();
        Box::pin(async move {
            log.request(&mut stream).await;
            write(&mut stream, first).await;
            flood(&log, &mut stream, &rest).await;
        })
    }
}

/// The same, dripping.
fn then_drip(first: &'static str, rest: &'static str) -> impl Fn(Log, AnyStream) -> Script + Clone + Send {
    move |log, mut stream| {
        Box::pin(async move {
            log.request(&mut stream).await;
            write(&mut stream, first).await;
            drip(&mut stream, rest).await;
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_line_that_drips_is_timeout() {
    for first in ["HTTP/1.1 200 ", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 "] {
        assert_all_failed(&besiege(None, then_drip(first, "OK")).await, Reason::Timeout, "no status line");
    }
}

/// "Delivered: the status line says 200 within the timeout."
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_drip_change_nothing() {
    let tls = Tls::new(HOST, &[]);
    for tls in [None, Some(&tls)] {
        assert_all_delivered(&besiege(tls, then_drip("HTTP/1.1 200 OK\r\n", "x-a: b\r\n")).await);
    }
    let attempts = besiege(None, then_drip("HTTP/1.1 500 Sorry\r\n", "x-a: b\r\n")).await;
    assert!(attempts.iter().all(|attempted| status(attempted) == Some(500)), "{attempts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_drips_changes_nothing() {
    let attempts = besiege(None, |log, mut stream| {
        Box::pin(async move {
            log.request(&mut stream).await;
            write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
            drip(&mut stream, "x").await;
        })
    });
    assert_all_delivered(&attempts.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_headers_change_nothing() {
    let many = then_flood("HTTP/1.1 200 OK\r\n", b"x-a: b\r\n".repeat(1000));
    assert_all_delivered(&besiege(None, many).await);
    let long = then_flood("HTTP/1.1 200 OK\r\nx-a: ", vec![b'b'; 64 << 10]);
    assert_all_delivered(&besiege(None, long).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_status_line_is_protocol() {
    let reason = then_flood("HTTP/1.1 200 ", vec![b'b'; 64 << 10]);
    assert_all_failed(&besiege(None, reason).await, Reason::Protocol, "too large");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_early_hints_are_protocol() {
    let hints = then_flood("", b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000));
    assert_all_failed(&besiege(None, hints).await, Reason::Protocol, "more came back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_end_is_left() {
    let long = then_flood("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n", vec![b'x'; 64 << 10]);
    assert_all_delivered(&besiege(None, long).await);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_all_delivered(&besiege(None, then_flood(chunked, b"1\r\nx\r\n".repeat(1000))).await);
    // Chunks of one byte with kilobytes of extensions, and trailers in place of an end.
    let extension = format!("1;{}\r\nx\r\n", "e".repeat(4096));
    assert_all_delivered(&besiege(None, then_flood(chunked, extension.into_bytes())).await);
    let trailers = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
    assert_all_delivered(&besiege(None, then_flood(trailers, b"x-a: b\r\n".repeat(1000))).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_body_is_never_unpacked() {
    let bomb = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03".as_slice(), &[0xaa; 64 << 10]].concat();
    let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1000000000\r\n\r\n";
    let asked = Arc::new(std::sync::Mutex::new(String::new()));
    let seen = asked.clone();
    let attempts = besiege(None, move |log, mut stream| {
        let (bomb, seen) = (bomb.clone(), seen.clone());
        Box::pin(async move {
            let request = log.request(&mut stream).await;
            seen.lock().unwrap().push_str(&request.to_lowercase());
            write(&mut stream, head).await;
            flood(&log, &mut stream, &bomb).await;
        })
    });
    assert_all_delivered(&attempts.await);
    assert!(!asked.lock().unwrap().contains("accept-encoding"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_end_is_protocol() {
    let in_the_request =
        |_: Log, mut stream: AnyStream| -> Script { Box::pin(async move { drop(stream.read(&mut [0; 10]).await) }) };
    assert_all_failed(&besiege(None, in_the_request).await, Reason::Protocol, "before a status line");
    let in_the_status_line = |log: Log, mut stream: AnyStream| -> Script {
        Box::pin(async move {
            log.request(&mut stream).await;
            write(&mut stream, "HTTP/1.1 200 O").await;
        })
    };
    assert_all_failed(&besiege(None, in_the_status_line).await, Reason::Protocol, "before a status line");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_that_stalls_is_timeout_and_tls_that_rambles_is_tls() {
    let tls = Tls::new(HOST, &[]);
    let stalls = Receiver::start(|_, stream| hold(stream)).await;
    assert_all_failed(&besiege_at(Some(&tls), stalls.https(HOST)).await, Reason::Timeout, "no connection within");
    // A handshake message of 16 MB in records of 16 KB; change-cipher-spec records without end.
    let message = [b"\x16\x03\x03\x40\0\x02\xff\xff\xff".as_slice(), &[0; 0x4000 - 4]].concat();
    for record in [message, b"\x14\x03\x03\0\x01\x01".repeat(1000)] {
        let rambles = Receiver::start(move |log, mut stream| {
            let record = record.clone();
            async move { flood(&log, &mut stream, &record).await }
        });
        let rambles = rambles.await;
        assert_all_failed(&besiege_at(Some(&tls), rambles.https(HOST)).await, Reason::Tls, "TLS");
        assert!(rambles.counted() < BYTES_MAX * rambles.connections());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_name_is_tls() {
    let (theirs, believed) = (Tls::new("other.example", &[]), Tls::new(HOST, &[]));
    let receiver = Receiver::start_tls(&theirs, answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    for tls in [&believed, &theirs] {
        let attempts = besiege_at(Some(tls), receiver.https(HOST)).await;
        assert_all_failed(&attempts, Reason::Tls, "certificate is not accepted");
    }
    assert_eq!(receiver.requests().len(), 0);
}

/// HTTP/2, frame by frame (RFC 9113, section 6).
mod http2 {
    use super::*;

    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const CONTINUATION: u8 = 9;
    const END_HEADERS: u8 = 4;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// Reads until a request's headers have come, and counts them; the stream they are on.
    async fn request(log: &Log, stream: &mut AnyStream) -> Option<u32> {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            stream.read_exact(&mut vec![0; length as usize]).await.ok()?;
            if head[3] == HEADERS {
                log.note("request".to_owned());
                return Some(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
            }
        }
    }

    /// A receiver that speaks only HTTP/2, and answers each request by writing what `answer` makes of its stream.
    async fn besiege_with(
        endless: bool,
        answer: impl Fn(u32) -> Vec<u8> + Clone + Send + Sync + 'static,
    ) -> (Vec<Attempted>, usize) {
        let tls = Tls::new(HOST, &[b"h2"]);
        let receiver = Receiver::start_tls(&tls, move |log, mut stream| {
            let answer = answer.clone();
            async move {
                let _ = stream.read_exact(&mut [0; 24]).await; // The client's preface.
                let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[])).await;
                while let Some(id) = request(&log, &mut stream).await {
                    let answer = answer(id);
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.flush().await;
                    while endless && stream.write_all(&answer).await.is_ok() {
                        log.add(answer.len());
                    }
                }
            }
        })
        .await;
        let attempts = besiege_at(Some(&tls), receiver.https(HOST)).await;
        assert!(receiver.counted() < BYTES_MAX * receiver.connections(), "{} bytes", receiver.counted());
        (attempts, receiver.requests().len())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_reset_is_protocol_and_not_sent_again() {
        for code in [0x7_u32, 0x8, 0xb] {
            let (attempts, requests) =
                besiege_with(false, move |id| frame(RST_STREAM, 0, id, &code.to_be_bytes())).await;
            assert_all_failed(&attempts, Reason::Protocol, "before a status line");
            assert!(requests <= CROWD, "{requests} requests");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_connection_that_goes_away_is_protocol() {
        let (attempts, requests) = besiege_with(false, |_| frame(GOAWAY, 0, 0, &[0; 8])).await;
        assert!(attempts.iter().all(|attempted| status(attempted).is_none()), "{attempts:?}");
        assert!(requests <= CROWD, "{requests} requests");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn silence_is_timeout() {
        let (attempts, _) = besiege_with(false, |_| Vec::new()).await;
        assert_all_failed(&attempts, Reason::Timeout, "no status line");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn floods_end_by_the_limit() {
        for flood in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[]), frame(RST_STREAM, 0, 2, &[0; 4])] {
            let (attempts, _) = besiege_with(true, move |_| flood.repeat(1000)).await;
            assert!(attempts.iter().all(|attempted| status(attempted).is_none()), "{attempts:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn endless_headers_are_protocol() {
        // A literal header of 16 KB that no continuation ends.
        let literal = [b"\0\x01x\x7f\x81\x7f".as_slice(), &[b'y'; 16_000]].concat();
        let (attempts, _) = besiege_with(true, move |id| {
            [frame(HEADERS, 0, id, &[0x88]), frame(CONTINUATION, 0, id, &literal).repeat(20)].concat()
        })
        .await;
        assert!(attempts.iter().all(|attempted| status(attempted).is_none()), "{attempts:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_body_without_end_is_left() {
        let (attempts, _) = besiege_with(true, |id| {
            [frame(HEADERS, END_HEADERS, id, &[0x88]), frame(DATA, 0, id, &[b'x'; 16_000])].concat()
        })
        .await;
        // The flood breaks the connection, and some of those that waited on it with it.
        assert!(attempts.iter().any(|attempted| status(attempted) == Some(200)), "{attempts:?}");
    }
}
