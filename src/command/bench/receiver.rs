//! The receivers of all endpoints: one server, as cheap as it can be while it checks.
//!
//! It reads of a request what it needs: the endpoint from the path, and the event from `webhook-id`. Bodies are read
//! and forgotten; signatures are not verified, which would cost more than all the rest.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::plan::{Behaviour, Plan};
use super::tally::Tally;
use crate::deliver::send::headers::WEBHOOK_ID;

/// How long a hanging endpoint keeps a connection; far past any attempt's limit.
const HANG: Duration = Duration::from_secs(600);

/// How long to wait after a failure to accept, which is a lack of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Starts the receivers on a free loopback port. They end with the process.
pub async fn start(plan: Plan, tally: Arc<Tally>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(serve(stream, plan, Arc::clone(&tally)))),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    });
    Ok(address)
}

async fn serve(stream: TcpStream, plan: Plan, tally: Arc<Tally>) {
    // Without it small answers wait for more to be sent.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| receive(request, plan, &tally));
    // How the other side ends its connection is its own affair.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn receive(request: Request<Incoming>, plan: Plan, tally: &Tally) -> Result<Response<Empty<Bytes>>, Infallible> {
    let endpoint = request.uri().path().trim_start_matches('/').parse();
    let number = request.headers().get(WEBHOOK_ID).and_then(|id| id.to_str().ok()?.parse().ok());
    let (endpoint, number) = (endpoint.unwrap_or(u64::MAX), number.unwrap_or(u64::MAX));
    let status = match plan.behaviour(endpoint) {
        Behaviour::Answers => {
            tally.arrive(endpoint, number);
            StatusCode::OK
        }
        Behaviour::Fails => StatusCode::INTERNAL_SERVER_ERROR,
        Behaviour::Hangs => {
            if tally.is_hanging() {
                tokio::time::sleep(HANG).await;
            }
            StatusCode::OK
        }
    };
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}
