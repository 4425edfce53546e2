//! `recadero listen`: a receiver that verifies signatures and prints what arrives.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::deliver::send::headers::{
    WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, X_WEBHOOK_ATTEMPT, X_WEBHOOK_EVENT, X_WEBHOOK_SIGNATURE,
};
use crate::deliver::sign::{Received, Secret};

/// How far a delivery's timestamp may be from this machine's clock, as Standard Webhooks advises.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The largest body that is taken: the largest that `RECADERO_MAX_EVENT_BYTES` can be set to.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Receives webhooks, verifies their signatures and prints them
///
/// Answers 200 at once; --status and --delay make it misbehave, to watch the retries. Exits on Ctrl-C.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:3000")]
    addr: SocketAddr,
    /// The endpoint's secret, whsec_…; without it signatures are not verified
    #[arg(long, env = "RECADERO_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// The status to answer
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
    /// How long to wait before answering, such as 6s
    #[arg(long, default_value = "0s", value_parser = crate::config::duration)]
    delay: Duration,
}

#[derive(Clone)]
struct Listener {
    secret: Option<Arc<Secret>>,
    status: StatusCode,
    delay: Duration,
    clock: Clock,
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    let secret = options.secret.as_deref().map(Secret::parse).transpose().context("--secret")?.map(Arc::new);
    let status = StatusCode::from_u16(options.status).context("--status")?;
    let listener = Listener { secret, status, delay: options.delay, clock: Clock::system() };
    super::block_on(async {
        let socket = TcpListener::bind(options.addr).await.with_context(|| format!("--addr {}", options.addr))?;
        let checks = if listener.secret.is_some() { "signatures are verified" } else { "no --secret: not verified" };
        eprintln!("listening on http://{} ({checks}); Ctrl-C ends", socket.local_addr()?);
        let app = Router::new().fallback(receive).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(listener);
        axum::serve(socket, app)
            .with_graceful_shutdown(async {
                // Without a handler for Ctrl-C the process ends by it all the same.
                let _ = tokio::signal::ctrl_c().await;
            })
            .await?;
        Ok(())
    })
}

async fn receive(State(listener): State<Listener>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
    let verified = match &listener.secret {
        None => "not verified".to_owned(),
        Some(secret) => verify(secret, &headers, &body, listener.clock.unix()),
    };
    let line = format!(
        "{}  {}  attempt {}  {verified}\n{}\n",
        header(WEBHOOK_ID),
        header(X_WEBHOOK_EVENT),
        header(X_WEBHOOK_ATTEMPT),
        printable(&body),
    );
    // A closed pipe: it goes on answering, which is what the sender needs.
    let _ = std::io::stdout().write_all(line.as_bytes());
    tokio::time::sleep(listener.delay).await;
    listener.status
}

/// Both schemes, each for itself.
fn verify(secret: &Secret, headers: &HeaderMap, body: &[u8], now: Duration) -> String {
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let simple = match secret.verify_body(body, header(X_WEBHOOK_SIGNATURE)) {
        true => "ok",
        false => "WRONG",
    };
    let received = Received { id: header(WEBHOOK_ID), timestamp: header(WEBHOOK_TIMESTAMP), body };
    let standard = match secret.verify_standard(received, header(WEBHOOK_SIGNATURE), now, TOLERANCE) {
        Ok(()) => "ok".to_owned(),
        Err(forged) => format!("WRONG ({forged})"),
    };
    format!("X-Webhook-Signature {simple}, webhook-signature {standard}")
}

/// The body as one line that cannot command a terminal.
fn printable(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
