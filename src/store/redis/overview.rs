//! The whole store at a glance: a bounded read per partition, several at once.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::RedisStore;
use super::reply::{damaged, list, number, text};
use super::upkeep::endpoint_named;
use crate::decide::ids::{EndpointId, LaneId, Partition, WorkspaceId};
use crate::store::Result;
use crate::store::lanes::Figures;
use crate::store::overview::{LANES_MAX, Overview};
use crate::store::records::{EndpointStatus, PAGE_ROWS_MAX};

/// Partitions asked at once.
const PARTITIONS_AT_ONCE: usize = 16;

/// An endpoint's place in an order, and which it is.
type Placed = (u64, (WorkspaceId, EndpointId));

impl RedisStore {
    pub(super) async fn look_over(&self, limit: usize) -> Result<Overview> {
        let limit = limit.min(PAGE_ROWS_MAX);
        let parts =
            stream::iter((0..self.partitions).map(Partition)).map(|partition| self.look_over_part(partition, limit));
        let parts: Vec<_> = parts.buffered(PARTITIONS_AT_ONCE).try_collect().await?;
        let mut backlog_events = 0;
        let mut endpoints = BTreeMap::<EndpointStatus, u64>::new();
        let (mut disabled, mut suspect) = (Vec::new(), Vec::new());
        for (figures, disabled_here, suspect_here) in parts {
            backlog_events += figures.backlog_events;
            for (status, count) in figures.endpoints {
                *endpoints.entry(status).or_default() += count;
            }
            disabled.extend(disabled_here.into_iter().map(|(at_ms, endpoint)| (Reverse(at_ms), endpoint)));
            suspect.extend(suspect_here);
        }
        let (disabled, suspect) = (Overview::first(disabled, limit), Overview::first(suspect, limit));
        Ok(Overview { backlog_events, endpoints: endpoints.into_iter().collect(), disabled, suspect })
    }

    async fn look_over_part(&self, partition: Partition, limit: usize) -> Result<(Figures, Vec<Placed>, Vec<Placed>)> {
        let figures = self.part_figures(partition).await?;
        let mut command = redis::cmd("ZREVRANGE");
        command.arg(self.keys.disabled(partition)).arg(0).arg(limit.saturating_sub(1)).arg("WITHSCORES");
        let disabled = self.placed(&command, endpoint_named).await?;
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys.suspect(partition)).arg(0).arg(LANES_MAX - 1).arg("WITHSCORES");
        let suspect = self.placed(&command, |name| {
            let lane = LaneId::parse(name).ok_or_else(|| damaged("a lane's name"))?;
            Ok((lane.workspace, lane.endpoint))
        });
        Ok((figures, disabled, suspect.await?))
    }

    async fn placed(
        &self,
        command: &redis::Cmd,
        read: impl Fn(&str) -> Result<(WorkspaceId, EndpointId)>,
    ) -> Result<Vec<Placed>> {
        let mut found = list(self.send("overview", command).await?)?.into_iter();
        let mut placed = Vec::with_capacity(found.len() / 2);
        while let (Some(name), Some(score)) = (found.next(), found.next()) {
            placed.push((number(score)?, read(&text(name)?)?));
        }
        Ok(placed)
    }
}
