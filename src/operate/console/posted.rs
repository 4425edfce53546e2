//! What a form has sent.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::gate;
use crate::operate::Problem;

/// The largest form that is read, in bytes.
pub const FORM_BYTES_MAX: usize = 64 << 10;

/// A form's fields, in their order. The gate has read it, or it is empty.
#[derive(Clone, Default)]
pub struct Posted(Vec<(String, String)>);

impl Posted {
    /// Reads a body of `application/x-www-form-urlencoded`.
    pub async fn read(body: Body) -> Result<Self, Problem> {
        let bytes = gate::bytes(body).await?;
        Ok(Self(url::form_urlencoded::parse(&bytes).map(|(name, value)| (name.into(), value.into())).collect()))
    }

    /// A field's value, without spaces around it; empty when it was not sent.
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value.trim())
    }

    /// All values of a field: the boxes that are ticked.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Posted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}
