//! What an event must have reached before it counts as stored (contract, section 1, `RECADERO_DURABILITY`).

use std::time::Duration;

use redis::Value;

use super::connect::{ANSWER_LIMIT, Link, failure};
use super::reply::{list, number};
use crate::store::{Result, StoreError};

/// How long is waited for a disk or a replica; below the limit for any answer.
const WAIT_LIMIT: Duration = Duration::from_secs(4);
const _: () = assert!(WAIT_LIMIT.as_millis() < ANSWER_LIMIT.as_millis());

/// What an event must have reached before RabbitMQ's copy is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Redis answered.
    Memory,
    /// It is on the disk.
    Disk,
    /// It is on one replica.
    Replica,
}

/// How an intake waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// `WAITAOF 1 0`
    OwnDisk,
    /// `WAITAOF 0 1`
    ReplicaDisk,
    /// `WAIT 1`
    Replica,
}

impl Wait {
    /// Waits until all that was written before on this connection is durable. It writes first itself: a group of
    /// duplicates writes nothing, and without a write of the connection's own Redis would answer at once.
    pub async fn persist(self, link: &mut Link, fence: &str) -> Result<()> {
        let mut write = redis::cmd("INCR");
        write.arg(fence);
        link.send(&write).await.map_err(failure)?;
        let limit_ms = WAIT_LIMIT.as_millis().to_string();
        let mut wait = redis::cmd(if matches!(self, Self::Replica) { "WAIT" } else { "WAITAOF" });
        match self {
            Self::OwnDisk => wait.arg(1).arg(0),
            Self::ReplicaDisk => wait.arg(0).arg(1),
            Self::Replica => wait.arg(1),
        };
        wait.arg(limit_ms);
        let answer = link.send_to(fence, wait).await.map_err(failure)?;
        let reached = match self {
            Self::Replica => number(answer)? >= 1,
            Self::OwnDisk => nth(answer, 0)? >= 1,
            Self::ReplicaDisk => nth(answer, 1)? >= 1,
        };
        let late = || StoreError::Unavailable(format!("what was written is not {} yet", self.place()));
        reached.then_some(()).ok_or_else(late)
    }

    fn place(self) -> &'static str {
        match self {
            Self::OwnDisk => "on the disk",
            Self::ReplicaDisk | Self::Replica => "on a replica",
        }
    }
}

fn nth(answer: Value, place: usize) -> Result<u64> {
    list(answer)?.into_iter().nth(place).map_or(Ok(0), number)
}
