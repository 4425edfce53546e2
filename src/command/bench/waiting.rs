//! Events that wait in other lanes while it is measured: a backlog that nothing is delivered of.
//!
//! They belong to disabled endpoints of the very workspaces that are measured, so that they stand in the same partitions,
//! and go into the store directly: through RabbitMQ a million of them would take longer than everything else.

use std::net::SocketAddr;

use anyhow::ensure;

use super::plan::Plan;
use super::service::configuration;
use crate::decide::ids::{EndpointId, EventId, EventType, LaneId, Partition};
use crate::store::lanes::{Append, Offer, Taken};
use crate::store::redis::RedisStore;
use crate::store::{Lanes, Records};

/// Lanes that they wait in, one for each endpoint.
const LANES: u64 = 100;

/// Events appended together.
const TOGETHER: u64 = 256;

/// Appends so many to the endpoints that it sets up for them.
pub async fn fill(
    store: &RedisStore,
    plan: Plan,
    events: u64,
    receivers: SocketAddr,
    now_ms: u64,
    partitions: u16,
) -> anyhow::Result<()> {
    if events == 0 {
        return Ok(());
    }
    let intake = store.intake().await?;
    for number in 0..LANES {
        let workspace = plan.workspace(number % plan.workspaces());
        let endpoint = EndpointId::trusted(format!("ep_waiting{number}"));
        let event_type = EventType::trusted("bench.waiting");
        let config = configuration(receivers, number, event_type.clone(), 1, now_ms);
        store.put_endpoint(&workspace, &endpoint, &config).await?;
        ensure!(store.disable(&workspace, &endpoint).await?, "{endpoint} is not there");
        let routing_version = store.routing(&workspace).await?.version;
        let lane = LaneId { workspace: workspace.clone(), endpoint, layout: 1, index: 0 };
        let partition = Partition::of(&workspace, partitions);
        let event = |number: u64| Append {
            workspace: workspace.clone(),
            id: EventId::trusted(format!("waiting-{number}")),
            event_type: event_type.clone(),
            contact: None,
            traceparent: None,
            body: plan.event(number).body,
            routing_version,
            lanes: vec![lane.clone()],
        };
        let numbers: Vec<_> = (number..events).step_by(usize::try_from(LANES)?).collect();
        for numbers in numbers.chunks(usize::try_from(TOGETHER)?) {
            let group: Vec<_> = numbers.iter().copied().map(event).collect();
            let done = intake.append(partition, &group, Offer::NONE).await?;
            ensure!(done.taken.len() == group.len() && done.taken.iter().all(|taken| *taken == Taken::Stored));
        }
    }
    Ok(())
}
