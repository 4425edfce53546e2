//! `ETag` and `If-Match` (RFC 9110): so that of two editors the second is told, instead of overwriting the first.
//!
//! An endpoint's tag stands for what was set of it, its configuration's version: not for its backlog or its last attempt,
//! which change by themselves and overwrite nothing. What does not match is answered 412, as RFC 9110 has it, with the
//! code `conflict`.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{Code, Problem};

/// What the caller knows of a thing; without the header, anything goes.
pub struct IfMatch(Option<String>);

impl IfMatch {
    /// Anything goes.
    pub fn any() -> Self {
        Self(None)
    }

    /// Knows one version: the one that a page was made of.
    pub fn version(version: u64) -> Self {
        Self(Some(tag(version)))
    }

    /// Refuses a change of a thing that is not in one of the versions the caller knows.
    pub fn admit(&self, version: u64) -> Result<(), Problem> {
        let Some(known) = &self.0 else { return Ok(()) };
        let tag = tag(version);
        let matches = known.split(',').map(str::trim).any(|known| known == "*" || known == tag);
        if matches { Ok(()) } else { Err(self.stale()) }
    }

    /// Whether a change that another one came before may be begun again on what that one left.
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// The answer to a change of what somebody else has changed.
    pub fn stale(&self) -> Problem {
        let detail = "somebody else changed it since; read it again, and send its ETag in If-Match";
        Problem::new(Code::Conflict, detail)
            .with_status(StatusCode::PRECONDITION_FAILED)
            .in_console("somebody else changed it meanwhile; open the page again and repeat what you wanted")
            .spanish("Alguien lo cambió mientras tanto; abra la página de nuevo y repita lo que quería.")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let given: Vec<_> = parts.headers.get_all(header::IF_MATCH).iter().collect();
        let text = given.iter().map(|value| value.to_str().unwrap_or("?")).collect::<Vec<_>>().join(",");
        Ok(Self((!given.is_empty()).then_some(text)))
    }
}

/// An answer with the tag of the version it shows.
pub struct Tagged<T> {
    /// The version.
    pub version: u64,
    /// What is shown.
    pub shown: T,
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let tag = HeaderValue::from_str(&tag(self.version)).expect("digits and quotes");
        ([(HeaderName::from_static("etag"), tag)], Json(self.shown)).into_response()
    }
}

fn tag(version: u64) -> String {
    format!("\"{version}\"")
}
