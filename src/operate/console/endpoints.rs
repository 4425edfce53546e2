//! Integrations → Webhooks: a workspace's endpoints.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::page::{Page, Step, show};
use super::words::words;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::operate::path::InWorkspace;
use crate::operate::{Api, Problem};
use crate::store::records::{Endpoint, EndpointStatus};

words! {
    pub struct Words;

    title: "Webhooks" | "Webhooks";
    url: "URL" | "URL";
    events: "Events" | "Eventos";
    status: "Status" | "Estado";
    all_events: "All events" | "Todos los eventos";
    enabled: "Enabled" | "Habilitado";
    disabled: "Disabled" | "Deshabilitado";
    paused: "Paused" | "En pausa";
    action: "Action" | "Acción";
    enable: "Enable" | "Habilitar";
    disable: "Disable" | "Deshabilitar";
    none: "No webhooks yet." | "Aún no hay webhooks.";
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
    endpoints: Vec<Row>,
    workspace: WorkspaceId,
}

struct Row {
    id: EndpointId,
    is_disabled: bool,
    url: String,
    events: String,
    status: &'static str,
    status_words: &'static str,
}

pub fn routes() -> Router<Arc<Api>> {
    Router::new().route("/console/workspaces/{workspace}", get(table))
}

async fn table(
    page: Page,
    InWorkspace(workspace): InWorkspace,
    State(api): State<Arc<Api>>,
) -> Result<Response, Problem> {
    let words = Words(page.locale());
    let endpoints = api.store.endpoints(&workspace).await?;
    let row = |endpoint: Endpoint| Row {
        is_disabled: endpoint.disabled.is_some(),
        id: endpoint.id.clone(),
        events: endpoint.config.events.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        status: endpoint.status().as_str(),
        status_words: words.status_of(endpoint.status()),
        url: endpoint.config.url,
    };
    let endpoints = endpoints.into_iter().map(row).collect();
    Ok(show(&Endpoints { way: page.way(&workspace, Vec::new()), page, words, endpoints, workspace }))
}
