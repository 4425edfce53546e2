//! Endpoints: listed, changed, enabled, disabled, deleted; `create` and `rotate` are files of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::body::{Body, given, given_or_default};
use super::conditional::{IfMatch, Tagged};
use super::page::{Page, Params};
use super::path::{AtEndpoint, InWorkspace};
use super::{Api, Code, Problem, fields, problem};
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::store::records::{Config, Endpoint, LAYOUTS_MAX, Put};

pub mod create;
pub mod rotate;
mod shown;
mod switch;

pub use create::new_id;
pub use shown::Shown;

/// How often a change is begun again because somebody else made one at the same time.
const CHANGES_MAX: usize = 4;

/// A change of an endpoint, by the rules of JSON Merge Patch (RFC 7396): what is left out stays.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = EndpointChange)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Where its events go: `https`, and no private address.
    #[serde(default, deserialize_with = "given")]
    #[schema(pattern = "^https://[^\\s]+$", nullable = false)]
    pub url: Option<String>,
    /// The event types it wants, or `["*"]` for all.
    #[serde(default, deserialize_with = "given")]
    #[schema(min_items = 1, max_items = 300, nullable = false, example = json!(["*"]))]
    pub events: Option<Vec<String>>,
    /// For people; null for none.
    #[serde(default, deserialize_with = "given_or_default")]
    #[schema(max_length = 500)]
    pub description: Option<String>,
    /// How many contacts' events move side by side.
    #[serde(default, deserialize_with = "given")]
    #[schema(minimum = 1, maximum = 64, nullable = false)]
    pub lanes: Option<u16>,
    /// Headers of its own by name: those named here are set, or removed where the value is null; the others stay. All are
    /// removed where this itself is null.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    pub headers: Option<Option<BTreeMap<String, Option<String>>>>,
}

/// How to enable an endpoint.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Enable {
    /// What becomes of the events that waited.
    backlog: Option<Backlog>,
}

/// What becomes of the events that waited.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[schema(as = WhatWaited)]
#[serde(rename_all = "lowercase")]
enum Backlog {
    /// They go out in order.
    #[default]
    Deliver,
    /// They are dropped.
    Discard,
}

/// Lists a workspace's endpoints
///
/// In the order of their creation.
#[utoipa::path(
    get,
    path = "/v1/workspaces/{workspace}/endpoints",
    operation_id = "list_endpoints",
    tag = "Endpoints",
    params(
        InWorkspace,
        ("limit" = Option<usize>, Query, nullable = false, minimum = 1, description = "rows of a page, at most 500; 50 if not given"),
        ("cursor" = Option<String>, Query, nullable = false, description = "where the last page ended: its `next_cursor`"),
    ),
    responses(
        (status = 200, body = Page<Shown>),
    ),
)]
pub async fn list(
    State(api): State<Arc<Api>>,
    InWorkspace(workspace): InWorkspace,
    params: Params,
) -> Result<Json<Page<Shown>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit()?;
    let after = params.cursor(read_place)?;
    let rest = api.endpoints_after(&workspace, after, limit + 1).await?;
    Ok(Json(Page::of(rest, limit, cursor, Shown::from)))
}

/// An endpoint's place in the list, as a cursor has it.
pub(super) fn cursor(endpoint: &Endpoint) -> String {
    format!("{} {}", endpoint.config.created_ms, endpoint.id)
}

pub(super) fn read_place(text: &str) -> Option<(u64, EndpointId)> {
    let (created_ms, id) = text.split_once(' ')?;
    Some((created_ms.parse().ok()?, EndpointId::trusted(id)))
}

/// Shows an endpoint
#[utoipa::path(
    get,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}",
    operation_id = "get_endpoint",
    tag = "Endpoints",
    params(AtEndpoint),
    responses(
        (status = 200, body = Shown, headers(("ETag" = String))),
    ),
)]
pub async fn get(State(api): State<Arc<Api>>, at: AtEndpoint) -> Result<Tagged<Shown>, Problem> {
    Ok(Shown::tagged(api.endpoint(&at.workspace, &at.endpoint).await?))
}

/// Changes an endpoint
///
/// What is left out stays. With `If-Match`, nothing changes unless the endpoint is in that version.
#[utoipa::path(
    patch,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}",
    operation_id = "change_endpoint",
    tag = "Endpoints",
    params(AtEndpoint, ("If-Match" = Option<String>, Header, nullable = false)),
    request_body = Patch,
    responses(
        (status = 200, body = Shown, headers(("ETag" = String))),
        (status = 409, description = "`conflict`: others changed it at the same time, or `lanes` was changed too often while events wait",
            body = problem::Body, content_type = "application/problem+json"),
        (status = 412, description = "`conflict`: it is not in the version of If-Match",
            body = problem::Body, content_type = "application/problem+json"),
    ),
)]
pub async fn patch(
    State(api): State<Arc<Api>>,
    at: AtEndpoint,
    known: IfMatch,
    Body(patch): Body<Patch>,
) -> Result<Tagged<Shown>, Problem> {
    Ok(Shown::tagged(api.change_endpoint(&at.workspace, &at.endpoint, &known, patch).await?))
}

/// Deletes an endpoint
///
/// What waits for it is dropped.
#[utoipa::path(
    delete,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}",
    operation_id = "delete_endpoint",
    tag = "Endpoints",
    params(AtEndpoint, ("If-Match" = Option<String>, Header, nullable = false)),
    responses(
        (status = 204, description = "it is gone"),
        (status = 412, description = "`conflict`: it is not in the version of If-Match",
            body = problem::Body, content_type = "application/problem+json"),
    ),
)]
pub async fn delete(State(api): State<Arc<Api>>, at: AtEndpoint, known: IfMatch) -> Result<StatusCode, Problem> {
    api.delete_endpoint(&at.workspace, &at.endpoint, &known).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enables an endpoint
///
/// With a clean count of failures. What waited goes out in order, or is dropped on request.
#[utoipa::path(
    post,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}/enable",
    operation_id = "enable_endpoint",
    tag = "Endpoints",
    params(AtEndpoint),
    request_body = Enable,
    responses(
        (status = 200, body = Shown, headers(("ETag" = String))),
    ),
)]
pub async fn enable(
    State(api): State<Arc<Api>>,
    at: AtEndpoint,
    Body(enable): Body<Enable>,
) -> Result<Tagged<Shown>, Problem> {
    let discard = enable.backlog == Some(Backlog::Discard);
    api.enable_endpoint(&at.workspace, &at.endpoint, discard).await?;
    Ok(Shown::tagged(api.endpoint(&at.workspace, &at.endpoint).await?))
}

/// Disables an endpoint by hand
///
/// No attempt is begun any more; events wait until it is enabled.
#[utoipa::path(
    post,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}/disable",
    operation_id = "disable_endpoint",
    tag = "Endpoints",
    params(AtEndpoint),
    responses(
        (status = 200, body = Shown, headers(("ETag" = String))),
    ),
)]
pub async fn disable(State(api): State<Arc<Api>>, at: AtEndpoint) -> Result<Tagged<Shown>, Problem> {
    api.disable_endpoint(&at.workspace, &at.endpoint).await?;
    Ok(Shown::tagged(api.endpoint(&at.workspace, &at.endpoint).await?))
}

fn changed_meanwhile() -> Problem {
    Problem::new(Code::Conflict, "somebody else changed the endpoint at the same time; read it and try again")
        .spanish("Alguien cambió el endpoint al mismo tiempo; mírelo e inténtelo de nuevo.")
}

impl Api {
    /// Changes what is set of an endpoint.
    pub async fn change_endpoint(
        &self,
        workspace: &WorkspaceId,
        id: &EndpointId,
        known: &IfMatch,
        patch: Patch,
    ) -> Result<Endpoint, Problem> {
        let url = patch.url.map(|url| fields::url(&self.guard, &url)).transpose()?;
        let events = patch.events.map(|events| fields::events(&self.event_types, events)).transpose()?;
        let description = patch.description;
        let description = description.map(|text| fields::text("description", text, fields::DESCRIPTION_CHARS_MAX));
        let description = description.transpose()?;
        let lanes = patch.lanes.map(fields::lanes).transpose()?;
        let edit = |config: &mut Config, now_ms| {
            let present = config.clone();
            config.url = url.clone().unwrap_or(present.url.clone());
            config.events = events.clone().unwrap_or(present.events.clone());
            config.description = description.clone().unwrap_or(present.description.clone());
            config.lanes = lanes.unwrap_or(present.lanes);
            match patch.headers.clone() {
                None => {}
                Some(None) => config.headers.clear(),
                Some(Some(change)) => config.headers = fields::merge_headers(&present.headers, change)?,
            }
            if *config != present {
                config.version += 1;
                config.updated_ms = now_ms;
            }
            Ok(())
        };
        self.write(workspace, id, known, edit).await
    }

    /// Writes what an edit makes of an endpoint's configuration, unless its version stays. The edit is made again when
    /// somebody else was first, but not for a caller who knew another version. Answers with the endpoint as edited.
    async fn write(
        &self,
        workspace: &WorkspaceId,
        id: &EndpointId,
        known: &IfMatch,
        edit: impl Fn(&mut Config, u64) -> Result<(), Problem>,
    ) -> Result<Endpoint, Problem> {
        for _ in 0..CHANGES_MAX {
            let mut endpoint = self.endpoint(workspace, id).await?;
            let version = endpoint.config.version;
            known.admit(version)?;
            edit(&mut endpoint.config, self.now_ms())?;
            if endpoint.config.version == version {
                return Ok(endpoint);
            }
            match self.store.put_endpoint(workspace, id, &endpoint.config).await? {
                Put::Conflict if known.is_given() => return Err(known.stale()),
                Put::Conflict => {}
                put => {
                    self.done(put)?;
                    return Ok(endpoint);
                }
            }
        }
        Err(changed_meanwhile())
    }

    /// A workspace's endpoints in the order of their creation, after a place in it, at most `limit`.
    pub(super) async fn endpoints_after(
        &self,
        workspace: &WorkspaceId,
        after: Option<(u64, EndpointId)>,
        limit: usize,
    ) -> Result<Vec<Endpoint>, Problem> {
        let routes = self.store.routing(workspace).await?.routes;
        let start = match &after {
            None => Some(0),
            Some((_, id)) => routes.iter().position(|route| route.endpoint == *id).map(|at| at + 1),
        };
        if let Some(start) = start {
            let page: Vec<_> = routes.into_iter().skip(start).take(limit).map(|route| route.endpoint).collect();
            return Ok(self.store.endpoints_among(workspace, &page).await?);
        }
        // The page's beginning was deleted since, and is found again by when it was created. Those of the same moment may
        // be shown once more; in the list's own order, so that none is left out.
        let created_ms = after.map_or(0, |(created_ms, _)| created_ms);
        let endpoints = self.store.endpoints(workspace).await?;
        let rest = endpoints.into_iter().skip_while(|endpoint| endpoint.config.created_ms < created_ms);
        Ok(rest.take(limit).collect())
    }

    /// An endpoint, or 404.
    pub(super) async fn endpoint(&self, workspace: &WorkspaceId, id: &EndpointId) -> Result<Endpoint, Problem> {
        self.store.endpoint(workspace, id).await?.ok_or_else(Problem::no_endpoint)
    }

    /// What came of setting an endpoint, if it was not done.
    fn done(&self, put: Put) -> Result<(), Problem> {
        match put {
            Put::Done => Ok(()),
            Put::Missing => Err(Problem::no_endpoint()),
            Put::Conflict => Err(changed_meanwhile()),
            Put::LimitReached => {
                let limit = self.policy.limits.endpoints;
                let detail = format!("the workspace has {limit} endpoints, as many as it may; delete one first");
                Err(Problem::new(Code::LimitReached, detail).spanish(format!(
                    "El espacio de trabajo tiene {limit} endpoints, todos los que puede tener; elimine uno antes."
                )))
            }
            Put::Draining => {
                let changed = format!("changed {LAYOUTS_MAX} times while events wait under earlier settings");
                let detail = format!("{changed}; try again when they are out");
                Err(Problem::with_field(Code::Conflict, "lanes", detail).spanish(format!(
                    "Se cambiaron {LAYOUTS_MAX} veces mientras esperan eventos de ajustes anteriores; \
                     inténtelo de nuevo cuando hayan salido."
                )))
            }
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.unix().as_millis()).unwrap_or(u64::MAX)
    }
}
