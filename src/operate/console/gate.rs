//! Who may come in, and which forms are taken: settled here, once, so that no page can forget it.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{self, HeaderMap};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::Url;

use super::posted::{FORM_BYTES_MAX, Posted};
use super::sign_in;
use super::visit::Visit;
use crate::operate::{Code, Problem};

/// The field of every form that only a page of this session can fill.
pub const CSRF: &str = "csrf";

/// Lets somebody signed in through, and a form only from a page of this very session that may change something. Others
/// are sent to sign in.
pub async fn admit(mut request: Request, next: Next) -> Response {
    let Some(visit) = request.extensions().get::<Visit>().cloned() else { return nobody().into_response() };
    let Some(session) = &visit.session else { return sign_in::first(&visit) };
    if !request.method().is_safe() {
        request = match form(&visit, request).await {
            Ok(request) => request,
            Err(problem) => return problem.into_response(),
        };
    }
    request.extensions_mut().insert(session.caller.clone());
    next.run(request).await
}

/// Reads a form, with what shows that it is ours.
async fn form(visit: &Visit, request: Request) -> Result<Request, Problem> {
    let session = visit.session.as_ref().ok_or_else(nobody)?;
    from_here(request.headers())?;
    let (parts, body) = request.into_parts();
    let posted = Posted::read(body).await?;
    if !session.is_csrf(posted.get(CSRF)) {
        return Err(Problem::new(Code::Forbidden, "the form is not of this session; open its page again")
            .spanish("El formulario no es de esta sesión; abra su página de nuevo."));
    }
    let signs_out = parts.uri.path().ends_with("/sign-out");
    if !session.caller.may_write() && !signs_out {
        return Err(only_looks());
    }
    let mut request = Request::from_parts(parts, Body::empty());
    request.extensions_mut().insert(posted);
    Ok(request)
}

/// Refuses what a page of another site sends: browsers say so, the older ones by `Origin` alone.
pub fn from_here(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_here = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => authority(origin).is_some_and(|origin| Some(&*origin) == text(header::HOST.as_str())),
        // No browser; what it knows decides.
        (None, None) => true,
    };
    let elsewhere = || {
        Problem::new(Code::Forbidden, "the form was sent by a page of another site")
            .spanish("El formulario lo envió una página de otro sitio.")
    };
    if is_here { Ok(()) } else { Err(elsewhere()) }
}

/// Host and port of an origin, as the `Host` header has them.
fn authority(origin: &str) -> Option<String> {
    let url = Url::parse(origin).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn nobody() -> Problem {
    Problem::new(Code::Unauthorized, "sign in").spanish("Inicie sesión.")
}

/// The answer to somebody who may only read and would change something.
pub fn only_looks() -> Problem {
    Problem::new(Code::Forbidden, "this sign-in may only look").spanish("Este acceso es solo de lectura.")
}

/// A form's body, whole.
pub async fn bytes(body: Body) -> Result<bytes::Bytes, Problem> {
    let detail = format!("the form is larger than {FORM_BYTES_MAX} bytes, or broke off");
    let spanish = format!("El formulario tiene más de {FORM_BYTES_MAX} bytes o se interrumpió.");
    to_bytes(body, FORM_BYTES_MAX).await.map_err(|_| Problem::new(Code::TooLarge, detail).spanish(spanish))
}
