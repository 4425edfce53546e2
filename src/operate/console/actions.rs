//! What the *Action* column does: each a form that goes back to where it stood, which then says what came of it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;

use super::flash::Flash;
use super::page::Page;
use super::posted::Posted;
use super::words::words;
use crate::operate::conditional::IfMatch;
use crate::operate::path::AtEndpoint;
use crate::operate::{Api, Problem};

words! {
    struct Words;

    enabled: "The webhook is enabled. What waited goes out in order." |
             "El webhook está habilitado. Lo que esperaba se envía en orden.";
    enabled_and_discarded(count): "The webhook is enabled. {count} waiting events were discarded." |
                                  "El webhook está habilitado. Se descartaron {count} eventos en espera.";
    disabled: "The webhook is disabled. Its events wait until it is enabled." |
              "El webhook está deshabilitado. Sus eventos esperan hasta que se habilite.";
    deleted: "The webhook is deleted." | "El webhook se eliminó.";
}

pub fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/enable", post(enable))
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/disable", post(disable))
        .route("/console/workspaces/{workspace}/endpoints/{endpoint}/delete", post(delete))
}

async fn enable(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>, posted: Posted) -> Result<Response, Problem> {
    let discard = posted.get("backlog") == "discard";
    let discarded = api.enable_endpoint(&at.workspace, &at.endpoint, discard).await?;
    let words = Words(page.locale());
    let text = if discard { words.enabled_and_discarded(discarded) } else { words.enabled().to_owned() };
    Ok(Flash::good(text).go(&page, &back(&at, &posted)))
}

async fn disable(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>, posted: Posted) -> Result<Response, Problem> {
    api.disable_endpoint(&at.workspace, &at.endpoint).await?;
    Ok(Flash::good(Words(page.locale()).disabled()).go(&page, &back(&at, &posted)))
}

async fn delete(page: Page, at: AtEndpoint, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    api.delete_endpoint(&at.workspace, &at.endpoint, &IfMatch::any()).await?;
    Ok(Flash::good(Words(page.locale()).deleted()).go(&page, &format!("/workspaces/{}", at.workspace)))
}

/// The table or the endpoint's own page, whichever had the form.
fn back(at: &AtEndpoint, posted: &Posted) -> String {
    let AtEndpoint { workspace, endpoint } = at;
    match posted.get("from") {
        "table" => format!("/workspaces/{workspace}"),
        _ => format!("/workspaces/{workspace}/endpoints/{endpoint}"),
    }
}
