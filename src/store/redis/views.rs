//! What people look at.

use std::ops::Range;
use std::pin::pin;

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::Value;

use super::keys::Frame;
use super::layouts::{Layouts, TURNS_MAX, too_busy};
use super::reply::{bytes, damaged, exactly, index, list, number, text, text_if};
use super::{RedisStore, entry, scripts};
use crate::decide::ids::{EndpointId, EventId, Partition, WorkspaceId};
use crate::decide::notice::{DisableReason, DropReason};
use crate::store::Result;
use crate::store::lanes::Waiting;
use crate::store::records::{
    Attempt, DURATION_BUCKETS_MS, Disabled, Dropped, DroppedSpan, Endpoint, HourStats, PAGE_ROWS_MAX, QuotaUse,
    ResendFrom, Resent, Workspace,
};

/// Small reads of one operation that are under way together.
const READS_AT_ONCE: usize = 64;
/// Lanes that one call reads, unless a single endpoint has more.
const LANES_PER_CALL: usize = 256;
const HOUR_MS: u64 = 60 * 60 * 1000;
/// Hours that the statistics show.
const HOURS_SHOWN: u64 = 24;

impl RedisStore {
    pub(super) async fn read_workspace(&self, workspace: &WorkspaceId) -> Result<Option<Workspace>> {
        let mut command = redis::cmd("HGET");
        command.arg(self.keys.workspace(self.partition(workspace), workspace)).arg("rec");
        let record = text_if(self.send("workspace", &command).await?)?;
        record.map(|record| serde_json::from_str(&record).map_err(|_| damaged("a workspace"))).transpose()
    }

    pub(super) async fn list_workspaces(
        &self,
        after: Option<&WorkspaceId>,
        query: Option<&str>,
        limit: usize,
    ) -> Result<Vec<WorkspaceId>> {
        let limit = limit.min(PAGE_ROWS_MAX);
        let parts = (0..self.partitions).map(|number| self.workspaces_of(Partition(number), after, query, limit));
        let parts: Vec<_> = stream::iter(parts).buffered(READS_AT_ONCE).try_collect().await?;
        let mut found = parts.concat();
        found.sort();
        found.truncate(limit);
        Ok(found)
    }

    /// A partition's part of the list, in order.
    async fn workspaces_of(
        &self,
        partition: Partition,
        after: Option<&WorkspaceId>,
        query: Option<&str>,
        limit: usize,
    ) -> Result<Vec<WorkspaceId>> {
        let mut found = Vec::new();
        let mut from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        while found.len() < limit {
            let mut command = redis::cmd("ZRANGEBYLEX");
            command.arg(self.keys.workspaces(partition)).arg(&from).arg("+").arg("LIMIT").arg(0).arg(PAGE_ROWS_MAX);
            let names = self.names(&command).await?;
            let fits = names.iter().filter(|name| query.is_none_or(|query| name.contains(query)));
            found.extend(fits.map(|name| WorkspaceId::trusted(name.as_str())));
            match names.last() {
                Some(last) if names.len() == PAGE_ROWS_MAX => from = format!("({last}"),
                _ => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    pub(super) async fn look_at(&self, workspace: &WorkspaceId, endpoints: Vec<EndpointId>) -> Result<Vec<Endpoint>> {
        let partition = self.partition(workspace);
        let paused = !self.policy.plans.entitle(self.read_routing(partition, workspace).await?.plan.as_deref());
        let laid_out = endpoints.into_iter().map(async |endpoint| {
            let layouts = self.layouts(partition, workspace, &endpoint).await?;
            Ok((endpoint, layouts))
        });
        let mut laid_out = pin!(stream::iter(laid_out).buffered(READS_AT_ONCE));
        let (mut views, mut group, mut lanes) = (Vec::new(), Vec::new(), 0);
        while let Some((endpoint, layouts)) = laid_out.try_next().await? {
            lanes += layouts.lanes();
            group.push((endpoint, layouts));
            if lanes >= LANES_PER_CALL {
                views.extend(self.look_at_group(partition, workspace, std::mem::take(&mut group), paused).await?);
                lanes = 0;
            }
        }
        views.extend(self.look_at_group(partition, workspace, group, paused).await?);
        Ok(views)
    }

    async fn look_at_group(
        &self,
        partition: Partition,
        workspace: &WorkspaceId,
        mut group: Vec<(EndpointId, Layouts)>,
        paused: bool,
    ) -> Result<Vec<Endpoint>> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        'turns: for _ in 0..TURNS_MAX {
            let mut frame = Frame::new(&self.keys, partition);
            group.iter().for_each(|(endpoint, layouts)| layouts.name(&mut frame, workspace, endpoint));
            let mut call = self.call(&scripts::LOOK, &frame);
            group.iter().for_each(|(_, layouts)| {
                call.arg(layouts.shape());
            });
            let mut views = Vec::with_capacity(group.len());
            for (place, answer) in list(self.run("look", &call).await?)?.into_iter().enumerate() {
                let answer = list(answer)?;
                let Some((endpoint, layouts)) = group.get_mut(place) else { break };
                match answer.len() {
                    0 => {}
                    1 => {
                        *layouts = self.layouts(partition, workspace, endpoint).await?;
                        continue 'turns;
                    }
                    _ => views.push(view(endpoint.clone(), answer, paused)?),
                }
            }
            return Ok(views);
        }
        Err(too_busy())
    }

    pub(super) async fn read_quota(&self, workspace: &WorkspaceId) -> Result<QuotaUse> {
        let partition = self.partition(workspace);
        let routing = self.read_routing(partition, workspace).await?;
        let mut frame = Frame::new(&self.keys, partition);
        frame.workspace(workspace);
        routing.routes.iter().for_each(|route| {
            frame.endpoint(workspace, &route.endpoint);
        });
        let mut answer = list(self.run("quota", &self.call(&scripts::QUOTA, &frame)).await?)?.into_iter();
        let used = number(answer.next().unwrap_or_default())?;
        let oldest_ms = number(answer.next().unwrap_or_default())?;
        let mut by_endpoint = Vec::new();
        while let (Some(endpoint), Some(failures)) = (answer.next(), answer.next()) {
            by_endpoint.push((EndpointId::trusted(text(endpoint)?), saturated(number(failures)?)));
        }
        by_endpoint.sort();
        let window_ms = u64::try_from(self.policy.quota.window.as_millis()).unwrap_or(u64::MAX);
        let next_leaves_ms = (used > 0).then(|| oldest_ms.saturating_add(window_ms));
        Ok(QuotaUse { used: saturated(used), by_endpoint, next_leaves_ms })
    }

    pub(super) async fn read_attempts(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Attempt>> {
        let mut call = self.call(&scripts::ATTEMPTS, &self.framed(workspace, endpoint));
        call.arg(optional(before)).arg(limit.min(PAGE_ROWS_MAX).to_string());
        let rows = list(self.run("attempts", &call).await?)?;
        rows.into_iter().map(|row| attempt(&text(row)?)).collect()
    }

    pub(super) async fn read_stats(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<Vec<HourStats>> {
        let frame = self.framed(workspace, endpoint);
        let [now_ms, hours] = exactly(self.run("stats", &self.call(&scripts::STATS, &frame)).await?)?;
        let first = (number(now_ms)? / HOUR_MS).saturating_sub(HOURS_SHOWN - 1) * HOUR_MS;
        let stats = list(hours)?.into_iter().map(|hour| hour_stats(&bytes(hour)?));
        let mut stats = stats.collect::<Result<Vec<_>>>()?;
        stats.retain(|hour| hour.hour_ms >= first);
        stats.sort_by_key(|hour| hour.hour_ms);
        Ok(stats)
    }

    pub(super) async fn read_dropped(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Dropped>> {
        let mut call = self.call(&scripts::DROPPED, &self.framed(workspace, endpoint));
        call.arg(optional(after)).arg(limit.min(PAGE_ROWS_MAX).to_string());
        list(self.run("dropped", &call).await?)?.into_iter().map(dropped).collect()
    }

    pub(super) async fn read_dropped_span(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        span_ms: Range<u64>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<DroppedSpan> {
        let mut call = self.call(&scripts::SPAN, &self.framed(workspace, endpoint));
        call.arg(span_ms.start.to_string()).arg(span_ms.end.to_string());
        call.arg(optional(after)).arg(limit.min(PAGE_ROWS_MAX).to_string());
        let [next, ids] = exactly(self.run("dropped_span", &call).await?)?;
        let ids = list(ids)?.into_iter().map(|id| text(id).map(EventId::trusted));
        let next = Some(number(next)?).filter(|number| *number > 0);
        Ok(DroppedSpan { events: ids.collect::<Result<_>>()?, next })
    }

    pub(super) async fn read_payload(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        event: &EventId,
    ) -> Result<Option<Waiting>> {
        // Each step goes on among higher numbers: there are at most as many as events wait.
        let mut from = 0;
        loop {
            let (frame, _) = self.whole(self.partition(workspace), workspace, endpoint).await?;
            if frame.lanes() == 0 {
                return Ok(None);
            }
            let mut call = self.call(&scripts::PAYLOAD, &frame);
            call.arg(event.to_string()).arg(from.to_string());
            let mut answer = list(self.run("payload", &call).await?)?.into_iter();
            let mut next = || answer.next().unwrap_or_default();
            match text(next())?.as_str() {
                "found" => return entry::read(bytes(next())?, bytes(next())?).map(|(_, event)| Some(event)),
                "more" => from = number(next())?,
                _ => return Ok(None),
            }
        }
    }

    pub(super) async fn resend_events(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        from: ResendFrom,
        events: &[EventId],
    ) -> Result<Resent> {
        let partition = self.partition(workspace);
        for _ in 0..TURNS_MAX {
            let (frame, shape) = self.whole(partition, workspace, endpoint).await?;
            if frame.lanes() == 0 {
                return Ok(Resent { done: vec![false; events.len()], ready: Vec::new() });
            }
            let mut call = self.call(&scripts::RESEND, &frame);
            call.arg(shape).arg(match from {
                ResendFrom::Dropped => "dropped",
                ResendFrom::Kept => "kept",
            });
            events.iter().for_each(|event| {
                call.arg(event.to_string());
            });
            let [what, done, ready] = exactly(self.run("resend", &call).await?)?;
            if text(what)? == "again" {
                continue;
            }
            let mut done: Vec<bool> = text(done)?.chars().map(|letter| letter == '1').collect();
            done.resize(events.len(), false);
            let ready = list(ready)?.into_iter().map(index).collect::<Result<Vec<usize>>>()?;
            return Ok(Resent { done, ready: ready.into_iter().filter_map(|at| frame.lane_at(at).cloned()).collect() });
        }
        Err(too_busy())
    }

    /// A call's frame with one endpoint and none of its lanes.
    fn framed(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Frame {
        let mut frame = Frame::new(&self.keys, self.partition(workspace));
        frame.endpoint(workspace, endpoint);
        frame
    }
}

fn optional(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn saturated(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn view(id: EndpointId, answer: Vec<Value>, paused: bool) -> Result<Endpoint> {
    let [_, config, state, generation, events, why, since_ms, row, oldest_ms] = exactly(Value::Array(answer))?;
    let disabled = match text(state)?.as_str() {
        "e" => None,
        _ => {
            let reason = if text(why)? == "quota" { DisableReason::Quota } else { DisableReason::Manual };
            Some(Disabled { reason, at_ms: number(since_ms)? })
        }
    };
    let row = text(row)?;
    Ok(Endpoint {
        id,
        config: serde_json::from_slice(&bytes(config)?).map_err(|_| damaged("a configuration"))?,
        paused,
        disabled,
        generation: number(generation)?,
        backlog_events: number(events)?,
        oldest_ms: Some(number(oldest_ms)?).filter(|at_ms| *at_ms > 0),
        last_attempt: if row.is_empty() { None } else { Some(attempt(&row)?) },
    })
}

/// Reads a row of the log: `number at_ms next_ms json`, where `next_ms` is 0 when there is none.
fn attempt(row: &str) -> Result<Attempt> {
    let read = || {
        let mut words = row.splitn(4, ' ');
        let mut figure = || words.next()?.parse::<u64>().ok();
        let (number, at_ms, next_ms) = (figure()?, figure()?, figure()?);
        let row = serde_json::from_str(words.next()?).ok()?;
        Some(Attempt { number, at_ms, next_attempt_ms: Some(next_ms).filter(|next_ms| *next_ms > 0), row })
    };
    read().ok_or_else(|| damaged("a row of an attempts log"))
}

/// Reads an hour as `lua/lib.lua` packs its FIGURES: twelve big-endian numbers of four bytes.
fn hour_stats(packed: &[u8]) -> Result<HourStats> {
    let figures: Vec<u64> =
        packed.chunks_exact(4).map(|four| four.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))).collect();
    let [hour, delivered, failed, dropped, durations @ ..] = figures.as_slice() else {
        return Err(damaged("an hour's statistics"));
    };
    let durations: [u64; DURATION_BUCKETS_MS.len() + 1] =
        durations.try_into().map_err(|_| damaged("an hour's statistics"))?;
    Ok(HourStats { hour_ms: hour * HOUR_MS, delivered: *delivered, failed: *failed, dropped: *dropped, durations })
}

fn dropped(answer: Value) -> Result<Dropped> {
    let [text, shared] = exactly(answer)?;
    let mut text = bytes(text)?;
    let end = text.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("a dropped event"))?;
    let event = text.split_off(end + 1);
    let line = String::from_utf8_lossy(&text[..end]).into_owned();
    let (dropped_ms, reason) = line.split_once(' ').ok_or_else(|| damaged("a dropped event"))?;
    let (seq, event) = entry::read(event, bytes(shared)?)?;
    Ok(Dropped {
        seq,
        dropped_ms: dropped_ms.parse().map_err(|_| damaged("a dropped event"))?,
        reason: DropReason::parse(reason).ok_or_else(|| damaged("a dropped event"))?,
        event,
    })
}
