//! `Idempotency-Key`: a request repeated with the same key does once what it says, and is answered alike.
//!
//! Nothing of an answer is stored. An endpoint's creation keeps, for a day, which id the key stands for, *before* the
//! endpoint is made under it: whoever comes again, after a lost answer or a crash at any point, makes or finds the same
//! one. A published event's id follows from the key, and the dedupe window does the rest.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;

use super::endpoints::new_id;
use super::{Api, Code, Problem};
use crate::decide::ids::{EndpointId, EventId, WorkspaceId};
use crate::store::once::OnceName;

/// How long a key of a creation is remembered.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long after its first use a key may still make its endpoint: for a creation that a crash cut off. Later, an
/// endpoint that is not there was deleted, and does not come back by a repeat.
const BEGUN_FOR_MS: u64 = 60_000;

/// The longest key, in characters.
const KEY_CHARS_MAX: usize = 255;

/// Characters of an event's id that follow from a key.
const EVENT_ID_CHARS: usize = 32;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The key of a request, if it has one.
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(HEADER) else { return Ok(Self(None)) };
        let fits = |key: &&str| (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        let key = value.to_str().ok().filter(fits).ok_or_else(|| {
            let sentence = format!("must be 1 to {KEY_CHARS_MAX} visible ASCII characters");
            Problem::with_field(Code::InvalidBody, "Idempotency-Key", sentence)
        })?;
        Ok(Self(Some(key.to_owned())))
    }
}

impl IdempotencyKey {
    /// The id of the event that is published with this key.
    pub fn event_id(&self, workspace: &WorkspaceId) -> Option<EventId> {
        let name = OnceName::of(&["publish", workspace.as_str(), self.0.as_deref()?]);
        Some(EventId::trusted(&name.as_str()[..EVENT_ID_CHARS]))
    }
}

/// The id to create an endpoint under.
pub struct Claimed {
    /// The id.
    pub id: EndpointId,
    /// What is kept of the key, if there is one.
    kept: Option<OnceName>,
}

impl Claimed {
    /// Whether somebody may have made the endpoint already.
    pub fn may_exist(&self) -> bool {
        self.kept.is_some()
    }
}

impl Api {
    /// A new id, or the one that the key stands for. `asked` is what is to be created: the same key with something else
    /// is refused.
    pub(super) async fn claim_id(
        &self,
        workspace: &WorkspaceId,
        IdempotencyKey(key): &IdempotencyKey,
        asked: &str,
    ) -> Result<Claimed, Problem> {
        let id = new_id();
        let Some(key) = key else { return Ok(Claimed { id, kept: None }) };
        let name = OnceName::of(&["create endpoint", workspace.as_str(), key]);
        let print = OnceName::of(&[asked]);
        let now_ms = self.now_ms();
        let kept = self.store.keep(&name, &format!("{print} {id} {now_ms}"), KEPT_FOR).await?;
        let Some(kept) = kept else { return Ok(Claimed { id, kept: Some(name) }) };

        let refused = |detail| Problem::with_field(Code::Conflict, "Idempotency-Key", detail);
        let mut words = kept.split(' ');
        let (Some(first_print), Some(id), Some(begun_ms)) = (words.next(), words.next(), words.next()) else {
            return Err(refused("is of another release; use a new one"));
        };
        if first_print != print.as_str() {
            return Err(refused("came with another body before; use a new one"));
        }
        let id = EndpointId::trusted(id);
        let begun_ms: u64 = begun_ms.parse().unwrap_or(0);
        if begun_ms + BEGUN_FOR_MS <= now_ms && self.store.endpoint(workspace, &id).await?.is_none() {
            return Err(refused("created an endpoint that was deleted since; use a new one"));
        }
        Ok(Claimed { id, kept: Some(name) })
    }

    /// Forgets a key whose creation was refused, so that it can be tried again.
    pub(super) async fn unclaim(&self, claimed: &Claimed) -> Result<(), Problem> {
        if let Some(name) = &claimed.kept {
            self.store.take(name).await?;
        }
        Ok(())
    }
}
