//! HTTP from the socket to the routes.
//!
//! `axum::serve` is not used: it bounds neither the connections nor the time a client may take to send a head, and
//! the API listens to the world.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::config::ConfigError;

/// Most connections of one listener; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 1024;

/// How long a client may take to send a request's head, and to keep a connection idle before it.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// How long to wait after a failure to accept, which is a lack of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a request's connection; a proxy, where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Listens at an address; `option` is the flag that named it.
pub async fn listen(address: SocketAddr, option: &str) -> Result<TcpListener, ConfigError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| ConfigError::of(option, format!("cannot listen at {address}: {error}")))
}

/// Serves routes until `stop`; then takes nothing new, and gives what is under way until `grace` has passed.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken, grace: Duration) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = GracefulShutdown::new();
    while let Some((stream, peer, place)) = next(&listener, &places, &stop).await {
        // An answer's last piece does not wait for the client's word on the one before; without it, it is merely slower.
        let _ = stream.set_nodelay(true);
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
        let introduced = routes.clone().map_request(move |mut request: hyper::Request<_>| {
            request.extensions_mut().insert(peer);
            request
        });
        let service = TowerToHyperService::new(introduced);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // How a client ends its connection is its own affair.
            if let Err(error) = connection.await {
                tracing::trace!(error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, connections.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way at the end of the grace time");
    }
}

/// The next connection, once there is a place for it; `None` when it is time to stop.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, Peer, tokio::sync::OwnedSemaphorePermit)> {
    let accepted = async {
        let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match listener.accept().await {
                Ok((stream, address)) => return (stream, Peer(address.ip()), place),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        accepted = accepted => Some(accepted),
    }
}
