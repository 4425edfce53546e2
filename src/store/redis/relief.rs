//! Making room in a Redis that is short of memory, at the cost of endpoints that nothing goes to.

use super::RedisStore;
use super::layouts::{TURNS_MAX, too_busy};
use super::scripts;
use super::upkeep::{EVENTS_STEP, Trimmed};
use crate::decide::notice::DropReason;
use crate::decide::relief::Burden;
use crate::store::Result;
use crate::store::lanes::Relieved;

impl RedisStore {
    /// One step of trimming, to so many bytes less, if the endpoint still is a burden.
    pub(super) async fn relieve_endpoint(&self, burden: &Burden, bytes: u64) -> Result<Relieved> {
        let Burden { workspace, endpoint, .. } = burden;
        let partition = self.partition(workspace);
        for _ in 0..TURNS_MAX {
            let (frame, shape) = self.whole(partition, workspace, endpoint).await?;
            if frame.lanes() == 0 {
                return Ok(Relieved::default());
            }
            let mut call = self.call(&scripts::TRIM, &frame);
            call.arg(shape).arg(EVENTS_STEP.to_string()).arg(bytes.to_string());
            let answer = self.run("relieve", &call).await?;
            let mut trimmed = Trimmed::default();
            let what = self.trimmed(partition, &frame, answer, &mut trimmed).await?;
            if what != "again" {
                let dropped = trimmed.dropped.get(&DropReason::BacklogBytes).copied().unwrap_or(0);
                return Ok(Relieved { freed_bytes: trimmed.freed_bytes, dropped, ready: trimmed.ready });
            }
        }
        Err(too_busy())
    }
}
