//! Opening the store: what it is told, and what it refuses to work with.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::connect::{Link, Links, Source};
use super::durability::{Durability, Place, Wait};
use super::failures::refusal;
use super::keys::Keys;
use super::packed::Packed;
use super::reply::{exactly, list, number, text};
use super::{RedisStore, server};
use crate::clock::Clock;
use crate::decide::policy::{Policy, QuotaScope};
use crate::observe::signal::Signals;
use crate::store::lanes::{LEASE_MARGIN, LEASE_RENEWAL};
use crate::store::outbox::OUTBOX_ENTRIES_MAX;
use crate::store::{Result, StoreError};

/// The version of the data's form; a store that holds a higher one is refused.
const SCHEMA: u64 = 1;
/// Buckets of a dedupe window: an id is remembered in the one it was taken in and so many that follow.
const SEEN_BUCKETS: u32 = 4;
/// Keys that one step of erasing looks at.
const SCAN_STEP: usize = 1_000;

/// What the store is told when it is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// `redis://…`, `rediss://…`, or several of a Cluster's nodes separated by commas.
    pub url: String,
    /// The first part of every key.
    pub prefix: String,
    /// How many partitions the keys are spread over; fixed when the store is first used.
    pub partitions: u16,
    /// What an event must have reached before it counts as stored.
    pub durability: Durability,
    /// The rules.
    pub policy: Policy,
}

impl RedisStore {
    /// Connects and checks that this Redis can keep what is promised.
    ///
    /// # Errors
    /// `Refused`, with one line that names the reason, for what must be changed by somebody; `Unavailable` when it may
    /// be tried again.
    pub async fn open(options: Options, signals: Signals) -> Result<Self> {
        Self::open_by(options, signals, None).await
    }

    /// As [`RedisStore::open`], with a time given to the scripts instead of the server's.
    #[cfg(feature = "testing")]
    pub async fn open_at(options: Options, signals: Signals, time: Clock) -> Result<Self> {
        Self::open_by(options, signals, Some(time)).await
    }

    async fn open_by(options: Options, signals: Signals, given_time: Option<Clock>) -> Result<Self> {
        let source = Source::parse(&options.url).map_err(|error| StoreError::Refused(error.to_string()))?;
        let keys = Keys::new(&options.prefix);
        let mut link = source.connect_first().await?;
        server::check_eviction(&mut link).await?;
        if server::memory(&mut link).await?.is_none() {
            tracing::warn!("the store does not let its memory be read: nothing will warn before it is full");
        }
        check_schema(&mut link, &keys, options.partitions).await?;
        let wait = choose_wait(&mut link, options.durability).await?;
        Ok(Self {
            keys,
            links: Links::new(source),
            policy_arguments: policy_arguments(&options.policy),
            policy: Arc::new(options.policy),
            partitions: options.partitions,
            wait,
            clock: Clock::system(),
            given_time,
            signals,
        })
    }
}

impl RedisStore {
    /// Deletes everything below the prefix, whoever uses it: what a measurement leaves behind. On a single server.
    pub async fn erase(self) -> Result<()> {
        let mut cursor = 0;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(self.keys.all()).arg("COUNT").arg(SCAN_STEP);
            let [next, found] = exactly(self.send("erase", &scan).await?)?;
            let found = list(found)?;
            if !found.is_empty() {
                let mut unlink = redis::cmd("UNLINK");
                for key in found {
                    unlink.arg(text(key)?);
                }
                self.send("erase", &unlink).await?;
            }
            cursor = text(next)?.parse().unwrap_or(0);
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

/// The policy, in the order in which `lua/lib.lua` reads it, and the entitled plans.
fn policy_arguments(policy: &Policy) -> [Bytes; 2] {
    let limits = &policy.limits;
    let scope = match policy.quota.scope {
        QuotaScope::Workspace => "workspace",
        QuotaScope::Endpoint => "endpoint",
    };
    let mut packed = Packed::new();
    packed
        .ms(policy.timeout + LEASE_MARGIN)
        .ms(LEASE_RENEWAL)
        .ms(policy.quota.window)
        .u64(policy.quota.limit.into())
        .u64(limits.backlog_events)
        .u64(limits.backlog_bytes)
        .ms(limits.backlog_age)
        .u64(limits.dropped_events)
        .ms(limits.dropped_retention)
        .u64(limits.log_attempts)
        .ms(limits.log_age)
        .u64(limits.log_payloads)
        .ms((limits.dedupe_window / SEEN_BUCKETS).max(Duration::from_millis(1)))
        .u64(OUTBOX_ENTRIES_MAX as u64)
        .text(scope)
        .text(&policy.plans.default);
    let plans = policy.plans.entitled.iter().fold("\0".to_owned(), |plans, plan| plans + plan + "\0");
    [packed.into(), plans.into()]
}

/// Checks the schema and the number of partitions, or sets them on first use.
async fn check_schema(link: &mut Link, keys: &Keys, partitions: u16) -> Result<()> {
    for (field, ours) in [("schema", SCHEMA), ("partitions", u64::from(partitions))] {
        let stored = match meta(link, keys, field).await? {
            Some(stored) => stored,
            None => {
                // Two processes may begin at once: whoever comes second reads what the first has set.
                let mut set = redis::cmd("HSETNX");
                set.arg(keys.meta()).arg(field).arg(ours);
                link.send(&set).await.map_err(refusal)?;
                meta(link, keys, field).await?.unwrap_or(ours)
            }
        };
        if field == "schema" && stored > ours {
            return Err(StoreError::Refused(format!(
                "the store's data is of version {stored}, and this release knows {ours}; use a newer one"
            )));
        }
        if field == "partitions" && stored != ours {
            return Err(StoreError::Refused(format!(
                "the store has {stored} partitions, not {ours}; RECADERO_PARTITIONS is fixed when it is first used"
            )));
        }
    }
    Ok(())
}

async fn meta(link: &mut Link, keys: &Keys, field: &str) -> Result<Option<u64>> {
    let mut get = redis::cmd("HGET");
    get.arg(keys.meta()).arg(field);
    match link.send(&get).await.map_err(refusal)? {
        Value::Nil => Ok(None),
        stored => number(stored).map(Some),
    }
}

/// How to wait for the durability asked for, on this server.
async fn choose_wait(link: &mut Link, durability: Durability) -> Result<Option<Wait>> {
    if durability == Durability::Memory {
        return Ok(None);
    }
    let appendonly = server::setting(link, "appendonly").await?;
    let may_have_log = appendonly.as_ref().is_none_or(|values| values.iter().all(|value| value == "yes"));
    let has_waitaof = may_have_log && server::knows(link, "WAITAOF").await?;
    match durability {
        Durability::Disk if has_waitaof => Ok(Some(Wait::Told(Place::OwnDisk))),
        Durability::Disk if server::syncs_always(link).await? => Ok(Some(Wait::Synced)),
        Durability::Disk => Err(StoreError::Refused(
            "RECADERO_DURABILITY=disk needs appendonly yes, and WAITAOF (Redis 7.2) or appendfsync always".to_owned(),
        )),
        _ if has_waitaof && appendonly.is_some() => Ok(Some(Wait::Told(Place::ReplicasDisk))),
        _ => Ok(Some(Wait::Told(Place::Replica))),
    }
}
