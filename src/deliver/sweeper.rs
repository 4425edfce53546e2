//! Upkeep of the partitions that this process looks after: limits, repairs, and the figures for the gauges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Tools;
use super::members::Members;
use super::scheduler::Waker;
use crate::decide::ids::Partition;
use crate::observe::signal::Signal;
use crate::store::records::EndpointStatus;

/// The pause between two rounds over the partitions.
const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// Most steps for one partition in a round; what is left is done in the next.
const STEPS_PER_ROUND_MAX: usize = 64;

/// Sweeps until `stop`.
pub async fn run(partitions: u16, tools: Tools, members: Arc<Members>, waker: Waker, stop: CancellationToken) {
    let mut from = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
        let mine = (0..partitions).map(Partition).filter(|partition| members.is_mine(*partition)).collect::<Vec<_>>();
        round(&mine, &tools, &waker, &mut from, &stop).await;
    }
}

/// One round. A round that the store or `stop` cuts short shows no figures, since they would be wrong.
async fn round(
    mine: &[Partition],
    tools: &Tools,
    waker: &Waker,
    from: &mut BTreeMap<Partition, u64>,
    stop: &CancellationToken,
) {
    let mut backlog_events = 0;
    let mut oldest_ms = 0;
    let mut endpoints: BTreeMap<EndpointStatus, u64> = BTreeMap::new();
    for partition in mine {
        for _ in 0..STEPS_PER_ROUND_MAX {
            if stop.is_cancelled() {
                return;
            }
            let Ok(swept) = tools.store.sweep(*partition, from.get(partition).copied()).await else { return };
            for (reason, count) in &swept.dropped {
                tools.signals.emit(&Signal::Dropped { reason: *reason, count: *count, endpoint: None });
            }
            if !swept.ready.is_empty() {
                waker.wake(swept.ready);
            }
            oldest_ms = oldest_ms.max(swept.oldest_ms);
            if let Some(next) = swept.next {
                from.insert(*partition, next);
                continue;
            }
            from.remove(partition);
            backlog_events += swept.backlog_events;
            for (status, count) in swept.endpoints {
                *endpoints.entry(status).or_insert(0) += count;
            }
            break;
        }
    }
    tools.signals.emit(&Signal::Backlog { events: backlog_events, oldest: Duration::from_millis(oldest_ms) });
    for status in [EndpointStatus::Enabled, EndpointStatus::Disabled, EndpointStatus::Paused] {
        let count = endpoints.get(&status).copied().unwrap_or(0);
        tools.signals.emit(&Signal::Endpoints { status, count });
    }
    if let Ok(memory) = tools.store.memory().await {
        tools.signals.emit(&Signal::Memory { used: memory.used, max: memory.max });
    }
}
