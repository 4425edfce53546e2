//! Integrations → Webhooks: a workspace's endpoints in a table, *Connect* where there are none, and what the plan must be
//! where it is not.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::chart::{self, Chart};
use super::moment::Moment;
use super::page::{Page, Step, show};
use super::words::words;
use super::{event_names, result};
use crate::decide::event_types::KNOWN_EVENT_TYPES;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::operate::page::{Page as Rows, Params};
use crate::operate::path::InWorkspace;
use crate::operate::{Api, Problem};
use crate::store::records::{Endpoint, EndpointStatus};

/// Rows of a page.
const ROWS: usize = 25;

/// Endpoints whose statistics are asked for at once.
const AT_ONCE: usize = 16;

/// Event types that a row names; of more, their number.
const NAMED_MAX: usize = 2;

words! {
    pub struct Words;

    title: "Webhooks" | "Webhooks";
    add: "Add Webhook" | "Añadir Webhook";
    connect: "Connect" | "Conectar";
    url: "URL" | "URL";
    events: "Events" | "Eventos";
    status: "Status" | "Estado";
    last: "Last delivery" | "Última entrega";
    rate: "Success in 24 h" | "Éxito en 24 h";
    waiting: "Waiting" | "En espera";
    action: "Action" | "Acción";
    none_yet: "none yet" | "ninguna aún";
    all_events: "All events" | "Todos los eventos";
    and_more(names, count): "{names} and {count} more" | "{names} y {count} más";
    enabled: "Enabled" | "Habilitado";
    disabled: "Disabled" | "Deshabilitado";
    paused: "Paused" | "En pausa";
    enable: "Enable" | "Habilitar";
    disable: "Disable" | "Deshabilitar";
    edit: "Edit" | "Editar";
    test: "Test" | "Probar";
    delete: "Delete" | "Eliminar";
    next: "Next" | "Siguientes";
    what: "Webhooks tell your own systems what happens in this workspace, within seconds: a new contact, a message, a closed conversation." |
          "Los webhooks avisan a sus propios sistemas en segundos de lo que ocurre en este espacio de trabajo: un contacto nuevo, un mensaje, una conversación cerrada.";
    how: "You name a URL and choose events. Each event is sent there as an HTTP POST, signed, in order, and again if it fails." |
         "Usted indica una URL y elige eventos. Cada evento se envía allí por HTTP POST, firmado, en orden, y de nuevo si falla.";
    what_there_is: "Events to choose from:" | "Eventos disponibles:";
    plan_for(plans): "Webhooks are for workspaces on: {plans}." | "Los webhooks son para espacios de trabajo con: {plans}.";
    plan_title: "Webhooks are not part of this plan" | "Los webhooks no forman parte de este plan";
    plan_needed(plan, plans): "This workspace is on the plan “{plan}”. Webhooks are for workspaces on: {plans}." |
                              "Este espacio de trabajo tiene el plan «{plan}». Los webhooks son para espacios de trabajo con: {plans}.";
    plan_kept: "The webhooks below are kept and paused: nothing new is stored for them, and what waited goes on, in order, once the plan includes webhooks again." |
               "Los webhooks de abajo se conservan en pausa: no se guarda nada nuevo para ellos, y lo que esperaba continúa, en orden, cuando el plan vuelva a incluir webhooks.";
}

impl Words {
    pub fn status_of(self, status: EndpointStatus) -> &'static str {
        match status {
            EndpointStatus::Enabled => self.enabled(),
            EndpointStatus::Disabled => self.disabled(),
            EndpointStatus::Paused => self.paused(),
        }
    }
}

#[derive(Template)]
#[template(path = "console/endpoints.html")]
struct Endpoints {
    page: Page,
    way: Vec<Step>,
    words: Words,
    workspace: WorkspaceId,
    rows: Vec<Row>,
    next: Option<String>,
    /// Whether there are none at all.
    is_empty: bool,
    entitled: bool,
    plan: String,
    plans: String,
    event_names: Vec<&'static str>,
}

struct Row {
    id: EndpointId,
    url: String,
    description: String,
    events: String,
    status: &'static str,
    status_words: &'static str,
    is_disabled: bool,
    last: Option<(Moment, String, &'static str)>,
    waiting: u64,
    chart: Chart,
}

pub fn routes() -> Router<Arc<Api>> {
    Router::new().route("/console/workspaces/{workspace}", get(table))
}

async fn table(
    page: Page,
    InWorkspace(workspace): InWorkspace,
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, Problem> {
    let locale = page.locale();
    let words = Words(locale);
    let after = params.cursor(crate::operate::endpoints::read_place)?;
    let is_first = after.is_none();
    let record = api.store.workspace(&workspace).await?;
    let plan = record.map_or_else(|| api.policy.plans.default.clone(), |record| record.plan);
    let found = api.endpoints_after(&workspace, after, ROWS + 1).await?;
    let found = Rows::of(found, ROWS, crate::operate::endpoints::cursor, |endpoint| endpoint);
    let is_empty = is_first && found.data.is_empty();
    let rows = stream::iter(found.data).map(|endpoint| row(&api, &page, &workspace, endpoint));
    let rows = rows.buffered(AT_ONCE).try_collect().await?;
    let event_names = KNOWN_EVENT_TYPES.iter().map(|known| event_names::known(locale, known)).collect();
    Ok(show(&Endpoints {
        way: page.way(&workspace, Vec::new()),
        words,
        rows,
        next: found.next_cursor,
        is_empty,
        entitled: api.policy.plans.entitle(Some(&plan)),
        plan,
        plans: api.policy.plans.entitled.join(", "),
        event_names,
        workspace,
        page,
    }))
}

async fn row(api: &Api, page: &Page, workspace: &WorkspaceId, endpoint: Endpoint) -> Result<Row, Problem> {
    let words = Words(page.locale());
    let hours = api.hours(workspace, &endpoint.id).await?;
    let status = endpoint.status();
    let last = endpoint.last_attempt.as_ref().map(|attempt| {
        let words = result::words(page.locale(), &attempt.row, api.policy.timeout);
        (Moment(attempt.at_ms), words, result::class(attempt.row.outcome))
    });
    Ok(Row {
        events: subscription(words, &endpoint),
        status: status.as_str(),
        status_words: words.status_of(status),
        is_disabled: endpoint.disabled.is_some(),
        last,
        waiting: endpoint.backlog_events,
        chart: chart::hours(page.locale(), &hours, chart::SMALL),
        id: endpoint.id,
        url: endpoint.config.url,
        description: endpoint.config.description,
    })
}

/// The first names of what an endpoint wants.
pub fn subscription(words: Words, endpoint: &Endpoint) -> String {
    let events = &endpoint.config.events;
    if event_names::is_all(events) {
        return words.all_events().to_owned();
    }
    let name = |event_type| event_names::name(words.0, event_type);
    let named = |count: usize| events.iter().take(count).map(name).collect::<Vec<_>>().join(", ");
    match events.len() {
        count if count <= NAMED_MAX + 1 => named(count),
        count => words.and_more(named(NAMED_MAX), count - NAMED_MAX),
    }
}

/// All of what an endpoint wants.
pub fn all_names(words: Words, endpoint: &Endpoint) -> String {
    if event_names::is_all(&endpoint.config.events) {
        return words.all_events().to_owned();
    }
    let names = endpoint.config.events.iter().map(|event_type| event_names::name(words.0, event_type));
    names.collect::<Vec<_>>().join(", ")
}
