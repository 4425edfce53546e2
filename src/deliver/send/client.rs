//! The HTTP client: hyper-util's pool of connections over our own [`Connector`].
//!
//! reqwest, which does the same, was rejected: it can neither send a CONNECT that names an address while TLS checks
//! the name, nor speak HTTP/1.1 with everybody but those who speak only HTTP/2; and most of what it adds
//! (redirects, proxies, retries, cookies, decompression) would have to be switched off.

use std::error::Error;
use std::time::Duration;

use http::{HeaderMap, Method, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use super::body::Posted;
use super::connect::{Connector, Way};

/// How long a connection may wait for its lane's next event. Below the 5 s after which Node and Apache close idle
/// connections: a POST that meets a closing connection is a failed attempt, since it cannot be known whether it was
/// read. Long enough for a busy lane, whose events follow each other at once; and with a hundred thousand
/// endpoints, only those of the last seconds hold a descriptor.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// How many connections to one host may wait. An endpoint has up to 64 lanes, and many endpoints share the host
/// of an automation service; fewer would make each of their events begin with a TLS handshake.
const IDLE_PER_HOST_MAX: usize = 128;

/// What an HTTP/2 receiver may send us before we ask for more: 16 KiB are read, hyper's defaults are megabytes.
const HTTP2_WINDOW_BYTES: u32 = 65_535;

/// How often an HTTP/2 connection with requests under way is asked whether it lives; it has as long to answer as an
/// attempt lasts, so that none is ended early. One connection carries all endpoints of its host: when it is dead, their
/// attempts should not go on finding that out.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(2);

/// Response headers beyond this many are an error, over HTTP/1; over HTTP/2 the bound is [`HTTP2_HEADER_BYTES_MAX`].
const HTTP1_HEADERS_MAX: usize = 100;

/// What an HTTP/1 connection may hold in memory, a response's head for one. hyper's default is six times as much,
/// which ten thousand receivers that never end their heads would turn into gigabytes.
const HTTP1_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The most that an HTTP/2 response's headers may take.
const HTTP2_HEADER_BYTES_MAX: u32 = 16 * 1024;

/// Any error on the way to a status line; [`super::classify`] reads it.
pub type SendError = Box<dyn Error + Send + Sync>;

/// One pool of connections.
pub struct Client(legacy::Client<Connector, Posted>);

impl Client {
    /// A client that goes this way; `timeout` is that of an attempt.
    pub fn new(way: Way, tls: &rustls::ClientConfig, timeout: Duration) -> Self {
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http1_max_headers(HTTP1_HEADERS_MAX)
            .http1_max_buf_size(HTTP1_BUFFER_BYTES_MAX)
            .http2_initial_stream_window_size(HTTP2_WINDOW_BYTES)
            .http2_initial_connection_window_size(HTTP2_WINDOW_BYTES)
            .http2_max_header_list_size(HTTP2_HEADER_BYTES_MAX)
            .http2_keep_alive_interval(HTTP2_PING_EVERY)
            .http2_keep_alive_timeout(timeout)
            .build(Connector::new(way, tls));
        Self(client)
    }

    /// Sends a POST and answers with the head of the response.
    pub async fn send(&self, post: http::Request<Posted>) -> Result<Response<Incoming>, SendError> {
        Ok(self.0.request(post).await?)
    }
}

/// A POST of these headers and this body.
pub fn post(url: &Url, headers: HeaderMap, body: Posted) -> Result<http::Request<Posted>, SendError> {
    let mut request = http::Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::try_from(url.as_str())?;
    *request.headers_mut() = headers;
    Ok(request)
}
