//! What the scheduler asks of the store: which lanes are due, and leases on them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::Tools;
use super::worker::{BEGIN_WITHIN, Shared};
use crate::decide::ids::{LaneId, Partition};
use crate::store::StoreError;
use crate::store::lanes::{Claim, Pool, Token, Want};

/// How late another process's oldest due lane must be before this one helps itself to it.
const HELP_AFTER: Duration = Duration::from_millis(200);

/// Polls under way at once; they share a connection, so that this is one or two packets each way.
const POLLS_AT_ONCE_MAX: usize = 32;

/// How often a claim is repeated before its lanes are left to the next poll.
const CLAIM_TRIES_MAX: u32 = 3;

/// How long after one another unheard leases are put back: once at once, and again since the store may carry out what it
/// was asked after it was told that nobody listens, over another connection.
const FORGET_AFTER: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5)];

/// How often, and how long apart, that is tried while the store is away; together about as long as a lease.
const FORGET_TRIES_MAX: u32 = 15;
const FORGET_AGAIN: Duration = Duration::from_secs(1);

/// The pause before a claim is repeated.
const CLAIM_AGAIN: Duration = Duration::from_millis(250);

/// One question of a poll: at most `limit` lanes of a pool of a partition.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Where.
    pub partition: Partition,
    /// Which lanes.
    pub pool: Pool,
    /// How many.
    pub limit: usize,
}

/// What a poll found.
#[derive(Debug, Default)]
pub struct Found {
    /// Lanes that are due.
    pub lanes: Vec<(Pool, LaneId)>,
    /// Where there may be more.
    pub deep: Vec<(Partition, Pool)>,
    /// Whether the store did not answer; `None` when nothing was asked.
    pub away: Option<bool>,
}

/// Polls. Of the partitions that others look after, only lanes that they are late for count.
pub async fn poll(shared: &Shared, asks: Vec<Ask>) -> Found {
    let help_after = u64::try_from(HELP_AFTER.as_millis()).unwrap_or(u64::MAX);
    let answers = futures_util::stream::iter(asks)
        .map(|ask| async move { (ask, shared.tools.store.due(ask.partition, ask.pool, ask.limit).await) })
        .buffered(POLLS_AT_ONCE_MAX)
        .collect::<Vec<_>>()
        .await;
    let mut found = Found::default();
    for (Ask { partition, pool, limit }, answer) in answers {
        let due = match answer {
            Ok(due) => {
                found.away.get_or_insert(false);
                due
            }
            Err(error) => {
                *found.away.get_or_insert(false) |=
                    matches!(error, StoreError::Unavailable(_) | StoreError::NotDurable(_));
                continue; // The next poll asks again.
            }
        };
        let mine = shared.members.is_mine(partition);
        if due.len() == limit && mine {
            found.deep.push((partition, pool));
        }
        found.lanes.extend(due.into_iter().filter(|due| mine || due.late_ms > help_after).map(|due| (pool, due.lane)));
    }
    found
}

/// Claims, repeated with the same tokens so that a lost answer loses no lease; empty when the store would not answer.
pub async fn claim(shared: &Shared, partition: Partition, wants: &[Want], asked: Duration) -> Vec<Claim> {
    for _ in 0..CLAIM_TRIES_MAX {
        match shared.tools.store.claim(partition, wants).await {
            Ok(claims) => return claims,
            Err(StoreError::Refused(_)) if wants.len() > 1 => return claim_singly(shared, partition, wants).await,
            Err(error) => tracing::debug!(%error, partition = partition.0, "claim failed"),
        }
        if shared.tools.clock.boot().saturating_sub(asked) > BEGIN_WITHIN {
            break;
        }
        tokio::time::sleep(CLAIM_AGAIN).await;
    }
    let leases = wants.iter().map(|want| (want.lane.clone(), want.token)).collect();
    tokio::spawn(forget(shared.tools.clone(), partition, leases));
    Vec::new()
}

/// The store may have given leases that nobody heard of, or may still: puts them back when it answers again, or leaves
/// them to end.
pub async fn forget(tools: Tools, partition: Partition, leases: Vec<(LaneId, Token)>) {
    let mut tries = 0;
    for after in FORGET_AFTER {
        tokio::time::sleep(after).await;
        for (lane, token) in &leases {
            while let Err(error) = tools.store.give_back(partition, lane, *token).await {
                tries += 1;
                match error {
                    StoreError::Refused(_) => break,
                    _ if tries >= FORGET_TRIES_MAX => return,
                    _ => tokio::time::sleep(FORGET_AGAIN).await,
                }
            }
        }
    }
}

/// The store refuses the group: whoever it is about, the others get their lanes.
async fn claim_singly(shared: &Shared, partition: Partition, wants: &[Want]) -> Vec<Claim> {
    let mut claims = Vec::with_capacity(wants.len());
    for want in wants {
        let alone = shared.tools.store.claim(partition, std::slice::from_ref(want)).await;
        if let Err(StoreError::Refused(detail)) = &alone {
            tracing::error!(lane = %want.lane, detail, "the store refuses a claim; the lane stands still");
        }
        claims.push(alone.ok().and_then(|mut claims| claims.pop()).unwrap_or(Claim::Taken));
    }
    claims
}

/// What was leased.
pub fn leases(claims: &[Claim]) -> Vec<(LaneId, Token)> {
    let leased = claims.iter().filter_map(|claim| match claim {
        Claim::Leased(lease) => Some((lease.lane.clone(), lease.token)),
        Claim::Held | Claim::Taken => None,
    });
    leased.collect()
}

/// Puts back what was leased and will not be used.
pub async fn give_back(shared: Arc<Shared>, leases: Vec<(LaneId, Token)>) {
    for (lane, token) in leases {
        let partition = Partition::of(&lane.workspace, shared.partitions);
        // Should this be lost, the lease's end brings the lane back.
        let _ = shared.tools.store.give_back(partition, &lane, token).await;
    }
}
