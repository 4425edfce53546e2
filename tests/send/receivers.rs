//! Receivers that behave, and many that do not, on sockets of their own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// Any connection, with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub type AnyStream = Box<dyn Stream>;

/// What a receiver saw.
#[derive(Clone, Default)]
pub struct Log(Arc<Seen>);

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
    ended: AtomicUsize,
    counted: AtomicUsize,
}

pub struct Receiver {
    pub address: SocketAddr,
    log: Log,
    task: AbortHandle,
}

impl Receiver {
    /// Hands each connection to the script.
    pub async fn start<F, R>(script: F) -> Self
    where
        F: Fn(Log, AnyStream) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send,
    {
        Self::start_at("127.0.0.1", 0, script).await
    }

    pub async fn start_at<F, R>(host: &str, port: u16, script: F) -> Self
    where
        F: Fn(Log, AnyStream) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send,
    {
        Self::listen(host, port, move |log, stream| {
            let script = script.clone();
            async move { script(log, Box::new(stream)).await }
        })
        .await
    }

    /// The same behind TLS.
    pub async fn start_tls<F, R>(tls: &Tls, script: F) -> Self
    where
        F: Fn(Log, AnyStream) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send,
    {
        let acceptor = tls.acceptor.clone();
        Self::listen("127.0.0.1", 0, move |log, stream| {
            let (script, acceptor) = (script.clone(), acceptor.clone());
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    script(log, Box::new(stream)).await;
                }
            }
        })
        .await
    }

    /// A receiver that speaks what TLS agreed on, and answers with the protocol's name.
    pub async fn start_hyper(tls: &Tls) -> Self {
        use http_body_util::{BodyExt as _, Full};
        use hyper_util::rt::{TokioExecutor, TokioIo};
        Self::start_tls(tls, |log, stream| async move {
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let log = log.clone();
                async move {
                    let version = format!("{:?}", request.version());
                    let body = request.into_body().collect().await?.to_bytes();
                    log.note(String::from_utf8_lossy(&body).into_owned());
                    Ok::<_, hyper::Error>(http::Response::new(Full::<bytes::Bytes>::from(version)))
                }
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        })
        .await
    }

    /// A CONNECT proxy.
    pub async fn start_proxy() -> Self {
        Self::start(|log, mut stream| async move {
            let asked = log.request(&mut stream).await;
            let target = asked.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut onward = TcpStream::connect(target).await.unwrap();
            write(&mut stream, "HTTP/1.1 200 Connection established\r\n\r\n").await;
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
        })
        .await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn https(&self, host: &str) -> String {
        format!("https://{host}:{}", self.address.port())
    }

    pub fn requests(&self) -> Vec<String> {
        self.log.0.requests.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.log.0.connections.load(Ordering::SeqCst)
    }

    pub fn counted(&self) -> usize {
        self.log.0.counted.load(Ordering::SeqCst)
    }

    /// Waits until the first connection's script has ended.
    pub async fn ended(&self) {
        self.all_ended(1).await;
    }

    /// Waits until the scripts of so many connections have ended.
    pub async fn all_ended(&self, count: usize) {
        while self.log.0.ended.load(Ordering::SeqCst) < count {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    async fn listen<F, R>(host: &str, port: u16, serve: F) -> Self
    where
        F: Fn(Log, TcpStream) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind((host, port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Log::default();
        let seen = log.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.0.connections.fetch_add(1, Ordering::SeqCst);
                let (serve, seen) = (serve.clone(), seen.clone());
                tokio::spawn(async move {
                    serve(seen.clone(), stream).await;
                    seen.0.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, log, task: task.abort_handle() }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Log {
    /// Reads one request, head and body; nothing at the connection's end.
    pub async fn request(&self, stream: &mut AnyStream) -> String {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return String::new(),
                Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |digits| digits.parse().unwrap()) {
                self.note(text.clone());
                return text;
            }
        }
    }

    /// Counts what succeeded, and says whether it did.
    pub fn count(&self, succeeded: bool) -> bool {
        self.add(usize::from(succeeded));
        succeeded
    }

    /// Counts something, bytes for example.
    pub fn add(&self, count: usize) {
        self.0.counted.fetch_add(count, Ordering::SeqCst);
    }

    /// Writes a request down, or what came in place of one.
    pub fn note(&self, request: String) {
        self.0.requests.lock().unwrap().push(request);
    }
}

/// A script that answers each request alike.
pub fn answering(
    response: &str,
) -> impl Fn(Log, AnyStream) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Clone + Send + use<> {
    let response: Arc<str> = response.into();
    move |log, mut stream| {
        let response = response.clone();
        Box::pin(async move {
            while !log.request(&mut stream).await.is_empty() {
                write(&mut stream, &response).await;
            }
        })
    }
}

/// Reads what comes first, whatever it is.
pub async fn head_of(mut stream: AnyStream) -> AnyStream {
    let _ = stream.read(&mut [0; 4096]).await;
    stream
}

pub async fn write(stream: &mut AnyStream, text: &str) {
    try_write(stream, text).await;
}

pub async fn try_write(stream: &mut AnyStream, text: &str) -> bool {
    stream.write_all(text.as_bytes()).await.is_ok() && stream.flush().await.is_ok()
}

/// A certificate that nobody knows, for one name.
pub struct Tls {
    acceptor: TlsAcceptor,
    pub pem: String,
}

impl Tls {
    pub fn new(name: &str, protocols: &[&[u8]]) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), pem: made.cert.pem() }
    }
}
