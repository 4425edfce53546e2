//! Who asks: an administrator, or somebody with a token of one workspace.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::serve::Peer;
use super::tokens::Grant;
use super::tries::Tries;
use super::{Api, Code, Problem};
use crate::config::Sensitive;
use crate::decide::ids::WorkspaceId;

/// Who asks; every request behind `authenticate` has one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Caller {
    /// May do everything.
    Admin,
    /// May do what the grant says.
    Workspace(Grant),
}

impl Caller {
    /// Whether this workspace is the caller's to work on.
    pub fn may(&self, workspace: &WorkspaceId) -> bool {
        match self {
            Self::Admin => true,
            Self::Workspace(grant) => grant.workspace == *workspace,
        }
    }

    /// Whether the caller may change anything.
    pub fn may_write(&self) -> bool {
        match self {
            Self::Admin => true,
            Self::Workspace(grant) => !grant.read_only,
        }
    }
}

impl Api {
    /// Whose token this is, if anybody's.
    pub fn caller(&self, token: &str) -> Option<Caller> {
        if self.admin_tokens.hold(token) {
            return Some(Caller::Admin);
        }
        self.tokens.verify(token, self.clock.unix()).map(Caller::Workspace)
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

    /// What the sessions of an administrator with this token are signed by, if it is one.
    pub(super) fn digest_of(&self, token: &str) -> Option<[u8; 32]> {
        self.hold(token).then(|| digest(token))
    }

    /// What sessions of administrators may be signed by.
    pub(super) fn digests(&self) -> &[[u8; 32]] {
        &self.0
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// What the gate works with.
#[derive(Clone)]
pub(super) struct Gate {
    pub api: Arc<Api>,
    pub tries: Arc<Tries>,
}

/// Lets a request through with its [`Caller`], or answers 401, or 403 where a read-only token would change something:
/// here, once, so that no route can forget it.
pub(super) async fn authenticate(
    State(Gate { api, tries }): State<Gate>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(token) = bearer(request.headers()) else {
        return Err(Problem::new(Code::Unauthorized, "send a token in the header `Authorization: Bearer …`"));
    };
    let Some(caller) = api.caller(token) else {
        return Err(refused(&tries, &request, &api));
    };
    if !caller.may_write() && !request.method().is_safe() {
        return Err(Problem::new(Code::Forbidden, "this token may only read"));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Counts a wrong token against the address that it came from.
pub(super) fn refused(tries: &Tries, request: &Request, api: &Api) -> Problem {
    let address = request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    if tries.count(address, api.clock.boot()) {
        return Problem::new(Code::RateLimited, "too many wrong tokens from this address; wait a minute");
    }
    Problem::new(Code::Unauthorized, "this token is not known, or its time is over")
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A request that only an administrator may make.
pub struct Admin;

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Caller>() {
            Some(Caller::Admin) => Ok(Self),
            _ => Err(Problem::new(Code::Forbidden, "this needs an admin token")
                .spanish("Para esto hace falta un token de administración.")),
        }
    }
}
