//! The HTTP client: reqwest, or hyper-util through an egress proxy, set up alike.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, Uri};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use super::body::Posted;
use super::egress::{EgressConnector, EgressProxy};
use crate::deliver::guard::resolve::Resolver;

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

/// Response headers beyond this many are an error, over HTTP/1; over HTTP/2 the bound is [`HTTP2_HEADER_BYTES_MAX`].
const HTTP1_HEADERS_MAX: usize = 100;

/// The most that an HTTP/2 response's headers may take.
const HTTP2_HEADER_BYTES_MAX: u32 = 16 * 1024;

/// Any error on the way to a status line; [`super::classify`] reads it.
pub type SendError = Box<dyn Error + Send + Sync>;

/// A response's body, whichever client brought it.
pub type ResponseBody = UnsyncBoxBody<Bytes, SendError>;

/// Why the client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The extra roots are no certificates.
    #[error("the extra root certificates cannot be read: {0}")]
    ExtraRoots(String),
    /// reqwest refused its settings.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// Either client.
pub enum Client {
    /// To the endpoints' own addresses.
    Direct(reqwest::Client),
    /// Through a proxy.
    Proxied(Box<legacy::Client<HttpsConnector<EgressConnector>, Posted>>),
}

impl Client {
    /// A client that connects to what the resolver gives.
    pub fn direct(tls: rustls::ClientConfig, resolver: Resolver) -> Result<Self, SetupError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(resolver)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never().max_retries_per_request(0))
            .no_proxy()
            .referer(false)
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http1_max_headers(HTTP1_HEADERS_MAX)
            .http2_initial_stream_window_size(HTTP2_WINDOW_BYTES)
            .http2_initial_connection_window_size(HTTP2_WINDOW_BYTES)
            .http2_max_header_list_size(HTTP2_HEADER_BYTES_MAX)
            .build()?;
        Ok(Self::Direct(client))
    }

    /// A client that asks the proxy for a tunnel to what the resolver gives.
    pub fn proxied(tls: rustls::ClientConfig, resolver: Resolver, proxy: &EgressProxy) -> Self {
        let connector = HttpsConnector::from((EgressConnector::new(proxy, resolver), tls));
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .retry_canceled_requests(false)
            .http1_max_headers(HTTP1_HEADERS_MAX)
            .http2_initial_stream_window_size(HTTP2_WINDOW_BYTES)
            .http2_initial_connection_window_size(HTTP2_WINDOW_BYTES)
            .http2_max_header_list_size(HTTP2_HEADER_BYTES_MAX)
            .build(connector);
        Self::Proxied(Box::new(client))
    }

    /// Sends a POST and answers with the head of the response.
    pub async fn post(&self, url: &Url, headers: HeaderMap, body: Posted) -> Result<Response<ResponseBody>, SendError> {
        match self {
            Self::Direct(client) => {
                let mut request = reqwest::Request::new(Method::POST, url.clone());
                *request.headers_mut() = headers;
                *request.body_mut() = Some(reqwest::Body::wrap(body));
                let response = Response::from(client.execute(request).await?);
                Ok(response.map(|body| body.map_err(SendError::from).boxed_unsync()))
            }
            Self::Proxied(client) => {
                let mut request = http::Request::new(body);
                *request.method_mut() = Method::POST;
                *request.uri_mut() = Uri::try_from(url.as_str())?;
                *request.headers_mut() = headers;
                let response = client.request(request).await?;
                Ok(response.map(|body| body.map_err(SendError::from).boxed_unsync()))
            }
        }
    }
}
