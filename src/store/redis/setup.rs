//! What people set: workspaces, endpoints, enabling and disabling.
//!
//! The routing is JSON that scripts only store, so the new one is made here, from the one read; the script that
//! writes it checks that nobody has written another meanwhile.

use redis::Value;

use super::RedisStore;
use super::intake::read_routing;
use super::keys::Frame;
use super::lanes::flag;
use super::layouts::{Layout, Layouts, TURNS_MAX, too_busy};
use super::reply::{exactly, list, number, text, text_if};
use super::scripts;
use crate::decide::ids::{EndpointId, Partition, WorkspaceId};
use crate::decide::route::{Route, Routing};
use crate::store::Result;
use crate::store::records::{Config, LAYOUTS_MAX, Put, Workspace};

/// Events that one step of discarding drops.
const DISCARD_STEP: usize = 1_000;

/// The first layout's number.
const LAYOUT_FIRST: u32 = 1;

impl RedisStore {
    pub(super) async fn read_routing(&self, partition: Partition, workspace: &WorkspaceId) -> Result<Routing> {
        let mut command = redis::cmd("HGET");
        command.arg(self.keys.workspace(partition, workspace)).arg("rt");
        read_routing(&text_if(self.send("routing", &command).await?)?.unwrap_or_default())
    }

    pub(super) async fn set_workspace(&self, workspace: &WorkspaceId, record: &Workspace) -> Result<()> {
        let partition = self.partition(workspace);
        let plans = &self.policy.plans;
        for _ in 0..TURNS_MAX {
            let routing = self.read_routing(partition, workspace).await?;
            let plan = Some(record.plan.as_str());
            let changed = routing.plan.as_deref() != plan;
            let regained = !plans.entitle(routing.plan.as_deref()) && plans.entitle(plan);
            let version = routing.version;
            let routing = Routing { version: version + u64::from(changed), plan: plan.map(str::to_owned), ..routing };
            let mut frame = Frame::new(&self.keys, partition);
            frame.workspace(workspace);
            let mut call = self.call(&scripts::PUT_WORKSPACE, &frame);
            call.arg(version.to_string())
                .arg(routing.version.to_string())
                .arg(json(&routing))
                .arg(json(record))
                .arg(record.plan.clone())
                .arg(flag(regained));
            if number(self.run("put_workspace", &call).await?)? == 0 {
                continue;
            }
            if regained {
                for route in &routing.routes {
                    self.release(partition, workspace, &route.endpoint).await?;
                }
            }
            return Ok(());
        }
        Err(too_busy())
    }

    pub(super) async fn set_endpoint(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        config: &Config,
    ) -> Result<Put> {
        let partition = self.partition(workspace);
        for _ in 0..TURNS_MAX {
            let mut routing = self.read_routing(partition, workspace).await?;
            let layouts = self.layouts(partition, workspace, endpoint).await?;
            let laid = lay_out(&layouts, config.lanes);
            let draining = laid.is_none();
            let laid = laid.unwrap_or_else(|| layouts.clone());
            let newest = laid.0.last().copied().unwrap_or(Layout::first(config.lanes));
            let version = routing.version;
            routing.version += 1;
            let route = Route {
                endpoint: endpoint.clone(),
                events: config.events.clone(),
                layout: newest.number,
                lanes: newest.lanes,
            };
            match routing.routes.iter_mut().find(|present| present.endpoint == *endpoint) {
                Some(present) => *present = route,
                None => routing.routes.push(route),
            }
            let mut frame = Frame::new(&self.keys, partition);
            frame.endpoint(workspace, endpoint);
            if layouts.lanes() == 1 {
                layouts.name(&mut frame, workspace, endpoint);
            }
            let mut call = self.call(&scripts::PUT_ENDPOINT, &frame);
            call.arg(version.to_string())
                .arg(routing.version.to_string())
                .arg(json(&routing))
                .arg(json(config))
                .arg(config.version.to_string())
                .arg(layouts.shape())
                .arg(laid.shape())
                .arg(flag(draining))
                .arg(self.policy.limits.endpoints.to_string());
            let what = text(self.run("put_endpoint", &call).await?)?;
            return Ok(match what.as_str() {
                "again" => continue,
                "release" => {
                    self.release(partition, workspace, endpoint).await?;
                    Put::Done
                }
                "done" => Put::Done,
                "limit" => Put::LimitReached,
                "missing" => Put::Missing,
                "draining" => Put::Draining,
                _ => Put::Conflict,
            });
        }
        Err(too_busy())
    }

    /// Deletes one endpoint, or the workspace with all of them.
    pub(super) async fn delete(&self, workspace: &WorkspaceId, endpoint: Option<&EndpointId>) -> Result<Option<u64>> {
        let partition = self.partition(workspace);
        for _ in 0..TURNS_MAX {
            let mut routing = self.read_routing(partition, workspace).await?;
            let version = routing.version;
            let is_meant = |route: &Route| endpoint.is_none_or(|endpoint| route.endpoint == *endpoint);
            let (gone, left): (Vec<Route>, Vec<Route>) = routing.routes.into_iter().partition(is_meant);
            routing.routes = left;
            routing.version += 1;
            if endpoint.is_none() {
                routing.plan = None;
            } else if gone.is_empty() {
                return Ok(None);
            }
            let mut frame = Frame::new(&self.keys, partition);
            frame.workspace(workspace);
            gone.iter().for_each(|route| {
                frame.endpoint(workspace, &route.endpoint);
            });
            let mut call = self.call(&scripts::DELETE, &frame);
            call.arg(version.to_string())
                .arg(routing.version.to_string())
                .arg(json(&routing))
                .arg(flag(endpoint.is_none()));
            let [what, dropped] = exactly(self.run("delete", &call).await?)?;
            match text(what)?.as_str() {
                "again" => continue,
                "missing" => return Ok(None),
                _ => {}
            }
            for route in &gone {
                self.purge(partition, workspace, &route.endpoint).await?;
            }
            return number(dropped).map(Some);
        }
        Err(too_busy())
    }

    pub(super) async fn enable_endpoint(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        discard: bool,
    ) -> Result<Option<u64>> {
        let partition = self.partition(workspace);
        let (mut dropped_in_all, mut last) = (0, String::new());
        let mut turns = 0;
        while turns < TURNS_MAX {
            let (frame, shape) = self.whole(partition, workspace, endpoint).await?;
            if frame.lanes() == 0 {
                return Ok(None);
            }
            let mut call = self.call(&scripts::ENABLE, &frame);
            call.arg(shape).arg(flag(discard)).arg(DISCARD_STEP.to_string()).arg(last.clone());
            let [what, dropped, upto, releasing] = exactly(self.run("enable", &call).await?)?;
            dropped_in_all += number(dropped)?;
            self.release_found(partition, &frame, releasing).await?;
            match text(what)?.as_str() {
                "missing" => return Ok(None),
                // Each such step drops a whole step's worth of what waited when the first one began.
                "more" => last = number(upto)?.to_string(),
                "again" => turns += 1,
                _ => return Ok(Some(dropped_in_all)),
            }
        }
        Err(too_busy())
    }

    pub(super) async fn disable_endpoint(&self, workspace: &WorkspaceId, endpoint: &EndpointId) -> Result<bool> {
        let partition = self.partition(workspace);
        let mut frame = Frame::new(&self.keys, partition);
        frame.endpoint(workspace, endpoint);
        let there = self.run("disable", &self.call(&scripts::DISABLE, &frame)).await?;
        Ok(number(there)? == 1)
    }

    /// The names that a set or a hash holds.
    pub(super) async fn names(&self, command: &redis::Cmd) -> Result<Vec<String>> {
        list(self.send("names", command).await.map(flat)?)?.into_iter().map(text).collect()
    }
}

impl Layout {
    fn first(lanes: u16) -> Self {
        Self { number: LAYOUT_FIRST, lanes, busy: 0, used: false }
    }
}

/// The layouts with a new setting of `lanes` as the newest; `None` when too many are not drained yet.
fn lay_out(layouts: &Layouts, lanes: u16) -> Option<Layouts> {
    let mut laid = layouts.clone();
    let is_oldest = laid.0.len() == 1;
    let count = laid.0.len();
    match laid.0.last_mut() {
        None => laid.0.push(Layout::first(lanes)),
        Some(newest) if newest.lanes == lanes => {}
        Some(newest) if !newest.used && !is_oldest => newest.lanes = lanes,
        Some(_) if count >= LAYOUTS_MAX => return None,
        Some(newest) => {
            let number = newest.number + 1;
            laid.0.push(Layout { number, ..Layout::first(lanes) });
        }
    }
    Some(laid)
}

fn flat(value: Value) -> Value {
    match value {
        Value::Set(list) => Value::Array(list),
        value => value,
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a record is plain data")
}
