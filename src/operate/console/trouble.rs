//! The worst of all endpoints, for the platform's people: those that are disabled, the last one first, and those whose last
//! attempt failed, the ones that are tried again soonest first; [`WORST`] of each, with how much waits and since when.
//!
//! What "worst" means is what the store can tell without visiting a hundred thousand endpoints
//! ([`overview`](crate::store::Records::overview)): a bounded read per partition, and then of those alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::moment::{Age, Moment};
use super::page::{Page, Step, show};
use super::words::words;
use crate::decide::attempt::Outcome;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::decide::notice::DisableReason;
use crate::notify::mail::Cause;
use crate::operate::auth::Admin;
use crate::operate::{Api, Problem};
use crate::store::records::{Endpoint, EndpointStatus};

/// Endpoints of each kind.
const WORST: usize = 25;

/// Workspaces that are asked for at once.
const AT_ONCE: usize = 16;

words! {
    struct Words;

    title: "In trouble" | "Con problemas";
    now: "Now" | "Ahora";
    waiting_events: "Events waiting" | "Eventos en espera";
    oldest_below: "Longest wait below" | "Espera más larga aquí";
    enabled: "Webhooks enabled" | "Webhooks habilitados";
    disabled: "Webhooks disabled" | "Webhooks deshabilitados";
    paused: "Webhooks paused" | "Webhooks en pausa";
    disabled_title: "Disabled, the last one first" | "Deshabilitados, primero el último";
    failing_title: "Failing, those tried again soonest first" | "Con fallos, primero los que se reintentan antes";
    none: "None." | "Ninguno.";
    no_more_than(count): "No more than {count} are shown of each." | "No se muestran más de {count} de cada tipo.";
    webhook: "Webhook" | "Webhook";
    workspace: "Workspace" | "Espacio de trabajo";
    since: "Since" | "Desde";
    why: "Why" | "Por qué";
    last_failure: "Last failure" | "Último fallo";
    waiting: "Waiting" | "En espera";
    oldest: "Oldest has waited" | "El más antiguo espera";
    by_quota: "error quota" | "cuota de errores";
    by_hand: "by hand" | "a mano";
    nothing: "nothing" | "nada";
}

#[derive(Template)]
#[template(path = "console/trouble.html")]
struct Trouble {
    page: Page,
    way: Vec<Step>,
    words: Words,
    backlog_events: u64,
    oldest: Option<Age>,
    enabled: u64,
    disabled: u64,
    paused: u64,
    lists: [List; 2],
}

struct List {
    id: &'static str,
    title: &'static str,
    at: &'static str,
    why: &'static str,
    rows: Vec<Row>,
}

struct Row {
    workspace: WorkspaceId,
    id: EndpointId,
    url: String,
    at: Option<Moment>,
    why: String,
    waiting: u64,
    oldest: Option<Age>,
    oldest_ms: Option<u64>,
}

pub fn routes() -> Router<Arc<Api>> {
    Router::new().route("/console/trouble", get(worst))
}

async fn worst(page: Page, _: Admin, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let (words, now_ms) = (Words(page.locale()), api.now_ms());
    let age = |at_ms| Age::of(page.locale(), at_ms, now_ms);
    let overview = api.store.overview(WORST).await?;
    let disabled = read(&api, &overview.disabled).await?.into_iter().filter(|(_, it)| it.disabled.is_some());
    let failing = read(&api, &overview.suspect).await?.into_iter().filter(|(_, it)| it.disabled.is_none());
    let disabled: Vec<_> = disabled.map(|found| row(&api, &page, found)).collect();
    let failing: Vec<_> = failing.map(|found| row(&api, &page, found)).collect();
    let oldest = disabled.iter().chain(&failing).filter_map(|row| row.oldest_ms).min().map(age);
    let count = |status| overview.endpoints.iter().find(|(found, _)| *found == status).map_or(0, |(_, count)| *count);
    let way = vec![Step { name: words.title().to_owned(), path: None }];
    let list = |id, title, at, why, rows| List { id, title, at, why, rows };
    Ok(show(&Trouble {
        way,
        words,
        backlog_events: overview.backlog_events,
        oldest,
        enabled: count(EndpointStatus::Enabled),
        disabled: count(EndpointStatus::Disabled),
        paused: count(EndpointStatus::Paused),
        lists: [
            list("disabled", words.disabled_title(), words.since(), words.why(), disabled),
            list("failing", words.failing_title(), words.since(), words.last_failure(), failing),
        ],
        page,
    }))
}

/// Reads endpoints, a workspace's together, and keeps their order. Those that are gone are left out.
async fn read(api: &Api, wanted: &[(WorkspaceId, EndpointId)]) -> Result<Vec<(WorkspaceId, Endpoint)>, Problem> {
    let mut by_workspace = BTreeMap::<&WorkspaceId, Vec<EndpointId>>::new();
    for (workspace, endpoint) in wanted {
        by_workspace.entry(workspace).or_default().push(endpoint.clone());
    }
    let ask = async |(workspace, ids): (&WorkspaceId, Vec<EndpointId>)| {
        let found = api.store.endpoints_among(workspace, &ids).await?;
        Ok::<_, Problem>(found.into_iter().map(|endpoint| (workspace.clone(), endpoint)).collect::<Vec<_>>())
    };
    let found: Vec<Vec<_>> = stream::iter(by_workspace).map(ask).buffered(AT_ONCE).try_collect().await?;
    let mut found: BTreeMap<_, _> = found.into_iter().flatten().map(|(at, it)| ((at, it.id.clone()), it)).collect();
    let in_order = wanted.iter().filter_map(|at| found.remove_entry(at));
    Ok(in_order.map(|((workspace, _), endpoint)| (workspace, endpoint)).collect())
}

fn row(api: &Api, page: &Page, (workspace, endpoint): (WorkspaceId, Endpoint)) -> Row {
    let words = Words(page.locale());
    let last = endpoint.last_attempt.as_ref().filter(|last| last.row.outcome != Outcome::Delivered);
    let (at_ms, why) = match &endpoint.disabled {
        Some(disabled) => {
            let why = if disabled.reason == DisableReason::Manual { words.by_hand() } else { words.by_quota() };
            (Some(disabled.at_ms), why.to_owned())
        }
        None => {
            let cause = last.and_then(Cause::of).map(|cause| page.locale().cause(cause, api.policy.timeout));
            (last.map(|last| last.at_ms), cause.unwrap_or_default())
        }
    };
    Row {
        workspace,
        url: endpoint.config.url,
        at: at_ms.map(Moment),
        why,
        waiting: endpoint.backlog_events,
        oldest: endpoint.oldest_ms.map(|at_ms| Age::of(page.locale(), at_ms, api.now_ms())),
        oldest_ms: endpoint.oldest_ms,
        id: endpoint.id,
    }
}
