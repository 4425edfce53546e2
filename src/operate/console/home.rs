//! The first page: of those that somebody may see, the one to begin with.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};

use super::page::Page;
use crate::operate::{Api, Caller};

pub fn routes() -> Router<Arc<Api>> {
    Router::new().route("/console", get(home)).route("/console/", get(home))
}

async fn home(page: Page, State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Response {
    match (&api.demo, &caller) {
        (Some(demo), Caller::Admin) => page.visit.go(&format!("/workspaces/{}", demo.workspace())),
        _ => page.visit.go(&below(&caller)),
    }
}

/// Where somebody begins, below the console's path.
pub fn below(caller: &Caller) -> String {
    match caller {
        Caller::Admin => "/workspaces".to_owned(),
        Caller::Workspace(grant) => format!("/workspaces/{}", grant.workspace),
    }
}
