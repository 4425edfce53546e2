//! An endpoint's own headers: what its owner wants to find on each POST, mostly credentials.

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::headers::OURS;

/// How many an endpoint may have (contract, section 3).
pub const OWN_HEADERS_MAX: usize = 10;

/// The longest name, in bytes.
pub const OWN_NAME_BYTES_MAX: usize = 128;

/// The longest value, in bytes: room for a signed token, and few servers take more.
pub const OWN_VALUE_BYTES_MAX: usize = 4096;

/// Names that belong to a connection and not to what is sent over it (RFC 9110, section 7.6.1), and those that HTTP
/// itself fills in. `Proxy-…` is refused by its beginning.
const HTTPS_OWN: [&str; 8] =
    ["connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// At most [`OWN_HEADERS_MAX`] checked headers. Values are secrets: `Debug` shows the names alone.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct OwnHeaders(Vec<(HeaderName, HeaderValue)>);

/// Why a header may not be set, in one sentence; values are not repeated.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderProblem {
    /// Too many.
    #[error("an endpoint may have at most {OWN_HEADERS_MAX} headers of its own")]
    TooMany,
    /// Not a name that HTTP allows.
    #[error("`{0}` is not a header name of 1 to {OWN_NAME_BYTES_MAX} letters, digits and hyphens")]
    Name(String),
    /// Not a value that HTTP allows.
    #[error(
        "the value of `{0}` must be at most {OWN_VALUE_BYTES_MAX} visible ASCII characters, with spaces only between them"
    )]
    Value(HeaderName),
    /// The same name twice.
    #[error("the header `{0}` is given twice")]
    Twice(HeaderName),
    /// Set by Recadero.
    #[error("the header `{0}` is set by Recadero itself")]
    Ours(HeaderName),
    /// Set by HTTP.
    #[error("the header `{0}` belongs to the HTTP connection and cannot be set")]
    Https(HeaderName),
}

impl OwnHeaders {
    /// Checks names and values.
    ///
    /// # Errors
    ///
    /// The first problem found.
    pub fn check(given: impl IntoIterator<Item = (String, String)>) -> Result<Self, HeaderProblem> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, value) in given {
            if headers.len() == OWN_HEADERS_MAX {
                return Err(HeaderProblem::TooMany);
            }
            let name = checked_name(name)?;
            if headers.iter().any(|(other, _)| *other == name) {
                return Err(HeaderProblem::Twice(name));
            }
            let value = checked_value(value).ok_or_else(|| HeaderProblem::Value(name.clone()))?;
            headers.push((name, value));
        }
        Ok(Self(headers))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, which may be shown.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Names and values, for sending.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }
}

fn checked_name(text: String) -> Result<HeaderName, HeaderProblem> {
    let name = match HeaderName::try_from(&text) {
        Ok(name) if text.len() <= OWN_NAME_BYTES_MAX => name,
        _ => return Err(HeaderProblem::Name(text.chars().take(OWN_NAME_BYTES_MAX).collect())),
    };
    if OURS.contains(&name) {
        return Err(HeaderProblem::Ours(name));
    }
    if HTTPS_OWN.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
        return Err(HeaderProblem::Https(name));
    }
    Ok(name)
}

fn checked_value(text: String) -> Option<HeaderValue> {
    let clean = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && text.trim() == text;
    if !clean || text.len() > OWN_VALUE_BYTES_MAX {
        return None;
    }
    let mut value = HeaderValue::try_from(text).ok()?;
    // Keeps it out of debug output, and out of HTTP/2's compression tables.
    value.set_sensitive(true);
    Some(value)
}

impl TryFrom<BTreeMap<String, String>> for OwnHeaders {
    type Error = HeaderProblem;

    fn try_from(given: BTreeMap<String, String>) -> Result<Self, HeaderProblem> {
        Self::check(given)
    }
}

impl From<OwnHeaders> for BTreeMap<String, String> {
    fn from(own: OwnHeaders) -> Self {
        let text = |value: &HeaderValue| value.to_str().expect("checked to be visible ASCII").to_owned();
        own.0.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }
}

impl fmt::Debug for OwnHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[(&str, &str)]) -> Result<OwnHeaders, HeaderProblem> {
        OwnHeaders::check(given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn at_most_ten() {
        let names: Vec<_> = (0..11).map(|n| format!("X-{n}")).collect();
        let given: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
        assert_eq!(check(&given[..10]).unwrap().len(), 10);
        assert_eq!(check(&given), Err(HeaderProblem::TooMany));
    }

    #[test]
    fn never_ours_host_or_hop_by_hop_in_any_case() {
        for name in OURS {
            let shouted = name.as_str().to_uppercase();
            assert_eq!(check(&[(&shouted, "v")]), Err(HeaderProblem::Ours(name)));
        }
        for name in [
            "Host",
            "Connection",
            "Keep-Alive",
            "Proxy-Authorization",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Content-Length",
        ] {
            assert!(matches!(check(&[(name, "v")]), Err(HeaderProblem::Https(_))), "{name}");
        }
    }

    #[test]
    fn only_names_and_values_that_http_allows() {
        let long_name = "x".repeat(OWN_NAME_BYTES_MAX + 1);
        for name in ["", "a b", "a:b", "ä", "a\r\nb", &long_name] {
            assert!(matches!(check(&[(name, "v")]), Err(HeaderProblem::Name(_))), "{name:?}");
        }
        let long_value = "x".repeat(OWN_VALUE_BYTES_MAX + 1);
        for value in ["a\r\nX-Evil: 1", "a\nb", "a\0", "ä", " a", "a ", "\t", &long_value] {
            assert!(matches!(check(&[("X-A", value)]), Err(HeaderProblem::Value(_))), "{value:?}");
        }
        assert!(check(&[("Authorization", "Bearer a.b-c=="), ("X-Empty", "")]).is_ok());
    }

    #[test]
    fn a_name_is_given_once() {
        assert!(matches!(check(&[("X-A", "1"), ("x-a", "2")]), Err(HeaderProblem::Twice(_))));
    }

    #[test]
    fn values_are_stored_but_not_shown() {
        let own = check(&[("X-Api-Key", "s3cret")]).unwrap();
        assert_eq!(format!("{own:?}"), r#"["x-api-key"]"#);
        let stored = serde_json::to_string(&own).unwrap();
        assert_eq!(stored, r#"{"x-api-key":"s3cret"}"#);
        assert_eq!(serde_json::from_str::<OwnHeaders>(&stored).unwrap(), own);
        assert!(serde_json::from_str::<OwnHeaders>(r#"{"host":"a"}"#).is_err());
    }
}
