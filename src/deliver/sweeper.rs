//! Upkeep of the partitions that this process looks after: the figures for the gauges, and the sweep.
//!
//! The figures are counters, read every round. The sweep visits endpoints one by one, so it is paced: a round spends at
//! most `SWEEP_SPENDS_MAX` on it and the next goes on from there. A few endpoints are swept every round; a hundred
//! thousand in some minutes, which is soon enough for limits that are hours.
//!
//! On its way the sweep learns which endpoints nothing goes to. When the store is short of memory, these make room, the
//! largest first ([`decide::relief`](crate::decide::relief)), and the sweep spends more to find them all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Tools;
use super::members::Members;
use super::scheduler::Waker;
use crate::decide::ids::{EndpointId, Partition};
use crate::decide::notice::DropReason;
use crate::decide::relief::{Burden, Burdens, Pressure, to_free};
use crate::observe::signal::Signal;
use crate::store::Result;
use crate::store::lanes::Memory;
use crate::store::records::EndpointStatus;

/// The pause between two rounds.
const ROUND_EVERY: Duration = Duration::from_secs(2);

/// How much of a round the sweep may take; its last step may take longer.
const SWEEP_SPENDS_MAX: Duration = Duration::from_millis(20);

/// The same two while the store is short of memory: what is freed in a round is soon taken again.
const ROUND_EVERY_SHORT: Duration = Duration::from_millis(500);
const SWEEP_SPENDS_SHORT: Duration = Duration::from_millis(100);

/// Steps of relief in a round; each takes a bounded number of events away.
const RELIEF_STEPS_MAX: usize = 64;

/// Sweeps until `stop`.
pub async fn run(partitions: u16, tools: Tools, members: Arc<Members>, waker: Waker, stop: CancellationToken) {
    let mut sweeper = Sweeper {
        tools,
        waker,
        at: (Partition(0), None),
        oldest: BTreeMap::new(),
        burdens: Burdens::default(),
        pressure: Pressure::default(),
        shed: None,
    };
    loop {
        let pause = if sweeper.pressure.is_short() { ROUND_EVERY_SHORT } else { ROUND_EVERY };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let mine = (0..partitions).map(Partition).filter(|partition| members.is_mine(*partition)).collect::<Vec<_>>();
        sweeper.oldest.retain(|partition, _| mine.contains(partition));
        // A store that is away says so elsewhere; a round that it cuts short shows no figures, since they would be wrong.
        let _ = sweeper.round(&mine, partitions, &stop).await;
    }
}

struct Sweeper {
    tools: Tools,
    waker: Waker,
    /// Where the next step goes on.
    at: (Partition, Option<u64>),
    /// When the oldest waiting events of a partition came, as of its last complete sweep; and the same of the sweep under
    /// way.
    oldest: BTreeMap<Partition, (Oldest, Oldest)>,
    /// Endpoints that can make room.
    burdens: Burdens,
    pressure: Pressure,
    /// Drops and warnings that were not told, as of the last round.
    shed: Option<u64>,
}

/// When an event came that no other one waits longer than (boot time).
#[derive(Clone, Copy, Default)]
struct Oldest {
    of_all: Option<Duration>,
    /// Of those whose endpoint is enabled.
    of_enabled: Option<Duration>,
}

impl Oldest {
    fn or_older(self, other: Self) -> Self {
        let older = |one: Option<Duration>, other| [one, other].into_iter().flatten().min();
        Self { of_all: older(self.of_all, other.of_all), of_enabled: older(self.of_enabled, other.of_enabled) }
    }
}

impl Sweeper {
    async fn round(&mut self, mine: &[Partition], partitions: u16, stop: &CancellationToken) -> Result<()> {
        self.sweep(mine, stop).await?;
        let memory = self.tools.store.memory().await?;
        if self.pressure.rises(memory.fullest) {
            let (used, max) = memory.fullest;
            tracing::warn!(used, max, "the store is short of memory: endpoints that nothing goes to make room");
        }
        // Others free their share; together no more than has to go.
        let share = u64::try_from(mine.len()).unwrap_or(u64::MAX);
        let bytes = to_free(memory.fullest).saturating_mul(share) / u64::from(partitions.max(1));
        self.relieve(bytes, stop).await?;
        self.show(mine, memory).await
    }

    /// The largest burdens lose their oldest events until so many bytes have gone.
    async fn relieve(&mut self, mut bytes: u64, stop: &CancellationToken) -> Result<()> {
        let mut dropped = BTreeMap::<EndpointId, u64>::new();
        for _ in 0..RELIEF_STEPS_MAX {
            let Some(burden) = self.burdens.largest().filter(|_| bytes > 0 && !stop.is_cancelled()).cloned() else {
                break;
            };
            let relieved = self.tools.store.relieve(&burden, bytes).await?;
            bytes = bytes.saturating_sub(relieved.freed_bytes);
            *dropped.entry(burden.endpoint.clone()).or_default() += relieved.dropped;
            if !relieved.ready.is_empty() {
                self.waker.wake(relieved.ready);
            }
            let left = if relieved.freed_bytes == 0 { 0 } else { burden.bytes.saturating_sub(relieved.freed_bytes) };
            self.burdens.note(Burden { bytes: left, ..burden });
        }
        let reason = DropReason::BacklogBytes;
        for (endpoint, count) in dropped.into_iter().filter(|(_, count)| *count > 0) {
            self.tools.signals.emit(&Signal::Dropped { reason, count, endpoint: Some(&endpoint) });
        }
        Ok(())
    }

    async fn sweep(&mut self, mine: &[Partition], stop: &CancellationToken) -> Result<()> {
        let clock = self.tools.clock.clone();
        let begun = clock.boot();
        let spends_max = if self.pressure.is_short() { SWEEP_SPENDS_SHORT } else { SWEEP_SPENDS_MAX };
        for _ in mine {
            let (last, from) = self.at;
            // Where it was, or the next one that is still this process's, or around again.
            let next = mine.iter().find(|partition| **partition >= last).or(mine.first());
            let Some(partition) = next.copied() else { return Ok(()) };
            let mut from = from.filter(|_| partition == last);
            loop {
                if stop.is_cancelled() || clock.boot().saturating_sub(begun) > spends_max {
                    self.at = (partition, from);
                    return Ok(());
                }
                from = self.step(partition, from).await?;
                if from.is_none() {
                    break;
                }
            }
            self.at = (Partition(partition.0.wrapping_add(1)), None);
        }
        Ok(())
    }

    async fn step(&mut self, partition: Partition, from: Option<u64>) -> Result<Option<u64>> {
        let swept = self.tools.store.sweep(partition, from).await?;
        for (reason, count) in &swept.dropped {
            self.tools.signals.emit(&Signal::Dropped { reason: *reason, count: *count, endpoint: None });
        }
        if !swept.ready.is_empty() {
            self.waker.wake(swept.ready);
        }
        swept.burdens.into_iter().for_each(|burden| self.burdens.note(burden));
        let now = self.tools.clock.boot();
        let came = |age_ms: u64| (age_ms > 0).then(|| now.saturating_sub(Duration::from_millis(age_ms)));
        let met = Oldest { of_all: came(swept.oldest_ms), of_enabled: came(swept.oldest_enabled_ms) };
        let (complete, under_way) = self.oldest.entry(partition).or_default();
        *under_way = under_way.or_older(met);
        if swept.next.is_none() {
            *complete = std::mem::take(under_way);
        }
        Ok(swept.next)
    }

    async fn show(&mut self, mine: &[Partition], memory: Memory) -> Result<()> {
        let (mut backlog_events, mut shed) = (0, 0);
        let mut endpoints: BTreeMap<EndpointStatus, u64> = BTreeMap::new();
        for partition in mine {
            let figures = self.tools.store.figures(*partition).await?;
            backlog_events += figures.backlog_events;
            shed += figures.shed;
            for (status, count) in figures.endpoints {
                *endpoints.entry(status).or_default() += count;
            }
        }
        if shed > self.shed.replace(shed).unwrap_or(shed) {
            tracing::warn!(shed, "the outbox is full: drops and warnings are counted and not told");
        }
        let oldest = self.oldest.values().fold(Oldest::default(), |oldest, (complete, _)| oldest.or_older(*complete));
        let now = self.tools.clock.boot();
        let age = |came: Option<Duration>| {
            came.filter(|_| backlog_events > 0).map(|came| now.saturating_sub(came)).unwrap_or_default()
        };
        let (oldest, oldest_enabled) = (age(oldest.of_all), age(oldest.of_enabled));
        let signals = &self.tools.signals;
        signals.emit(&Signal::Backlog { events: backlog_events, oldest, oldest_enabled });
        for status in [EndpointStatus::Enabled, EndpointStatus::Disabled, EndpointStatus::Paused] {
            let count = endpoints.get(&status).copied().unwrap_or(0);
            signals.emit(&Signal::Endpoints { status, count });
        }
        signals.emit(&Signal::Memory { used: memory.used, max: memory.max });
        Ok(())
    }
}
