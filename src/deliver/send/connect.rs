//! Connections for deliveries: TCP to an address that was checked, or a proxy's tunnel to it, and TLS on top.
//!
//! **HTTP/1.1 wherever it is spoken.** An HTTP/2 connection is shared by everything that goes to its host, and many
//! customers' endpoints stand on the same host: one stall, one lost packet, one stream that the receiver does not
//! serve would hold them all up, and one reset end all their attempts. Over HTTP/1.1 each attempt has a connection
//! of its own. Receivers choose the first of *their* protocols among those offered, mostly HTTP/2, so preferring
//! means offering nothing else: HTTP/2 is offered, on a new connection, to those who answer that they speak nothing
//! else (TLS's `no_application_protocol`), before anything of the request was sent.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::{AlertDescription, ClientConfig};
use tokio::net::TcpStream;
use tower_service::Service;

use super::bounded::Bound;
use super::classify::find;
use super::client::SendError;
use super::egress::EgressConnector;
use super::heard::Heard;
use super::status_line::StatusEar;
use crate::deliver::guard::resolve::{ResolveError, Resolver};

/// After how long without an acknowledgement the system gives a connection up, so that what was sent to a host that
/// is gone does not stay behind for minutes after its attempt ended.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// How long a connection is silent before the system asks whether the other end is there; where attempts may last
/// long, a dead one is found earlier so.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Something being done.
type Doing<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// TCP, set up for deliveries.
pub fn tcp<R>(resolver: R) -> HttpConnector<R> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
    tcp
}

/// TCP with a bound on what comes back.
type Bounded = TokioIo<Heard<TcpStream, Bound>>;

/// How an endpoint is reached.
#[derive(Clone)]
pub enum Way {
    /// At its own addresses.
    Direct(HttpConnector<Resolver>),
    /// Through a proxy.
    Proxied(EgressConnector),
}

impl Service<Uri> for Way {
    type Response = Bounded;
    type Error = SendError;
    type Future = Doing<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::Direct(tcp) => tcp.poll_ready(context).map_err(Into::into),
            Self::Proxied(tunnel) => tunnel.poll_ready(context),
        }
    }

    fn call(&mut self, endpoint: Uri) -> Self::Future {
        let bounded = |stream: TokioIo<_>| TokioIo::new(Heard::new(stream.into_inner(), Bound::default()));
        match self {
            Self::Direct(tcp) => {
                let connecting = tcp.call(endpoint);
                Box::pin(async move { Ok(bounded(connecting.await?)) })
            }
            Self::Proxied(tunnel) => {
                let connecting = tunnel.call(endpoint);
                Box::pin(async move { Ok(bounded(connecting.await?)) })
            }
        }
    }
}

/// Connects to endpoints, over TLS where their URL says `https`.
#[derive(Clone)]
pub struct Connector {
    http1: HttpsConnector<Way>,
    http2: HttpsConnector<Way>,
}

impl Connector {
    /// A connector that goes this way, and believes whom `tls` believes.
    pub fn new(way: Way, tls: &ClientConfig) -> Self {
        let offering = |protocol: &[u8]| {
            let mut tls = tls.clone();
            tls.alpn_protocols = vec![protocol.to_vec()];
            HttpsConnector::from((way.clone(), tls))
        };
        Self { http1: offering(b"http/1.1"), http2: offering(b"h2") }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Heard<TokioIo<MaybeHttpsStream<Bounded>>, StatusEar>>;
    type Error = SendError;
    type Future = Doing<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.http1.poll_ready(context)
    }

    fn call(&mut self, endpoint: Uri) -> Self::Future {
        let connecting = self.http1.call(endpoint.clone());
        let mut http2 = self.http2.clone();
        Box::pin(async move {
            let stream = match connecting.await {
                Err(problem) if speaks_something_else(&*problem) => {
                    std::future::poll_fn(|context| http2.poll_ready(context)).await?;
                    http2.call(endpoint).await?
                }
                ended => ended?,
            };
            Ok(TokioIo::new(Heard::new(TokioIo::new(stream), StatusEar::default())))
        })
    }
}

fn speaks_something_else(problem: &(dyn Error + 'static)) -> bool {
    matches!(find(problem), Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)))
}

/// What is checked here is what is dialled: the client hands every name to this and connects to nothing else.
impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Doing<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.resolve(name.as_str()).await?;
            // Port 0 stands for the URL's.
            let dialled: Vec<_> = addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
            Ok(dialled.into_iter())
        })
    }
}
