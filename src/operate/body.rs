//! What is sent: one JSON object, read strictly, so that a field written wrongly is told and not ignored.
//!
//! The media type is not asked for: `curl -d` sends another one, and a bearer token is no cookie that a form could
//! ride on.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Code, Problem};

/// The largest body that is read, in bytes: room for a field that is far too long, so that the answer can name it.
pub const BODY_BYTES_MAX: usize = 512 << 10;

/// A body of this shape; none at all is an empty object.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(Code::TooLarge, format!("the body is larger than {BODY_BYTES_MAX} bytes"))
            }
            _ => Problem::new(Code::InvalidBody, "the body could not be read to its end"),
        })?;
        read(if bytes.is_empty() { b"{}" } else { &bytes }).map(Self)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // To serde an array is as good as an object, with the fields in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::new(Code::InvalidBody, "the body is not what it should be: a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.inner();
        // Fields have names only where the text is JSON.
        if problem.is_data() && path != "." && path != "?" {
            return Problem::with_field(Code::InvalidBody, &path, problem);
        }
        let text = problem.to_string();
        match text.strip_prefix("missing field `").and_then(|text| text.split_once('`')) {
            Some((field, _)) if path == "." => Problem::with_field(Code::InvalidBody, field, "is missing"),
            _ => Problem::new(Code::InvalidBody, format!("the body is not what it should be: {text}")),
        }
    })?;
    json.end().map_err(|error| Problem::new(Code::InvalidBody, format!("the body goes on after its end: {error}")))?;
    Ok(value)
}

/// For fields that may be left out: `null` says no more than that.
pub fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// For fields of a partial change that may be taken away: what is `null` is as if it had never been set.
pub fn given_or_default<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    or_default(deserializer).map(Some)
}

/// For fields of a partial change: what is there has a value. `null` is refused, not taken for absent.
pub fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
