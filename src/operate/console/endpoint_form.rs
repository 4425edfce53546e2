//! *Add Webhook* and *Edit*: one form, which says by the API's own rules what is wrong with it, also while it is filled in.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use uuid::Uuid;

use super::event_names::{self, Choice};
use super::flash::Flash;
use super::page::{Page, Step, show_as};
use super::posted::Posted;
use super::secret;
use super::words::{Locale, words};
use crate::decide::ids::WorkspaceId;
use crate::decide::route::ALL_EVENTS;
use crate::operate::conditional::IfMatch;
use crate::operate::endpoints::Patch;
use crate::operate::endpoints::create::Create;
use crate::operate::fields::{self, LANES_MAX};
use crate::operate::idempotency::IdempotencyKey;
use crate::operate::path::{AtEndpoint, InWorkspace};
use crate::operate::{Api, Code, Problem};
use crate::store::records::Config;

words! {
    pub struct Words;

    add: "Add Webhook" | "Añadir Webhook";
    edit: "Edit Webhook" | "Editar Webhook";
    url: "Endpoint URL" | "URL del endpoint";
    url_hint: "Where events are sent, by HTTP POST. It must answer 200 within 5 seconds." |
              "Adonde se envían los eventos, por HTTP POST. Debe responder 200 en 5 segundos.";
    url_good: "This URL can be used." | "Esta URL se puede usar.";
    events: "Events to send" | "Eventos que enviar";
    all_events: "All events, also those that are added later" | "Todos los eventos, también los que se añadan más adelante";
    used_to(what): "People use it to: {what}" | "Se usa para: {what}";
    description: "Description" | "Descripción";
    description_hint: "For people; optional." | "Para las personas; opcional.";
    advanced: "Advanced" | "Avanzado";
    lanes: "Lanes" | "Carriles";
    lanes_hint: "With 1, all events go out in order, one at a time. With more, order holds per contact, and so many contacts' events go out side by side. 1 to 64." |
                "Con 1, todos los eventos salen en orden, de uno en uno. Con más, el orden se mantiene por contacto y los eventos de esos contactos salen en paralelo. De 1 a 64.";
    headers: "Headers to send along" | "Cabeceras que enviar";
    headers_hint: "One a line, like Authorization: Bearer abc; at most 10. Their values are secrets and are not shown again." |
                  "Una por línea, como Authorization: Bearer abc; 10 como máximo. Sus valores son secretos y no se vuelven a mostrar.";
    present_headers: "Headers that are set" | "Cabeceras establecidas";
    present_how: "They stay as they are. A new value for one goes into the field above." |
                 "Se quedan como están. Un valor nuevo se escribe en el campo de arriba.";
    remove: "Remove" | "Quitar";
    save: "Save" | "Guardar";
    cancel: "Cancel" | "Cancelar";
    saved: "The webhook is saved." | "El webhook se guardó.";
    already: "This form has added a webhook already. To add another one, send it again." |
             "Este formulario ya añadió un webhook. Para añadir otro, envíelo de nuevo.";
}

#[derive(Template)]
#[template(path = "console/endpoint_form.html")]
struct Form {
    page: Page,
    way: Vec<Step>,
    words: Words,
    title: &'static str,
    /// Where the form is sent.
    action: String,
    cancel: String,
    check: String,
    /// Of a form that adds: what a repeat is known by. Of one that edits: the version that it shows.
    key: String,
    filled: Filled,
    all: bool,
    choices: Vec<Choice>,
    lanes_max: u16,
    problem: Option<Problem>,
    /// What is wrong, if anything is.
    sentence: String,
}

impl Form {
    /// What is wrong with a field.
    fn wrong(&self, field: &str) -> Option<&str> {
        let problem = self.problem.as_ref().filter(|problem| problem.field() == Some(field));
        problem.map(|_| self.sentence.as_str())
    }

    /// What is wrong beyond the fields that are shown.
    fn wrong_at_all(&self) -> Option<&str> {
        let shown = ["url", "events", "description", "lanes", "headers"];
        let problem = self.problem.as_ref().filter(|problem| !problem.field().is_some_and(|it| shown.contains(&it)));
        problem.map(|_| self.sentence.as_str())
    }
}

/// What the form's fields hold.
#[derive(Default)]
struct Filled {
    url: String,
    events: Vec<String>,
    description: String,
    lanes: String,
    /// Headers to be set, as they are written: a name, a colon and a value on each line.
    headers: String,
    /// Names of headers to be taken away.
    remove: Vec<String>,
    /// Names of headers that are set.
    present: Vec<String>,
}

impl Filled {
    fn of(posted: &Posted) -> Self {
        let events: Vec<String> = posted.all("events").map(str::to_owned).collect();
        // Who ticks "all" and some besides means all.
        let all = events.iter().any(|event| event == ALL_EVENTS);
        Self {
            url: posted.get("url").to_owned(),
            events: if all { vec![ALL_EVENTS.to_owned()] } else { events },
            description: posted.get("description").to_owned(),
            lanes: posted.get("lanes").to_owned(),
            headers: posted.get("headers").to_owned(),
            remove: posted.all("remove").map(str::to_owned).collect(),
            present: Vec::new(),
        }
    }

    fn config(config: &Config) -> Self {
        Self {
            url: config.url.clone(),
            events: config.events.iter().map(ToString::to_string).collect(),
            description: config.description.clone(),
            lanes: config.lanes.to_string(),
            ..Self::default()
        }
        .with_present(config)
    }

    /// With the names of the headers that are set.
    fn with_present(self, config: &Config) -> Self {
        Self { present: config.headers.iter().map(|(name, _)| name.clone()).collect(), ..self }
    }

    /// Whether anything is filled in that stands behind *Advanced*.
    fn is_advanced(&self) -> bool {
        self.lanes != "1" || !self.headers.is_empty() || !self.present.is_empty()
    }

    /// The headers to be set, by name.
    fn headers(&self) -> Result<BTreeMap<String, String>, Problem> {
        let wrong = |english: &str, spanish: &str| {
            Err(Problem::with_field(Code::InvalidBody, "headers", english).spanish(spanish))
        };
        let mut headers = BTreeMap::new();
        for line in self.headers.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once(':') else {
                return wrong(
                    "each line is a name, a colon and a value",
                    "Cada línea es un nombre, dos puntos y un valor.",
                );
            };
            if headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned()).is_some() {
                return wrong("a header is named twice", "Hay una cabecera dos veces.");
            }
        }
        Ok(headers)
    }

    /// What becomes of the headers that are set: those named get another value, or go.
    fn header_changes(&self) -> Result<BTreeMap<String, Option<String>>, Problem> {
        let gone = self.remove.iter().map(|name| (name.to_ascii_lowercase(), None));
        let set = self.headers()?.into_iter().map(|(name, value)| (name, Some(value)));
        Ok(gone.chain(set).collect())
    }

    fn lanes(&self) -> Result<u16, Problem> {
        // What is no number is none that is allowed.
        if self.lanes.is_empty() { Ok(1) } else { fields::lanes(self.lanes.parse().unwrap_or(0)) }
    }
}

pub fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/console/workspaces/{workspace}/endpoints/new", get(empty).post(add))
        .route("/console/workspaces/{workspace}/endpoints/check", post(check))
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/edit", get(present).post(change))
}

async fn empty(
    page: Page,
    InWorkspace(workspace): InWorkspace,
    State(api): State<Arc<Api>>,
) -> Result<Response, Problem> {
    page.need_write()?;
    api.need_plan(&workspace).await?;
    let filled = Filled { lanes: "1".to_owned(), ..Filled::default() };
    Ok(adding(&api, page, &workspace, filled, new_key(), None))
}

async fn add(
    page: Page,
    InWorkspace(workspace): InWorkspace,
    State(api): State<Arc<Api>>,
    posted: Posted,
) -> Result<Response, Problem> {
    let filled = Filled::of(&posted);
    let key = Uuid::parse_str(posted.get("key")).map_or_else(|_| new_key(), |key| key.to_string());
    let created = match filled.lanes().and_then(|lanes| Ok((lanes, filled.headers()?))) {
        Err(problem) => Err(problem),
        Ok((lanes, headers)) => {
            let create = Create {
                url: filled.url.clone(),
                events: filled.events.clone(),
                description: filled.description.clone(),
                lanes,
                headers,
            };
            api.create_endpoint(&workspace, &IdempotencyKey(Some(key.clone())), create).await
        }
    };
    match created {
        Ok(endpoint) => Ok(secret::page(page, &workspace, &endpoint, secret::Why::Added)),
        // Sent again after somebody went back and changed it.
        Err(problem) if problem.field() == Some("Idempotency-Key") => {
            let problem = problem.in_console(Words(Locale::En).already()).spanish(Words(Locale::Es).already());
            Ok(adding(&api, page, &workspace, filled, new_key(), Some(problem)))
        }
        Err(problem) => Ok(adding(&api, page, &workspace, filled, key, Some(problem))),
    }
}

async fn present(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    page.need_write()?;
    let config = api.endpoint(&at.workspace, &at.endpoint).await?.config;
    Ok(editing(&api, page, &at, Filled::config(&config), config.version, None))
}

async fn change(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>, posted: Posted) -> Result<Response, Problem> {
    let filled = Filled::of(&posted);
    let version: u64 = posted.get("key").parse().unwrap_or_default();
    let changed = match filled.lanes().and_then(|lanes| Ok((lanes, filled.header_changes()?))) {
        Err(problem) => Err(problem),
        Ok((lanes, headers)) => {
            let patch = Patch {
                url: Some(filled.url.clone()),
                events: Some(filled.events.clone()),
                description: Some(filled.description.clone()),
                lanes: Some(lanes),
                headers: (!headers.is_empty()).then_some(Some(headers)),
            };
            api.change_endpoint(&at.workspace, &at.endpoint, &IfMatch::version(version), patch).await
        }
    };
    match changed {
        Ok(_) => Ok(Flash::good(Words(page.locale()).saved()).go(&page, &place(&at))),
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => Err(problem),
        Err(problem) => {
            let filled = filled.with_present(&api.endpoint(&at.workspace, &at.endpoint).await?.config);
            Ok(editing(&api, page, &at, filled, version, Some(problem)))
        }
    }
}

/// What is wrong with a URL, while it is being typed: a piece for below the field.
async fn check(page: Page, InWorkspace(_): InWorkspace, State(api): State<Arc<Api>>, posted: Posted) -> Response {
    let typed = posted.get("url");
    let (class, sentence) = match fields::url(&api.guard, typed) {
        _ if typed.is_empty() => ("hint", String::new()),
        Ok(_) => ("field-good", Words(page.locale()).url_good().to_owned()),
        Err(problem) => ("field-error", problem.sentence(page.locale()).0),
    };
    show_as(StatusCode::OK, &Checked { class, sentence }).into_response()
}

#[derive(Template)]
#[template(source = r#"<span class="{{ class }}">{{ sentence }}</span>"#, ext = "html")]
struct Checked {
    class: &'static str,
    sentence: String,
}

fn adding(
    api: &Api,
    page: Page,
    workspace: &WorkspaceId,
    filled: Filled,
    key: String,
    problem: Option<Problem>,
) -> Response {
    let words = Words(page.locale());
    let base = format!("{}/workspaces/{workspace}", page.base());
    let action = format!("{base}/endpoints/new");
    form(api, page, workspace, words.add(), (action, base), key, filled, problem)
}

fn editing(api: &Api, page: Page, at: &AtEndpoint, filled: Filled, version: u64, problem: Option<Problem>) -> Response {
    let words = Words(page.locale());
    let base = format!("{}{}", page.base(), place(at));
    let action = format!("{base}/edit");
    form(api, page, &at.workspace, words.edit(), (action, base), version.to_string(), filled, problem)
}

#[allow(clippy::too_many_arguments)]
fn form(
    api: &Api,
    page: Page,
    workspace: &WorkspaceId,
    title: &'static str,
    (action, cancel): (String, String),
    key: String,
    filled: Filled,
    problem: Option<Problem>,
) -> Response {
    let status = problem.as_ref().map_or(StatusCode::OK, Problem::status);
    let sentence = |problem: &Problem| problem.sentence(page.locale()).0;
    let form = Form {
        way: page.way(workspace, vec![Step { name: title.to_owned(), path: None }]),
        words: Words(page.locale()),
        check: format!("{}/workspaces/{workspace}/endpoints/check", page.base()),
        all: filled.events.iter().any(|event| event == ALL_EVENTS),
        choices: event_names::choices(page.locale(), &api.event_types, &filled.events),
        lanes_max: LANES_MAX,
        sentence: problem.as_ref().map(sentence).unwrap_or_default(),
        title,
        action,
        cancel,
        key,
        filled,
        problem,
        page,
    };
    show_as(status, &form)
}

fn place(at: &AtEndpoint) -> String {
    format!("/workspaces/{}/endpoints/{}", at.workspace, at.endpoint)
}

fn new_key() -> String {
    Uuid::new_v4().to_string()
}
