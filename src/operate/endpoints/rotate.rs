//! An endpoint gets a new secret, and the one before it goes on signing for a while.

use std::sync::Arc;

use axum::extract::State;

use super::Shown;
use super::create::new_secret;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::deliver::sent::OVERLAP;
use crate::operate::conditional::{IfMatch, Tagged};
use crate::operate::path::AtEndpoint;
use crate::operate::{Api, Problem, problem};
use crate::store::records::{Config, Endpoint, SigningSecret};

/// Most secrets that sign at the same time; of more rotations within a day, the oldest ends early.
const SECRETS_MAX: usize = 4;

/// Gives an endpoint a new secret
///
/// The answer shows it, once. For 24 hours both sign: `webhook-signature` has two signatures then.
#[utoipa::path(
    post,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}/rotate-secret",
    operation_id = "rotate_secret",
    tag = "Endpoints",
    params(AtEndpoint, ("If-Match" = Option<String>, Header, nullable = false)),
    responses(
        (status = 200, body = Shown, headers(("ETag" = String))),
        (status = 409, description = "`conflict`: others changed it at the same time",
            body = problem::Body, content_type = "application/problem+json"),
        (status = 412, description = "`conflict`: it is not in the version of If-Match",
            body = problem::Body, content_type = "application/problem+json"),
    ),
)]
pub async fn rotate_secret(
    State(api): State<Arc<Api>>,
    at: AtEndpoint,
    known: IfMatch,
) -> Result<Tagged<Shown>, Problem> {
    Ok(Shown::with_secret(api.rotate_secret(&at.workspace, &at.endpoint, &known).await?))
}

impl Api {
    /// Gives an endpoint a new secret.
    pub async fn rotate_secret(
        &self,
        workspace: &WorkspaceId,
        id: &EndpointId,
        known: &IfMatch,
    ) -> Result<Endpoint, Problem> {
        let edit = |config: &mut Config, now_ms| {
            rotate(config, new_secret(), now_ms);
            Ok(())
        };
        // As it was written, not read again: another rotation's secret is not this caller's.
        self.write(workspace, id, known, edit).await
    }
}

fn rotate(config: &mut Config, text: String, now_ms: u64) {
    let overlap_ms = u64::try_from(OVERLAP.as_millis()).unwrap_or(u64::MAX);
    config.version += 1;
    config.updated_ms = now_ms;
    let still = |secret: SigningSecret| {
        let until_ms = secret.until_ms.unwrap_or(now_ms + overlap_ms);
        SigningSecret { until_ms: Some(until_ms), ..secret }
    };
    // What has ended stays among the few: the signatures that it made can be shown as long as it is known.
    let old = std::mem::take(&mut config.secrets).into_iter().map(still);
    config.secrets = std::iter::once(SigningSecret { text, until_ms: None }).chain(old).take(SECRETS_MAX).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_before_signs_for_24_hours_and_there_are_never_many() {
        let mut config = Config {
            version: 1,
            url: String::new(),
            events: Vec::new(),
            description: String::new(),
            lanes: 1,
            headers: Vec::new(),
            secrets: vec![SigningSecret { text: "0".to_owned(), until_ms: None }],
            created_ms: 0,
            updated_ms: 0,
        };
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        rotate(&mut config, "1".to_owned(), 1_000);
        rotate(&mut config, "2".to_owned(), 2_000);
        let signing: Vec<_> = config.secrets.iter().map(|secret| (secret.text.as_str(), secret.until_ms)).collect();
        assert_eq!(signing, [("2", None), ("1", Some(2_000 + DAY_MS)), ("0", Some(1_000 + DAY_MS))]);
        assert_eq!((config.version, config.updated_ms), (3, 2_000));
        for text in 3..10 {
            rotate(&mut config, text.to_string(), 3_000);
        }
        assert_eq!(config.secrets.len(), SECRETS_MAX);
        assert_eq!(config.secrets[0].text, "9");
    }
}
