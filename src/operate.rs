//! The API (contract, section 5), one file per resource, the console, and how HTTP is served.
//!
//! A handler reads as what it does: extractors have checked who asks (`auth`), for what (`path`) and with what
//! (`body`) before it begins, and everything that goes wrong is a [`Problem`]. What is being decided (limits,
//! entitlement, enabling) is the store's and the policy's, never a handler's.
//!
//! Each handler is annotated with what it takes and answers, and a route is made of that very annotation: the document
//! ([`openapi`]) knows every route there is. What a handler does beyond HTTP is a method of [`Api`], which the console
//! calls as well.
//!
//! Checks of content are written here rather than derived by a validation crate: each answer has to name the field,
//! say what to do, and carry the contract's code.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use tokio::sync::Semaphore;
use url::Url;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::Clock;
use crate::consume::Publisher;
use crate::consume::rejects::Rejects;
use crate::decide::event_types::EventTypes;
use crate::decide::policy::Policy;
use crate::deliver::guard::Guard;
use crate::deliver::send::Sender;
use crate::observe::signal::Signals;
use crate::store::Store;

mod admit;
pub mod asyncapi;
mod attempts;
mod auth;
mod body;
mod conditional;
mod console;
pub mod demo;
mod dropped;
mod endpoints;
mod event_types;
mod events;
mod fields;
mod idempotency;
pub mod openapi;
mod page;
mod path;
mod problem;
mod publish;
mod rejected;
mod sample;
pub mod serve;
mod sessions;
mod spanish;
mod stats;
mod time;
mod tokens;
mod tries;
mod workspaces;

pub use auth::{AdminTokens, Caller};
pub use problem::{Code, Problem};
pub use sessions::CODE_KEPT_FOR;
pub use tokens::{Grant, WorkspaceTokens};
pub use tries::TRIES_MAX;

/// What the API works with.
pub struct Api {
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// The way to the endpoints, for test events.
    pub sender: Arc<dyn Sender>,
    /// Where events are published.
    pub publisher: Arc<dyn Publisher>,
    /// What was rejected.
    pub rejects: Arc<dyn Rejects>,
    /// The exchange that events are published to.
    pub exchange: String,
    /// The rules: who is entitled, and what the quota is.
    pub policy: Policy,
    /// What an endpoint can subscribe to.
    pub event_types: EventTypes,
    /// The largest event.
    pub event_bytes_max: usize,
    /// Where an endpoint may be.
    pub guard: Guard,
    /// Who may do everything.
    pub admin_tokens: AdminTokens,
    /// Signs and verifies the tokens of workspaces.
    pub tokens: WorkspaceTokens,
    /// Base of links to the console, where it is not where the request came to.
    pub public_url: Option<Url>,
    /// The demo that this is the API of, in `recadero dev`.
    pub demo: Option<Arc<dyn demo::Demo>>,
    /// For the times of what is set.
    pub clock: Clock,
    /// Where what people do is seen.
    pub signals: Signals,
}

/// The API, its document and the page to try it, and the console.
pub fn api(api: Arc<Api>) -> Router {
    let places = Arc::new(Semaphore::new(admit::REQUESTS_MAX));
    let gate = auth::Gate { api: Arc::clone(&api), tries: Arc::default() };
    let console = console::console(gate.clone());
    let event_bytes_max = api.event_bytes_max;
    let (routes, _) = routes(event_bytes_max).split_for_parts();
    routes
        .route_layer(middleware::from_fn_with_state(gate, auth::authenticate))
        .merge(openapi::pages())
        .merge(console)
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn_with_state(places, admit::admit))
        // Outermost, so that whatever refuses a person does so in a page.
        .layer(middleware::from_fn_with_state(Arc::clone(&api), console::receive))
        .with_state(api)
}

/// The routes of section 5 of the contract, each with its part of the document.
fn routes(event_bytes_max: usize) -> OpenApiRouter<Arc<Api>> {
    let publish = OpenApiRouter::new().routes(routes!(publish::publish));
    OpenApiRouter::new()
        .routes(routes!(event_types::list))
        .routes(routes!(workspaces::list))
        .routes(routes!(workspaces::put, workspaces::get, workspaces::delete))
        .routes(routes!(workspaces::quota))
        .routes(routes!(sessions::create))
        // An event may be larger than any other body.
        .merge(publish.layer(DefaultBodyLimit::max(event_bytes_max)))
        .routes(routes!(endpoints::create::create, endpoints::list))
        .routes(routes!(endpoints::get, endpoints::patch, endpoints::delete))
        .routes(routes!(endpoints::enable))
        .routes(routes!(endpoints::disable))
        .routes(routes!(endpoints::rotate::rotate_secret))
        .routes(routes!(sample::send))
        .routes(routes!(stats::list))
        .routes(routes!(attempts::list))
        .routes(routes!(events::get))
        .routes(routes!(events::resend))
        .routes(routes!(dropped::list))
        .routes(routes!(dropped::resend))
        .routes(routes!(dropped::recover))
        .routes(routes!(rejected::list))
        .routes(routes!(rejected::replay))
}
