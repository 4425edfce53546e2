//! Notices on their way out.

use async_trait::async_trait;
use redis::Value;

use super::connect::Call;
use super::reply::{damaged, exactly, list, small, text};
use super::{RedisStore, scripts};
use crate::decide::ids::{EndpointId, EventId, Partition, WorkspaceId};
use crate::decide::notice::{Channel, Notice, NoticeKind};
use crate::store::outbox::{NOTICE_LEASE, Outgoing, Sent};
use crate::store::{Outbox, Result};

#[async_trait]
impl Outbox for RedisStore {
    async fn notices(&self, partition: Partition, limit: usize) -> Result<Vec<Outgoing>> {
        let keys = vec![self.keys.outbox(partition), self.keys.notices(partition)];
        let arguments = vec![self.now(), limit.to_string().into(), NOTICE_LEASE.as_millis().to_string().into()];
        let call = Call { script: &scripts::NOTICES, keys, arguments };
        list(self.run("notices", &call).await?)?.into_iter().map(outgoing).collect()
    }

    async fn settle(&self, partition: Partition, id: &str, channel: Channel, sent: Sent) -> Result<()> {
        let keys = vec![self.keys.outbox(partition), self.keys.notices(partition)];
        let pause = match sent {
            Sent::Done => "-".to_owned(),
            Sent::Again(pause) => pause.as_millis().to_string(),
        };
        let arguments = vec![self.now(), id.to_owned().into(), channel.as_str().into(), pause.into()];
        let call = Call { script: &scripts::SETTLE, keys, arguments };
        self.run("settle", &call).await.map(drop)
    }
}

fn outgoing(answer: Value) -> Result<Outgoing> {
    let [id, channel, tries, notice] = exactly(answer)?;
    let channel = Channel::parse(&text(channel)?).ok_or_else(|| damaged("a notice's channel"))?;
    let notice = read(text(id)?, &text(notice)?).ok_or_else(|| damaged("a notice"))?;
    Ok(Outgoing { notice, channel, tries: small(tries)? })
}

/// Reads what `tell` in `lua/flow.lua` writes.
fn read(id: String, text: &str) -> Option<Notice> {
    let mut lines = text.split('\n');
    Some(Notice {
        id,
        kind: NoticeKind::parse(lines.next()?)?,
        at_ms: lines.next()?.parse().ok()?,
        workspace: WorkspaceId::trusted(lines.next()?),
        endpoint: EndpointId::trusted(lines.next()?),
        event: Some(lines.next()?).filter(|event| !event.is_empty()).map(EventId::trusted),
        reason: lines.next()?.to_owned(),
        count: lines.next()?.parse().ok(),
    })
}
