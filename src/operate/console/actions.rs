//! What is done to an endpoint: each a form that goes back to where it stood, which then says what came of it.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};

use super::flash::Flash;
use super::page::{Page, Step, show};
use super::posted::Posted;
use super::words::words;
use super::{result, secret};
use crate::decide::attempt::Outcome;
use crate::decide::event_types::KNOWN_EVENT_TYPES;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::operate::conditional::IfMatch;
use crate::operate::path::AtEndpoint;
use crate::operate::{Api, Problem};
use crate::store::records::{Attempt, Config};

words! {
    pub struct Words;

    enabled: "The webhook is enabled. What waited goes out in order." |
             "El webhook está habilitado. Lo que esperaba se envía en orden.";
    enabled_and_discarded(events): "The webhook is enabled. Discarded: {events}." |
                                   "El webhook está habilitado. Descartados: {events}.";
    works(ms): "A test event was delivered in {ms} ms." | "Un evento de prueba se entregó en {ms} ms.";
    still_fails(why, ms): "But a test event failed just now, after {ms} ms: {why}." |
                          "Pero un evento de prueba acaba de fallar, tras {ms} ms: {why}.";
    disabled: "The webhook is disabled. Its events wait until it is enabled." |
              "El webhook está deshabilitado. Sus eventos esperan hasta que se habilite.";
    deleted: "The webhook is deleted." | "El webhook se eliminó.";
    deleted_with(events): "The webhook is deleted, with {events} that waited." |
                          "El webhook se eliminó, con {events} en espera.";
    test_failed(why, ms): "The test event failed after {ms} ms: {why}." |
                          "El evento de prueba falló tras {ms} ms: {why}.";
    test_answer(excerpt): "The answer began: {excerpt}" | "La respuesta empezaba así: {excerpt}";
    delete: "Delete webhook" | "Eliminar webhook";
    sure(url): "Delete the webhook to {url}?" | "¿Eliminar el webhook a {url}?";
    forever: "It cannot be undone. What waits for it is dropped, and its log is gone." |
             "No se puede deshacer. Lo que espera se descarta y su registro desaparece.";
    yes: "Delete" | "Eliminar";
    no: "Cancel" | "Cancelar";
}

#[derive(Template)]
#[template(path = "console/delete.html")]
struct Delete {
    page: Page,
    way: Vec<Step>,
    words: Words,
    workspace: WorkspaceId,
    endpoint: EndpointId,
    url: String,
}

/// How much of an answer a message shows, in characters.
const EXCERPT_CHARS_MAX: usize = 120;

pub fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/enable", post(enable))
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/disable", post(disable))
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/test", post(test))
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/rotate-secret", post(rotate))
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/delete", get(ask).post(delete))
}

/// Enables, and tries a test event at once: whoever enables an endpoint that still fails is told before the quota is.
async fn enable(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>, posted: Posted) -> Result<Response, Problem> {
    let discard = posted.get("backlog") == "discard";
    let config = api.endpoint(&at.workspace, &at.endpoint).await?.config;
    let discarded = api.enable_endpoint(&at.workspace, &at.endpoint, discard).await?;
    let words = Words(page.locale());
    let mut text =
        if discard { words.enabled_and_discarded(page.locale().events(discarded)) } else { words.enabled().to_owned() };
    let mut good = true;
    // It is enabled, whatever becomes of the test.
    if let Ok(attempt) = api.send_sample(&at.workspace, &at.endpoint, sample_of(&config)).await {
        good = attempt.row.outcome == Outcome::Delivered;
        let why = result::words(page.locale(), &attempt.row, api.policy.timeout);
        let ms = attempt.row.duration_ms;
        text = format!("{text} {}", if good { words.works(ms) } else { words.still_fails(why, ms) });
    }
    Ok(Flash { good, text }.go(&page, &back(&at, &posted)))
}

async fn disable(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>, posted: Posted) -> Result<Response, Problem> {
    api.disable_endpoint(&at.workspace, &at.endpoint).await?;
    Ok(Flash::good(Words(page.locale()).disabled()).go(&page, &back(&at, &posted)))
}

async fn test(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>, posted: Posted) -> Result<Response, Problem> {
    let attempt = api.send_sample(&at.workspace, &at.endpoint, posted.get("event_type")).await?;
    Ok(tested(&page, &api, &attempt).go(&page, &back(&at, &posted)))
}

fn tested(page: &Page, api: &Api, Attempt { row, .. }: &Attempt) -> Flash {
    let words = Words(page.locale());
    let good = row.outcome == Outcome::Delivered;
    let why = result::words(page.locale(), row, api.policy.timeout);
    let mut text = if good { words.works(row.duration_ms) } else { words.test_failed(why, row.duration_ms) };
    let excerpt: String = row.excerpt.chars().filter(|c| !c.is_control()).take(EXCERPT_CHARS_MAX).collect();
    if !excerpt.is_empty() {
        text = format!("{text} {}", words.test_answer(excerpt));
    }
    Flash { good, text }
}

async fn rotate(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>, posted: Posted) -> Result<Response, Problem> {
    // A form that is sent twice rotates once.
    let known = IfMatch::version(posted.get("version").parse().unwrap_or_default());
    let endpoint = api.rotate_secret(&at.workspace, &at.endpoint, &known).await?;
    Ok(secret::page(page, &at.workspace, &endpoint, secret::Why::Rotated))
}

async fn ask(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    page.need_write()?;
    let url = api.endpoint(&at.workspace, &at.endpoint).await?.config.url;
    let words = Words(page.locale());
    let way = page.way(&at.workspace, vec![Step { name: words.delete().to_owned(), path: None }]);
    Ok(show(&Delete { page, way, words, workspace: at.workspace, endpoint: at.endpoint, url }))
}

async fn delete(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let dropped = api.delete_endpoint(&at.workspace, &at.endpoint, &IfMatch::any()).await?;
    let words = Words(page.locale());
    let text = match dropped {
        0 => words.deleted().to_owned(),
        _ => words.deleted_with(page.locale().events(dropped)),
    };
    Ok(Flash::good(text).go(&page, &format!("/workspaces/{}", at.workspace)))
}

/// The sample that is nearest to what an endpoint gets.
fn sample_of(config: &Config) -> &'static str {
    let wanted = |event_type: &str| config.events.iter().any(|wanted| wanted.as_str() == event_type);
    let known = KNOWN_EVENT_TYPES.iter().find(|known| wanted(known.event_type));
    known.map_or(KNOWN_EVENT_TYPES[0].event_type, |known| known.event_type)
}

/// The table or the endpoint's own page, whichever had the form.
fn back(at: &AtEndpoint, posted: &Posted) -> String {
    let AtEndpoint { workspace, endpoint } = at;
    match posted.get("from") {
        "table" => format!("/workspaces/{workspace}"),
        _ => format!("/workspaces/{workspace}/endpoints/{endpoint}"),
    }
}
