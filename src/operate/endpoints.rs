//! Endpoints: created, changed, enabled, disabled, deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use super::attempts::AttemptShown;
use super::body::{Body, given};
use super::page::{Page, Params};
use super::path::{AtEndpoint, InWorkspace};
use super::time::rfc3339;
use super::{Api, Code, Problem, fields};
use crate::decide::ids::{EndpointId, EventType, WorkspaceId};
use crate::decide::notice::{DisableReason, DropReason};
use crate::deliver::sign::Secret;
use crate::observe::signal::Signal;
use crate::store::records::{Config, Endpoint, EndpointStatus, LAYOUTS_MAX, Put, SigningSecret};

/// How often a change is begun again because somebody else made one at the same time.
const CHANGES_MAX: usize = 4;

/// Letters and digits that a new endpoint's id has after `ep_`: 120 bits.
const ID_CHARS: usize = 24;

/// What is said of a new endpoint.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    url: String,
    events: Vec<String>,
    #[serde(default)]
    description: String,
    #[serde(default = "one")]
    lanes: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn one() -> u16 {
    1
}

/// A change of an endpoint: what is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    #[serde(default, deserialize_with = "given")]
    url: Option<String>,
    #[serde(default, deserialize_with = "given")]
    events: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    description: Option<String>,
    #[serde(default, deserialize_with = "given")]
    lanes: Option<u16>,
    #[serde(default, deserialize_with = "given")]
    headers: Option<BTreeMap<String, Option<String>>>,
}

/// How to enable an endpoint.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enable {
    #[serde(default)]
    backlog: Backlog,
}

/// What becomes of the events that waited.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Backlog {
    #[default]
    Deliver,
    Discard,
}

/// An endpoint as it is shown. Of its own headers only the names: the values are secrets.
#[derive(Serialize)]
pub struct Shown {
    id: EndpointId,
    url: String,
    events: Vec<EventType>,
    description: String,
    lanes: u16,
    headers: Vec<String>,
    status: EndpointStatus,
    disabled: Option<DisabledShown>,
    backlog: BacklogShown,
    last_attempt: Option<AttemptShown>,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Serialize)]
struct DisabledShown {
    reason: DisableReason,
    at: String,
}

#[derive(Serialize)]
struct BacklogShown {
    events: u64,
    oldest_at: Option<String>,
}

impl From<Endpoint> for Shown {
    fn from(endpoint: Endpoint) -> Self {
        let status = endpoint.status();
        let Config { url, events, description, lanes, headers, created_ms, updated_ms, .. } = endpoint.config;
        Self {
            id: endpoint.id,
            url,
            events,
            description,
            lanes,
            headers: headers.into_iter().map(|(name, _)| name).collect(),
            status,
            disabled: endpoint
                .disabled
                .map(|disabled| DisabledShown { reason: disabled.reason, at: rfc3339(disabled.at_ms) }),
            backlog: BacklogShown { events: endpoint.backlog_events, oldest_at: endpoint.oldest_ms.map(rfc3339) },
            last_attempt: endpoint.last_attempt.map(AttemptShown::from),
            created_at: rfc3339(created_ms),
            updated_at: rfc3339(updated_ms),
            secret: None,
        }
    }
}

/// `POST …/endpoints`
pub async fn create(
    State(api): State<Arc<Api>>,
    InWorkspace(workspace): InWorkspace,
    Body(create): Body<Create>,
) -> Result<impl IntoResponse, Problem> {
    let now_ms = api.now_ms();
    let secret = Secret::from_random(rand::random()).expose().to_owned();
    let config = Config {
        version: 1,
        url: fields::url(&api.guard, &create.url)?,
        events: fields::events(&api.event_types, create.events)?,
        description: fields::text("description", create.description, fields::DESCRIPTION_CHARS_MAX)?,
        lanes: fields::lanes(create.lanes)?,
        headers: fields::headers(create.headers)?,
        secrets: vec![SigningSecret { text: secret.clone(), until_ms: None }],
        created_ms: now_ms,
        updated_ms: now_ms,
    };
    api.need_plan(&workspace).await?;
    let id = new_id();
    api.done(api.store.put_endpoint(&workspace, &id, &config).await?)?;
    let shown = Shown { secret: Some(secret), ..api.endpoint(&workspace, &id).await?.into() };
    let location = format!("/v1/workspaces/{workspace}/endpoints/{id}");
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(shown)))
}

/// `GET …/endpoints`
pub async fn list(
    State(api): State<Arc<Api>>,
    InWorkspace(workspace): InWorkspace,
    params: Params,
) -> Result<Json<Page<Shown>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit()?;
    let after = params.cursor(read_place)?;
    let mut endpoints = api.store.endpoints(&workspace).await?;
    // By what is in the cursor, so that the page's beginning is found again even when its endpoint is gone.
    endpoints.sort_by_cached_key(place);
    let rest = endpoints.into_iter().filter(|endpoint| after.as_ref().is_none_or(|after| place(endpoint) > *after));
    let rest: Vec<_> = rest.take(limit + 1).collect();
    let cursor = |endpoint: &Endpoint| format!("{} {}", endpoint.config.created_ms, endpoint.id);
    Ok(Json(Page::of(rest, limit, cursor, Shown::from)))
}

fn place(endpoint: &Endpoint) -> (u64, EndpointId) {
    (endpoint.config.created_ms, endpoint.id.clone())
}

fn read_place(text: &str) -> Option<(u64, EndpointId)> {
    let (created_ms, id) = text.split_once(' ')?;
    Some((created_ms.parse().ok()?, EndpointId::trusted(id)))
}

/// `GET …/endpoints/{endpoint}`
pub async fn get(State(api): State<Arc<Api>>, at: AtEndpoint) -> Result<Json<Shown>, Problem> {
    Ok(Json(api.endpoint(&at.workspace, &at.endpoint).await?.into()))
}

/// `PATCH …/endpoints/{endpoint}`
pub async fn patch(
    State(api): State<Arc<Api>>,
    at: AtEndpoint,
    Body(patch): Body<Patch>,
) -> Result<Json<Shown>, Problem> {
    let url = patch.url.map(|url| fields::url(&api.guard, &url)).transpose()?;
    let events = patch.events.map(|events| fields::events(&api.event_types, events)).transpose()?;
    let description = patch.description;
    let description = description.map(|text| fields::text("description", text, fields::DESCRIPTION_CHARS_MAX));
    let description = description.transpose()?;
    let lanes = patch.lanes.map(fields::lanes).transpose()?;
    for _ in 0..CHANGES_MAX {
        let present = api.endpoint(&at.workspace, &at.endpoint).await?.config;
        let mut config = present.clone();
        config.url = url.clone().unwrap_or(config.url);
        config.events = events.clone().unwrap_or(config.events);
        config.description = description.clone().unwrap_or(config.description);
        config.lanes = lanes.unwrap_or(config.lanes);
        if let Some(change) = patch.headers.clone() {
            config.headers = fields::merge_headers(&config.headers, change)?;
        }
        if config != present {
            config.version += 1;
            config.updated_ms = api.now_ms();
            match api.store.put_endpoint(&at.workspace, &at.endpoint, &config).await? {
                Put::Conflict => continue,
                put => api.done(put)?,
            }
        }
        return Ok(Json(api.endpoint(&at.workspace, &at.endpoint).await?.into()));
    }
    Err(changed_meanwhile())
}

/// `DELETE …/endpoints/{endpoint}`
pub async fn delete(State(api): State<Arc<Api>>, at: AtEndpoint) -> Result<StatusCode, Problem> {
    let count = api.store.delete_endpoint(&at.workspace, &at.endpoint).await?.ok_or_else(Problem::no_endpoint)?;
    api.dropped(&at, DropReason::EndpointDeleted, count);
    Ok(StatusCode::NO_CONTENT)
}

/// `POST …/endpoints/{endpoint}/enable`
pub async fn enable(
    State(api): State<Arc<Api>>,
    at: AtEndpoint,
    Body(enable): Body<Enable>,
) -> Result<Json<Shown>, Problem> {
    let before = api.endpoint(&at.workspace, &at.endpoint).await?;
    api.need_plan(&at.workspace).await?;
    let discard = enable.backlog == Backlog::Discard;
    let count = api.store.enable(&at.workspace, &at.endpoint, discard).await?.ok_or_else(Problem::no_endpoint)?;
    if before.disabled.is_some() {
        api.signals.emit(&Signal::Enabled { workspace: &at.workspace, endpoint: &at.endpoint });
    }
    api.dropped(&at, DropReason::Discarded, count);
    Ok(Json(api.endpoint(&at.workspace, &at.endpoint).await?.into()))
}

/// `POST …/endpoints/{endpoint}/disable`
pub async fn disable(State(api): State<Arc<Api>>, at: AtEndpoint) -> Result<Json<Shown>, Problem> {
    let before = api.endpoint(&at.workspace, &at.endpoint).await?;
    if !api.store.disable(&at.workspace, &at.endpoint).await? {
        return Err(Problem::no_endpoint());
    }
    if before.disabled.is_none() {
        let reason = DisableReason::Manual;
        api.signals.emit(&Signal::Disabled { workspace: &at.workspace, endpoint: &at.endpoint, reason });
    }
    Ok(Json(api.endpoint(&at.workspace, &at.endpoint).await?.into()))
}

fn changed_meanwhile() -> Problem {
    Problem::new(Code::Conflict, "somebody else changed the endpoint at the same time; read it and try again")
}

/// Digits and letters without those that are taken for another: 5 bits each, and a double click takes it whole.
fn new_id() -> EndpointId {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let random: [u8; ID_CHARS] = rand::random();
    let text: String = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    EndpointId::trusted(format!("ep_{text}"))
}

impl Api {
    /// An endpoint, or 404.
    pub(super) async fn endpoint(&self, workspace: &WorkspaceId, id: &EndpointId) -> Result<Endpoint, Problem> {
        self.store.endpoint(workspace, id).await?.ok_or_else(Problem::no_endpoint)
    }

    /// What came of setting an endpoint, if it was not done.
    fn done(&self, put: Put) -> Result<(), Problem> {
        match put {
            Put::Done => Ok(()),
            Put::Missing => Err(Problem::no_endpoint()),
            Put::Conflict => Err(changed_meanwhile()),
            Put::LimitReached => {
                let limit = self.policy.limits.endpoints;
                let detail = format!("the workspace has {limit} endpoints, as many as it may; delete one first");
                Err(Problem::new(Code::LimitReached, detail))
            }
            Put::Draining => {
                let changed = format!("changed {LAYOUTS_MAX} times while events wait under earlier settings");
                let detail = format!("{changed}; try again when they are out");
                Err(Problem::with_field(Code::Conflict, "lanes", detail))
            }
        }
    }

    fn dropped(&self, at: &AtEndpoint, reason: DropReason, count: u64) {
        if count > 0 {
            self.signals.emit(&Signal::Dropped { reason, count, endpoint: Some(&at.endpoint) });
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.unix().as_millis()).unwrap_or(u64::MAX)
    }
}
