//! An endpoint's layouts of lanes, as its hash holds them: `number:lanes:busy:used` each, oldest first.
//!
//! A script has all its keys from its caller, so whoever works on all lanes of an endpoint reads the layouts first,
//! names their lanes, and says what he read; if they are others by then, the script does nothing and he reads again.

use super::RedisStore;
use super::keys::Frame;
use super::reply::{damaged, text_if};
use crate::decide::ids::{EndpointId, LaneId, Partition, WorkspaceId};
use crate::store::Result;
use crate::store::StoreError;

/// How often somebody may change what an operation has read before it gives up.
pub(super) const TURNS_MAX: usize = 16;

/// Says that an operation gave up.
pub(super) fn too_busy() -> StoreError {
    StoreError::Unavailable(format!("what it works on was changed {TURNS_MAX} times meanwhile"))
}

/// One setting of `lanes`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    pub number: u32,
    pub lanes: u16,
    /// How many of its lanes are not idle.
    pub busy: u32,
    /// Whether it ever had an event.
    pub used: bool,
}

/// An endpoint's layouts that are not drained, oldest first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Layouts(pub Vec<Layout>);

impl Layouts {
    pub fn parse(text: &str) -> Result<Self> {
        let layouts = text.split(',').filter(|layout| !layout.is_empty()).map(Layout::parse);
        layouts.collect::<Option<_>>().map(Self).ok_or_else(|| damaged("layouts"))
    }

    /// What a script compares, `shape` in `lua/lib.lua`.
    pub fn shape(&self) -> String {
        let shape = |layout: &Layout| format!("{}:{}:{}", layout.number, layout.lanes, u8::from(layout.used));
        self.0.iter().map(shape).collect::<Vec<_>>().join(",")
    }

    /// Names all lanes to a call.
    pub fn name(&self, frame: &mut Frame, workspace: &WorkspaceId, endpoint: &EndpointId) {
        frame.endpoint(workspace, endpoint);
        for layout in &self.0 {
            for index in 0..layout.lanes {
                let (workspace, endpoint) = (workspace.clone(), endpoint.clone());
                frame.lane(&LaneId { workspace, endpoint, layout: layout.number, index });
            }
        }
    }

    pub fn lanes(&self) -> usize {
        self.0.iter().map(|layout| usize::from(layout.lanes)).sum()
    }
}

impl Layout {
    /// Reads `number:lanes:busy:used`, or less of it.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let number = parts.next()?.parse().ok()?;
        let lanes = parts.next()?.parse().ok()?;
        let busy = parts.next().unwrap_or("0").parse().unwrap_or(0);
        let used = parts.next() == Some("1");
        Some(Self { number, lanes, busy, used })
    }
}

impl RedisStore {
    /// An endpoint's layouts; none when there is no such endpoint.
    pub(super) async fn layouts(
        &self,
        partition: Partition,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
    ) -> Result<Layouts> {
        let mut command = redis::cmd("HGET");
        command.arg(self.keys.endpoint(partition, workspace, endpoint)).arg("lay");
        let text = text_if(self.send("layouts", &command).await?)?;
        Layouts::parse(text.as_deref().unwrap_or_default())
    }

    /// A call's frame with all lanes of an endpoint, and the layouts that they were named by.
    pub(super) async fn whole(
        &self,
        partition: Partition,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
    ) -> Result<(Frame, String)> {
        let layouts = self.layouts(partition, workspace, endpoint).await?;
        let mut frame = Frame::new(&self.keys, partition);
        layouts.name(&mut frame, workspace, endpoint);
        Ok((frame, layouts.shape()))
    }
}
