//! Whether the process runs, and whether it can do its work: `/healthz`, `/readyz`, and `/metrics` beside them.
//!
//! The two differ on purpose. `/healthz` never asks Redis or RabbitMQ: a restart of this process would not bring them
//! back, and restarting every replica while they are away is how one outage becomes two. `/readyz` says what is
//! missing; it takes its knowledge from the signals and asks nobody either, so that a probe costs nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::metrics::{self, Metrics};
use super::signal::{Signal, Tap};
use crate::config::Roles;

/// What is known of what this process needs.
pub struct Health {
    needs: [Need; 2],
    known: Mutex<Known>,
}

/// One thing that some roles need.
struct Need {
    what: &'static str,
    by: Vec<&'static str>,
    of: fn(&Known) -> &Link,
}

#[derive(Default)]
struct Known {
    store: Link,
    broker: Link,
    draining: bool,
}

#[derive(Default)]
struct Link {
    connected: bool,
    detail: Option<String>,
}

/// What `/readyz` answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Readiness {
    /// Whether nothing is missing.
    pub ready: bool,
    /// What is missing.
    pub missing: Vec<Missing>,
}

/// Something that is not there and should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Missing {
    /// `store`, `broker`, or `service` while it shuts down.
    pub what: &'static str,
    /// The roles that need it.
    pub needed_by: Vec<&'static str>,
    /// Why, as far as it is known.
    pub detail: String,
}

impl Health {
    /// Nothing is connected yet; these roles say what must be.
    pub fn new(roles: Roles) -> Self {
        let router = roles.router.then_some("router");
        let deliverer = roles.deliverer.then_some("deliverer");
        let api = roles.api.then_some("api");
        let notifier = roles.notifier.then_some("notifier");
        // The api role publishes over the broker, but for that one request it answers for itself.
        let store = [router, deliverer, api, notifier].into_iter().flatten().collect();
        let broker = [router, notifier].into_iter().flatten().collect();
        Self {
            needs: [
                Need { what: "store", by: store, of: |known| &known.store },
                Need { what: "broker", by: broker, of: |known| &known.broker },
            ],
            known: Mutex::default(),
        }
    }

    /// The process shuts down: it is not ready any more, so that nothing new is sent its way.
    pub fn drain(&self) {
        self.known().draining = true;
    }

    /// Whether the process can do its work, and what is missing if not.
    pub fn readiness(&self) -> Readiness {
        let known = self.known();
        let draining = known.draining.then(|| Missing {
            what: "service",
            needed_by: Vec::new(),
            detail: "shutting down".to_owned(),
        });
        let absent = self.needs.iter().filter(|need| !need.by.is_empty() && !(need.of)(&known).connected);
        let absent = absent.map(|need| Missing {
            what: need.what,
            needed_by: need.by.clone(),
            detail: (need.of)(&known).detail.clone().unwrap_or_else(|| "not connected yet".to_owned()),
        });
        let missing: Vec<_> = draining.into_iter().chain(absent).collect();
        Readiness { ready: missing.is_empty(), missing }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap for Health {
    fn see(&self, signal: &Signal<'_>) {
        let link =
            |connected: &bool, detail: &Option<&str>| Link { connected: *connected, detail: detail.map(str::to_owned) };
        match signal {
            Signal::Store { connected, detail } => self.known().store = link(connected, detail),
            Signal::Broker { connected, detail } => self.known().broker = link(connected, detail),
            _ => {}
        }
    }
}

/// `/metrics`, `/healthz` and `/readyz`: without authentication, not for the public.
pub fn ops(metrics: Arc<Metrics>, health: Arc<Health>) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(metrics)
        .route("/readyz", get(readyz))
        .with_state(health)
        .route("/healthz", get(async || Json(serde_json::json!({"status": "running"}))))
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.render())
}

async fn readyz(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let readiness = health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Roles = Roles { router: true, deliverer: true, api: true, notifier: true };

    fn missing(health: &Health) -> Vec<(&'static str, Vec<&'static str>)> {
        health.readiness().missing.into_iter().map(|missing| (missing.what, missing.needed_by)).collect()
    }

    #[test]
    fn ready_is_when_store_and_broker_are_there() {
        let health = Health::new(ALL);
        let store = ("store", vec!["router", "deliverer", "api", "notifier"]);
        assert_eq!(missing(&health), [store.clone(), ("broker", vec!["router", "notifier"])]);
        health.see(&Signal::Broker { connected: true, detail: None });
        assert_eq!(missing(&health), [store]);
        health.see(&Signal::Store { connected: true, detail: None });
        assert!(health.readiness().ready);
        health.see(&Signal::Broker { connected: false, detail: Some("connection reset") });
        assert_eq!(health.readiness().missing[0].detail, "connection reset");
    }

    #[test]
    fn a_process_without_router_and_notifier_does_without_a_broker() {
        let health = Health::new(Roles { router: false, notifier: false, ..ALL });
        assert_eq!(missing(&health), [("store", vec!["deliverer", "api"])]);
    }

    #[test]
    fn a_process_that_shuts_down_is_not_ready() {
        let health = Health::new(Roles::default());
        assert!(health.readiness().ready);
        health.drain();
        assert_eq!(missing(&health), [("service", vec![])]);
    }
}
