//! What happened at an endpoint, by the hour.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::Page;
use super::path::AtEndpoint;
use super::{Api, Problem};
use crate::clock::rfc3339;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::store::records::{DURATION_BUCKETS_MS, HourStats};

const HOUR_MS: u64 = 60 * 60 * 1000;

/// Hours that are shown.
const HOURS: u64 = 24;

/// One hour of an endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = Hour)]
pub struct HourShown {
    /// When the hour began.
    #[schema(format = DateTime)]
    pub hour: String,
    /// Attempts that delivered.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Events dropped after their last attempt.
    pub dropped: u64,
    /// Attempts by duration.
    pub duration_buckets: Vec<Bucket>,
}

/// Attempts above the bound of the bucket before, and at most this one.
#[derive(Serialize, ToSchema)]
pub struct Bucket {
    /// The bound, in milliseconds; null in the last bucket, which has none.
    pub le_ms: Option<u64>,
    /// How many.
    pub count: u64,
}

impl From<HourStats> for HourShown {
    fn from(stats: HourStats) -> Self {
        let bounds = DURATION_BUCKETS_MS.iter().copied().map(Some).chain([None]);
        Self {
            hour: rfc3339(stats.hour_ms),
            delivered: stats.delivered,
            failed: stats.failed,
            dropped: stats.dropped,
            duration_buckets: bounds.zip(stats.durations).map(|(le_ms, count)| Bucket { le_ms, count }).collect(),
        }
    }
}

/// Shows the last 24 hours of an endpoint
///
/// Oldest first, 24 rows, the hour that has begun among them.
#[utoipa::path(
    get,
    path = "/v1/workspaces/{workspace}/endpoints/{endpoint}/stats",
    operation_id = "get_stats",
    tag = "Logs",
    params(AtEndpoint),
    responses((status = 200, body = Page<HourShown>)),
)]
pub async fn list(State(api): State<Arc<Api>>, at: AtEndpoint) -> Result<Json<Page<HourShown>>, Problem> {
    api.endpoint(&at.workspace, &at.endpoint).await?;
    let hours = api.hours(&at.workspace, &at.endpoint).await?;
    Ok(Json(Page::whole(hours.into_iter().map(HourShown::from).collect())))
}

impl Api {
    /// The last 24 hours of an endpoint, oldest first, the quiet ones too.
    pub async fn hours(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Vec<HourStats>, Problem> {
        let mut known = self.store.stats(workspace, endpoint).await?;
        // The store's clock may have begun an hour that ours has not.
        let newest = known.last().map_or(0, |hour| hour.hour_ms).max(self.now_ms() / HOUR_MS * HOUR_MS);
        let first = newest.saturating_sub((HOURS - 1) * HOUR_MS);
        let hour = |index| {
            let hour_ms = first + index * HOUR_MS;
            let found = known.iter().position(|hour| hour.hour_ms == hour_ms);
            found.map_or(HourStats { hour_ms, ..HourStats::default() }, |at| known.swap_remove(at))
        };
        Ok((0..HOURS).map(hour).collect())
    }
}
