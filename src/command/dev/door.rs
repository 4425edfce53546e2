//! Who may knock at the demo: programs and pages of this machine, under its own name.
//!
//! The demo's console asks for no token, and a web page from anywhere can have its visitor's browser send requests to
//! 127.0.0.1. What such a page could read or do is bounded by the browser as long as the two have different origins; a name
//! of the page's own that suddenly means 127.0.0.1 (DNS rebinding) would make them one. The browser still says that name.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::operate::{Code, Problem};

/// Refuses requests that were sent to another name than this machine's own for itself, and those that a page of another
/// origin has made to change something.
pub async fn guard(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !host(headers).is_some_and(|host| is_loopback(&host)) {
        return refuse("dev answers to localhost and loopback addresses only");
    }
    if !request.method().is_safe() && !of_this_origin(headers) {
        return refuse("dev takes no changes from pages of other origins");
    }
    next.run(request).await
}

fn refuse(sentence: &str) -> Response {
    Problem::new(Code::Forbidden, sentence).into_response()
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

fn is_loopback(host: &Authority) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Programs send no `Origin`; a browser does with everything that is not a mere look.
fn of_this_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
    origin.and_then(|origin| origin.parse::<Authority>().ok()) == host(headers)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Method, StatusCode};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    async fn status(method: Method, host: Option<&str>, origin: Option<&str>) -> StatusCode {
        let given = [(header::HOST, host), (header::ORIGIN, origin)];
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let request =
            given.fold(Request::builder().method(method), |request, (name, value)| request.header(name, value));
        let routes = Router::new().route("/", get(async || "seen").post(async || "done")).layer(from_fn(guard));
        routes.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer").status()
    }

    #[tokio::test]
    async fn only_names_of_this_machine_are_answered() {
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.9.9.9"] {
            assert_eq!(status(Method::GET, Some(host), None).await, StatusCode::OK, "{host}");
        }
        for host in ["rebound.example:8080", "localhost.rebound.example", "127.0.0.1.rebound.example", "10.0.0.1", ""] {
            assert_eq!(status(Method::GET, Some(host), None).await, StatusCode::FORBIDDEN, "{host}");
        }
        assert_eq!(status(Method::GET, None, None).await, StatusCode::FORBIDDEN);
    }

    #[tokio::test]
    async fn pages_of_other_origins_change_nothing() {
        const HERE: Option<&str> = Some("127.0.0.1:8080");
        for origin in [None, Some("http://127.0.0.1:8080")] {
            assert_eq!(status(Method::POST, HERE, origin).await, StatusCode::OK, "{origin:?}");
        }
        for origin in ["null", "http://127.0.0.1:3000", "https://127.0.0.1:8080", "http://other.example"] {
            assert_eq!(status(Method::POST, HERE, Some(origin)).await, StatusCode::FORBIDDEN, "{origin}");
            assert_eq!(status(Method::GET, HERE, Some(origin)).await, StatusCode::OK, "a look, {origin}");
        }
    }
}
