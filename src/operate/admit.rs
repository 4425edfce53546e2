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

/// Gives a request a place and a time limit, and keeps its answer, which may show a secret, out of caches, unless it
/// says otherwise of itself.
pub(super) async fn admit(State(places): State<Arc<Semaphore>>, mut request: Request, next: Next) -> Response {
    let Ok(_place) = places.try_acquire() else {
        return Problem::new(Code::Overloaded, "too many requests at once; try again")
            .spanish("Demasiadas solicitudes a la vez; inténtelo de nuevo.")
            .into_response();
    };
    DefaultBodyLimit::max(body::BODY_BYTES_MAX).apply(&mut request);
    let mut response = match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::TimedOut, "the request took too long; try again")
            .spanish("La solicitud tardó demasiado; inténtelo de nuevo.")
            .into_response(),
    };
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use futures_util::stream;
    use tower::ServiceExt;

    use super::*;

    /// A route that reads its body, with so many places.
    fn routes(places: usize) -> Router {
        let echo = post(async |body: String| body);
        Router::new().route("/", echo).layer(from_fn_with_state(Arc::new(Semaphore::new(places)), admit))
    }

    fn request(body: Body) -> Request {
        Request::post("/").body(body).expect("a request")
    }

    #[tokio::test]
    async fn a_request_without_a_place_is_answered_at_once() {
        let full = routes(0).oneshot(request(Body::empty())).await.expect("an answer");
        assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
        let free = routes(1).oneshot(request(Body::empty())).await.expect("an answer");
        assert_eq!(free.status(), StatusCode::OK);
        assert_eq!(free.headers()[header::CACHE_CONTROL], "no-store");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_ends_with_the_time_limit() {
        let never = Body::from_stream(stream::pending::<Result<&'static str, std::io::Error>>());
        let begun = tokio::time::Instant::now();
        let late = routes(1).oneshot(request(never)).await.expect("an answer");
        assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(begun.elapsed().as_secs(), REQUEST_TIME_MAX.as_secs());
    }
}
