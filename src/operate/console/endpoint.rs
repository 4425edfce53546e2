//! An endpoint's page: how it is, how it was, and what can be done about it.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::event_names::{self, Choice};
use super::live::{Asked, Live, live};
use super::moment::Moment;
use super::page::{Page, Step, show};
use super::words::words;
use super::{endpoints, live};
use crate::decide::ids::WorkspaceId;
use crate::decide::notice::DisableReason;
use crate::notify::mail::causes;
use crate::operate::page::Params;
use crate::operate::path::AtEndpoint;
use crate::operate::{Api, Problem};
use crate::store::records::{Disabled, Endpoint};

words! {
    pub struct Words;

    events: "Events" | "Eventos";
    set: "Configuration" | "Configuración";
    id: "Id" | "Id";
    description: "Description" | "Descripción";
    lanes: "Lanes" | "Carriles";
    headers: "Own headers" | "Cabeceras propias";
    disable: "Disable" | "Deshabilitar";
    enable: "Enable" | "Habilitar";
    edit: "Edit" | "Editar";
    delete: "Delete" | "Eliminar";
    dropped: "Dropped events" | "Eventos descartados";
    test: "Test event" | "Evento de prueba";
    test_how: "One sample goes to the endpoint now, signed like any other. It takes no part in the order and does not count in the error quota." |
              "Se envía ahora una muestra al endpoint, firmada como cualquier otra. No participa en el orden ni cuenta en la cuota de errores.";
    send_test: "Send test event" | "Enviar evento de prueba";
    event_type: "Event type" | "Tipo de evento";
    rotate: "Rotate secret" | "Renovar el secreto";
    rotate_how: "The new secret is shown once. For 24 hours both sign, so that the receiver can be changed in peace." |
                "El secreto nuevo se muestra una vez. Durante 24 horas firman ambos, para cambiar el receptor con calma.";
    disabled_since: "Disabled since" | "Deshabilitado desde";
    by_quota: "Too many attempts failed, so that the webhook was disabled by itself." |
              "Fallaron demasiados intentos, y el webhook se deshabilitó automáticamente.";
    by_hand: "Somebody disabled it by hand." | "Alguien lo deshabilitó manualmente.";
    what_failed: "What failed before that:" | "Lo que falló antes:";
    wait(count): "Events that wait: {count}" | "Eventos en espera: {count}";
    deliver: "Deliver what waits, in order" | "Entregar lo que espera, en orden";
    discard: "Discard what waits" | "Descartar lo que espera";
    what_of_waiting: "What waits" | "Lo que espera";
    enable_how: "A test event is sent at once, to see whether the endpoint still fails." |
                "Se envía enseguida un evento de prueba para ver si el endpoint sigue fallando.";
}

#[derive(Template)]
#[template(path = "console/endpoint.html")]
struct Shown {
    page: Page,
    way: Vec<Step>,
    words: Words,
    place: String,
    endpoint: Endpoint,
    events: String,
    headers: String,
    status: &'static str,
    status_words: &'static str,
    banner: Option<Banner>,
    live: Live,
    samples: Vec<Choice>,
}

/// Why it is disabled.
struct Banner {
    since: Moment,
    by_quota: bool,
    causes: Vec<(u32, String)>,
}

pub fn routes() -> Router<Arc<Api>> {
    Router::new().route("/console/workspaces/{workspace}/endpoints/{endpoint}", get(endpoint)).merge(live::routes())
}

async fn endpoint(
    page: Page,
    at: AtEndpoint,
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, Problem> {
    let locale = page.locale();
    let endpoint = api.endpoint(&at.workspace, &at.endpoint).await?;
    let live = live(&api, &page, &at.workspace, &endpoint, Asked::of(&params)?).await?;
    let banner = match endpoint.disabled {
        Some(disabled) => Some(banner(&api, &page, &at.workspace, &endpoint, disabled).await?),
        None => None,
    };
    let list = endpoints::Words(locale);
    let samples = event_names::choices(locale, &api.event_types, &[]);
    let names: Vec<_> = endpoint.config.headers.iter().map(|(name, _)| name.as_str()).collect();
    Ok(show(&Shown {
        way: page.way(&at.workspace, vec![Step { name: endpoint.config.url.clone(), path: None }]),
        place: format!("{}/workspaces/{}/endpoints/{}", page.base(), at.workspace, at.endpoint),
        words: Words(locale),
        events: endpoints::all_names(list, &endpoint),
        headers: names.join(", "),
        status: endpoint.status().as_str(),
        status_words: list.status_of(endpoint.status()),
        samples: samples.into_iter().filter(|choice| !choice.name.is_empty()).collect(),
        banner,
        live,
        endpoint,
        page,
    }))
}

async fn banner(
    api: &Api,
    page: &Page,
    workspace: &WorkspaceId,
    endpoint: &Endpoint,
    Disabled { reason, at_ms }: Disabled,
) -> Result<Banner, Problem> {
    let causes = causes(&*api.store, &api.policy, workspace, &endpoint.id, at_ms).await?;
    let words = |(cause, count)| (count, page.locale().cause(cause, api.policy.timeout));
    Ok(Banner {
        since: Moment(at_ms),
        by_quota: reason == DisableReason::Quota,
        causes: causes.into_iter().map(words).collect(),
    })
}
