//! Tokens for a workspace's own people and programs, and the way into the console.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::auth::Admin;
use super::body::Body;
use super::path::InWorkspace;
use super::tokens::Grant;
use super::{Api, Code, Problem, problem};
use crate::clock::rfc3339;
use crate::store::once::OnceName;

/// How long a token is good if nothing is asked, in seconds.
const TTL_DEFAULT_S: u64 = 60 * 60;

/// The longest that a token may be good, in seconds: a year.
const TTL_MAX_S: u64 = 365 * 24 * 60 * 60;

/// How long a one-time code waits for its use (contract, section 5).
pub const CODE_KEPT_FOR: Duration = Duration::from_secs(10 * 60);

/// Bytes of randomness in a one-time code.
const CODE_BYTES: usize = 24;

/// Where the console takes a one-time code, below its base.
pub const CONSOLE_ENTRY: &str = "console/enter";

/// What is asked of a new token.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewToken)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// How long it is to be good; an hour if not given.
    #[schema(minimum = 1, maximum = 31_536_000)]
    ttl_seconds: Option<u64>,
    /// Whether it may only read.
    read_only: Option<bool>,
}

/// A token, and the way into the console.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub struct Made {
    /// `rwt_…`, a bearer token; it is not shown again.
    token: String,
    /// When it ends.
    #[schema(format = DateTime)]
    expires_at: String,
    /// Opens the console once, within 10 minutes, with what the token may do.
    #[schema(format = "uri")]
    console_url: String,
}

/// Makes a workspace token
///
/// For that workspace alone. Nothing is stored of it: it is good until its end, or until the key that signed it is taken out
/// of `RECADERO_TOKEN_KEYS`. Needs an admin token, so that no token outlives its end by making another.
#[utoipa::path(
    post,
    path = "/v1/workspaces/{workspace}/tokens",
    operation_id = "create_token",
    tag = "Workspaces",
    params(InWorkspace),
    request_body = Ask,
    responses(
        (status = 201, body = Made),
        (status = 409, description = "`conflict`: there is no key to sign with",
            body = problem::Body, content_type = "application/problem+json"),
    ),
)]
pub async fn create(
    State(api): State<Arc<Api>>,
    _: Admin,
    InWorkspace(workspace): InWorkspace,
    headers: HeaderMap,
    Body(ask): Body<Ask>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let ttl_s = ask.ttl_seconds.unwrap_or(TTL_DEFAULT_S);
    if !(1..=TTL_MAX_S).contains(&ttl_s) {
        let sentence = format!("must be 1 to {TTL_MAX_S}");
        return Err(Problem::with_field(Code::InvalidBody, "ttl_seconds", sentence));
    }
    let until_s = api.clock.unix().as_secs() + ttl_s;
    let grant = Grant { workspace, read_only: ask.read_only.unwrap_or_default(), until_s };
    let token = api.tokens.sign(&grant).ok_or_else(|| {
        Problem::new(Code::Conflict, "there is no RECADERO_TOKEN_KEYS to sign with; set one of at least 32 characters")
    })?;
    let code = api.make_code(&grant).await?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let console_url = console_url(api.public_url.as_ref(), host.unwrap_or("127.0.0.1"), &code);
    let made = Made { token: token.reveal().to_owned(), expires_at: rfc3339(until_s * 1000), console_url };
    Ok((StatusCode::CREATED, Json(made)))
}

impl Api {
    /// A code that opens the console once. The store has its digest alone.
    pub async fn make_code(&self, grant: &Grant) -> Result<String, Problem> {
        let random: [u8; CODE_BYTES] = rand::random();
        let code = URL_SAFE_NO_PAD.encode(random);
        self.store.keep(&code_name(&code), &grant.to_string(), CODE_KEPT_FOR).await?;
        Ok(code)
    }

    /// What a code grants, the first time it is shown; a session then carries the token of that grant.
    pub async fn redeem_code(&self, code: &str) -> Result<Option<Grant>, Problem> {
        let grant = self.store.take(&code_name(code)).await?;
        let grant = grant.and_then(|text| text.parse::<Grant>().ok());
        Ok(grant.filter(|grant| self.clock.unix() < Duration::from_secs(grant.until_s)))
    }
}

fn code_name(code: &str) -> OnceName {
    OnceName::of(&["console code", code])
}

/// Below `RECADERO_PUBLIC_URL`, or else where the request was sent to.
fn console_url(base: Option<&Url>, host: &str, code: &str) -> String {
    let base = base.map_or_else(|| format!("http://{host}"), Url::to_string);
    format!("{}/{CONSOLE_ENTRY}?code={code}", base.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_consoles_url_stands_below_the_public_one() {
        let base: Url = "https://hooks.example/platform/".parse().unwrap();
        let url = console_url(Some(&base), "10.0.0.1:8080", "c");
        assert_eq!(url, "https://hooks.example/platform/console/enter?code=c");
        assert_eq!(console_url(None, "127.0.0.1:8080", "c"), "http://127.0.0.1:8080/console/enter?code=c");
    }
}
