//! Lists: `limit` and `cursor` in, `{data, next_cursor}` out, and the other parameters of a query.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Code, Problem};
use crate::store::records::PAGE_ROWS_MAX;

/// Rows of a page when nothing is asked.
pub const LIMIT_DEFAULT: usize = 50;

/// Most rows of a page, however many more are asked for; one more, which tells whether there is a next, is what the store
/// gives at most.
pub const LIMIT_MAX: usize = PAGE_ROWS_MAX - 1;

/// The parameters of a query, each at most once.
pub struct Params(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut params = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            if params.insert(name.to_string(), value.to_string()).is_some() {
                return Err(Problem::with_field(Code::InvalidQuery, &name, "is given twice; give it once")
                    .in_console(format!("the address gives {name:?} twice"))
                    .spanish(format!("La dirección indica {name:?} dos veces.")));
            }
        }
        Ok(Self(params))
    }
}

impl Params {
    /// Refuses parameters other than these.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let sentence = format!("is not a parameter here; there are {}", known.join(", "));
                Err(Problem::with_field(Code::InvalidQuery, name, sentence))
            }
        }
    }

    /// A parameter; an empty one is none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// How many rows are asked for.
    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.0.get("limit") else { return Ok(LIMIT_DEFAULT) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<usize>().unwrap_or(if digits { LIMIT_MAX } else { 0 }) {
            0 => Err(Problem::with_field(Code::InvalidQuery, "limit", "must be a number from 1 on")),
            limit => Ok(limit.min(LIMIT_MAX)),
        }
    }

    /// Where the last page ended, as `read` understands it.
    pub fn cursor<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        let Some(text) = self.get("cursor") else { return Ok(None) };
        let plain = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let place = plain.and_then(|plain| read(&plain));
        let wrong = || {
            Problem::with_field(Code::InvalidQuery, "cursor", "must be a next_cursor of this very list")
                .in_console("the address is not one that this list has given")
                .spanish("La dirección no es una que haya dado esta lista.")
        };
        place.map(Some).ok_or_else(wrong)
    }
}

/// A part of a list.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next part begins; null at the end.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The whole list at once.
    pub fn whole(data: Vec<T>) -> Self {
        Self { data, next_cursor: None }
    }

    /// The first `limit` of the rows; that there is one more means that there is a next page, after the place of the
    /// last row shown. Cursors are opaque, so that nobody comes to rely on what is in them.
    pub fn of<R>(mut rows: Vec<R>, limit: usize, place: impl Fn(&R) -> String, show: impl FnMut(R) -> T) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more);
        let next_cursor = last.map(|row| URL_SAFE_NO_PAD.encode(place(row)));
        Self { data: rows.into_iter().map(show).collect(), next_cursor }
    }
}
