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
use super::words::words;
use super::wrong;
use crate::decide::ids::WorkspaceId;
use crate::decide::route::ALL_EVENTS;
use crate::operate::conditional::IfMatch;
use crate::operate::endpoints::Patch;
use crate::operate::endpoints::create::Create;
use crate::operate::fields::{self, LANES_MAX};
use crate::operate::idempotency::IdempotencyKey;
use crate::operate::path::{AtEndpoint, InWorkspace};
use crate::operate::{Api, Problem};
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
        let shown = ["url", "events", "description", "lanes"];
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
        }
    }

    fn config(config: &Config) -> Self {
        Self {
            url: config.url.clone(),
            events: config.events.iter().map(ToString::to_string).collect(),
            description: config.description.clone(),
            lanes: config.lanes.to_string(),
        }
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
    let created = match filled.lanes() {
        Err(problem) => Err(problem),
        Ok(lanes) => {
            let create = Create {
                url: filled.url.clone(),
                events: filled.events.clone(),
                description: filled.description.clone(),
                lanes,
                headers: BTreeMap::new(),
            };
            api.create_endpoint(&workspace, &IdempotencyKey(Some(key.clone())), create).await
        }
    };
    match created {
        Ok(endpoint) => Ok(secret::page(page, &workspace, &endpoint, secret::Why::Added)),
        // Sent again after somebody went back and changed it.
        Err(problem) if problem.field() == Some("Idempotency-Key") => {
            let words = Words(page.locale());
            let problem = Problem::new(problem.code(), words.already());
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
    let changed = match filled.lanes() {
        Err(problem) => Err(problem),
        Ok(lanes) => {
            let patch = Patch {
                url: Some(filled.url.clone()),
                events: Some(filled.events.clone()),
                description: Some(filled.description.clone()),
                lanes: Some(lanes),
                headers: None,
            };
            api.change_endpoint(&at.workspace, &at.endpoint, &IfMatch::version(version), patch).await
        }
    };
    match changed {
        Ok(_) => Ok(Flash::good(Words(page.locale()).saved()).go(&page, &place(&at))),
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => Err(problem),
        Err(problem) => Ok(editing(&api, page, &at, filled, version, Some(problem))),
    }
}

/// What is wrong with a URL, while it is being typed: a piece for below the field.
async fn check(page: Page, InWorkspace(_): InWorkspace, State(api): State<Arc<Api>>, posted: Posted) -> Response {
    let typed = posted.get("url");
    let (class, sentence) = match fields::url(&api.guard, typed) {
        _ if typed.is_empty() => ("hint", String::new()),
        Ok(_) => ("hint", Words(page.locale()).url_good().to_owned()),
        Err(problem) => ("field-error", wrong::sentence(page.locale(), &api.guard, typed, &problem)),
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
    let sentence = |problem: &Problem| wrong::sentence(page.locale(), &api.guard, &filled.url, problem);
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
