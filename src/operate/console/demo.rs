//! The demo's own page, in `recadero dev` alone: its receivers, to be broken and mended, and the e-mail it would have sent.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};

use super::flash::Flash;
use super::moment::Moment;
use super::page::{Page, Step, show};
use super::posted::Posted;
use super::words::words;
use crate::decide::ids::WorkspaceId;
use crate::operate::demo::{Caught, Receiver};
use crate::operate::{Api, Code, Problem};

words! {
    struct Words;

    title: "Demo" | "Demostración";
    how: "Five receivers run beside this console, each behind a webhook of the workspace. Break one, and watch its webhook: attempts fail and are tried again, the error quota fills, the webhook is disabled and an e-mail is written. Mend it and enable the webhook: what waited arrives in order." |
         "Junto a esta consola funcionan cinco receptores, cada uno detrás de un webhook del espacio de trabajo. Estropee uno y observe su webhook: los intentos fallan y se repiten, la cuota de errores se llena, el webhook se deshabilita y se escribe un correo. Arréglelo y habilite el webhook: lo que esperaba llega en orden.";
    receivers: "Receivers" | "Receptores";
    receiver: "Receiver" | "Receptor";
    webhook: "Webhook" | "Webhook";
    quota(used, limit): "Error quota: {used} of {limit} used." | "Cuota de errores: {used} de {limit}.";
    waiting: "Waiting" | "En espera";
    behaves: "It behaves" | "Se comporta";
    change(receiver): "How the receiver {receiver} behaves" | "Cómo se comporta el receptor {receiver}";
    changed(receiver, behaviour): "The receiver {receiver} is now {behaviour}." | "El receptor {receiver} ahora está {behaviour}.";
    fine: "fine" | "bien";
    slow: "slow" | "lento";
    failing: "failing" | "fallando";
    hanging: "hanging" | "colgado";
    recovering: "recovering" | "recuperándose";
    mails: "E-mails" | "Correos";
    no_mails: "None yet. One is written when half of the error quota is used, and when a webhook is disabled." |
              "Aún no hay ninguno. Se escribe uno cuando se usa la mitad de la cuota de errores y cuando se deshabilita un webhook.";
    to(addresses): "To {addresses}" | "Para {addresses}";
}

impl Words {
    fn behaviour(self, behaviour: &str) -> &str {
        match behaviour {
            "fine" => self.fine(),
            "slow" => self.slow(),
            "failing" => self.failing(),
            "hanging" => self.hanging(),
            "recovering" => self.recovering(),
            other => other,
        }
    }
}

#[derive(Template)]
#[template(path = "console/demo.html")]
struct Shown {
    page: Page,
    way: Vec<Step>,
    words: Words,
    workspace: WorkspaceId,
    quota: String,
    rows: Vec<Row>,
    behaviours: Vec<&'static str>,
    letters: Vec<Caught>,
}

struct Row {
    receiver: Receiver,
    url: String,
    status: &'static str,
    status_words: &'static str,
    waiting: u64,
}

pub fn routes() -> Router<Arc<Api>> {
    Router::new().route("/console/demo", get(shown)).route("/console/demo/receivers/{receiver}", post(behave))
}

async fn shown(page: Page, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let demo = api.demo.as_deref().ok_or_else(super::no_page)?;
    let workspace = demo.workspace().clone();
    let words = Words(page.locale());
    let endpoint_words = super::endpoints::Words(page.locale());
    let receivers = demo.receivers();
    let ids: Vec<_> = receivers.iter().map(|receiver| receiver.endpoint.clone()).collect();
    let endpoints = api.store.endpoints_among(&workspace, &ids).await?;
    let row = |receiver: Receiver| {
        // One that somebody has deleted has no row.
        let endpoint = endpoints.iter().find(|endpoint| endpoint.id == receiver.endpoint)?;
        let status = endpoint.status();
        Some(Row {
            url: endpoint.config.url.clone(),
            status: status.as_str(),
            status_words: endpoint_words.status_of(status),
            waiting: endpoint.backlog_events,
            receiver,
        })
    };
    let rows = receivers.into_iter().filter_map(row).collect();
    let used = api.store.quota(&workspace).await?.used;
    let quota = words.quota(used, api.policy.quota.limit);
    let way = vec![Step { name: words.title().to_owned(), path: None }];
    let (behaviours, letters) = (demo.behaviours(), demo.letters());
    Ok(show(&Shown { page, way, words, workspace, quota, rows, behaviours, letters }))
}

async fn behave(
    page: Page,
    State(api): State<Arc<Api>>,
    Path(receiver): Path<String>,
    posted: Posted,
) -> Result<Response, Problem> {
    let demo = api.demo.as_deref().ok_or_else(super::no_page)?;
    let (words, behaviour) = (Words(page.locale()), posted.get("behaviour"));
    if !demo.behave(&receiver, behaviour) {
        return Err(Problem::new(Code::NotFound, "there is no such receiver, or it cannot behave so")
            .spanish("No existe ese receptor, o no puede comportarse así."));
    }
    Ok(Flash::good(words.changed(words.behaviour(&receiver), words.behaviour(behaviour))).go(&page, "/demo"))
}
