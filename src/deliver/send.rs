//! One POST, and what came of it (contract, section 3).
//!
//! The limit covers everything from the first DNS packet to the status line. Then the body is read for the log, a
//! bounded way and inside the same limit, and whatever happens to it changes nothing.
//!
//! **No POST is repeated here.** No redirect is followed, no retry policy is set, and the body is a stream that
//! cannot be copied (`send/body.rs`), so no layer of the client could send it twice if it wanted. What remains is
//! hyper-util's pool, which tries again when a pooled connection turns out to be closed: only while the request is
//! still in the connection's queue, unencoded. Once hyper has taken it out, an HTTP/1 or HTTP/2 failure never hands
//! it back (`TrySendError::message` is `None`), and a fresh connection is never tried twice. Where a receiver speaks
//! HTTP/2 alone a second connection is made (`send/connect.rs`), before the request is asked for.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use tokio::time::{Sleep, sleep};
use url::Url;

use crate::clock::Clock;
use crate::decide::attempt::{Answer, Attempted, Reason};
use crate::deliver::guard::Guard;
use crate::deliver::guard::resolve::{Lookup, Resolver};

mod body;
mod bounded;
mod classify;
mod client;
mod connect;
mod egress;
mod excerpt;
pub mod headers;
mod heard;
pub mod own;
mod status_line;
mod tls;

pub use egress::EgressProxy;
pub use tls::{SetupError, install_crypto};

use body::{Begun, Deadline, Posted};
use client::Client;
use connect::Way;
use egress::EgressConnector;
use status_line::Given;

/// Everything that one POST needs. Cheap to make: the URL is parsed once per endpoint, the body shared.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to; its path and query may hold the customer's secrets.
    pub url: Arc<Url>,
    /// The event.
    pub body: Bytes,
    /// All headers of section 3 (see [`headers::build`]).
    pub headers: HeaderMap,
}

/// Sends one POST; the seam where the simulation puts its receivers.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends, waits for the status line, and tells what came. Ends within the limit.
    async fn send(&self, request: Request) -> Attempted;
}

/// What the HTTP client is set up with.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// `RECADERO_TIMEOUT`.
    pub timeout: Duration,
    /// The contents of `RECADERO_CA_FILE`: PEM.
    pub extra_roots: Option<Vec<u8>>,
    /// `RECADERO_EGRESS_PROXY`.
    pub egress_proxy: Option<EgressProxy>,
}

/// The real [`Sender`]: one pool of connections for all endpoints, behind the guard.
pub struct HttpSender {
    client: Client,
    guard: Arc<Guard>,
    clock: Clock,
    timeout: Duration,
}

impl HttpSender {
    /// Sets the client up.
    ///
    /// # Errors
    ///
    /// When the extra root certificates are not PEM certificates. A machine without any of its own is no error:
    /// the roots that Mozilla ships are used then.
    pub fn new(
        options: &HttpOptions,
        guard: Arc<Guard>,
        lookup: Arc<dyn Lookup>,
        clock: Clock,
    ) -> Result<Self, SetupError> {
        let tls = tls::config(options.extra_roots.as_deref())?;
        let resolver = Resolver::new(guard.clone(), lookup);
        let way = match &options.egress_proxy {
            None => Way::Direct(connect::tcp(resolver)),
            Some(proxy) => Way::Proxied(EgressConnector::new(proxy, resolver)),
        };
        Ok(Self { client: Client::new(way, &tls, options.timeout), guard, clock, timeout: options.timeout })
    }

    async fn attempt(&self, request: Request, begun: Duration, limit: Pin<&mut Sleep>) -> Attempted {
        let took = || self.clock.boot().saturating_sub(begun);
        let failed = |reason, detail| Attempted { answer: Answer::Failed { reason, detail }, took: took() };
        // A literal address never meets the resolver, so the URL is judged again before each attempt.
        if let Err(problem) = self.guard.check(&request.url) {
            return failed(Reason::Blocked, problem.to_string());
        }
        let sent = Begun::default();
        let deadline = Deadline { clock: self.clock.clone(), at: begun + self.timeout };
        let body = Posted::new(request.body, sent.clone(), deadline);
        let mut limit = limit;
        let mut post = match client::post(&request.url, request.headers, body) {
            Ok(post) => post,
            Err(error) => return failed(Reason::Protocol, error.to_string()),
        };
        let given = Given::to(&mut post);
        // Whatever becomes of a response, its status line counts. Before the request is sent, what was heard on its
        // connection answers an earlier one.
        let heard = || {
            let status = given.status().filter(|_| sent.is_set())?;
            Some(Attempted { answer: Answer::Status { status, excerpt: String::new() }, took: took() })
        };
        let response = tokio::select! {
            biased;
            response = self.client.send(post) => response,
            () = limit.as_mut() => return heard().unwrap_or_else(|| failed(Reason::Timeout, self.late(&sent))),
        };
        match response {
            Ok(response) => {
                let took = took();
                let status = response.status().as_u16();
                let excerpt = excerpt::read(response.into_body(), limit).await;
                Attempted { answer: Answer::Status { status, excerpt }, took }
            }
            Err(error) => heard().unwrap_or_else(|| {
                let (reason, detail) = classify::classify(&*error);
                failed(reason, detail)
            }),
        }
    }

    fn late(&self, sent: &Begun) -> String {
        match sent.is_set() {
            true => format!("connected, but no status line within {:?}", self.timeout),
            false => format!("no connection within {:?} (name, TCP and TLS together)", self.timeout),
        }
    }
}

#[async_trait]
impl Sender for HttpSender {
    async fn send(&self, request: Request) -> Attempted {
        let begun = self.clock.boot();
        let limit = std::pin::pin!(sleep(self.timeout));
        self.attempt(request, begun, limit).await
    }
}

impl fmt::Debug for HttpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSender").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
