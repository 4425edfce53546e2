//! What an event must have reached before it counts as stored (contract, section 1, `RECADERO_DURABILITY`).

use std::time::Duration;

use futures_util::future::try_join_all;
use redis::Value;

use super::connect::{ANSWER_LIMIT, Link};
use super::failures::failure;
use super::reply::number;
use super::server;
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

/// How an intake makes sure of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// `appendfsync always` has it on the disk before Redis answers, as long as nobody changes that.
    Synced,
    /// Redis says when it is there.
    Told(Place),
}

/// Where Redis is asked to have it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// `WAITAOF 1 0`
    OwnDisk,
    /// `WAITAOF 0 1`
    ReplicasDisk,
    /// `WAIT 1`
    Replica,
}

impl Wait {
    /// Waits until all that was written before on this connection to the nodes of these keys is durable.
    ///
    /// It writes to each first: a group of duplicates writes nothing, and without a write of the connection's own Redis
    /// would answer at once. Then it waits for all side by side: nodes sync at the same time, and one that has is asked
    /// again for nothing.
    pub async fn persist(self, link: &Link, fences: &[String]) -> Result<()> {
        let place = match self {
            Self::Told(place) => place,
            Self::Synced if server::syncs_always(&mut link.clone()).await? => return Ok(()),
            Self::Synced => return Err(StoreError::NotDurable("appendfsync is not always any more".to_owned())),
        };
        let fences = if link.is_one_server() { &fences[..fences.len().min(1)] } else { fences };
        try_join_all(fences.iter().map(|fence| write(link.clone(), fence))).await?;
        try_join_all(fences.iter().map(|fence| place.reached(link.clone(), fence))).await.map(drop)
    }
}

impl Place {
    async fn reached(self, mut link: Link, fence: &str) -> Result<()> {
        let (name, copies, nth, said): (_, &[u32], _, _) = match self {
            Self::OwnDisk => ("WAITAOF", &[1, 0], 0, "on the disk"),
            Self::ReplicasDisk => ("WAITAOF", &[0, 1], 1, "on a replica's disk"),
            Self::Replica => ("WAIT", &[1], 0, "on a replica"),
        };
        let mut wait = redis::cmd(name);
        wait.arg(copies).arg(WAIT_LIMIT.as_millis().to_string());
        let answer = link.send_to(fence, wait).await.map_err(|error| match error.code() {
            // It cannot say: it has no append-only file any more, for instance.
            Some("ERR") => StoreError::NotDurable(error.to_string()),
            _ => failure(error),
        })?;
        let have = match answer {
            Value::Array(counts) => counts.into_iter().nth(nth).map_or(Ok(0), number)?,
            count => number(count)?,
        };
        let late = || StoreError::NotDurable(format!("what was written is not {said} yet"));
        (have >= 1).then_some(()).ok_or_else(late)
    }
}

async fn write(mut link: Link, fence: &str) -> Result<()> {
    let mut write = redis::cmd("INCR");
    write.arg(fence);
    link.send(&write).await.map_err(failure).map(drop)
}
