//! Events in: append, and the same end of a lane for resent ones.

use std::collections::BTreeSet;

use super::state::{State, Step, ms};
use crate::decide::ids::{EndpointId, EventId, LaneId, Partition, WorkspaceId};
use crate::decide::notice::DropReason;
use crate::store::lanes::{Append, Appended, Offer, Taken, Waiting};
use crate::store::records::{ResendFrom, Resent};
use crate::testing::{Bug, has};

impl State {
    pub fn append(&mut self, partition: Partition, items: &[Append], offer: Offer, now_ms: u64) -> Appended {
        let mut appended = Appended::default();
        let mut touched: BTreeSet<(WorkspaceId, EndpointId)> = BTreeSet::new();
        for item in items {
            let present = self.space(&item.workspace).map(|space| space.routing_version);
            let present = present.unwrap_or(super::state::ROUTING_VERSION_FIRST);
            let any = has(Bug::StaleRouting) && item.routing_version > 0;
            if present != item.routing_version && !any {
                appended.stale = Some((item.workspace.clone(), self.routing(&item.workspace)));
                break;
            }
            let taken = self.append_one(partition, item, offer, now_ms, &mut appended);
            appended.taken.push(taken);
            touched.extend(item.lanes.iter().map(|lane| (item.workspace.clone(), lane.endpoint.clone())));
        }
        let mut dropped = std::collections::BTreeMap::<DropReason, u64>::new();
        for (workspace, endpoint) in touched {
            let Some((space, mut step)) = self.open(partition, &workspace, now_ms) else { continue };
            let Some(endpoint) = space.endpoints.get_mut(&endpoint) else { continue };
            endpoint.enforce_limits(&mut step);
            let Step { ready, dropped: of_endpoint, .. } = step;
            appended.ready.extend(ready);
            for (reason, count) in of_endpoint {
                *dropped.entry(reason).or_default() += count;
            }
        }
        appended.dropped = dropped.into_iter().collect();
        appended.ready.retain(|lane| self.is_due(lane));
        appended
    }

    fn append_one(
        &mut self,
        partition: Partition,
        item: &Append,
        offer: Offer,
        now_ms: u64,
        appended: &mut Appended,
    ) -> Taken {
        let window_ms = ms(self.policy.limits.dedupe_window);
        let (space, mut step) = self.open_or_create(partition, &item.workspace, now_ms);
        if space.seen.is_repeat(&item.id, now_ms, window_ms) && !has(Bug::DedupeForgotten) {
            return Taken::Duplicate;
        }
        let entitled = space.is_entitled(&step.policy.plans);
        for lane in &item.lanes {
            let Some(endpoint) = space.endpoints.get_mut(&lane.endpoint) else { continue };
            let ready = step.ready.len();
            endpoint.push((lane.layout, lane.index), item.waiting(now_ms), &mut step);
            if step.ready.len() > ready && appended.granted.len() < offer.places {
                appended.granted.extend(endpoint.grant((lane.layout, lane.index), offer.token, entitled, &mut step));
            }
        }
        appended.ready.extend(step.ready);
        if item.lanes.is_empty() { Taken::Unmatched } else { Taken::Stored }
    }

    /// Whether a lane that became ready was not emptied by the limits in the same step.
    fn is_due(&self, lane: &LaneId) -> bool {
        let endpoint = self.endpoint_state(&lane.workspace, &lane.endpoint);
        let lane = endpoint.and_then(|endpoint| endpoint.lanes.get(&(lane.layout, lane.index)));
        lane.is_some_and(|lane| lane.due_ms().is_some())
    }

    pub fn resend(
        &mut self,
        workspace: &WorkspaceId,
        endpoint: &EndpointId,
        from: ResendFrom,
        events: &[EventId],
        now_ms: u64,
    ) -> Resent {
        let nothing = Resent { done: vec![false; events.len()], ready: Vec::new() };
        let Some((space, mut step)) = self.open(self.home(workspace), workspace, now_ms) else { return nothing };
        let Some(endpoint) = space.endpoints.get_mut(endpoint) else { return nothing };
        let mut done = Vec::with_capacity(events.len());
        for id in events {
            let event = match from {
                ResendFrom::Dropped => endpoint.dropped.take(id),
                ResendFrom::Kept => match endpoint.kept.get(id).cloned() {
                    Some((seq, _)) if endpoint.waits(seq) => {
                        done.push(true);
                        continue;
                    }
                    kept => kept.map(|(_, event)| event),
                },
            };
            done.push(event.is_some());
            if let Some(event) = event {
                let lane = endpoint.route().lane(workspace, event.contact);
                let resend = from == ResendFrom::Dropped || !has(Bug::ResentUnmarked);
                let event = Waiting { at_ms: now_ms, resend, ..Waiting::clone(&event) };
                let seq = endpoint.push((lane.layout, lane.index), event, &mut step);
                if from == ResendFrom::Kept {
                    endpoint.kept.renumber(id, seq);
                }
            }
        }
        Resent { done, ready: step.ready }
    }
}
