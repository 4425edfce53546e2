//! Receives webhooks, with axum, hmac, sha2 and base64.
//!
//! ```sh
//! WEBHOOK_SECRET=whsec_... PORT=3000 cargo run --example receiver
//! ```
//!
//! `WEBHOOK_SCHEME=body` checks `X-Webhook-Signature` in place of `webhook-signature`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::sync::mpsc;

const TOLERANCE_SECONDS: u64 = 5 * 60;
const BODY_BYTES_MAX: usize = 16 << 20;

/// `webhook-signature` covers the id and the time of sending too, so that nobody can send an old request again.
fn verify_standard(secret: &str, headers: &HeaderMap, body: &[u8], now: u64) -> Option<()> {
    let header = |name| headers.get(name)?.to_str().ok();
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    if timestamp.parse::<u64>().ok()?.abs_diff(now) > TOLERANCE_SECONDS {
        return None;
    }
    let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    // For a day after the secret was rotated there are two, the old one's and the new one's.
    let mut signatures = header("webhook-signature")?.split(' ').filter_map(|one| one.strip_prefix("v1,"));
    signatures.any(|one| matches(&key, &signed, one)).then_some(())
}

/// `X-Webhook-Signature` covers the body alone; the key is the whole secret, as it is written.
fn verify_body(secret: &str, headers: &HeaderMap, body: &[u8]) -> Option<()> {
    let signature = headers.get("x-webhook-signature")?.to_str().ok()?;
    matches(secret.as_bytes(), body, signature).then_some(())
}

/// In constant time: how much of a guess was right must not show.
fn matches(key: &[u8], signed: &[u8], signature: &str) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    mac.update(signed);
    STANDARD.decode(signature).is_ok_and(|signature| mac.verify_slice(&signature).is_ok())
}

struct Receiver {
    secret: String,
    only_body: bool,
    /// Ids that were taken. In production: a unique column, written in the transaction that stores the event.
    seen: Mutex<HashSet<String>>,
    work: mpsc::Sender<(String, Bytes)>,
}

async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    // `body` is the bytes as they came: JSON that is parsed and written again has another signature.
    let now = UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs();
    let verified = match receiver.only_body {
        true => verify_body(&receiver.secret, &headers, &body),
        false => verify_standard(&receiver.secret, &headers, &body, now),
    };
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok());
    let (Some(()), Some(id)) = (verified, id) else { return StatusCode::UNAUTHORIZED };
    let new = receiver.seen.lock().expect("nobody panics with it").insert(id.to_owned());
    if new && receiver.work.send((id.to_owned(), body)).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    // At once, and for a repeat as well: it is here.
    StatusCode::OK
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (work, mut to_do) = mpsc::channel::<(String, Bytes)>(1000);
    // The work itself, after the answer.
    tokio::spawn(async move {
        while let Some((id, body)) = to_do.recv().await {
            println!("handled {id} {}", body.len());
        }
    });
    let receiver = Receiver {
        secret: std::env::var("WEBHOOK_SECRET")?,
        only_body: std::env::var("WEBHOOK_SCHEME").is_ok_and(|scheme| scheme == "body"),
        seen: Mutex::default(),
        work,
    };
    let app = Router::new()
        .route("/{*path}", post(receive))
        .route("/", post(receive))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(receiver));
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    axum::serve(tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?, app).await?;
    Ok(())
}
