//! Workspaces: their plan, and who is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Admin;
use super::body::Body;
use super::page::{Page, Params};
use super::path::InWorkspace;
use super::{Api, Code, Problem, fields};
use crate::clock::rfc3339;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::decide::notice::DropReason;
use crate::observe::signal::Signal;
use crate::store::records::Workspace;

/// How many records of a page are asked for at once.
const RECORDS_AT_ONCE: usize = 16;

/// What is set of a workspace. It is set as a whole: what is left out, or null, takes its default.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewWorkspace)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Its plan, by which it may have webhooks or not.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "advanced")]
    plan: String,
    /// Its name, for people.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// E-mail addresses of those who get its notices.
    #[schema(max_items = 20, example = json!(["ops@example.com"]))]
    notify: Option<Vec<String>>,
    /// The language of its notices; English if not given.
    #[schema(pattern = "^(en|es)$")]
    locale: Option<String>,
}

/// A workspace as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Workspace)]
pub struct Shown {
    /// What the platform calls it.
    #[schema(value_type = String)]
    id: WorkspaceId,
    /// Its plan.
    plan: String,
    /// Its name, for people.
    name: String,
    /// Who gets its notices.
    notify: Vec<String>,
    /// `en` or `es`.
    locale: String,
    /// Whether its plan includes webhooks.
    entitled: bool,
}

/// The error quota's window as it is shown.
#[derive(Serialize, ToSchema)]
pub struct Quota {
    /// Failed attempts that count now.
    used: u32,
    /// How many may count; one more disables the endpoint that failed.
    limit: u32,
    /// How long an attempt counts.
    window_seconds: u64,
    /// What counts, by endpoint.
    #[schema(value_type = BTreeMap<String, u32>)]
    by_endpoint: BTreeMap<EndpointId, u32>,
    /// When the next failure leaves the window.
    #[schema(format = DateTime)]
    next_leaves_at: Option<String>,
}

fn english() -> String {
    fields::LOCALES[0].to_owned()
}

/// Lists workspaces
///
/// Those that were set or have endpoints, by name. Needs an admin token.
#[utoipa::path(
    get,
    path = "/v1/workspaces",
    operation_id = "list_workspaces",
    tag = "Workspaces",
    params(
        ("limit" = Option<usize>, Query, nullable = false, minimum = 1, description = "rows of a page, at most 500; 50 if not given"),
        ("cursor" = Option<String>, Query, nullable = false, description = "where the last page ended: its `next_cursor`"),
        ("query" = Option<String>, Query, nullable = false, description = "only those whose name contains this"),
    ),
    responses((status = 200, body = Page<Shown>)),
)]
pub async fn list(State(api): State<Arc<Api>>, _: Admin, params: Params) -> Result<Json<Page<Shown>>, Problem> {
    params.only(&["limit", "cursor", "query"])?;
    let limit = params.limit()?;
    let after = params.cursor(WorkspaceId::parse)?;
    let names = api.store.workspaces(after.as_ref(), params.get("query"), limit + 1).await?;
    let names = Page::of(names, limit, |name| name.to_string(), |name| name);
    let shown = stream::iter(names.data).map(|name| {
        let api = Arc::clone(&api);
        async move {
            let record = api.store.workspace(&name).await?;
            Ok::<_, Problem>(api.shown(name, record))
        }
    });
    let data = shown.buffered(RECORDS_AT_ONCE).try_collect().await?;
    Ok(Json(Page { data, next_cursor: names.next_cursor }))
}

/// Sets a workspace
///
/// As a whole: what is left out, but the plan, takes its default. Needs an admin token, since the plan is the platform's to give.
#[utoipa::path(
    put,
    path = "/v1/workspaces/{workspace}",
    operation_id = "set_workspace",
    tag = "Workspaces",
    params(InWorkspace),
    request_body = Set,
    responses((status = 200, body = Shown)),
)]
pub async fn put(
    State(api): State<Arc<Api>>,
    _: Admin,
    InWorkspace(workspace): InWorkspace,
    Body(set): Body<Set>,
) -> Result<Json<Shown>, Problem> {
    let record = Workspace {
        plan: fields::plan(set.plan)?,
        name: fields::text("name", set.name.unwrap_or_default(), fields::NAME_CHARS_MAX)?,
        notify: fields::notify(set.notify.unwrap_or_default())?,
        locale: fields::locale(set.locale.unwrap_or_else(english))?,
    };
    api.store.put_workspace(&workspace, &record).await?;
    Ok(Json(api.shown(workspace, Some(record))))
}

/// Shows a workspace
#[utoipa::path(
    get,
    path = "/v1/workspaces/{workspace}",
    operation_id = "get_workspace",
    tag = "Workspaces",
    params(InWorkspace),
    responses((status = 200, body = Shown)),
)]
pub async fn get(State(api): State<Arc<Api>>, InWorkspace(workspace): InWorkspace) -> Result<Json<Shown>, Problem> {
    let record = api.store.workspace(&workspace).await?;
    // One that was never set, but has endpoints, is there all the same, on the default plan.
    if record.is_none() && api.store.endpoints(&workspace).await?.is_empty() {
        return Err(no_workspace());
    }
    Ok(Json(api.shown(workspace, record)))
}

/// Deletes a workspace
///
/// With its endpoints and all that waits for them. Needs an admin token.
#[utoipa::path(
    delete,
    path = "/v1/workspaces/{workspace}",
    operation_id = "delete_workspace",
    tag = "Workspaces",
    params(InWorkspace),
    responses((status = 204, description = "it is gone")),
)]
pub async fn delete(
    State(api): State<Arc<Api>>,
    _: Admin,
    InWorkspace(workspace): InWorkspace,
) -> Result<StatusCode, Problem> {
    let count = api.store.delete_workspace(&workspace).await?.ok_or_else(no_workspace)?;
    if count > 0 {
        api.signals.emit(&Signal::Dropped { reason: DropReason::EndpointDeleted, count, endpoint: None });
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Shows a workspace's error quota
#[utoipa::path(
    get,
    path = "/v1/workspaces/{workspace}/quota",
    operation_id = "get_quota",
    tag = "Workspaces",
    params(InWorkspace),
    responses((status = 200, body = Quota)),
)]
pub async fn quota(State(api): State<Arc<Api>>, InWorkspace(workspace): InWorkspace) -> Result<Json<Quota>, Problem> {
    let used = api.store.quota(&workspace).await?;
    Ok(Json(Quota {
        used: used.used,
        limit: api.policy.quota.limit,
        window_seconds: api.policy.quota.window.as_secs(),
        by_endpoint: used.by_endpoint.into_iter().collect(),
        next_leaves_at: used.next_leaves_ms.map(rfc3339),
    }))
}

fn no_workspace() -> Problem {
    Problem::new(Code::NotFound, "this workspace was never set; PUT it first")
}

impl Api {
    /// Refuses what needs an entitled plan.
    pub(super) async fn need_plan(&self, workspace: &WorkspaceId) -> Result<(), Problem> {
        let record = self.store.workspace(workspace).await?;
        let plan = record.as_ref().map(|record| record.plan.as_str());
        if self.policy.plans.entitle(plan) {
            return Ok(());
        }
        let (plans, plan) = (&self.policy.plans, plan.unwrap_or(&self.policy.plans.default));
        let detail = format!(
            "the workspace's plan, {plan}, does not include webhooks; they are for {}",
            plans.entitled.join(", ")
        );
        Err(Problem::new(Code::PlanRequired, detail).spanish(format!(
            "El plan del espacio de trabajo, {plan}, no incluye webhooks; son para: {}.",
            plans.entitled.join(", ")
        )))
    }

    fn shown(&self, id: WorkspaceId, record: Option<Workspace>) -> Shown {
        let entitled = self.policy.plans.entitle(record.as_ref().map(|record| record.plan.as_str()));
        let record = record.unwrap_or_else(|| Workspace {
            plan: self.policy.plans.default.clone(),
            locale: english(),
            ..Workspace::default()
        });
        let Workspace { plan, name, notify, locale } = record;
        Shown { id, plan, name, notify, locale, entitled }
    }
}
