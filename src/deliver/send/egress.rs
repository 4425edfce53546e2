//! Deliveries through an HTTP CONNECT proxy (`RECADERO_EGRESS_PROXY`).
//!
//! The guard still resolves, and CONNECT names the address it checked, for `http` as for `https` endpoints: a proxy
//! that was given the name would look it up itself, and might find another address. TLS goes through the tunnel and
//! checks the name, so the proxy sees nothing but addresses.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tower_service::Service;
use url::Url;

use super::client::SendError;
use super::connect::tcp;
use crate::deliver::guard::resolve::Resolver;

/// How many of a name's addresses the proxy is asked for, one after the other.
const TUNNELS_MAX: usize = 3;

/// A proxy: `http://[user:password@]host:port`. `Debug` does not show the credentials.
#[derive(Clone)]
pub struct EgressProxy {
    address: Uri,
    authorization: Option<HeaderValue>,
}

/// Why a text is not a proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an egress proxy is written http://host:port or http://user:password@host:port")]
pub struct NotAProxy;

impl EgressProxy {
    /// Reads `http://[user:password@]host:port`.
    ///
    /// # Errors
    ///
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, NotAProxy> {
        let url = Url::parse(text).map_err(|_| NotAProxy)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if url.scheme() != "http" || !bare {
            return Err(NotAProxy);
        }
        let host = url.host_str().ok_or(NotAProxy)?;
        let port = url.port_or_known_default().ok_or(NotAProxy)?;
        let address = Uri::try_from(format!("http://{host}:{port}")).map_err(|_| NotAProxy)?;
        Ok(Self { address, authorization: authorization(&url) })
    }
}

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EgressProxy({})", self.address)
    }
}

/// Basic authentication (RFC 7617), when the URL has a user name.
fn authorization(proxy: &Url) -> Option<HeaderValue> {
    if proxy.username().is_empty() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(proxy.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(proxy.password().unwrap_or_default()));
    let value = format!("Basic {}", STANDARD.encode(pair));
    Some(HeaderValue::try_from(value).expect("base64 is visible ASCII"))
}

/// Connects to endpoints by way of the proxy.
#[derive(Clone)]
pub struct EgressConnector {
    tunnel: Tunnel<HttpConnector>,
    resolver: Resolver,
}

impl EgressConnector {
    /// A connector whose tunnels lead where the resolver allows.
    pub fn new(proxy: &EgressProxy, resolver: Resolver) -> Self {
        // The proxy's own name is the operator's, and may lead anywhere.
        let tunnel = Tunnel::new(proxy.address.clone(), tcp(GaiResolver::new()));
        let tunnel = match &proxy.authorization {
            Some(value) => tunnel.with_auth(value.clone()),
            None => tunnel,
        };
        Self { tunnel, resolver }
    }

    async fn connect(mut self, endpoint: Uri) -> Result<TokioIo<TcpStream>, SendError> {
        let host = endpoint.host().ok_or_else(|| io::Error::other("no host in the URL"))?;
        let port = endpoint.port_u16().unwrap_or(if endpoint.scheme_str() == Some("http") { 80 } else { 443 });
        // The guard judged a literal address when it judged the URL.
        let addresses = match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.resolve(host).await?,
        };
        let mut first_problem = None;
        for address in addresses.into_iter().take(TUNNELS_MAX) {
            let target = Uri::try_from(format!("http://{}", SocketAddr::new(address, port)))?;
            match self.tunnel.call(target).await {
                Ok(stream) => return Ok(stream),
                Err(problem) => first_problem = first_problem.or(Some(problem)),
            }
        }
        Err(first_problem.expect("the resolver gives at least one address").into())
    }
}

impl Service<Uri> for EgressConnector {
    type Response = TokioIo<TcpStream>;
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tunnel.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, endpoint: Uri) -> Self::Future {
        Box::pin(self.clone().connect(endpoint))
    }
}
