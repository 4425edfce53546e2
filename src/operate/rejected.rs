//! What was rejected, for administrators: seen, and published again after a fix.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::auth::Admin;
use super::body::{Body, given};
use super::page::{Page, Params};
use super::{Api, Code, Problem, problem};
use crate::consume::rejects::{self, LOOK_MAX, replay_all};
use crate::consume::{Header, Message, WORKSPACE_HEADER};

/// How much of a message's body is shown, in bytes.
const EXCERPT_BYTES: usize = 1024;

/// How long a request goes on replaying, well within what it may take; the next one goes on.
const REPLAY_TIME_MAX: Duration = Duration::from_secs(12);

/// A rejected message.
#[derive(Serialize, ToSchema)]
#[schema(as = Rejected)]
pub struct RejectedShown {
    /// What it is called here. Equal messages share it.
    pub id: String,
    /// Why: a word of the contract's section 2, or RabbitMQ's own.
    pub reason: String,
    /// The same in a line for a person.
    pub detail: String,
    /// Its routing key, which should be an event type.
    pub routing_key: String,
    /// Its workspace, as far as it names one.
    pub workspace: Option<String>,
    /// Its property `message_id`.
    pub message_id: Option<String>,
    /// How large its body is.
    pub body_bytes: usize,
    /// The first KiB of its body.
    pub body_excerpt: String,
}

impl From<Message> for RejectedShown {
    fn from(message: Message) -> Self {
        let start = &message.body[..message.body.len().min(EXCERPT_BYTES)];
        Self {
            id: rejects::id(&message),
            reason: rejects::reason(&message),
            detail: rejects::detail(&message),
            workspace: match message.header(WORKSPACE_HEADER) {
                Header::Text(text) => Some(text.to_owned()),
                Header::Integer(number) => Some(number.to_string()),
                Header::Absent | Header::Other => None,
            },
            message_id: message.properties.message_id().as_ref().map(ToString::to_string),
            body_bytes: message.body.len(),
            body_excerpt: String::from_utf8_lossy(start).into_owned(),
            routing_key: message.routing_key,
        }
    }
}

/// What to publish again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// One message's id; all of them if it is not given.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    id: Option<String>,
}

/// What was published again.
#[derive(Serialize, ToSchema)]
pub struct Replayed {
    /// How many messages.
    pub replayed: usize,
    /// How many of those that were there at the beginning are left for another request.
    pub left: usize,
}

/// Lists rejected messages
///
/// Oldest first. Looking takes nothing away. No more than 1,000 can be looked at; replay some to see further.
#[utoipa::path(
    get,
    path = "/v1/rejected",
    operation_id = "list_rejected",
    tag = "Rejected messages",
    params(
        ("limit" = Option<usize>, Query, nullable = false, minimum = 1, description = "rows of a page, at most 500; 50 if not given"),
        ("cursor" = Option<String>, Query, nullable = false, description = "where the last page ended: its `next_cursor`"),
    ),
    responses((status = 200, body = Page<RejectedShown>)),
)]
pub async fn list(State(api): State<Arc<Api>>, _: Admin, params: Params) -> Result<Json<Page<RejectedShown>>, Problem> {
    params.only(&["limit", "cursor"])?;
    let limit = params.limit()?;
    // Messages have no numbers, only places; new ones come behind all the others.
    let skip = params.cursor(|text| text.parse().ok().filter(|skip| *skip <= LOOK_MAX))?.unwrap_or(0);
    let found = api.rejects.look(skip, limit + 1).await?;
    let next = skip + limit;
    Ok(Json(Page::of(found, limit, |_| next.to_string(), RejectedShown::from)))
}

/// Publishes rejected messages again
///
/// One, or all that are there now, without the headers that say why they were rejected. Each is published, confirmed, and
/// only then taken from the rejected ones; what is still wrong comes back.
#[utoipa::path(
    post,
    path = "/v1/rejected/replay",
    operation_id = "replay_rejected",
    tag = "Rejected messages",
    request_body = Replay,
    responses(
        (status = 200, body = Replayed),
        (status = 404, description = "`not_found`: there is no message of this id",
            body = problem::Body, content_type = "application/problem+json"),
    ),
)]
pub async fn replay(
    State(api): State<Arc<Api>>,
    _: Admin,
    Body(replay): Body<Replay>,
) -> Result<Json<Replayed>, Problem> {
    let replayed = api.replay(replay.id.as_deref()).await?;
    if replay.id.is_some() && replayed.replayed == 0 {
        return Err(Problem::new(Code::NotFound, "there is no rejected message of this id"));
    }
    Ok(Json(replayed))
}

impl Api {
    /// Publishes one rejected message again, or all that are there now.
    pub async fn replay(&self, id: Option<&str>) -> Result<Replayed, Problem> {
        if id.is_some() {
            let found = self.rejects.replay(&self.exchange, id, 1).await?;
            return Ok(Replayed { replayed: found.count, left: 0 });
        }
        let begun = Instant::now();
        let all = replay_all(&*self.rejects, &self.exchange, || begun.elapsed() < REPLAY_TIME_MAX).await?;
        Ok(Replayed { replayed: all.count, left: all.left })
    }
}
