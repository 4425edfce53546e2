//! An HTTP receiver that writes down what arrives and behaves as it is told.
//!
//! It speaks HTTP/1.1 by hand, so that a test can send any bytes at any time: half a status line, a body that drips,
//! nothing at all. Rejected: axum or hyper, whose merit is that they do not let one do that. It has a thread of its own, so
//! that neither arrival times nor answers depend on what the test is busy with.

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::ports::Port;
use super::until;

/// The most a request's head, and its body, may hold.
const MAX_PART_BYTES: usize = 4 << 20;
/// The most requests a receiver writes down.
const MAX_REQUESTS: usize = 1_000_000;

/// One request as it arrived.
#[derive(Debug)]
pub struct Request {
    /// 0 for the receiver's first.
    pub number: usize,
    /// Which connection it came over; 0 for the first.
    pub connection: usize,
    /// `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names as they were written, in order.
    pub headers: Vec<(String, String)>,
    /// The bytes of the body.
    pub body: Vec<u8>,
    /// When it had arrived whole.
    pub at: Instant,
    /// When the sender hung up before it had the whole answer.
    pub gone: OnceLock<Instant>,
}

impl Request {
    /// The value of a header, whatever the case of its name; panics when it is there twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "header {name} more than once: {:?}", self.headers);
        value
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of UTF-8")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }
}

/// What the receiver does with a request.
#[derive(Clone, Debug)]
pub struct Answer {
    delay: Duration,
    /// Given when the number is larger than this.
    held: Option<(watch::Receiver<usize>, usize)>,
    act: Act,
}

#[derive(Clone, Debug)]
enum Act {
    Respond { status: u16, headers: Vec<(String, String)>, body: Vec<u8>, pace: Option<Duration> },
    Raw(Vec<u8>),
    Hang,
}

impl Answer {
    /// 200, no body.
    pub fn ok() -> Self {
        Self::status(200)
    }

    /// A status, no body.
    pub fn status(status: u16) -> Self {
        Self::act(Act::Respond { status, headers: Vec::new(), body: Vec::new(), pace: None })
    }

    /// 302 to `location`.
    pub fn redirect(location: &str) -> Self {
        Self::status(302).header("location", location)
    }

    /// Never says anything; ends when the sender hangs up.
    pub fn hang() -> Self {
        Self::act(Act::Hang)
    }

    /// Closes the connection without a byte.
    pub fn close() -> Self {
        Self::raw("")
    }

    /// Sends these bytes and closes the connection.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::act(Act::Raw(bytes.into()))
    }

    /// The same, after a wait.
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same, once the gate shows a number larger than the request's.
    pub fn held(self, gate: &watch::Sender<usize>, request: &Request) -> Self {
        Self { held: Some((gate.subscribe(), request.number)), ..self }
    }

    /// With a header; for answers with a status.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let Act::Respond { headers, .. } = &mut self.act else { panic!("{self:?} has no headers") };
        headers.push((name.into(), value.into()));
        self
    }

    /// With a body; for answers with a status.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        let Act::Respond { body, .. } = &mut self.act else { panic!("{self:?} has no body") };
        *body = bytes.into();
        self
    }

    /// The head at once, then a byte of the body each `pace`.
    pub fn slow_body(mut self, bytes: impl Into<Vec<u8>>, each: Duration) -> Self {
        self = self.body(bytes);
        let Act::Respond { pace, .. } = &mut self.act else { unreachable!("body() has looked") };
        *pace = Some(each);
        self
    }

    fn act(act: Act) -> Self {
        Self { delay: Duration::ZERO, held: None, act }
    }
}

type Script = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// A running receiver on a port of 127.0.0.1. Its thread and connections end with it.
pub struct Receiver {
    port: Port,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

struct State {
    script: Mutex<Script>,
    requests: Mutex<Vec<Arc<Request>>>,
    connections: AtomicUsize,
}

impl Receiver {
    /// Starts a receiver that asks `script` what to do with each request.
    pub async fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let state = State {
            script: Mutex::new(Arc::new(script)),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
        };
        let mut receiver = Self { port: Port::take(), state: Arc::new(state), runtime: None };
        receiver.restart().await;
        receiver
    }

    /// One that answers 200 to everything.
    pub async fn ok() -> Self {
        Self::start(|_| Answer::ok()).await
    }

    /// One that gives these answers one after the other, and the last one from then on.
    pub async fn in_turn(answers: Vec<Answer>) -> Self {
        Self::start(move |request| answers[request.number.min(answers.len() - 1)].clone()).await
    }

    /// Behaves otherwise from now on.
    pub fn behave(&self, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        *self.state.script.lock().unwrap() = Arc::new(script);
    }

    /// Stops listening and drops all connections: from now on they are refused.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not a plain drop, which would wait, and must not inside of a test's own runtime.
            runtime.shutdown_background();
        }
    }

    /// Listens again on the same port; what arrived before is still known.
    pub async fn restart(&mut self) {
        self.stop();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let port = self.port.number();
        let mut listener = None;
        // A runtime that was stopped gives its listener back a moment later.
        until("the receiver's port", Duration::from_secs(60), async || {
            listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
            listener.is_some()
        })
        .await;
        let listener = listener.unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(listen(listener, self.state.clone()));
        self.runtime = Some(runtime);
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The port, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Everything that arrived, in order.
    pub fn requests(&self) -> Vec<Arc<Request>> {
        self.state.requests.lock().unwrap().clone()
    }

    /// What arrived at one path, in order.
    pub fn requests_at(&self, path: &str) -> Vec<Arc<Request>> {
        self.requests().into_iter().filter(|request| request.path == path).collect()
    }

    /// How many requests arrived.
    pub fn count(&self) -> usize {
        self.state.requests.lock().unwrap().len()
    }

    /// How many connections were opened, whether or not a request came over them.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Waits until at least `n` requests have arrived, and answers all there are; panics after `limit`.
    pub async fn wait_for(&self, n: usize, limit: Duration) -> Vec<Arc<Request>> {
        self.wait_until(&format!("{n} requests"), limit, |requests| requests.len() >= n).await
    }

    /// Waits until `enough` says that what has arrived is enough, and answers it; panics with `what` after `limit`.
    pub async fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        enough: impl Fn(&[Arc<Request>]) -> bool,
    ) -> Vec<Arc<Request>> {
        let start = Instant::now();
        loop {
            let requests = self.requests();
            if enough(&requests) {
                return requests;
            }
            assert!(start.elapsed() < limit, "not within {limit:?}: {what}; {} requests arrived", requests.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn listen(listener: std::net::TcpListener, state: Arc<State>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let connection = state.connections.fetch_add(1, Ordering::SeqCst);
        // An error here is the sender's hanging up.
        tokio::spawn({
            let state = state.clone();
            async move { drop(serve(stream, connection, &state).await) }
        });
    }
}

async fn serve(mut stream: TcpStream, connection: usize, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer, connection).await? {
        let request = {
            let mut requests = state.requests.lock().unwrap();
            assert!(requests.len() < MAX_REQUESTS, "a receiver writes down {MAX_REQUESTS} requests");
            let request = Arc::new(Request { number: requests.len(), ..request });
            requests.push(request.clone());
            request
        };
        let script = state.script.lock().unwrap().clone();
        let answered = answer(&mut stream, script(&request)).await;
        match answered {
            Ok(true) => {}
            Ok(false) => break,
            Err(e) => {
                let _ = request.gone.set(Instant::now());
                return Err(e);
            }
        }
    }
    Ok(())
}

/// Answers; says whether the connection stays open. An error means that the sender hung up.
async fn answer(stream: &mut TcpStream, answer: Answer) -> io::Result<bool> {
    wait(stream, answer.delay).await?;
    if let Some((mut gate, number)) = answer.held {
        // A gate that is gone holds nobody.
        let _ = gate.wait_for(|open| *open > number).await;
    }
    match answer.act {
        Act::Hang => wait(stream, Duration::MAX).await.map(|()| false),
        Act::Raw(bytes) => stream.write_all(&bytes).await.map(|()| false),
        Act::Respond { status, headers, body, pace } => {
            let mut head = format!("HTTP/1.1 {status} Status\r\n");
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            // These have no body and must not say how long it is.
            if status >= 200 && status != 204 && status != 304 {
                head += &format!("content-length: {}\r\n", body.len());
            }
            stream.write_all(format!("{head}\r\n").as_bytes()).await?;
            match pace {
                None => stream.write_all(&body).await?,
                Some(pace) => {
                    for byte in body {
                        wait(stream, pace).await?;
                        stream.write_all(&[byte]).await?;
                    }
                }
            }
            Ok(true)
        }
    }
}

/// Waits, and fails as soon as the sender hangs up.
async fn wait(stream: &TcpStream, delay: Duration) -> io::Result<()> {
    let mut byte = [0];
    tokio::select! {
        biased;
        peeked = stream.peek(&mut byte) => match peeked? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => panic!("the sender said more before it was answered"),
        },
        () = tokio::time::sleep(delay) => Ok(()),
    }
}

/// The next request, or none when the sender has closed the connection between two.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> io::Result<Option<Request>> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        assert!(buffer.len() < MAX_PART_BYTES, "a request's head over {MAX_PART_BYTES} bytes");
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(buffer[..head_end].to_vec()).expect("a head of UTF-8");
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().unwrap_or_default().into(), first.next().unwrap_or_default().into());
    let headers = lines
        .map(|line| line.split_once(':').expect("a header line"))
        .map(|(name, value)| (name.to_string(), value.trim().to_string()))
        .collect();
    buffer.drain(..head_end + 4);

    let (number, at, gone) = (0, Instant::now(), OnceLock::new());
    let mut request = Request { number, connection, method, path, headers, body: Vec::new(), at, gone };
    assert_eq!(request.header("transfer-encoding"), None, "the rig reads bodies of a stated length");
    let length: usize = request.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    assert!(length <= MAX_PART_BYTES, "a body over {MAX_PART_BYTES} bytes");
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    request.body = buffer.drain(..length).collect();
    request.at = Instant::now();
    Ok(Some(request))
}
