//! Making room in a Redis that is short of memory, at the cost of endpoints that nothing goes to.

use super::connect::Link;
use super::layouts::{TURNS_MAX, too_busy};
use super::upkeep::{EVENTS_STEP, Trimmed};
use super::{RedisStore, scripts, server};
use crate::decide::ids::Partition;
use crate::decide::notice::DropReason;
use crate::decide::relief::{Burden, to_free};
use crate::store::Result;
use crate::store::lanes::Relieved;

impl RedisStore {
    /// One step of trimming, to so many bytes less, if the endpoint still is a burden.
    pub(super) async fn relieve_endpoint(&self, burden: &Burden, bytes: u64) -> Result<Relieved> {
        let Burden { workspace, endpoint, .. } = burden;
        let partition = self.partition(workspace);
        let bytes = bytes.min(self.timed("memory", self.short_by(partition)).await?);
        if bytes == 0 {
            return Ok(Relieved::default());
        }
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

    /// How many bytes have to go from a partition's node; of one server, whoever asks knows.
    async fn short_by(&self, partition: Partition) -> Result<u64> {
        let fence = self.keys.fence(partition);
        let ask = async |link: &mut Link| match link.is_one_server() {
            true => Ok(u64::MAX),
            false => Ok(server::memory_at(link, &fence).await?.map_or(0, |info| to_free(info.fill()))),
        };
        self.links.ask(ask).await
    }
}
