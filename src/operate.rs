//! The API (contract, section 5), one file per resource, and how HTTP is served.
//!
//! A handler reads as what it does: extractors have checked who asks (`auth`), for what (`path`) and with what
//! (`body`) before it begins, and everything that goes wrong is a [`Problem`]. What is being decided (limits,
//! entitlement, enabling) is the store's and the policy's, never a handler's.
//!
//! Checks of content are written here rather than derived by a validation crate: each answer has to name the field,
//! say what to do, and carry the contract's code.

use std::sync::Arc;

use axum::routing::{get, post, put};
use axum::{Router, middleware};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::decide::event_types::EventTypes;
use crate::decide::policy::Policy;
use crate::deliver::guard::Guard;
use crate::observe::signal::Signals;
use crate::store::Store;

mod admit;
mod attempts;
mod auth;
mod body;
mod endpoints;
mod event_types;
mod fields;
mod page;
mod path;
mod problem;
pub mod serve;
mod time;
mod workspaces;

pub use auth::AdminTokens;
pub use problem::{Code, Problem};

/// What the API works with.
pub struct Api {
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// The rules: who is entitled, and what the quota is.
    pub policy: Policy,
    /// What an endpoint can subscribe to.
    pub event_types: EventTypes,
    /// Where an endpoint may be.
    pub guard: Guard,
    /// Who may do everything.
    pub admin_tokens: AdminTokens,
    /// For the times of what is set.
    pub clock: Clock,
    /// Where what people do is seen.
    pub signals: Signals,
}

/// The routes of section 5 of the contract.
pub fn api(api: Arc<Api>) -> Router {
    let places = Arc::new(Semaphore::new(admit::REQUESTS_MAX));
    let authenticated = middleware::from_fn_with_state(Arc::clone(&api), auth::authenticate);
    Router::new()
        .route("/v1/event-types", get(event_types::list))
        .route("/v1/workspaces", get(workspaces::list))
        .nest("/v1/workspaces/{workspace}", workspace())
        .route_layer(authenticated)
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn_with_state(places, admit::admit))
        .with_state(api)
}

fn workspace() -> Router<Arc<Api>> {
    Router::new()
        .route("/", put(workspaces::put).get(workspaces::get).delete(workspaces::delete))
        .route("/quota", get(workspaces::quota))
        .route("/endpoints", post(endpoints::create).get(endpoints::list))
        .nest("/endpoints/{endpoint}", endpoint())
}

fn endpoint() -> Router<Arc<Api>> {
    Router::new()
        .route("/", get(endpoints::get).patch(endpoints::patch).delete(endpoints::delete))
        .route("/enable", post(endpoints::enable))
        .route("/disable", post(endpoints::disable))
        .route("/attempts", get(attempts::list))
        .route("/dropped", get(attempts::dropped))
}
