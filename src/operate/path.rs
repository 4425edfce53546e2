//! What a request is about: the workspace and the endpoint of its path.
//!
//! Taking them from the path also asks whether the caller may; a handler that has a workspace may work on it.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use utoipa::IntoParams;

use super::auth::Caller;
use super::{Code, Problem};
use crate::decide::ids::{EndpointId, EventId, WorkspaceId};

/// A request on a workspace that the caller may work on.
#[derive(IntoParams)]
#[into_params(names("workspace"), parameter_in = Path)]
pub struct InWorkspace(#[param(value_type = String, pattern = "^[A-Za-z0-9._-]{1,128}$")] pub WorkspaceId);

/// A request on an endpoint of a workspace that the caller may work on.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct AtEndpoint {
    /// Whose endpoint.
    #[param(value_type = String, pattern = "^[A-Za-z0-9._-]{1,128}$")]
    pub workspace: WorkspaceId,
    /// Which; it need not exist.
    #[param(value_type = String, pattern = "^ep_[A-Za-z0-9]{1,125}$")]
    pub endpoint: EndpointId,
}

/// A request on an event at an endpoint.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct AtEvent {
    /// Whose endpoint.
    #[param(value_type = String, pattern = "^[A-Za-z0-9._-]{1,128}$")]
    pub workspace: WorkspaceId,
    /// Which endpoint.
    #[param(value_type = String, pattern = "^ep_[A-Za-z0-9]{1,125}$")]
    pub endpoint: EndpointId,
    /// Which event; neither need exist.
    #[param(value_type = String, pattern = "^[!-\\-/-~]{1,128}$")]
    pub event: EventId,
}

impl<S: Send + Sync> FromRequestParts<S> for InWorkspace {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let workspace = part(parts, state, "workspace").await?;
        let workspace = WorkspaceId::parse(&workspace).ok_or_else(|| {
            Problem::with_field(Code::InvalidBody, "workspace", "a workspace's name is 1 to 128 of A-Z a-z 0-9 . _ -")
                .spanish("El nombre de un espacio de trabajo tiene de 1 a 128 caracteres de A-Z a-z 0-9 . _ -")
        })?;
        match parts.extensions.get::<Caller>() {
            Some(caller) if caller.may(&workspace) => Ok(Self(workspace)),
            Some(_) => Err(Problem::new(Code::Forbidden, "this token is not one for this workspace")
                .in_console("this sign-in is not one for this workspace")
                .spanish("Este acceso no es para este espacio de trabajo.")),
            None => Err(Problem::new(Code::Unauthorized, "send a token")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AtEndpoint {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let InWorkspace(workspace) = InWorkspace::from_request_parts(parts, state).await?;
        let endpoint = part(parts, state, "endpoint").await?;
        // What is no id is no endpoint's; the store need not be asked, nor meet odd characters.
        let clean =
            endpoint.strip_prefix("ep_").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        if !clean || endpoint.len() > crate::decide::ids::ID_BYTES_MAX {
            return Err(Problem::no_endpoint());
        }
        Ok(Self { workspace, endpoint: EndpointId::trusted(endpoint) })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AtEvent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let AtEndpoint { workspace, endpoint } = AtEndpoint::from_request_parts(parts, state).await?;
        let event = part(parts, state, "event").await?;
        let event = EventId::parse(&event).ok_or_else(Problem::no_event)?;
        Ok(Self { workspace, endpoint, event })
    }
}

async fn part<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, Problem> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let params = params
        .map_err(|_| Problem::new(Code::NotFound, "the path is not UTF-8").spanish("La dirección no está en UTF-8."))?;
    let found = params.iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| value.to_owned()).ok_or_else(|| Problem::new(Code::NotFound, "there is nothing here"))
}
