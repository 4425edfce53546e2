//! An endpoint's dropped events: one again, or all since a time.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};

use super::event_names;
use super::flash::Flash;
use super::live::in_path;
use super::moment::Moment;
use super::page::{Page, Step, show_as};
use super::posted::Posted;
use super::words::words;
use crate::clock::rfc3339;
use crate::decide::ids::EventId;
use crate::decide::notice::DropReason;
use crate::operate::page::{Page as Rows, Params};
use crate::operate::path::{AtEndpoint, AtEvent};
use crate::operate::{Api, Code, Problem, time};
use crate::store::records::Dropped;

/// Rows of a page.
const ROWS: usize = 50;

words! {
    pub struct Words;

    title: "Dropped events" | "Eventos descartados";
    what: "Events that are not tried any more. They can be sent again while they are kept." |
          "Eventos que ya no se intentan. Se pueden enviar de nuevo mientras se conserven.";
    none: "There are none." | "No hay ninguno.";
    event: "Event" | "Evento";
    why: "Why" | "Motivo";
    received: "Received" | "Recibido";
    dropped: "Dropped" | "Descartado";
    action: "Action" | "Acción";
    resend: "Resend" | "Reenviar";
    resent: "The event is on its way again." | "El evento va de nuevo en camino.";
    recover: "Recover all since…" | "Recuperar todos desde…";
    recover_how: "All that were dropped from this time on join their lanes again, in their old order." |
                 "Todos los descartados desde esa hora vuelven a sus carriles, en su orden anterior.";
    since: "Dropped since (UTC)" | "Descartados desde (UTC)";
    recover_now: "Recover" | "Recuperar";
    recovered(count): "Events that are on their way again: {count}." | "Eventos que van de nuevo en camino: {count}.";
    next: "Next" | "Siguientes";
    gone: "The event is not among the dropped ones; it may have been resent already." |
          "El evento no está entre los descartados; quizá ya se reenvió.";
    by_retries: "all attempts failed" | "fallaron todos los intentos";
    by_backlog: "too much waited" | "esperaba demasiado";
    by_age: "it waited too long" | "esperó demasiado tiempo";
    by_hand: "discarded by hand" | "descartado manualmente";
}

#[derive(Template)]
#[template(path = "console/dropped.html")]
struct List {
    page: Page,
    way: Vec<Step>,
    words: Words,
    place: String,
    rows: Vec<Row>,
    next: Option<String>,
    since: String,
    wrong: Option<String>,
    entitled: bool,
}

struct Row {
    event_name: String,
    event_id: EventId,
    path: String,
    why: &'static str,
    received: Moment,
    dropped: Moment,
}

pub fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/dropped", get(list))
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/dropped/{event}/resend", post(resend))
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/recover", post(recover))
}

async fn list(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>, params: Params) -> Result<Response, Problem> {
    let after = params.cursor(|text| text.parse().ok())?;
    rows(&api, page, &at, after, None).await
}

/// The page; with what was asked for and what is wrong with it, if something is.
async fn rows(
    api: &Api,
    page: Page,
    at: &AtEndpoint,
    after: Option<u64>,
    refused: Option<(String, Problem)>,
) -> Result<Response, Problem> {
    let endpoint = api.endpoint(&at.workspace, &at.endpoint).await?;
    let found = api.store.dropped(&at.workspace, &at.endpoint, after, ROWS + 1).await?;
    let oldest_ms = found.iter().map(|row| row.dropped_ms).min().unwrap_or_else(|| api.now_ms());
    let words = Words(page.locale());
    let found = Rows::of(found, ROWS, |row| row.seq.to_string(), |dropped| row(words, dropped));
    let path = format!("/workspaces/{}/endpoints/{}", at.workspace, at.endpoint);
    let status = refused.as_ref().map_or(StatusCode::OK, |(_, problem)| problem.status());
    let wrong = refused.as_ref().map(|(_, problem)| problem.sentence(page.locale()).0);
    let to_endpoint = Step { name: endpoint.config.url, path: Some(path.clone()) };
    let list = List {
        way: page.way(&at.workspace, vec![to_endpoint, Step { name: words.title().to_owned(), path: None }]),
        place: format!("{}{path}", page.base()),
        rows: found.data,
        next: found.next_cursor,
        since: refused.map_or_else(|| rfc3339(oldest_ms)[..19].to_owned(), |(since, _)| since),
        wrong,
        entitled: !endpoint.paused,
        words,
        page,
    };
    Ok(show_as(status, &list))
}

fn row(words: Words, dropped: Dropped) -> Row {
    Row {
        event_name: event_names::name(words.0, &dropped.event.event_type),
        path: in_path(&dropped.event.id),
        why: match dropped.reason {
            DropReason::Retries => words.by_retries(),
            DropReason::BacklogEvents | DropReason::BacklogBytes => words.by_backlog(),
            DropReason::BacklogAge => words.by_age(),
            DropReason::Discarded | DropReason::EndpointDeleted => words.by_hand(),
        },
        received: Moment(dropped.event.at_ms),
        dropped: Moment(dropped.dropped_ms),
        event_id: dropped.event.id,
    }
}

async fn resend(page: Page, at: AtEvent, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    api.endpoint(&at.workspace, &at.endpoint).await?;
    api.need_plan(&at.workspace).await?;
    let words = Words(page.locale());
    let resent = api.resend_dropped(&at.workspace, &at.endpoint, &[at.event]).await?;
    let flash =
        if resent == 0 { Flash { good: false, text: words.gone().to_owned() } } else { Flash::good(words.resent()) };
    Ok(flash.go(&page, &format!("/workspaces/{}/endpoints/{}/dropped", at.workspace, at.endpoint)))
}

async fn recover(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>, posted: Posted) -> Result<Response, Problem> {
    api.endpoint(&at.workspace, &at.endpoint).await?;
    api.need_plan(&at.workspace).await?;
    let since = posted.get("since").to_owned();
    let since_ms = match read_utc(&since) {
        Ok(since_ms) => since_ms,
        Err(problem) => return rows(&api, page, &at, None, Some((since, problem))).await,
    };
    let resent = api.recover(&at.workspace, &at.endpoint, since_ms..u64::MAX).await?;
    let text = Words(page.locale()).recovered(resent);
    Ok(Flash::good(text).go(&page, &format!("/workspaces/{}/endpoints/{}", at.workspace, at.endpoint)))
}

/// Reads what a field of date and time sends: without seconds if they are 0, and without an offset, since it says UTC.
fn read_utc(text: &str) -> Result<u64, Problem> {
    let seconds = if text.len() == "2026-01-31T08:00".len() { ":00" } else { "" };
    let wrong = || {
        Problem::with_field(Code::InvalidBody, "since", "this is not a time; write it like 2026-01-31T08:00:00")
            .spanish("No es una fecha y hora; escríbala así: 2026-01-31T08:00:00")
    };
    time::unix_ms("since", &format!("{text}{seconds}Z")).map_err(|_| wrong())
}
