//! Who asks. Today only administrators; workspace tokens become another kind of [`Caller`].

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{Api, Code, Problem};
use crate::config::Sensitive;
use crate::decide::ids::WorkspaceId;

/// Who asks; every request behind [`authenticate`] has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// May do everything.
    Admin,
}

impl Caller {
    /// Whether this workspace is the caller's to see and to change.
    pub fn may(self, _workspace: &WorkspaceId) -> bool {
        match self {
            Self::Admin => true,
        }
    }
}

/// The admin tokens, as digests: what is compared then has one length and says nothing of the token.
#[derive(Clone)]
pub struct AdminTokens(Vec<[u8; 32]>);

impl AdminTokens {
    /// These tokens.
    pub fn new(tokens: &[Sensitive]) -> Self {
        Self(tokens.iter().map(|token| digest(token.reveal())).collect())
    }

    /// Whether a token is one of them, in a time that does not depend on which, or on how much of it is right.
    pub fn hold(&self, token: &str) -> bool {
        let token = digest(token);
        let any = self.0.iter().fold(Choice::from(0), |any, known| any | known.ct_eq(&token));
        any.into()
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Lets a request through with its [`Caller`], or answers 401.
pub(super) async fn authenticate(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let unauthorized = |detail| Problem::new(Code::Unauthorized, detail);
    let token = bearer(request.headers())
        .ok_or_else(|| unauthorized("send a token in the header `Authorization: Bearer …`"))?;
    if !api.admin_tokens.hold(token) {
        return Err(unauthorized("this token is not known"));
    }
    request.extensions_mut().insert(Caller::Admin);
    Ok(next.run(request).await)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
