//! The part of an endpoint's page that renews itself: what it is doing now, the error quota, the newest attempts, and the
//! last 24 hours.
//!
//! It is asked for again every two seconds rather than pushed: a page that somebody left open costs a few reads, holds no
//! connection, and misses nothing after a pause. Where the endpoint's state has changed, the whole page is loaded anew,
//! since what can be done has changed as well.

use std::sync::Arc;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::Response;
use axum::routing::get;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::chart::{self, Chart};
use super::moment::{Age, Moment};
use super::page::{Page, show};
use super::quota::{Quota, quota};
use super::retries::{Retries, retries};
use super::words::words;
use super::{event_names, quota, result, retries};
use crate::decide::event_types::EventTypes;
use crate::decide::ids::{EventId, WorkspaceId};
use crate::operate::attempts::Filter;
use crate::operate::page::{Page as Rows, Params};
use crate::operate::path::AtEndpoint;
use crate::operate::{Api, Problem};
use crate::store::records::{Attempt, Endpoint};

/// Rows of the log on a page.
const ROWS: usize = 25;

words! {
    pub struct Words;

    now: "Now" | "Ahora";
    nothing_waits: "Nothing waits." | "No hay nada en espera.";
    waiting_one: "1 event waits." | "1 evento espera.";
    waiting(count): "{count} events wait, in order." | "{count} eventos esperan, en orden.";
    oldest: "The oldest has waited for" | "El más antiguo espera desde hace";
    held_disabled: "Nothing is sent, since the webhook is disabled." | "No se envía nada, porque el webhook está deshabilitado.";
    held_paused: "Nothing is sent, since the plan does not include webhooks." |
                 "No se envía nada, porque el plan no incluye webhooks.";
    history: "24 hours" | "24 horas";
    deliveries: "Deliveries and failures by the hour (UTC)" | "Entregas y fallos por hora (UTC)";
    times: "Response times (ms)" | "Tiempos de respuesta (ms)";
    log: "Attempts" | "Intentos";
    no_rows: "No attempts yet." | "Aún no hay intentos.";
    no_rows_found: "No attempts like these." | "No hay intentos así.";
    time: "Time" | "Hora";
    event: "Event" | "Evento";
    attempt: "Attempt" | "Intento";
    came: "Result" | "Resultado";
    took: "Took" | "Duró";
    again: "Next attempt" | "Próximo intento";
    resent: "resent" | "reenviado";
    older: "Older" | "Más antiguos";
    filter_or_stop: "Filter, or stop renewing" | "Filtrar o dejar de actualizar";
    go_on: "Renew every 2 seconds" | "Actualizar cada 2 segundos";
    filter: "Filter" | "Filtrar";
    outcome: "Result" | "Resultado";
    any: "any" | "cualquiera";
    delivered: "delivered" | "entregado";
    failed: "failed" | "fallido";
    event_type: "Event type" | "Tipo de evento";
    event_id: "Event id" | "Id del evento";
    all: "Show all" | "Mostrar todos";
}

/// What the log is asked for.
#[derive(Clone, Default)]
pub struct Asked {
    outcome: String,
    event_type: String,
    event_id: String,
    before: Option<u64>,
    still: bool,
}

impl Asked {
    /// Reads a page's query; what is odd in it is as good as none.
    pub fn of(params: &Params) -> Result<Self, Problem> {
        let text = |name| params.get(name).unwrap_or_default().to_owned();
        let outcome = text("outcome");
        Ok(Self {
            outcome: if ["delivered", "failed"].contains(&outcome.as_str()) { outcome } else { String::new() },
            event_type: text("event_type"),
            event_id: text("event_id"),
            before: params.cursor(|text| text.parse().ok())?,
            still: params.get("still").is_some(),
        })
    }

    fn is_filtered(&self) -> bool {
        [&self.outcome, &self.event_type, &self.event_id].iter().any(|text| !text.is_empty())
    }

    fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in
            [("outcome", &self.outcome), ("event_type", &self.event_type), ("event_id", &self.event_id)]
        {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

/// The part, which is its own HTML.
#[derive(Template)]
#[template(path = "console/live.html")]
pub struct Live {
    words: Words,
    /// Below which the pages of the workspace's endpoints are.
    endpoints: String,
    /// The endpoint's page, whole.
    place: String,
    status: &'static str,
    renews: bool,
    waiting: u64,
    oldest: Option<Age>,
    held: Option<&'static str>,
    retries: Retries,
    quota_words: quota::Words,
    quota: Quota,
    asked: Asked,
    types: Vec<(String, String)>,
    rows: Vec<Row>,
    next: Option<String>,
    hours: Chart,
    times: Chart,
}

impl HtmlSafe for Live {}

struct Row {
    number: u64,
    at: Moment,
    event_name: String,
    event_id: EventId,
    path: String,
    attempt: u32,
    resent: bool,
    class: &'static str,
    result: String,
    took_ms: u64,
    again: Option<Moment>,
}

pub fn routes() -> Router<Arc<Api>> {
    Router::new().route("/console/workspaces/{workspace}/endpoints/{endpoint}/live", get(renew))
}

async fn renew(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>, params: Params) -> Result<Response, Problem> {
    let endpoint = api.endpoint(&at.workspace, &at.endpoint).await?;
    let has_changed = params.get("status") != Some(endpoint.status().as_str());
    let mut response = show(&live(&api, &page, &at.workspace, &endpoint, Asked::of(&params)?).await?);
    if has_changed {
        response.headers_mut().insert("hx-refresh", HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// What an endpoint is doing now.
pub async fn live(
    api: &Api,
    page: &Page,
    workspace: &WorkspaceId,
    endpoint: &Endpoint,
    asked: Asked,
) -> Result<Live, Problem> {
    let given = |text: &'_ String| (!text.is_empty()).then(|| text.clone());
    let (outcome, event_type, event_id) = (given(&asked.outcome), given(&asked.event_type), given(&asked.event_id));
    let filter =
        Filter { outcome: outcome.as_deref(), event_type: event_type.as_deref(), event_id: event_id.as_deref() };
    let rows = api.attempts(workspace, &endpoint.id, &filter, asked.before, ROWS + 1).await?;
    let hours = api.hours(workspace, &endpoint.id).await?;
    let words = Words(page.locale());
    let endpoints = format!("{}/workspaces/{workspace}/endpoints", page.base());
    let place = format!("{endpoints}/{}", endpoint.id);
    let rows = Rows::of(rows, ROWS, |row| row.number.to_string(), |attempt| row(api, page, attempt));
    Ok(Live {
        renews: asked.before.is_none() && !asked.is_filtered() && !asked.still,
        status: endpoint.status().as_str(),
        waiting: endpoint.backlog_events,
        oldest: endpoint.oldest_ms.map(|at_ms| Age::of(page.locale(), at_ms, api.now_ms())),
        held: match (endpoint.paused, endpoint.disabled.is_some()) {
            (true, _) => Some(words.held_paused()),
            (_, true) => Some(words.held_disabled()),
            _ => None,
        },
        retries: retries(api, retries::Words(page.locale()), workspace, endpoint).await?,
        quota_words: quota::Words(page.locale()),
        quota: quota(api, page, workspace, endpoint).await?,
        types: types(page, &api.event_types),
        rows: rows.data,
        next: rows.next_cursor,
        hours: chart::hours(page.locale(), &hours, chart::LARGE),
        times: chart::durations(page.locale(), &hours, chart::BROAD),
        words,
        endpoints,
        place,
        asked,
    })
}

fn types(page: &Page, types: &EventTypes) -> Vec<(String, String)> {
    let choices = event_names::choices(page.locale(), types, &[]).into_iter();
    choices
        .map(|it| (it.event_type.clone(), if it.name.is_empty() { it.event_type } else { it.name.to_owned() }))
        .collect()
}

fn row(api: &Api, page: &Page, attempt: Attempt) -> Row {
    Row {
        number: attempt.number,
        at: Moment(attempt.at_ms),
        event_name: event_names::name(page.locale(), &attempt.row.event_type),
        path: in_path(&attempt.row.event_id),
        attempt: attempt.row.attempt,
        resent: attempt.row.resend,
        class: result::class(attempt.row.outcome),
        result: result::words(page.locale(), &attempt.row, api.policy.timeout),
        took_ms: attempt.row.duration_ms,
        again: attempt.next_attempt_ms.map(Moment),
        event_id: attempt.row.event_id,
    }
}

/// An event's id as a part of a path.
pub fn in_path(event: &EventId) -> String {
    utf8_percent_encode(event.as_str(), NON_ALPHANUMERIC).to_string()
}
