//! All workspaces, for the platform's people.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::page::{Page, Step, show};
use super::words::words;
use crate::decide::ids::WorkspaceId;
use crate::operate::auth::Admin;
use crate::operate::page::{Page as Rows, Params};
use crate::operate::{Api, Problem};

/// Rows of a page.
const ROWS: usize = 50;

/// Workspaces that are asked for at once.
const AT_ONCE: usize = 16;

words! {
    struct Words;

    title: "Workspaces" | "Espacios de trabajo";
    search: "Search" | "Buscar";
    name_contains: "Name contains" | "El nombre contiene";
    all: "Show all" | "Mostrar todos";
    none: "There are no workspaces yet. The platform sets them by the API." |
          "Aún no hay espacios de trabajo. La plataforma los crea con la API.";
    none_found: "No workspace's name contains this." | "Ningún espacio de trabajo tiene ese nombre.";
    workspace: "Workspace" | "Espacio de trabajo";
    plan: "Plan" | "Plan";
    endpoints: "Webhooks" | "Webhooks";
    notified: "Notified" | "Se avisa a";
    nobody: "nobody" | "nadie";
    without: "without webhooks" | "sin webhooks";
    next: "Next" | "Siguientes";
}

#[derive(Template)]
#[template(path = "console/workspaces.html")]
struct Workspaces {
    page: Page,
    way: Vec<Step>,
    words: Words,
    query: String,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    id: WorkspaceId,
    name: String,
    plan: String,
    entitled: bool,
    endpoints: usize,
    notify: String,
}

pub fn routes() -> Router<Arc<Api>> {
    Router::new().route("/console/workspaces", get(list))
}

async fn list(page: Page, _: Admin, State(api): State<Arc<Api>>, params: Params) -> Result<Response, Problem> {
    let words = Words(page.locale());
    let query = params.get("query").unwrap_or_default().to_owned();
    let after = params.cursor(WorkspaceId::parse)?;
    let asked = Some(query.as_str()).filter(|query| !query.is_empty());
    let names = api.store.workspaces(after.as_ref(), asked, ROWS + 1).await?;
    let names = Rows::of(names, ROWS, ToString::to_string, |name| name);
    let rows = stream::iter(names.data).map(|name| row(&api, name)).buffered(AT_ONCE).try_collect().await?;
    let way = vec![Step { name: words.title().to_owned(), path: None }];
    let next = names.next_cursor.map(|cursor| {
        let mut next = url::form_urlencoded::Serializer::new(String::new());
        next.append_pair("query", &query).append_pair("cursor", &cursor).finish()
    });
    Ok(show(&Workspaces { page, way, words, query, rows, next }))
}

async fn row(api: &Api, id: WorkspaceId) -> Result<Row, Problem> {
    let record = api.store.workspace(&id).await?;
    // Who has what is in the routing; the endpoints themselves need not be read to count them.
    let endpoints = api.store.routing(&id).await?.routes.len();
    let entitled = api.policy.plans.entitle(record.as_ref().map(|record| record.plan.as_str()));
    let record = record.unwrap_or_default();
    let plan = if record.plan.is_empty() { api.policy.plans.default.clone() } else { record.plan };
    Ok(Row { id, name: record.name, plan, entitled, endpoints, notify: record.notify.join(", ") })
}
