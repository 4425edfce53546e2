//! The way in: appends over a connection of their own, and waiting until they are durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use redis::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::connect::{Call, Link};
use super::failures::failure;
use super::keys::{Frame, Keys, Scope};
use super::packed::Packed;
use super::reply::{damaged, exactly, index, list, number, strange, text};
use super::upkeep::Trimmed;
use super::{RedisStore, entry, scripts, server};
use crate::decide::ids::{EndpointId, Partition, WorkspaceId};
use crate::decide::route::Routing;
use crate::store::lanes::{Append, Appended, Granted, Intake, Offer, Taken};
use crate::store::{Result, StoreError};

/// Events that one call appends at most; a larger group takes several.
const EVENTS_PER_CALL: usize = 256;
/// Places in lanes that one call fills at most, unless a single event has more.
const PLACES_PER_CALL: usize = 1024;
/// How often an intake looks whether the server still keeps what it holds.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Bytes of an id's digest that are remembered.
const DIGEST_BYTES: usize = 16;
/// What is remembered of an event's id.
type Remembered = [u8; DIGEST_BYTES];

/// See [`crate::store::Lanes::intake`].
pub(super) struct RedisIntake {
    store: RedisStore,
    /// Ends with the first error. Cloned for each call, so that calls for several partitions are pipelined.
    link: Mutex<Option<Link>>,
    /// Partitions appended to since the last time everything was durable, and what was taken there.
    touched: Mutex<BTreeMap<Partition, Vec<Remembered>>>,
    /// When the server was looked at last, on the boot clock.
    looked: Mutex<Duration>,
}

impl RedisIntake {
    /// Opens it on a server that is set as it must be.
    pub async fn open(store: RedisStore, mut link: Link) -> Result<Self> {
        // While it loads its data, a server answers what it is asked about itself alone.
        link.send(&redis::cmd("PING")).await.map_err(failure)?;
        look(&mut link, &store.keys).await?;
        let looked = Mutex::new(store.clock.boot());
        Ok(Self { store, link: Mutex::new(Some(link)), touched: Mutex::default(), looked })
    }

    /// Looks at the server now and then: somebody may have set it otherwise.
    async fn look_again(&self) -> Result<()> {
        let now = self.store.clock.boot();
        let mut looked = self.looked.lock().await;
        if now.saturating_sub(*looked) >= LOOK_EVERY {
            *looked = now;
            let mut link = self.link().await?;
            self.ends_with(look(&mut link, &self.store.keys).await).await?;
        }
        Ok(())
    }

    async fn link(&self) -> Result<Link> {
        let ended = || StoreError::Unavailable("this intake has ended with an earlier error".to_owned());
        self.link.lock().await.clone().ok_or_else(ended)
    }

    /// Runs a call on the intake's own connection; any error ends the intake.
    async fn run(&self, operation: &'static str, call: &Call) -> Result<Value> {
        let mut link = self.link().await?;
        self.ends_with(self.store.timed(operation, call.on(&mut link)).await).await
    }

    /// Any error ends the intake.
    async fn ends_with<T>(&self, answer: Result<T>) -> Result<T> {
        if answer.is_err() {
            *self.link.lock().await = None;
        }
        answer
    }

    async fn append_group(
        &self,
        partition: Partition,
        items: &[Append],
        offer: Offer,
        done: &mut Appended,
    ) -> Result<()> {
        let store = &self.store;
        let mut frame = Frame::of(Scope::APPEND, &store.keys, partition);
        for item in items {
            frame.workspace(&item.workspace);
            item.lanes.iter().for_each(|lane| {
                frame.lane(lane);
            });
        }
        let mut call = store.call(&scripts::APPEND, &frame);
        let mut packed = Packed::new();
        packed.count(offer.places.saturating_sub(done.granted.len())).count(items.len());
        for item in items {
            packed.count(frame.workspace(&item.workspace)).u64(item.routing_version);
            packed.count(item.body.len()).count(item.lanes.len());
            for lane in &item.lanes {
                packed.count(frame.lane(lane));
            }
        }
        call.arg(offer.token.to_string()).arg(packed);
        for item in items {
            call.arg(digest(item).to_vec());
        }
        for item in items {
            match item.lanes.len() {
                0 => {}
                1 => drop(call.arg(entry::tail(item))),
                _ => drop(call.arg(entry::head(item)).arg(item.body.clone())),
            }
        }
        let [taken, ready, over, stale, granted, now_ms] = exactly(self.run("append", &call).await?)?;
        let taken = text(taken)?;
        if store.wait.is_some() {
            let mut touched = self.touched.lock().await;
            touched.entry(partition).or_default().extend(items.iter().take(taken.len()).map(digest));
        }
        for letter in taken.chars() {
            done.taken.push(match letter {
                's' => Taken::Stored,
                'd' => Taken::Duplicate,
                'u' => Taken::Unmatched,
                _ => return Err(damaged("an answer")),
            });
        }
        for lane in list(ready)? {
            done.ready.extend(frame.lane_at(index(lane)?).cloned());
        }
        let now_ms = number(now_ms)?;
        for words in list(granted)? {
            let [lane, item, seq, generation, version] = exactly(words)?;
            let (lane, item) = (frame.lane_at(index(lane)?), items.get(index(item)?));
            let (Some(lane), Some(item)) = (lane, item) else { return Err(damaged("an answer")) };
            done.granted.push(Granted {
                lane: lane.clone(),
                token: offer.token,
                seq: number(seq)?,
                generation: number(generation)?,
                config_version: number(version)?,
                event: Arc::new(item.waiting(now_ms)),
            });
        }
        for endpoint in list(over)? {
            if let Some((workspace, endpoint)) = frame.endpoint_at(index(endpoint)?) {
                self.trim(partition, workspace, endpoint, done).await?;
            }
        }
        done.dropped.sort_by_key(|(reason, _)| *reason);
        let stale = list(stale)?;
        if !stale.is_empty() {
            let [workspace, routing] = exactly(Value::Array(stale))?;
            let workspace = frame.workspace_at(index(workspace)?).ok_or_else(|| strange(&Value::Nil))?;
            done.stale = Some((workspace.clone(), read_routing(&text(routing)?)?));
        }
        Ok(())
    }

    /// Takes an endpoint back to its limits. Its events are in: where the store refuses this, whoever published them is
    /// not to blame, and the next append tries again.
    async fn trim(
        &self,
        partition: Partition,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        done: &mut Appended,
    ) -> Result<()> {
        let mut link = self.link().await?;
        let mut trimmed = Trimmed::default();
        match self.store.trim(&mut link, partition, workspace, endpoint, &mut trimmed).await {
            Err(StoreError::Refused(reason)) => {
                tracing::warn!(%workspace, %endpoint, reason, "an endpoint cannot be taken back to its limits");
            }
            answer => self.ends_with(answer).await?,
        }
        done.ready.retain(|lane| !trimmed.emptied.contains(lane));
        done.ready.extend(trimmed.ready);
        for (reason, count) in trimmed.dropped {
            match done.dropped.iter_mut().find(|(present, _)| *present == reason) {
                Some((_, present)) => *present += count,
                None => done.dropped.push((reason, count)),
            }
        }
        Ok(())
    }

    /// Looks whether what was waited for is there. A Cluster's primary may have handed over meanwhile, to a replica that
    /// lacked it, and have it back: all that over connections that never broke.
    async fn still_known(&self, link: &Link, touched: &BTreeMap<Partition, Vec<Remembered>>) -> Result<()> {
        let missing = touched.iter().filter(|(_, ids)| !ids.is_empty()).map(async |(partition, ids)| {
            let arguments = ids.iter().map(|id| Bytes::copy_from_slice(id)).collect();
            let call = Call { script: &scripts::KNOWN, keys: self.store.keys.seen(*partition).collect(), arguments };
            number(call.on(&mut link.clone()).await?)
        });
        match try_join_all(missing).await?.iter().sum() {
            0 => Ok(()),
            lost => Err(StoreError::NotDurable(format!("another primary took over, and lacks {lost} events"))),
        }
    }
}

/// A workspace's routing; the empty text stands for one never set, whose version is 1.
pub(super) fn read_routing(text: &str) -> Result<Routing> {
    match text {
        "" => Ok(Routing { version: 1, ..Routing::default() }),
        text => serde_json::from_str(text).map_err(|_| damaged("a routing")),
    }
}

/// Whoever set the server otherwise can set it back: the events wait meanwhile.
async fn look(link: &mut Link, keys: &Keys) -> Result<()> {
    server::check_eviction(link).await.map_err(|error| match error {
        StoreError::Refused(reason) => StoreError::Unavailable(reason),
        error => error,
    })?;
    if let Err(error) = server::renew_log(link, keys.life()).await {
        tracing::debug!(%error, "the server's log is not written anew yet"); // Events are taken all the same.
    }
    Ok(())
}

fn digest(item: &Append) -> Remembered {
    let hash = Sha256::new().chain_update(item.workspace.as_str()).chain_update([0]).chain_update(item.id.as_str());
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&hash.finalize()[..DIGEST_BYTES]);
    digest
}

/// Groups that one call can take.
fn groups(items: &[Append]) -> Vec<&[Append]> {
    let mut groups = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let mut places = 0;
        let fits = |item: &&Append| {
            places += item.lanes.len();
            places <= PLACES_PER_CALL
        };
        let fitting = rest.iter().take(EVENTS_PER_CALL).take_while(fits).count().max(1);
        let (group, others) = rest.split_at(fitting);
        groups.push(group);
        rest = others;
    }
    groups
}

#[async_trait]
impl Intake for RedisIntake {
    async fn append(&self, partition: Partition, items: &[Append], offer: Offer) -> Result<Appended> {
        self.look_again().await?;
        self.touched.lock().await.entry(partition).or_default();
        let mut done = Appended::default();
        for group in groups(items) {
            self.append_group(partition, group, offer, &mut done).await?;
            if done.stale.is_some() {
                break;
            }
        }
        Ok(done)
    }

    async fn persist(&self) -> Result<()> {
        let Some(wait) = self.store.wait.as_ref() else { return Ok(()) };
        let touched = std::mem::take(&mut *self.touched.lock().await);
        let fences: Vec<String> = touched.keys().map(|partition| self.store.keys.fence(*partition)).collect();
        let link = self.link().await?;
        let persisted = async {
            wait.persist(&link, &fences).await?;
            if link.is_one_server() { Ok(()) } else { self.still_known(&link, &touched).await }
        };
        self.ends_with(self.store.timed("persist", persisted).await).await
    }
}
