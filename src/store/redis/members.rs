//! Deliverers that are alive, how they wake each other, and how full the server is.

use tokio::sync::mpsc;

use super::connect::Call;
use super::reply::{list, text};
use super::server::{self, Info};
use super::{RedisStore, scripts};
use crate::decide::ids::LaneId;
use crate::decide::relief::share;
use crate::store::Result;
use crate::store::lanes::Memory;

/// A deliverer that did not beat for so long is dead.
const DEAD_AFTER_MS: u64 = 3_000;
/// Wakes that may wait for one deliverer; past it they wait in `connect`, and more are lost.
const WAKES_MAX: usize = 16;

impl RedisStore {
    pub(super) async fn beat_member(&self, member: Option<&str>) -> Result<Vec<String>> {
        let member = member.unwrap_or_default().to_owned();
        let arguments = vec![self.now(), DEAD_AFTER_MS.to_string().into(), member.into()];
        let call = Call { script: &scripts::BEAT, keys: vec![self.keys.members()], arguments };
        list(self.run("beat", &call).await?)?.into_iter().map(text).collect()
    }

    pub(super) async fn wake_member(&self, member: &str, lanes: &[LaneId]) -> Result<()> {
        let lanes: Vec<String> = lanes.iter().map(ToString::to_string).collect();
        let mut command = redis::cmd("PUBLISH");
        command.arg(self.keys.wake(member)).arg(lanes.join("\n"));
        self.send("wake", &command).await.map(drop)
    }

    pub(super) async fn listen(&self, member: &str) -> Result<mpsc::Receiver<Vec<LaneId>>> {
        let mut messages = self.links.source().listen(&self.keys.wake(member)).await?;
        let (sender, receiver) = mpsc::channel(WAKES_MAX);
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let text = String::from_utf8_lossy(&message).into_owned();
                let lanes = text.lines().filter_map(LaneId::parse).collect();
                if sender.send(lanes).await.is_err() {
                    break;
                }
            }
        });
        Ok(receiver)
    }

    pub(super) async fn memory_used(&self) -> Result<Memory> {
        let shown = self.timed("memory", self.links.ask(async |link| server::memory(link).await)).await?;
        let nodes: Vec<(u64, u64)> = shown.iter().flatten().map(Info::fill).collect();
        Ok(Memory {
            used: nodes.iter().map(|(used, _)| used).sum(),
            max: nodes.iter().map(|(_, max)| max).sum(),
            fullest: nodes.into_iter().max_by_key(|(used, max)| share(*used, *max)).unwrap_or_default(),
        })
    }
}
