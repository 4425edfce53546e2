//! The store in Redis (or Valkey): what a running service uses.
//!
//! Each operation is one Lua script over the keys of one partition, so that it is atomic, and one round trip; see
//! [`lua/lib.lua`](../../../../src/store/redis/lua/lib.lua) for the data. `keys` spells the keys, `connect` makes the
//! connections, `reply` reads what comes back. Transactions (`MULTI`, `WATCH`) were rejected: they cannot decide on
//! what they read without a second round trip, and a lane's every step decides on what it reads.
//!
//! What is too much for one script is done in bounded steps that each leave the store whole, and that the sweep
//! repeats if the process dies in between: trimming to the limits, releasing held lanes, purging what was deleted.

mod connect;
mod durability;
mod entry;
mod failures;
mod intake;
mod keys;
mod lanes;
mod layouts;
mod members;
mod once;
mod open;
mod outbox;
mod overview;
mod packed;
mod records;
mod relief;
mod reply;
mod retrying;
mod scripts;
mod server;
mod setup;
mod upkeep;
mod views;

#[cfg(feature = "testing")]
pub use lanes::commit_bytes;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, Value};

pub use self::durability::Durability;
pub use self::open::Options;

use self::connect::{Call, Links};
use self::durability::Wait;
use self::intake::RedisIntake;
use self::keys::{Frame, Keys};
use self::scripts::Script;
use super::Result;
use super::lanes::{Claim, Commit, Committed, Due, Figures, Intake, Lanes, Memory, Pool, Relieved, Swept, Token, Want};
use crate::clock::Clock;
use crate::decide::ids::{LaneId, Partition};
use crate::decide::policy::Policy;
use crate::decide::relief::Burden;
use crate::observe::signal::{Signal, Signals};

/// The store in Redis; clones share it and its connections.
#[derive(Clone)]
pub struct RedisStore {
    keys: Keys,
    links: Links,
    policy: Arc<Policy>,
    /// The policy as scripts read it.
    policy_arguments: [Bytes; 2],
    partitions: u16,
    wait: Option<Wait>,
    /// Measures how long answers take.
    clock: Clock,
    /// A time given to the scripts instead of the server's; tests alone can set it.
    given_time: Option<Clock>,
    signals: Signals,
}

impl RedisStore {
    fn partition(&self, workspace: &crate::decide::ids::WorkspaceId) -> Partition {
        Partition::of(workspace, self.partitions)
    }

    /// The time for a script: nothing for the server's.
    fn now(&self) -> Bytes {
        self.given_time.as_ref().map_or_else(Bytes::new, |time| time.unix().as_millis().to_string().into())
    }

    /// A call of a script that begins with `lib.lua`, ready for the script's own arguments.
    fn call(&self, script: &'static Script, frame: &Frame) -> Call {
        let mut arguments = vec![self.now()];
        arguments.extend(self.policy_arguments.iter().cloned());
        arguments.push(frame.argument());
        Call { script, keys: frame.keys(), arguments }
    }

    async fn run(&self, operation: &'static str, call: &Call) -> Result<Value> {
        self.timed(operation, self.links.run(call)).await
    }

    async fn send(&self, operation: &'static str, command: &Cmd) -> Result<Value> {
        self.timed(operation, self.links.send(command)).await
    }

    async fn timed<T>(&self, operation: &'static str, asked: impl Future<Output = T>) -> T {
        let begun = self.clock.boot();
        let answer = asked.await;
        let took = self.clock.boot().saturating_sub(begun);
        self.signals.emit(&Signal::StoreOperation { operation, took });
        answer
    }
}

#[async_trait]
impl Lanes for RedisStore {
    async fn intake(&self) -> Result<Box<dyn Intake>> {
        let link = self.links.source().connect().await?;
        Ok(Box::new(RedisIntake::open(self.clone(), link).await?))
    }

    async fn due(&self, partition: Partition, pool: Pool, limit: usize) -> Result<Vec<Due>> {
        self.due_lanes(partition, pool, limit).await
    }

    async fn claim(&self, partition: Partition, wants: &[Want]) -> Result<Vec<Claim>> {
        self.claim_lanes(partition, wants).await
    }

    async fn commit(&self, partition: Partition, commits: &[Commit]) -> Result<Vec<Committed>> {
        self.commit_attempts(partition, commits).await
    }

    async fn give_back(&self, partition: Partition, lane: &LaneId, token: Token) -> Result<()> {
        self.give_lane_back(partition, lane, token).await
    }

    async fn sweep(&self, partition: Partition, from: Option<u64>) -> Result<Swept> {
        self.sweep_step(partition, from).await
    }

    async fn relieve(&self, burden: &Burden, bytes: u64) -> Result<Relieved> {
        self.relieve_endpoint(burden, bytes).await
    }

    async fn figures(&self, partition: Partition) -> Result<Figures> {
        self.part_figures(partition).await
    }

    async fn beat(&self, member: Option<&str>) -> Result<Vec<String>> {
        self.beat_member(member).await
    }

    async fn leave(&self, member: &str) -> Result<()> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.keys.members()).arg(member);
        self.send("leave", &command).await.map(drop)
    }

    async fn wake(&self, member: &str, lanes: &[LaneId]) -> Result<()> {
        self.wake_member(member, lanes).await
    }

    async fn wakes(&self, member: &str) -> Result<tokio::sync::mpsc::Receiver<Vec<LaneId>>> {
        self.listen(member).await
    }

    async fn memory(&self) -> Result<Memory> {
        self.memory_used().await
    }
}
