//! The console: Settings → Integrations → Webhooks for a workspace's people, and the platform's own pages.
//!
//! Pages are made here, of templates (`templates/console`), and work without a script: a form is posted and answered with
//! a redirect, or with its own page that says what is wrong. htmx, one stylesheet and one small script are in the binary
//! and make it more comfortable; nothing is loaded from elsewhere, and there is no build step. Rejected: an application
//! in the browser, which would need one, a second router, and a token where scripts can read it.
//!
//! A page is a file here and a template there, with its texts ([`words`]) and its routes, which are merged below, a line
//! each. Who asks ([`gate`]) and where ([`super::path`]) is settled before a handler begins, as in the API; and what goes
//! wrong is the API's [`Problem`], told in a page ([`told`]). What a page does is a call of [`Api`].

use std::sync::Arc;

use axum::routing::any;
use axum::{Router, middleware};

use super::auth::Gate;
use super::{Api, Code, Problem};

mod actions;
mod assets;
mod body;
mod chart;
mod demo;
mod dropped;
mod endpoint;
mod endpoint_form;
mod endpoints;
mod event;
mod event_names;
mod flash;
mod gate;
mod home;
mod language;
mod live;
mod moment;
mod page;
mod posted;
mod quota;
mod rejected;
mod result;
mod retries;
mod secret;
mod session;
mod sign_in;
mod told;
mod trouble;
mod visit;
mod words;
mod workspaces;

pub(super) use visit::receive;

/// Where the console is, below the service's base.
const PLACE: &str = "/console";

/// All pages.
pub(super) fn console(gate: Gate) -> Router<Arc<Api>> {
    let inside = Router::new()
        .merge(home::routes())
        .merge(endpoints::routes())
        .merge(endpoint_form::routes())
        .merge(endpoint::routes())
        .merge(event::routes())
        .merge(dropped::routes())
        .merge(actions::routes())
        .merge(workspaces::routes())
        .merge(trouble::routes())
        .merge(rejected::routes())
        .merge(demo::routes())
        .route("/console/{*rest}", any(nothing_here))
        .route_layer(middleware::from_fn(gate::admit));
    inside.merge(sign_in::routes(gate)).merge(language::routes()).merge(assets::routes())
}

async fn nothing_here() -> Problem {
    no_page()
}

fn no_page() -> Problem {
    Problem::new(Code::NotFound, "there is no such page").spanish("No existe esa página.")
}
