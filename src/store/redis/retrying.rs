//! An endpoint's lanes that hold their events back, in one call.

use redis::Value;

use super::keys::Frame;
use super::layouts::{TURNS_MAX, too_busy};
use super::reply::{damaged, exactly, index, list, number, text};
use super::{RedisStore, scripts};
use crate::decide::ids::{EndpointId, EventId, WorkspaceId};
use crate::store::Result;
use crate::store::records::PAGE_ROWS_MAX;
use crate::store::retrying::Retrying;

impl RedisStore {
    pub(super) async fn read_retrying(
        &self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        limit: usize,
    ) -> Result<Vec<Retrying>> {
        for _ in 0..TURNS_MAX {
            let (frame, shape) = self.whole(self.partition(workspace), workspace, endpoint).await?;
            let mut call = self.call(&scripts::RETRYING, &frame);
            call.arg(shape).arg(limit.min(PAGE_ROWS_MAX).to_string());
            let mut answer = list(self.run("retrying", &call).await?)?.into_iter();
            let Some(what) = answer.next() else { return Ok(Vec::new()) };
            if text(what)? != "again" {
                return answer.map(|lane| retrying(&frame, lane)).collect();
            }
        }
        Err(too_busy())
    }
}

fn retrying(frame: &Frame, answer: Value) -> Result<Retrying> {
    let [lane, attempt, due_ms, events, event] = exactly(answer)?;
    Ok(Retrying {
        lane: frame.lane_at(index(lane)?).cloned().ok_or_else(|| damaged("a lane's index"))?,
        event: EventId::trusted(text(event)?),
        attempt: u32::try_from(number(attempt)?).map_err(|_| damaged("an attempt's number"))?,
        due_ms: Some(number(due_ms)?).filter(|due_ms| *due_ms > 0),
        events: number(events)?,
    })
}
