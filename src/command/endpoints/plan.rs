//! What has to be done so that what is there matches the file. Nothing here asks anybody.

use std::fmt;

use serde_json::{Map, Value, json};
use url::Url;

use super::file::{Endpoint, Headers, Workspace};

/// One thing to do. Printed, it is a line for a person.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Set a workspace.
    Set { workspace: String, body: Value, changes: Vec<String> },
    /// Delete an endpoint, and what waits for it.
    Delete { workspace: String, id: String, url: String },
    /// Change an endpoint.
    Change { workspace: String, id: String, body: Value, changes: Vec<String> },
    /// Create an endpoint.
    Create { workspace: String, body: Value, url: String },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { workspace, changes, .. } => write!(f, "~ {workspace}: {}", changes.join("; ")),
            Self::Delete { workspace, id, url } => write!(f, "- {workspace}/{id} {url}"),
            Self::Change { workspace, id, changes, .. } => write!(f, "~ {workspace}/{id}: {}", changes.join("; ")),
            Self::Create { workspace, url, .. } => write!(f, "+ {workspace} {url}"),
        }
    }
}

/// What has to be done for one workspace; `now` is it as it is, if it is there. Deletions come last: what the API refuses
/// of the rest has cost nobody an endpoint, and what waits for it.
pub fn plan(wanted: &Workspace, now: Option<&Workspace>) -> Result<Vec<Step>, String> {
    let workspace = &wanted.id;
    let mut steps: Vec<_> = set(wanted, now).into_iter().collect();
    let Some(endpoints) = &wanted.endpoints else { return Ok(steps) };
    let mut left: Vec<&Endpoint> = now.and_then(|now| now.endpoints.as_ref()).into_iter().flatten().collect();
    let by_id = |wanted: &Endpoint| take(&mut left, |now| now.id.is_some() && now.id == wanted.id);
    // All ids before the first URL, or an endpoint without an id could take what another one names.
    let found: Vec<_> = endpoints.iter().map(by_id).collect();
    let by_url = |(wanted, now): (_, Option<_>)| {
        let wanted: &Endpoint = wanted;
        (wanted, now.or_else(|| take(&mut left, |now| plain(&now.url) == plain(&wanted.url))))
    };
    let found: Vec<_> = endpoints.iter().zip(found).map(by_url).collect();
    for (wanted, now) in &found {
        if let Some(now) = now {
            steps.extend(change(workspace, wanted, now)?);
        }
    }
    for (wanted, _) in found.iter().filter(|(_, now)| now.is_none()) {
        steps.push(create(workspace, wanted)?);
    }
    steps.extend(left.into_iter().map(|now| Step::Delete {
        workspace: workspace.clone(),
        id: now.id.clone().unwrap_or_default(),
        url: now.url.clone(),
    }));
    Ok(steps)
}

/// Takes the first endpoint that is meant.
fn take<'a>(left: &mut Vec<&'a Endpoint>, is_meant: impl Fn(&Endpoint) -> bool) -> Option<&'a Endpoint> {
    let at = left.iter().position(|now| is_meant(now))?;
    Some(left.remove(at))
}

fn set(wanted: &Workspace, now: Option<&Workspace>) -> Option<Step> {
    let Workspace { plan, name, notify, locale, .. } = wanted;
    let body = json!({"plan": plan, "name": name, "notify": notify, "locale": locale});
    let was = now.map(|now| json!({"plan": now.plan, "name": now.name, "notify": now.notify, "locale": now.locale}));
    let changes = differences(&body, was.as_ref());
    (!changes.is_empty()).then(|| Step::Set { workspace: wanted.id.clone(), body, changes })
}

fn change(workspace: &str, wanted: &Endpoint, now: &Endpoint) -> Result<Option<Step>, String> {
    let shown = |endpoint: &Endpoint| {
        let mut events = endpoint.events.clone();
        events.sort();
        events.dedup();
        let (description, lanes) = (&endpoint.description, endpoint.lanes);
        json!({"url": plain(&endpoint.url), "events": events, "description": description, "lanes": lanes})
    };
    let (wanted_shown, now_shown) = (shown(wanted), shown(now));
    let mut changes = differences(&wanted_shown, Some(&now_shown));
    let differ = |name: &&String| wanted_shown[name.as_str()] != now_shown[name.as_str()];
    let fields = wanted_shown.as_object().into_iter().flat_map(Map::keys).filter(differ);
    let mut body: Map<_, _> = fields.map(|name| (name.clone(), wanted_shown[name.as_str()].clone())).collect();

    let (names, names_now) = (wanted.headers.names(), now.headers.names());
    let removed = names_now.iter().filter(|name| !names.contains(name)).map(|name| (name.clone(), Value::Null));
    let mut headers: Map<_, _> = removed.collect();
    changes.extend(headers.keys().map(|name| format!("header {name}: removed")));
    match &wanted.headers {
        Headers::Names(_) => {
            if let Some(name) = names.iter().find(|name| !names_now.contains(name)) {
                return Err(format!("{workspace}: {}: the header {name} has no value yet; give one", wanted.url));
            }
        }
        Headers::Values(values) => {
            for (name, value) in values {
                changes.push(format!("header {}: set", name.to_ascii_lowercase()));
                headers.insert(name.clone(), json!(value));
            }
        }
    }
    if !headers.is_empty() {
        body.insert("headers".to_owned(), headers.into());
    }
    let id = now.id.clone().unwrap_or_default();
    let step = || Step::Change { workspace: workspace.to_owned(), id, body: body.into(), changes: changes.clone() };
    Ok((!changes.is_empty()).then(step))
}

fn create(workspace: &str, wanted: &Endpoint) -> Result<Step, String> {
    let Endpoint { url, events, description, lanes, .. } = wanted;
    let headers = match &wanted.headers {
        Headers::Values(values) => values.clone(),
        names if names.is_empty() => Default::default(),
        names => {
            let names = names.names().join(", ");
            return Err(format!("{workspace}: {url} is new, and its headers have no values: {names}"));
        }
    };
    let body = json!({"url": url, "events": events, "description": description, "lanes": lanes, "headers": headers});
    Ok(Step::Create { workspace: workspace.to_owned(), body, url: url.clone() })
}

/// The members that differ, in words.
fn differences(wanted: &Value, now: Option<&Value>) -> Vec<String> {
    let members = wanted.as_object().into_iter().flatten();
    let differ = members.filter(|(name, value)| now.is_none_or(|now| now[name.as_str()] != **value));
    differ
        .map(|(name, value)| match now {
            Some(now) => format!("{name}: {} → {value}", now[name.as_str()]),
            None => format!("{name}: {value}"),
        })
        .collect()
}

/// A URL in its normal form, in which the API shows it; what is none stays, for the API to refuse.
fn plain(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), String::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::endpoints::file::File;

    fn workspace(yaml: &str) -> Workspace {
        let mut file: File = serde_saphyr::from_str(yaml).expect("a good file");
        file.workspaces.remove(0)
    }

    const NOW: &str = "
workspaces:
  - id: acme
    plan: advanced
    endpoints:
      - {id: ep_1, url: 'https://a.example/', events: ['*'], headers: [x-a, x-b]}
      - {id: ep_2, url: 'https://b.example/', events: [message.sent, contact.created], lanes: 4}
";

    fn steps(yaml: &str) -> Result<Vec<String>, String> {
        Ok(plan(&workspace(yaml), Some(&workspace(NOW)))?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_matches_needs_nothing() {
        assert_eq!(steps(NOW), Ok(vec![]));
        let other_words = "
workspaces:
  - id: acme
    plan: advanced
    endpoints:
      - {url: 'https://B.example', events: [contact.created, message.sent], lanes: 4}
      - {url: 'https://a.example', events: ['*'], headers: [X-B, X-A]}
";
        assert_eq!(steps(other_words), Ok(vec![]));
        assert_eq!(steps("workspaces: [{id: acme, plan: advanced}]"), Ok(vec![]), "endpoints not named stay");
    }

    #[test]
    fn each_difference_is_one_step_and_deletions_come_last() {
        let changed = "
workspaces:
  - id: acme
    plan: enterprise
    notify: [a@b.example]
    endpoints:
      - {url: 'https://c.example/', events: ['*']}
      - {id: ep_1, url: 'https://a.example/new', events: ['*'], headers: {x-a: '1'}}
";
        let expected = [
            "~ acme: notify: [] → [\"a@b.example\"]; plan: \"advanced\" → \"enterprise\"",
            "~ acme/ep_1: url: \"https://a.example/\" → \"https://a.example/new\"; header x-b: removed; header x-a: set",
            "+ acme https://c.example/",
            "- acme/ep_2 https://b.example/",
        ];
        assert_eq!(steps(changed), Ok(expected.map(str::to_owned).to_vec()));
        let created = plan(&workspace(NOW), None);
        assert!(created.unwrap_err().contains("its headers have no values: x-a, x-b"));
    }

    #[test]
    fn values_that_nobody_has_and_fields_that_nobody_knows_are_told() {
        let wrong = "
workspaces:
  - id: acme
    plan: advanced
    endpoints:
      - {id: ep_1, url: 'https://a.example/', events: ['*'], headers: [x-a, x-c]}
";
        assert!(steps(wrong).unwrap_err().contains("the header x-c has no value yet"));
        for wrong in ["workspaces: [{id: a, plan: b, plans: c}]", "workspace: []", "workspaces: [{id: a}]"] {
            assert!(serde_saphyr::from_str::<File>(wrong).is_err(), "{wrong}");
        }
    }
}
