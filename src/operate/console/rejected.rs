//! What can never be delivered as it is, for the platform's people: seen with its reason, and published again after a fix.

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
use crate::consume::rejects::LOOK_MAX;
use crate::operate::auth::Admin;
use crate::operate::page::{Page as Rows, Params};
use crate::operate::rejected::RejectedShown;
use crate::operate::{Api, Code, Problem};

/// Rows of a page.
const ROWS: usize = 25;

words! {
    struct Words;

    title: "Rejected events" | "Eventos rechazados";
    what: "These can never be delivered as they are. They wait in RabbitMQ, unchanged, the oldest first. After a fix, publish them again; what is still wrong comes back." |
          "Estos no se pueden entregar tal como están. Esperan en RabbitMQ, sin cambios, primero el más antiguo. Después de corregir la causa, publíquelos de nuevo; lo que siga mal vuelve aquí.";
    none: "None. Every event that came could be routed." | "Ninguno. Todos los eventos recibidos se pudieron encaminar.";
    reason: "Reason" | "Motivo";
    event: "Event" | "Evento";
    workspace: "Workspace" | "Espacio de trabajo";
    not_named: "not named" | "no indicado";
    body: "Body" | "Cuerpo";
    bytes(count): "{count} bytes" | "{count} bytes";
    action: "Action" | "Acción";
    replay: "Publish again" | "Publicar de nuevo";
    replay_all: "Publish all again" | "Publicar todos de nuevo";
    replayed(count): "Published again: {count}." | "Publicados de nuevo: {count}.";
    left(count, left): "Published again: {count}. Left for another time: {left}." | "Publicados de nuevo: {count}. Quedan para otra vez: {left}.";
    next: "Next" | "Siguientes";
    too_large: "too large" | "demasiado grande";
    not_json: "not JSON" | "no es JSON";
    not_an_object: "not an object" | "no es un objeto";
    missing_workspace_id: "names no workspace" | "sin espacio de trabajo";
    invalid_workspace_id: "workspace's name is wrong" | "espacio de trabajo no válido";
    missing_event_id: "has no id" | "sin id";
    event_id_mismatch: "two ids" | "dos ids distintos";
    invalid_event_id: "id is wrong" | "id no válido";
    event_type_mismatch: "two event types" | "dos tipos de evento";
    unknown_event_type: "unknown event type" | "tipo de evento desconocido";
    store_error: "the store refuses it" | "el almacén lo rechaza";
}

impl Words {
    /// A reason of the contract's section 2; RabbitMQ's own are its words.
    fn reason_of(self, reason: &str) -> &str {
        match reason {
            "too_large" => self.too_large(),
            "not_json" => self.not_json(),
            "not_an_object" => self.not_an_object(),
            "missing_workspace_id" => self.missing_workspace_id(),
            "invalid_workspace_id" => self.invalid_workspace_id(),
            "missing_event_id" => self.missing_event_id(),
            "event_id_mismatch" => self.event_id_mismatch(),
            "invalid_event_id" => self.invalid_event_id(),
            "event_type_mismatch" => self.event_type_mismatch(),
            "unknown_event_type" => self.unknown_event_type(),
            "store_error" => self.store_error(),
            other => other,
        }
    }
}

#[derive(Template)]
#[template(path = "console/rejected.html")]
struct Rejected {
    page: Page,
    way: Vec<Step>,
    words: Words,
    rows: Vec<RejectedShown>,
    next: Option<String>,
}

pub fn routes() -> Router<Arc<Api>> {
    Router::new().route("/console/rejected", get(list)).route("/console/rejected/replay", post(replay))
}

async fn list(page: Page, _: Admin, State(api): State<Arc<Api>>, params: Params) -> Result<Response, Problem> {
    let words = Words(page.locale());
    // As in the API: messages have no numbers, only places.
    let skip = params.cursor(|text| text.parse().ok().filter(|skip| *skip <= LOOK_MAX))?.unwrap_or(0);
    let found = api.rejects.look(skip, ROWS + 1).await?;
    let rows = Rows::of(found, ROWS, |_| (skip + ROWS).to_string(), RejectedShown::from);
    let way = vec![Step { name: words.title().to_owned(), path: None }];
    Ok(show(&Rejected { page, way, words, rows: rows.data, next: rows.next_cursor }))
}

async fn replay(page: Page, _: Admin, State(api): State<Arc<Api>>, posted: Posted) -> Result<Response, Problem> {
    let words = Words(page.locale());
    let id = Some(posted.get("id")).filter(|id| !id.is_empty());
    let done = api.replay(id).await?;
    let flash = match (id, done.replayed, done.left) {
        (Some(_), 0, _) => {
            return Err(Problem::new(Code::NotFound, "there is no rejected message of this id any more")
                .spanish("Ya no hay ningún mensaje rechazado con ese id."));
        }
        (_, count, 0) => Flash::good(words.replayed(count)),
        (_, count, left) => Flash::good(words.left(count, left)),
    };
    Ok(flash.go(&page, "/rejected"))
}
