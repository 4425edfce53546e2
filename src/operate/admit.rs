//! How many requests are worked on at once, and for how long.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::{Code, Problem, body};

/// Most requests at once; one more is answered 503 at once rather than made to wait behind the others.
pub const REQUESTS_MAX: usize = 256;

/// The longest that one request may take, its body's arrival included.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(20);

/// Gives a request a place and a time limit, and keeps its answer, which may show a secret, out of caches.
pub(super) async fn admit(State(places): State<Arc<Semaphore>>, mut request: Request, next: Next) -> Response {
    let Ok(_place) = places.try_acquire() else {
        return Problem::new(Code::Overloaded, "too many requests at once; try again").into_response();
    };
    DefaultBodyLimit::max(body::BODY_BYTES_MAX).apply(&mut request);
    let mut response = match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::TimedOut, "the request took too long; try again").into_response(),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
