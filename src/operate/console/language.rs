//! The switch that overrules the browser's language, for a year.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;

use super::gate;
use super::page::Page;
use super::posted::Posted;
use crate::operate::{Api, Problem};

/// The cookie that remembers it.
pub const COOKIE: &str = "recadero_language";

const LASTS: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub fn routes() -> Router<Arc<Api>> {
    Router::new().route("/console/language", post(choose))
}

/// Sets the language and goes back to where the switch was.
async fn choose(page: Page, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    gate::from_here(&headers)?;
    let posted = Posted::read(body).await?;
    let language = if posted.get("to") == "es" { "es" } else { "en" };
    let mut response = page.visit.go_back(posted.get("back"));
    page.visit.set_cookie(&mut response, COOKIE, language, Some(LASTS));
    Ok(response)
}
