//! The file: workspaces and endpoints as they are meant to be, in the API's own names.
//!
//! What the API shows can be put into it as it is: fields that are only read are passed over, and header names without
//! values mean the values that are there. Any other field is a mistake, and told.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

/// All of it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Workspaces that are not named stay as they are.
    pub workspaces: Vec<Workspace>,
}

/// A workspace.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// What the platform calls it.
    pub id: String,
    /// Its plan.
    pub plan: String,
    /// Its name, for people.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Who gets its notices.
    #[serde(default, deserialize_with = "or_default")]
    pub notify: Vec<String>,
    /// The language of its notices.
    #[serde(default = "english")]
    pub locale: String,
    /// All of its endpoints, others are deleted; left out, they stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<Endpoint>>,
    #[serde(default, skip_serializing)]
    entitled: Passed,
}

/// An endpoint.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// By which it is known; without one, or where there is none of it, by its URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where its events go.
    pub url: String,
    /// The event types it wants.
    pub events: Vec<String>,
    /// For people.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// How many contacts' events move side by side.
    #[serde(default = "one")]
    pub lanes: u16,
    /// Its own headers.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Headers::is_empty")]
    pub headers: Headers,
    #[serde(default, skip_serializing)]
    status: Passed,
    #[serde(default, skip_serializing)]
    disabled: Passed,
    #[serde(default, skip_serializing)]
    backlog: Passed,
    #[serde(default, skip_serializing)]
    last_attempt: Passed,
    #[serde(default, skip_serializing)]
    created_at: Passed,
    #[serde(default, skip_serializing)]
    updated_at: Passed,
}

/// Headers of an endpoint's own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Headers {
    /// These keep the values they have.
    Names(Vec<String>),
    /// These have these values.
    Values(BTreeMap<String, String>),
}

/// A field that is only read.
#[derive(Clone, Debug, Default, Deserialize)]
struct Passed(#[allow(dead_code)] Option<IgnoredAny>);

impl PartialEq for Passed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self::Names(Vec::new())
    }
}

impl Headers {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Names(names) => names.is_empty(),
            Self::Values(values) => values.is_empty(),
        }
    }

    /// Their names in small letters, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = match self {
            Self::Names(names) => names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            Self::Values(values) => values.keys().map(|name| name.to_ascii_lowercase()).collect(),
        };
        names.sort();
        names
    }
}

/// A field without a value, as in `name:`, is as good as none.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn english() -> String {
    "en".to_owned()
}

fn one() -> u16 {
    1
}
