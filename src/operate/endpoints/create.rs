//! Endpoints are created.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::Shown;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::deliver::sign::Secret;
use crate::operate::body::{Body, or_default};
use crate::operate::idempotency::IdempotencyKey;
use crate::operate::path::InWorkspace;
use crate::operate::{Api, Problem, fields, problem};
use crate::store::records::{Config, Endpoint, Put, SigningSecret};

/// Letters and digits that a new endpoint's id has after `ep_`: 120 bits.
const ID_CHARS: usize = 24;

/// What is said of a new endpoint.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = NewEndpoint)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// Where its events go: `https`, and no private address.
    #[schema(pattern = "^https://[^\\s]+$", example = "https://example.com/hook")]
    pub url: String,
    /// The event types it wants, or `["*"]` for all.
    #[schema(min_items = 1, max_items = 300, example = json!(["*"]))]
    pub events: Vec<String>,
    /// For people.
    #[serde(default, deserialize_with = "or_default")]
    #[schema(value_type = Option<String>, max_length = 500, required = false)]
    pub description: String,
    /// With 1, all events go out in order, one at a time; with more, order holds per contact.
    #[serde(default = "one", deserialize_with = "or_one")]
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 64, required = false)]
    pub lanes: u16,
    /// At most 10 headers of its own, whose values are secrets and are not shown again.
    #[serde(default, deserialize_with = "or_default")]
    #[schema(value_type = Option<BTreeMap<String, String>>, required = false, example = json!({"x-api-key": "secret"}))]
    pub headers: BTreeMap<String, String>,
}

fn one() -> u16 {
    1
}

fn or_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    Option::deserialize(deserializer).map(|lanes| lanes.unwrap_or_else(one))
}

/// Creates an endpoint
///
/// The answer shows the signing secret, once. With an `Idempotency-Key`, the same request repeated within 24 hours creates
/// nothing more and is answered with the same endpoint.
#[utoipa::path(
    post,
    path = "/v1/workspaces/{workspace}/endpoints",
    operation_id = "create_endpoint",
    tag = "Endpoints",
    params(InWorkspace, ("Idempotency-Key" = Option<String>, Header, nullable = false, pattern = "^[!-~]{1,255}$")),
    request_body = Create,
    responses(
        (status = 201, body = Shown, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`limit_reached`, or `conflict`: the key came with another body before",
            body = problem::Body, content_type = "application/problem+json"),
    ),
)]
pub async fn create(
    State(api): State<Arc<Api>>,
    InWorkspace(workspace): InWorkspace,
    key: IdempotencyKey,
    Body(create): Body<Create>,
) -> Result<impl IntoResponse, Problem> {
    let endpoint = api.create_endpoint(&workspace, &key, create).await?;
    let location = format!("/v1/workspaces/{workspace}/endpoints/{}", endpoint.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Shown::with_secret(endpoint)))
}

impl Api {
    /// Creates an endpoint, or finds the one that the key has created.
    pub async fn create_endpoint(
        &self,
        workspace: &WorkspaceId,
        key: &IdempotencyKey,
        create: Create,
    ) -> Result<Endpoint, Problem> {
        let asked = serde_json::to_string(&create).expect("texts and numbers are JSON");
        let now_ms = self.now_ms();
        let config = Config {
            version: 1,
            url: fields::url(&self.guard, &create.url)?,
            events: fields::events(&self.event_types, create.events)?,
            description: fields::text("description", create.description, fields::DESCRIPTION_CHARS_MAX)?,
            lanes: fields::lanes(create.lanes)?,
            headers: fields::headers(create.headers)?,
            secrets: vec![SigningSecret { text: new_secret(), until_ms: None }],
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        self.need_plan(workspace).await?;
        let claimed = self.claim_id(workspace, key, &asked).await?;
        match self.store.put_endpoint(workspace, &claimed.id, &config).await? {
            Put::Conflict if claimed.may_exist() => {}
            put => {
                if let Err(problem) = self.done(put) {
                    self.unclaim(&claimed).await?;
                    return Err(problem);
                }
            }
        }
        self.endpoint(workspace, &claimed.id).await
    }
}

/// A new `whsec_…` text.
pub fn new_secret() -> String {
    Secret::from_random(rand::random()).expose().to_owned()
}

/// Digits and letters without those that are taken for another: 5 bits each, and a double click takes it whole.
pub fn new_id() -> EndpointId {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let random: [u8; ID_CHARS] = rand::random();
    let text: String = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    EndpointId::trusted(format!("ep_{text}"))
}
