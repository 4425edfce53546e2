//! People who look at the console while events go out: each has an endpoint's page open, which asks for its living part
//! every two seconds, as a browser does.
//!
//! They ask the very process that delivers, which is the worst place for them: where `api` is a process of its own, Redis
//! alone is shared.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HOST, SET_COOKIE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::plan::Plan;

/// How often a page asks (`templates/console/live.html`).
const EVERY: Duration = Duration::from_secs(2);

/// The service's token, which nobody else knows or needs.
const TOKEN_CHARS: usize = 32;

/// Where the console is, and who may see it.
#[derive(Clone, Debug)]
pub struct Console {
    pub at: SocketAddr,
    pub token: String,
}

impl Console {
    /// On a port that is free now.
    pub fn new() -> anyhow::Result<Self> {
        let at = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let token = std::iter::repeat_with(|| format!("{:x}", rand::random::<u8>() % 16)).take(TOKEN_CHARS).collect();
        Ok(Self { at, token })
    }
}

/// The people. They leave when this is dropped.
pub struct Readers {
    shown: Arc<AtomicU64>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Readers {
    /// Signs in, and opens so many pages, evenly over the time that they wait.
    pub async fn start(console: &Console, plan: Plan, endpoints: u64, count: u32) -> anyhow::Result<Self> {
        let cookie: Arc<str> = sign_in(console).await.context("the console")?.into();
        let shown = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (workspace, endpoint, _) = plan.endpoint(u64::from(number) % endpoints);
            let path = format!("/console/workspaces/{workspace}/endpoints/{endpoint}/live?status=enabled");
            let (at, cookie, shown) = (console.at, Arc::clone(&cookie), Arc::clone(&shown));
            tasks.spawn(async move {
                tokio::time::sleep(EVERY * number / count).await;
                read(at, &path, &cookie, &shown).await
            });
        }
        Ok(Self { shown, tasks })
    }

    /// How often they were shown what they asked for; an error when one of them was not.
    pub fn shown(&mut self) -> anyhow::Result<u64> {
        if let Some(ended) = self.tasks.try_join_next() {
            ended??;
        }
        Ok(self.shown.load(Ordering::Relaxed))
    }
}

async fn read(at: SocketAddr, path: &str, cookie: &str, shown: &AtomicU64) -> anyhow::Result<()> {
    let mut requests = connect(at).await?;
    let mut again = tokio::time::interval(EVERY);
    loop {
        again.tick().await;
        let request = Request::get(path).header(HOST, at.to_string()).header(COOKIE, cookie).body(Full::default())?;
        let answer = send(&mut requests, request).await?;
        let status = answer.status();
        let page = answer.into_body().collect().await?.to_bytes();
        ensure!(status == StatusCode::OK && page.starts_with(b"<div id=\"live\""), "{path} was answered {status}");
        shown.fetch_add(1, Ordering::Relaxed);
    }
}

async fn sign_in(console: &Console) -> anyhow::Result<String> {
    let mut requests = connect(console.at).await?;
    let request = Request::builder()
        .method(Method::POST)
        .uri("/console/sign-in")
        .header(HOST, console.at.to_string())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::from(format!("token={}", console.token)))?;
    let answer = send(&mut requests, request).await?;
    let Some(cookie) = answer.headers().get(SET_COOKIE) else { bail!("signing in was answered {}", answer.status()) };
    Ok(cookie.to_str()?.split(';').next().unwrap_or_default().to_owned())
}

async fn connect(at: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    let (requests, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(requests)
}

async fn send(
    requests: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Response<Incoming>> {
    requests.ready().await?;
    Ok(requests.send_request(request).await?)
}
