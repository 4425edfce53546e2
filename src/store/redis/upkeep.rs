//! What is done in bounded steps: trimming to the limits, releasing held lanes, purging, and the sweep, which also
//! finishes what a process that died had begun.

use std::collections::BTreeMap;

use super::RedisStore;
use super::connect::Link;
use super::keys::Frame;
use super::layouts::{Layouts, TURNS_MAX, too_busy};
use super::reply::{damaged, exactly, index, list, number, text, text_if};
use super::scripts;
use crate::decide::ids::{EndpointId, LaneId, Partition, WorkspaceId};
use crate::decide::notice::DropReason;
use crate::decide::relief::Burden;
use crate::store::Result;
use crate::store::lanes::{Figures, Swept};
use crate::store::records::EndpointStatus;

/// Events that one step takes away at most.
pub(super) const EVENTS_STEP: usize = 1_000;
/// Steps of one trimming; what is left after that is the next append's.
const TRIM_STEPS_MAX: usize = 1_000;
/// Calls of one visit to endpoints; what is left after that is the next round's.
const TEND_STEPS_MAX: usize = 16;
/// Unfinished releases and purges that one step of the sweep takes up.
const REPAIRS_STEP: usize = 100;
/// Workspaces that one step of the sweep visits at most.
const WORKSPACES_STEP: usize = 100;
/// Endpoints after which a step of the sweep visits no further workspace.
const ENDPOINTS_STEP: usize = 256;
/// Lanes that one call looks after, unless a single endpoint has more.
const LANES_PER_CALL: usize = 256;

/// What trimming an endpoint did.
#[derive(Default)]
pub(super) struct Trimmed {
    pub dropped: BTreeMap<DropReason, u64>,
    /// Lanes that have no event any more.
    pub emptied: Vec<LaneId>,
    /// Lanes that became ready by it.
    pub ready: Vec<LaneId>,
    /// Bytes of bodies that went.
    pub freed_bytes: u64,
}

impl RedisStore {
    /// Drops what an endpoint has past its limits, over the connection of the append that took it there.
    pub(super) async fn trim(
        &self,
        link: &mut Link,
        partition: Partition,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        trimmed: &mut Trimmed,
    ) -> Result<()> {
        for _ in 0..TRIM_STEPS_MAX {
            let (frame, shape) = self.whole(partition, workspace, endpoint).await?;
            if frame.lanes() == 0 {
                break;
            }
            let mut call = self.call(&scripts::TRIM, &frame);
            call.arg(shape).arg(EVENTS_STEP.to_string()).arg("");
            let answer = self.timed("trim", call.on(link)).await?;
            if self.trimmed(partition, &frame, answer, trimmed).await? == "done" {
                break;
            }
        }
        Ok(())
    }

    /// Reads the answer of a step of trimming, and finishes the step: `done`, `more` or `again`.
    pub(super) async fn trimmed(
        &self,
        partition: Partition,
        frame: &Frame,
        answer: redis::Value,
        trimmed: &mut Trimmed,
    ) -> Result<String> {
        let [what, events, bytes, emptied, releasing, freed_bytes] = exactly(answer)?;
        for (reason, count) in
            [(DropReason::BacklogEvents, number(events)?), (DropReason::BacklogBytes, number(bytes)?)]
        {
            if count > 0 {
                *trimmed.dropped.entry(reason).or_default() += count;
            }
        }
        trimmed.freed_bytes += number(freed_bytes)?;
        for lane in list(emptied)? {
            trimmed.emptied.extend(frame.lane_at(index(lane)?).cloned());
        }
        trimmed.ready.extend(self.release_found(partition, frame, releasing).await?);
        text(what)
    }

    /// Makes an endpoint's held lanes ready.
    pub(super) async fn release(
        &self,
        partition: Partition,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
    ) -> Result<Vec<LaneId>> {
        for _ in 0..TURNS_MAX {
            let layouts = self.layouts(partition, workspace, endpoint).await?;
            let mut frame = Frame::new(&self.keys, partition);
            layouts.name(&mut frame, workspace, endpoint);
            let mut call = self.call(&scripts::RELEASE, &frame);
            call.arg(layouts.shape());
            let [what, ready] = exactly(self.run("release", &call).await?)?;
            if text(what)? == "again" {
                continue;
            }
            let ready = list(ready)?.into_iter().map(index).collect::<Result<Vec<usize>>>()?;
            return Ok(ready.into_iter().filter_map(|lane| frame.lane_at(lane).cloned()).collect());
        }
        Err(too_busy())
    }

    /// Releases endpoints whose indexes a script answered.
    pub(super) async fn release_found(
        &self,
        partition: Partition,
        frame: &Frame,
        found: redis::Value,
    ) -> Result<Vec<LaneId>> {
        let mut ready = Vec::new();
        for found in list(found)? {
            if let Some((workspace, endpoint)) = frame.endpoint_at(index(found)?) {
                ready.extend(self.release(partition, workspace, endpoint).await?);
            }
        }
        Ok(ready)
    }

    /// Takes away what a deleted endpoint left.
    pub(super) async fn purge(
        &self,
        partition: Partition,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
    ) -> Result<()> {
        let mut command = redis::cmd("HGET");
        command.arg(self.keys.purging(partition)).arg(format!("{workspace}/{endpoint}"));
        let Some(layouts) = text_if(self.send("purging", &command).await?)? else { return Ok(()) };
        let mut frame = Frame::new(&self.keys, partition);
        Layouts::parse(&layouts)?.name(&mut frame, workspace, endpoint);
        let mut call = self.call(&scripts::PURGE, &frame);
        call.arg(EVENTS_STEP.to_string());
        // Every step takes something away for good, so there is an end to them.
        while text(self.run("purge", &call).await?)? == "more" {}
        Ok(())
    }

    pub(super) async fn sweep_step(&self, partition: Partition, from: Option<u64>) -> Result<Swept> {
        let mut swept = Swept::default();
        if from.is_none() {
            self.repair(partition, &mut swept).await?;
        }
        let begin = from.unwrap_or(0);
        let mut command = redis::cmd("ZRANGE");
        let end = begin + WORKSPACES_STEP as u64 - 1;
        command.arg(self.keys.workspaces(partition)).arg(begin).arg(end);
        let names = self.names(&command).await?;
        let (mut visited, mut endpoints_met) = (0, 0);
        for name in &names {
            if endpoints_met >= ENDPOINTS_STEP {
                break;
            }
            endpoints_met += self.tend(partition, &WorkspaceId::trusted(name.as_str()), &mut swept).await?;
            visited += 1;
        }
        let complete = visited == names.len() && names.len() < WORKSPACES_STEP;
        swept.next = (!complete).then_some(begin + visited as u64);
        Ok(swept)
    }

    /// Finishes releases and purges that were begun and not finished.
    async fn repair(&self, partition: Partition, swept: &mut Swept) -> Result<()> {
        let mut command = redis::cmd("SRANDMEMBER");
        command.arg(self.keys.releasing(partition)).arg(REPAIRS_STEP);
        for name in self.names(&command).await? {
            let (workspace, endpoint) = endpoint_named(&name)?;
            swept.ready.extend(self.release(partition, &workspace, &endpoint).await?);
        }
        let mut command = redis::cmd("HRANDFIELD");
        command.arg(self.keys.purging(partition)).arg(REPAIRS_STEP);
        for name in self.names(&command).await? {
            let (workspace, endpoint) = endpoint_named(&name)?;
            self.purge(partition, &workspace, &endpoint).await?;
        }
        Ok(())
    }

    /// Looks after all endpoints of a workspace; how many there are.
    async fn tend(&self, partition: Partition, workspace: &WorkspaceId, swept: &mut Swept) -> Result<usize> {
        let mut command = redis::cmd("HKEYS");
        command.arg(self.keys.endpoints(partition, workspace));
        let endpoints: Vec<EndpointId> =
            self.names(&command).await?.into_iter().map(|name| EndpointId::trusted(name.as_str())).collect();
        let mut group = Vec::new();
        let mut lanes = 0;
        for endpoint in &endpoints {
            let (layouts, drained) = self.layouts_ever(partition, workspace, endpoint).await?;
            lanes += layouts.lanes();
            group.push((endpoint, layouts, drained));
            if lanes >= LANES_PER_CALL {
                self.tend_group(partition, workspace, &std::mem::take(&mut group), swept).await?;
                lanes = 0;
            }
        }
        self.tend_group(partition, workspace, &group, swept).await?;
        Ok(endpoints.len())
    }

    async fn tend_group(
        &self,
        partition: Partition,
        workspace: &WorkspaceId,
        group: &[(&EndpointId, Layouts, Layouts)],
        swept: &mut Swept,
    ) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        let mut frame = Frame::new(&self.keys, partition);
        for (endpoint, layouts, drained) in group {
            layouts.name(&mut frame, workspace, endpoint);
            drained.name(&mut frame, workspace, endpoint);
        }
        let mut call = self.call(&scripts::TEND, &frame);
        call.arg(EVENTS_STEP.to_string());
        for (_, layouts, _) in group {
            call.arg(layouts.shape());
        }
        let (mut oldest_ms, mut oldest_enabled_ms) = (0, 0);
        let mut burdens = Vec::new();
        let mut dropped_in_all = 0;
        for _ in 0..TEND_STEPS_MAX {
            let [tended, ready, releasing, left, now_ms] = exactly(self.run("tend", &call).await?)?;
            let now_ms = number(now_ms)?;
            (oldest_ms, oldest_enabled_ms) = (0, 0);
            burdens.clear();
            for ((endpoint, ..), answer) in group.iter().zip(list(tended)?) {
                let [dropped, oldest_at_ms, sends, bytes] = exactly(answer)?;
                dropped_in_all += number(dropped)?;
                let oldest_at_ms = number(oldest_at_ms)?;
                if oldest_at_ms > 0 {
                    let age_ms = now_ms.saturating_sub(oldest_at_ms);
                    oldest_ms = oldest_ms.max(age_ms);
                    if number(sends)? > 0 {
                        oldest_enabled_ms = oldest_enabled_ms.max(age_ms);
                    }
                }
                let bytes = number(bytes)?;
                if bytes > 0 {
                    let (workspace, endpoint) = (workspace.clone(), (*endpoint).clone());
                    burdens.push(Burden { bytes, workspace, endpoint });
                }
            }
            for lane in list(ready)? {
                swept.ready.extend(frame.lane_at(index(lane)?).cloned());
            }
            swept.ready.extend(self.release_found(partition, &frame, releasing).await?);
            if number(left)? > 0 {
                break;
            }
        }
        swept.oldest_ms = swept.oldest_ms.max(oldest_ms);
        swept.oldest_enabled_ms = swept.oldest_enabled_ms.max(oldest_enabled_ms);
        swept.burdens.extend(burdens);
        if dropped_in_all > 0 {
            match swept.dropped.first_mut() {
                Some((_, count)) => *count += dropped_in_all,
                None => swept.dropped.push((DropReason::BacklogAge, dropped_in_all)),
            }
        }
        Ok(())
    }

    /// An endpoint's layouts, and the drained ones whose lanes are still remembered.
    async fn layouts_ever(
        &self,
        partition: Partition,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
    ) -> Result<(Layouts, Layouts)> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.keys.endpoint(partition, workspace, endpoint)).arg("lay").arg("old");
        let [layouts, drained] = exactly(self.send("layouts", &command).await?)?;
        let layouts = Layouts::parse(&text_if(layouts)?.unwrap_or_default())?;
        Ok((layouts, Layouts::parse(&text_if(drained)?.unwrap_or_default())?))
    }

    /// The partition's counters.
    pub(super) async fn part_figures(&self, partition: Partition) -> Result<Figures> {
        let mut command = redis::cmd("HGETALL");
        command.arg(self.keys.part(partition));
        let mut fields = self.names(&command).await?.into_iter();
        let (mut backlog_events, mut shed) = (0, 0);
        let mut endpoints = BTreeMap::<EndpointStatus, u64>::new();
        while let (Some(field), Some(figure)) = (fields.next(), fields.next()) {
            let figure: u64 = figure.parse().unwrap_or(0);
            match field.as_str() {
                "waiting" => backlog_events = figure,
                "shed" => shed = figure,
                _ => {}
            }
            let Some((state, plan)) = field.split_once(':') else { continue };
            let entitled = self.policy.plans.entitle(Some(plan).filter(|plan| !plan.is_empty()));
            let status = match (entitled, state) {
                (false, _) => EndpointStatus::Paused,
                (true, "ne") => EndpointStatus::Enabled,
                (true, _) => EndpointStatus::Disabled,
            };
            if figure > 0 {
                *endpoints.entry(status).or_default() += figure;
            }
        }
        Ok(Figures { backlog_events, shed, endpoints: endpoints.into_iter().collect() })
    }
}

pub(super) fn endpoint_named(name: &str) -> Result<(WorkspaceId, EndpointId)> {
    let (workspace, endpoint) = name.split_once('/').ok_or_else(|| damaged("an endpoint's name"))?;
    Ok((WorkspaceId::trusted(workspace), EndpointId::trusted(endpoint)))
}
