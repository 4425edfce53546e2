//! One POST over real sockets: what each end of it is called, and what never happens (contract, section 3).

// Tests may panic and ask for the time.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "send/hostile.rs"]
mod hostile;
#[path = "send/names.rs"]
mod names;
#[path = "send/protocols.rs"]
mod protocols;
#[path = "send/receivers.rs"]
mod receivers;
#[path = "send/suspend.rs"]
mod suspend;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use recadero::clock::Clock;
use recadero::decide::attempt::{Answer, Attempted, Reason};
use recadero::deliver::guard::Guard;
use recadero::deliver::guard::resolve::Lookup;
use recadero::deliver::guard::system::SystemLookup;
use recadero::deliver::send::{EgressProxy, HttpOptions, HttpSender, Request, Sender as _};

use receivers::{Receiver, Tls, answering, head_of, write};

/// The limit where nothing should come near it.
const AMPLE: Duration = Duration::from_secs(30);

/// The limit where it is meant to be reached, but not before a connection is there, on a slow machine either.
const SHORT: Duration = Duration::from_secs(2);

/// When whatever [`SHORT`] limits is over, on a slow machine too.
const OVER: Duration = Duration::from_secs(20);

/// In every URL and header of these tests, and in no detail.
const CUSTOMERS_SECRET: &str = "t0ken";

struct Set {
    options: HttpOptions,
    allowed: Vec<&'static str>,
    lookup: Arc<dyn Lookup>,
    clock: Clock,
}

impl Default for Set {
    fn default() -> Self {
        let options = HttpOptions { timeout: AMPLE, extra_roots: None, egress_proxy: None };
        Self { options, allowed: vec!["127.0.0.1/32"], lookup: Arc::new(SystemLookup::new()), clock: Clock::system() }
    }
}

impl Set {
    fn limit(timeout: Duration) -> Self {
        let mut set = Self::default();
        set.options.timeout = timeout;
        set
    }

    fn lookup(lookup: impl Lookup + 'static) -> Self {
        Self { lookup: Arc::new(lookup), ..Self::default() }
    }

    fn sender(&self) -> HttpSender {
        let allow_nets = self.allowed.iter().map(|net| net.parse().unwrap()).collect();
        let guard = Guard { allow_http: true, allow_nets, allow_ports: None };
        HttpSender::new(&self.options, Arc::new(guard), self.lookup.clone(), self.clock.clone()).unwrap()
    }

    async fn post(&self, url: &str) -> Attempted {
        post(&self.sender(), url).await
    }
}

async fn post(sender: &HttpSender, url: &str) -> Attempted {
    let url = Arc::new(format!("{url}/{CUSTOMERS_SECRET}?key={CUSTOMERS_SECRET}").parse().unwrap());
    let mut headers = HeaderMap::new();
    headers.insert("x-own", HeaderValue::from_static(CUSTOMERS_SECRET));
    let body = Bytes::from_static(b"{\"n\":1.0}");
    let attempted = sender.send(Request { url, body, headers }).await;
    println!("{attempted:?}");
    if let Answer::Failed { detail, .. } = &attempted.answer {
        assert!(!detail.contains(CUSTOMERS_SECRET) && !detail.is_empty() && !detail.contains('\n'), "{detail}");
    }
    attempted
}

fn status(attempted: &Attempted) -> Option<u16> {
    match attempted.answer {
        Answer::Status { status, .. } => Some(status),
        Answer::Failed { .. } => None,
    }
}

#[track_caller]
fn assert_failed(attempted: &Attempted, expected: Reason, words: &str) {
    match &attempted.answer {
        Answer::Failed { reason, detail } => {
            assert_eq!(*reason, expected, "{detail}");
            assert!(detail.contains(words), "{detail:?} does not contain {words:?}");
        }
        Answer::Status { status, .. } => panic!("not {expected} but status {status}"),
    }
}

/// Answers every name alike.
struct To(Vec<IpAddr>);

#[async_trait]
impl Lookup for To {
    async fn lookup(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(self.0.clone())
    }
}

fn to(address: &str) -> To {
    To(vec![address.parse().unwrap()])
}

#[tokio::test]
async fn the_receiver_gets_one_post_with_its_body_byte_for_byte() {
    let receiver = Receiver::start(answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nthanks")).await;
    let attempted = Set::default().post(&receiver.url()).await;
    assert_eq!(attempted.answer, Answer::Status { status: 200, excerpt: "thanks".to_owned() });
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("POST /{CUSTOMERS_SECRET}?key={CUSTOMERS_SECRET} HTTP/1.1\r\n")), "{head}");
    assert_eq!(body, "{\"n\":1.0}");
    let mut names: Vec<_> = head.lines().skip(1).map(|line| line.split(':').next().unwrap().to_lowercase()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "host", "x-own"], "nothing is added but what HTTP needs");
}

#[tokio::test]
async fn every_status_line_is_a_status_and_no_redirect_is_followed() {
    let elsewhere = Receiver::start(answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    for code in [201, 204, 301, 302, 303, 307, 308, 400, 410, 429, 500, 503] {
        let location = elsewhere.url();
        let length = if code == 204 { "" } else { "content-length: 0\r\n" };
        let answer = format!("HTTP/1.1 {code} Whatever\r\nlocation: {location}\r\n{length}\r\n");
        let receiver = Receiver::start(answering(&answer)).await;
        assert_eq!(status(&Set::default().post(&receiver.url()).await), Some(code));
        assert_eq!(receiver.requests().len(), 1, "{code}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_refused_port_is_connect() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_failed(&Set::default().post(&url).await, Reason::Connect, "refused");
    assert_failed(&Set::default().post(&url.replace("http", "https")).await, Reason::Connect, "refused");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_dns() {
    let attempted = Set::default().post("https://nobody.invalid").await;
    assert_failed(&attempted, Reason::Dns, "does not resolve");
    assert_failed(&Set::lookup(To(vec![])).post("https://a.example").await, Reason::Dns, "no address");
}

#[tokio::test]
async fn a_hang_before_the_connection_is_timeout() {
    struct Never;
    #[async_trait]
    impl Lookup for Never {
        async fn lookup(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
            std::future::pending().await
        }
    }
    let set = Set { lookup: Arc::new(Never), ..Set::limit(SHORT) };
    let attempted = set.post("https://a.example").await;
    assert_failed(&attempted, Reason::Timeout, "no connection within 2s");
    assert!(attempted.took >= SHORT && attempted.took < OVER, "{:?}", attempted.took);

    let mute = Receiver::start(|_, stream| async move { hold(stream).await }).await;
    let attempted = Set::limit(SHORT).post(&mute.url().replace("http", "https")).await;
    assert_failed(&attempted, Reason::Timeout, "no connection within 2s");
}

#[tokio::test]
async fn a_hang_before_the_status_line_is_timeout() {
    let mute = Receiver::start(|log, mut stream| async move {
        log.request(&mut stream).await;
        hold(stream).await;
    })
    .await;
    let attempted = Set::limit(SHORT).post(&mute.url()).await;
    assert_failed(&attempted, Reason::Timeout, "connected, but no status line within 2s");
    assert!(attempted.took >= SHORT && attempted.took < OVER, "{:?}", attempted.took);
    assert_eq!(mute.requests().len(), 1);
}

#[tokio::test]
async fn a_late_200_is_timeout() {
    let late = Receiver::start(|log, mut stream| async move {
        log.request(&mut stream).await;
        tokio::time::sleep(SHORT * 2).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    assert_failed(&Set::limit(SHORT).post(&late.url()).await, Reason::Timeout, "no status line");
}

#[tokio::test]
async fn a_slow_body_after_a_timely_200_is_a_200() {
    let slow = Receiver::start(|log, mut stream| async move {
        log.request(&mut stream).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun").await;
        hold(stream).await;
    })
    .await;
    let begun = Instant::now();
    let attempted = Set::limit(SHORT).post(&slow.url()).await;
    assert_eq!(attempted.answer, Answer::Status { status: 200, excerpt: "begun".to_owned() });
    assert!(attempted.took < SHORT, "took is to the status line: {:?}", attempted.took);
    assert!(begun.elapsed() < OVER, "the body is read inside the same limit: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_torn_body_after_a_200_is_a_200() {
    for rest in ["content-length: 100\r\n\r\npart", "transfer-encoding: chunked\r\n\r\nzzz\r\n"] {
        let torn = Receiver::start(move |log, mut stream| async move {
            log.request(&mut stream).await;
            write(&mut stream, &format!("HTTP/1.1 200 OK\r\n{rest}")).await;
        })
        .await;
        assert_eq!(status(&Set::default().post(&torn.url()).await), Some(200));
    }
}

#[tokio::test]
async fn an_endless_body_is_left_soon() {
    let endless = Receiver::start(|log, mut stream| async move {
        log.request(&mut stream).await;
        write(&mut stream, "HTTP/1.1 500 Oh\r\ncontent-length: 1000000000\r\n\r\n").await;
        let kilobytes = "x".repeat(64 * 1024);
        while log.count(receivers::try_write(&mut stream, &kilobytes).await) {}
    })
    .await;
    let begun = Instant::now();
    let attempted = Set::default().post(&endless.url()).await;
    assert_eq!(attempted.answer, Answer::Status { status: 500, excerpt: "x".repeat(1024) });
    assert!(begun.elapsed() < AMPLE / 2, "{:?}", begun.elapsed());
    endless.ended().await;
    assert!(endless.counted() < 200, "the connection was closed, {} times 64 KiB went out", endless.counted());
}

#[tokio::test]
async fn what_is_not_http_is_protocol() {
    let garbage = Receiver::start(answering("SSH-2.0-OpenSSH_9.2\r\n")).await;
    assert_failed(&Set::default().post(&garbage.url()).await, Reason::Protocol, "not HTTP");
}

#[tokio::test]
async fn a_head_that_breaks_behind_its_status_line_changes_nothing() {
    // Some of them are waited for until the limit.
    let set = Set::limit(Duration::from_secs(5));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-a: b\r\n".repeat(101));
    let huge = format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "b".repeat(1_000_000));
    for head in [many.as_str(), huge.as_str(), "HTTP/1.1 200 OK\r\nno header\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-le"]
    {
        let receiver = Receiver::start(answering(head)).await;
        assert_eq!(status(&set.post(&receiver.url()).await), Some(200), "{head:.40}");
    }
    let failed = Receiver::start(answering("HTTP/1.1 500 Oh\r\ncontent-le")).await;
    assert_eq!(status(&set.post(&failed.url()).await), Some(500));
}

#[tokio::test]
async fn a_connection_closed_before_the_status_line_is_protocol() {
    let at_once = Receiver::start(|_, stream| async move { drop(stream) }).await;
    assert_failed(&Set::default().post(&at_once.url()).await, Reason::Protocol, "before a status line");
    let after_the_request =
        Receiver::start(|log, mut stream| async move { drop(log.request(&mut stream).await) }).await;
    assert_failed(&Set::default().post(&after_the_request.url()).await, Reason::Protocol, "before a status line");
    assert_eq!(after_the_request.requests().len(), 1);
    let half = Receiver::start(|log, mut stream| async move {
        log.request(&mut stream).await;
        write(&mut stream, "HTTP/1.1 20").await;
    })
    .await;
    assert_failed(&Set::default().post(&half.url()).await, Reason::Protocol, "before a status line");
}

#[tokio::test]
async fn tls_that_fails_is_tls() {
    let plain = Receiver::start(|_, stream| async move {
        write(&mut head_of(stream).await, "HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let attempted = Set::default().post(&plain.url().replace("http", "https")).await;
    assert_failed(&attempted, Reason::Tls, "does not speak TLS");

    let closing = Receiver::start(|_, stream| async move { drop(head_of(stream).await) }).await;
    let attempted = Set::default().post(&closing.url().replace("http", "https")).await;
    assert_failed(&attempted, Reason::Tls, "during the TLS handshake");

    let tls = Tls::new("receiver.example", &[b"http/1.1"]);
    let receiver = Receiver::start_tls(&tls, answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let attempted = Set::lookup(to("127.0.0.1")).post(&receiver.https("receiver.example")).await;
    assert_failed(&attempted, Reason::Tls, "certificate is not accepted");

    let mut set = Set::lookup(to("127.0.0.1"));
    set.options.extra_roots = Some(tls.pem.clone().into_bytes());
    let attempted = set.post(&receiver.https("other.example")).await;
    assert_failed(&attempted, Reason::Tls, "certificate is not accepted");
    assert_eq!(receiver.requests().len(), 0);
    assert_eq!(status(&set.post(&receiver.https("receiver.example")).await), Some(200));
}

#[tokio::test]
async fn an_https_server_at_an_http_url_is_protocol() {
    let tls = Tls::new("receiver.example", &[]);
    let receiver = Receiver::start_tls(&tls, answering("")).await;
    let attempted = Set::default().post(&receiver.url()).await;
    assert!(matches!(attempted.answer, Answer::Failed { reason: Reason::Protocol, .. }), "{attempted:?}");
}

#[tokio::test]
async fn a_forbidden_address_is_never_connected_to() {
    let inside = Receiver::start(answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let port = inside.address.port();
    let closed = |lookup| Set { allowed: vec![], lookup, ..Set::default() };
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "localhost", "a.example"] {
        let set = closed(Arc::new(to("127.0.0.1")) as Arc<dyn Lookup>);
        let attempted = set.post(&format!("http://{host}:{port}")).await;
        assert_failed(&attempted, Reason::Blocked, "loopback");
    }
    let attempted = closed(Arc::new(to("::ffff:127.0.0.1"))).post(&format!("http://a.example:{port}")).await;
    assert_failed(&attempted, Reason::Blocked, "loopback");
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn a_name_that_moves_to_a_forbidden_address_is_blocked_then() {
    /// First an address that is allowed, then one that is not.
    struct Rebinds(std::sync::Mutex<Vec<&'static str>>);
    #[async_trait]
    impl Lookup for Rebinds {
        async fn lookup(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
            Ok(vec![self.0.lock().unwrap().pop().unwrap().parse().unwrap()])
        }
    }
    let ok = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let outside = Receiver::start(answering(ok)).await;
    let inside = Receiver::start_at("127.0.0.2", outside.address.port(), answering(ok)).await;
    let set = Set::lookup(Rebinds(vec!["127.0.0.2", "127.0.0.1"].into()));
    let sender = set.sender();
    let url = format!("http://a.example:{}", outside.address.port());
    assert_eq!(status(&post(&sender, &url).await), Some(200));
    assert_failed(&post(&sender, &url).await, Reason::Blocked, "loopback");
    assert_eq!((outside.connections(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn a_busy_endpoint_keeps_its_connection() {
    let receiver = Receiver::start(answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nthanks")).await;
    let sender = Set::default().sender();
    for _ in 0..5 {
        assert_eq!(status(&post(&sender, &receiver.url()).await), Some(200));
    }
    assert_eq!((receiver.connections(), receiver.requests().len()), (1, 5));
}

#[tokio::test]
async fn a_kept_connection_that_the_receiver_closed_is_replaced() {
    let receiver = Receiver::start(|log, mut stream| async move {
        log.request(&mut stream).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let sender = Set::default().sender();
    for n in 1..=5 {
        assert_eq!(status(&post(&sender, &receiver.url()).await), Some(200));
        // The receiver has closed it; a moment later the sender has seen that.
        receiver.all_ended(n).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((receiver.connections(), receiver.requests().len()), (5, 5));
}

#[tokio::test]
async fn a_post_that_was_written_is_never_sent_again() {
    // The second request on a kept connection is read, and the connection closed without a word: the case in which
    // clients like to try again.
    let receiver = Receiver::start(|log, mut stream| async move {
        log.request(&mut stream).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        log.request(&mut stream).await;
    })
    .await;
    let sender = Set::default().sender();
    assert_eq!(status(&post(&sender, &receiver.url()).await), Some(200));
    assert_failed(&post(&sender, &receiver.url()).await, Reason::Protocol, "before a status line");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((receiver.connections(), receiver.requests().len()), (1, 2));
}

#[tokio::test]
async fn the_egress_proxy_is_asked_for_the_address_that_was_checked() {
    let receiver = Receiver::start(answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let proxy = Receiver::start_proxy().await;
    let mut set = Set::lookup(to("127.0.0.1"));
    set.options.egress_proxy = Some(EgressProxy::parse(&format!("http://us%40er:p%2Bw@{}", proxy.address)).unwrap());
    let port = receiver.address.port();
    assert_eq!(status(&set.post(&format!("http://a.example:{port}")).await), Some(200));
    let asked = &proxy.requests()[0];
    assert!(asked.starts_with(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n")), "{asked}");
    assert!(asked.contains("Proxy-Authorization: Basic dXNAZXI6cCt3\r\n"), "{asked}");
    let sent = &receiver.requests()[0];
    assert!(sent.starts_with(&format!("POST /{CUSTOMERS_SECRET}")), "{sent}");
    assert!(sent.contains(&format!("host: a.example:{port}\r\n")) && !sent.contains("roxy"), "{sent}");
}

#[tokio::test]
async fn tls_through_the_egress_proxy_checks_the_name() {
    let tls = Tls::new("receiver.example", &[b"http/1.1"]);
    let receiver = Receiver::start_tls(&tls, answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let proxy = Receiver::start_proxy().await;
    let mut set = Set::lookup(to("127.0.0.1"));
    set.options.egress_proxy = Some(EgressProxy::parse(&format!("http://{}", proxy.address)).unwrap());
    set.options.extra_roots = Some(tls.pem.clone().into_bytes());
    assert_eq!(status(&set.post(&receiver.https("receiver.example")).await), Some(200));
    assert_failed(&set.post(&receiver.https("other.example")).await, Reason::Tls, "certificate");
    assert!(proxy.requests().iter().all(|asked| asked.starts_with("CONNECT 127.0.0.1:")));
}

#[tokio::test]
async fn the_egress_proxy_is_not_asked_for_what_is_forbidden() {
    let proxy = Receiver::start_proxy().await;
    let mut set = Set { allowed: vec![], ..Set::lookup(to("10.0.0.1")) };
    set.options.egress_proxy = Some(EgressProxy::parse(&format!("http://{}", proxy.address)).unwrap());
    assert_failed(&set.post("https://a.example").await, Reason::Blocked, "private");
    assert_failed(&set.post("https://10.0.0.1").await, Reason::Blocked, "private");
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn an_egress_proxy_that_refuses_or_is_gone_is_connect() {
    let refusing = Receiver::start(answering("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (proxy, words) in [(refusing.address, "unsuccessful"), (gone, "refused")] {
        let mut set = Set::lookup(to("127.0.0.1"));
        set.options.egress_proxy = Some(EgressProxy::parse(&format!("http://{proxy}")).unwrap());
        assert_failed(&set.post("https://a.example").await, Reason::Connect, words);
    }
}

#[test]
fn an_egress_proxy_is_an_http_url_without_a_path() {
    for text in ["", "proxy:3128", "https://proxy:3128", "socks5://proxy:1080", "http://proxy:3128/path"] {
        assert!(EgressProxy::parse(text).is_err(), "{text}");
    }
    let shown = format!("{:?}", EgressProxy::parse("http://user:s3cret@proxy:3128").unwrap());
    assert_eq!(shown, "EgressProxy(http://proxy:3128/)");
}

/// Keeps a connection open and says nothing, longer than any test lasts.
async fn hold<S>(_stream: S) {
    tokio::time::sleep(Duration::from_secs(60)).await;
}
