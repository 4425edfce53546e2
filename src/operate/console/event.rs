//! An event at an endpoint: what was sent, what came back each time, and once more on request.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::body::{self, Shown};
use super::flash::Flash;
use super::live::in_path;
use super::moment::Moment;
use super::page::{Page, Step, show};
use super::words::words;
use super::{event_names, result};
use crate::decide::ids::{EndpointId, EventId};
use crate::deliver::sent;
use crate::operate::path::AtEvent;
use crate::operate::{Api, Problem};
use crate::store::lanes::Waiting;
use crate::store::records::{Attempt, Config};

/// Attempts that are shown, the newest.
const ATTEMPTS_MAX: usize = 20;

words! {
    pub struct Words;

    received: "Received" | "Recibido";
    payload: "Body" | "Cuerpo";
    payload_gone: "The body is not kept any more, so that the event cannot be resent." |
                  "El cuerpo ya no se conserva, por lo que el evento no se puede reenviar.";
    cut(bytes): "This is the beginning; the whole body has {bytes} bytes." |
                "Este es el principio; el cuerpo completo tiene {bytes} bytes.";
    whole: "Download it" | "Descargarlo";
    resend: "Resend" | "Reenviar";
    resend_how: "It joins the end of its lane and goes out again, with X-Webhook-Resend: true." |
                "Se pone al final de su carril y se envía de nuevo, con X-Webhook-Resend: true.";
    resent: "The event is on its way again." | "El evento va de nuevo en camino.";
    attempts: "Attempts" | "Intentos";
    none: "No attempts in the log." | "No hay intentos en el registro.";
    newest(count): "The newest {count} are shown." | "Se muestran los {count} más recientes.";
    attempt(number): "Attempt {number}" | "Intento {number}";
    request: "Request" | "Solicitud";
    response: "Response" | "Respuesta";
    no_response: "Nothing came back that could be shown." | "No llegó nada que se pueda mostrar.";
    status: "Status" | "Estado";
    took: "Took" | "Duró";
    ended: "Ended" | "Terminó";
    again: "Next attempt" | "Próximo intento";
    was_resent: "resent" | "reenviado";
}

#[derive(Template)]
#[template(path = "console/event.html")]
struct EventPage {
    page: Page,
    way: Vec<Step>,
    words: Words,
    place: String,
    name: String,
    event_id: EventId,
    received: Option<Moment>,
    body: Option<Body>,
    attempts: Vec<Tried>,
    more: bool,
}

struct Body {
    shown: Shown,
    bytes: usize,
}

struct Tried {
    number: u64,
    attempt: u32,
    at: Moment,
    took_ms: u64,
    class: &'static str,
    result: String,
    status: Option<u16>,
    resent: bool,
    again: Option<Moment>,
    request: String,
    response: Shown,
}

pub fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/events/{event}", get(event))
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/events/{event}/body", get(download))
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/events/{event}/resend", post(resend))
}

async fn event(page: Page, at: AtEvent, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let config = api.endpoint(&at.workspace, &at.endpoint).await?.config;
    let found = api.event(&at.workspace, &at.endpoint, &at.event).await?;
    let (kept, mut attempts) = found.ok_or_else(Problem::no_event)?;
    let event_type = kept.as_ref().map(|event| &event.event_type).or(attempts.first().map(|it| &it.row.event_type));
    let name = event_type.map(|event_type| event_names::name(page.locale(), event_type)).unwrap_or_default();
    let more = attempts.len() > ATTEMPTS_MAX;
    attempts.truncate(ATTEMPTS_MAX);
    let to_endpoint = Step {
        name: config.url.clone(),
        path: Some(format!("/workspaces/{}/endpoints/{}", at.workspace, at.endpoint)),
    };
    let attempts =
        attempts.iter().map(|attempt| tried(&api, &page, (&at.endpoint, &config), kept.as_ref(), attempt)).collect();
    Ok(show(&EventPage {
        way: page.way(&at.workspace, vec![to_endpoint, Step { name: name.clone(), path: None }]),
        words: Words(page.locale()),
        place: format!("{}{}", page.base(), place(&at)),
        name,
        received: kept.as_ref().map(|event| Moment(event.at_ms)),
        body: kept
            .map(|event| Body { bytes: event.body.len(), shown: body::json(&String::from_utf8_lossy(&event.body)) }),
        attempts,
        more,
        event_id: at.event,
        page,
    }))
}

fn tried(
    api: &Api,
    page: &Page,
    (endpoint, config): (&EndpointId, &Config),
    event: Option<&Waiting>,
    attempt: &Attempt,
) -> Tried {
    let row = &attempt.row;
    let headers = sent::headers(endpoint, row, event, config);
    let lines = headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    let request = [format!("POST {}", config.url)].into_iter().chain(lines).collect::<Vec<_>>().join("\n");
    Tried {
        number: attempt.number,
        attempt: row.attempt,
        at: Moment(attempt.at_ms),
        took_ms: row.duration_ms,
        class: result::class(row.outcome),
        result: result::words(page.locale(), row, api.policy.timeout),
        status: row.status,
        resent: row.resend,
        again: attempt.next_attempt_ms.map(Moment),
        request,
        response: body::text(&row.excerpt),
    }
}

/// The body as it was sent, as a file: a browser shows none of it as a page.
async fn download(at: AtEvent, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let event = api.store.payload(&at.workspace, &at.endpoint, &at.event).await?.ok_or_else(Problem::no_event)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"event.json\"")),
    ];
    Ok((headers, event.body).into_response())
}

async fn resend(page: Page, at: AtEvent, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    api.endpoint(&at.workspace, &at.endpoint).await?;
    api.need_plan(&at.workspace).await?;
    let back = place(&at);
    api.resend_event(&at.workspace, &at.endpoint, at.event).await?;
    Ok(Flash::good(Words(page.locale()).resent()).go(&page, &back))
}

fn place(at: &AtEvent) -> String {
    format!("/workspaces/{}/endpoints/{}/events/{}", at.workspace, at.endpoint, in_path(&at.event))
}
