//! One endpoint: its lanes in their layouts, what waits in them, and how events leave without being delivered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::history::{DroppedList, Hours, Kept, Log};
use super::lane::Lane;
use super::notices::About;
use super::state::{Step, ms};
use crate::decide::ids::{EndpointId, LaneId, WorkspaceId};
use crate::decide::notice::{DisableReason, DropReason};
use crate::decide::relief::Burden;
use crate::decide::route::Route;
use crate::store::lanes::{Pool, Token, Waiting};
use crate::store::records::{Config, Disabled, LAYOUTS_MAX};
use crate::testing::{Bug, has};

/// A lane's place at its endpoint: layout and index.
pub(super) type Place = (u32, u16);

pub(super) struct Endpoint {
    pub workspace: WorkspaceId,
    pub id: EndpointId,
    pub config: Arc<Config>,
    pub generation: u64,
    pub disabled: Option<Disabled>,
    /// Layouts that are not drained, oldest first; never empty. Only lanes of the first one stand in `due`.
    layouts: VecDeque<Layout>,
    pub lanes: BTreeMap<Place, Lane>,
    numbered: u64,
    pub waiting_events: u64,
    pub waiting_bytes: u64,
    pub dropped: DroppedList,
    pub kept: Kept,
    pub log: Log,
    pub hours: Hours,
}

/// One setting of `lanes`.
#[derive(Clone, Copy)]
struct Layout {
    number: u32,
    lanes: u16,
    used: bool,
}

impl Endpoint {
    pub fn new(workspace: WorkspaceId, id: EndpointId, config: Config) -> Self {
        Self {
            workspace,
            id,
            generation: 0,
            disabled: None,
            layouts: VecDeque::from([Layout { number: 1, lanes: config.lanes, used: false }]),
            config: Arc::new(config),
            lanes: BTreeMap::new(),
            numbered: 0,
            waiting_events: 0,
            waiting_bytes: 0,
            dropped: DroppedList::default(),
            kept: Kept::default(),
            log: Log::default(),
            hours: Hours::default(),
        }
    }

    pub fn about(&self, now_ms: u64) -> About<'_> {
        About { workspace: &self.workspace, endpoint: &self.id, now_ms }
    }

    /// How events are routed to it: by its newest layout.
    pub fn route(&self) -> Route {
        let newest = self.layouts.back().expect("an endpoint has a layout");
        let (endpoint, events) = (self.id.clone(), self.config.events.clone());
        Route { endpoint, events, layout: newest.number, lanes: newest.lanes }
    }

    pub fn oldest_ms(&self) -> Option<u64> {
        self.lanes.values().filter_map(|lane| lane.oldest()).map(|event| event.at_ms).min()
    }

    /// Makes a new setting of `lanes` the newest layout; `false` when too many are not drained yet.
    pub fn lay_out(&mut self, lanes: u16, step: &mut Step<'_>) -> bool {
        let oldest = self.layouts.len() == 1;
        let newest = self.layouts.back_mut().expect("an endpoint has a layout");
        let number = newest.number + 1;
        if newest.lanes == lanes {
            return true;
        }
        if !newest.used && !oldest {
            newest.lanes = lanes;
            return true;
        }
        if self.layouts.len() >= LAYOUTS_MAX {
            return false;
        }
        self.layouts.push_back(Layout { number, lanes, used: false });
        self.close_drained(step);
        true
    }

    /// Puts an event at the end of a lane; its number.
    pub fn push(&mut self, place: Place, event: Waiting, step: &mut Step<'_>) -> u64 {
        self.numbered += 1;
        self.waiting_events += 1;
        self.waiting_bytes += event.body.len() as u64;
        let id = self.lane_id(place);
        let lane = self.lanes.entry(place).or_insert_with(|| Lane::new(id));
        let was_idle = lane.is_empty();
        lane.queue.push_back((self.numbered, Arc::new(event)));
        if let Some(layout) = self.layouts.iter_mut().find(|layout| layout.number == place.0) {
            layout.used = true;
        }
        let is_oldest = self.layouts.front().is_some_and(|oldest| oldest.number == place.0);
        if was_idle && (is_oldest || has(Bug::NewLayoutAtOnce)) {
            lane.stand(step.due, lane.pool(), Some(step.now_ms));
            step.ready.push(lane.id.clone());
        }
        self.numbered
    }

    /// Whether the event of this number is in a lane.
    pub fn waits(&self, seq: u64) -> bool {
        self.lanes.values().any(|lane| {
            let is_current = lane.current.as_ref().is_some_and(|current| current.seq == seq);
            is_current || lane.queue.binary_search_by_key(&seq, |(queued, _)| *queued).is_ok()
        })
    }

    /// Drops what is past the limits of events and bytes: the oldest that wait, never a current one. When bytes are
    /// short, the dropped events that are kept for resending go first, and what is dropped then is not kept.
    pub fn enforce_limits(&mut self, step: &mut Step<'_>) {
        let limits = &step.policy.limits;
        while self.waiting_events > limits.backlog_events && self.drop_oldest(DropReason::BacklogEvents, step) {}
        while self.bytes() > limits.backlog_bytes
            && (self.dropped.evict_oldest() || self.drop_oldest(DropReason::BacklogBytes, step))
        {}
        self.close_drained(step);
    }

    /// What it holds, if it is disabled, or suspect in every lane that has events.
    pub fn burden(&self) -> Option<Burden> {
        let bytes = self.bytes();
        let oldest = self.layouts.front().expect("an endpoint has a layout").number;
        let lanes = self.lanes.values().filter(|lane| lane.id.layout == oldest && !lane.is_empty());
        let pools: BTreeSet<Pool> = lanes.map(|lane| lane.pool()).collect();
        let is_suspect = pools == BTreeSet::from([Pool::Suspect]);
        let is_burden = bytes > 0 && (self.disabled.is_some() || is_suspect);
        is_burden.then(|| Burden { bytes, workspace: self.workspace.clone(), endpoint: self.id.clone() })
    }

    /// Takes so many bytes away, if it is a burden; how many went.
    pub fn relieve(&mut self, bytes: u64, step: &mut Step<'_>) -> u64 {
        let Some(burden) = self.burden() else { return 0 };
        while self.bytes() + bytes > burden.bytes
            && (self.dropped.evict_oldest() || self.drop_oldest(DropReason::BacklogBytes, step))
        {}
        self.close_drained(step);
        burden.bytes - self.bytes()
    }

    /// Bytes of the bodies that wait or can be resent.
    fn bytes(&self) -> u64 {
        self.waiting_bytes + self.dropped.bytes()
    }

    /// Drops what waited too long, except what somebody may be trying or has tried.
    pub fn enforce_age(&mut self, step: &mut Step<'_>) {
        let age_ms = ms(step.policy.limits.backlog_age);
        let is_old = |event: &Waiting| event.at_ms.saturating_add(age_ms) <= step.now_ms;
        let mut old = Vec::new();
        for (place, lane) in &mut self.lanes {
            let untried = !lane.leased(step.now_ms) || has(Bug::AgeTakesTheTried);
            if let Some(current) = lane.current.take_if(|current| untried && !current.tried && is_old(&current.event)) {
                lane.lease = None;
                old.push((current.seq, current.event, *place));
            }
            let olds = lane.queue.iter().take_while(|(_, event)| is_old(event)).count();
            old.extend(lane.queue.drain(..olds).map(|(seq, event)| (seq, event, *place)));
        }
        self.drop_all(old, DropReason::BacklogAge, step);
    }

    /// Drops everything that waits, except what somebody may be trying now.
    pub fn discard(&mut self, step: &mut Step<'_>) {
        let mut waiting = Vec::new();
        for (place, lane) in &mut self.lanes {
            let leased = lane.leased(step.now_ms);
            if let Some(current) = lane.current.take_if(|_| !leased) {
                lane.lease = None;
                waiting.push((current.seq, current.event, *place));
            }
            waiting.extend(lane.queue.drain(..).map(|(seq, event)| (seq, event, *place)));
        }
        self.drop_all(waiting, DropReason::Discarded, step);
    }

    /// Events leave their lanes, oldest first.
    fn drop_all(&mut self, mut events: Vec<(u64, Arc<Waiting>, Place)>, reason: DropReason, step: &mut Step<'_>) {
        events.sort_by_key(|(seq, _, _)| *seq);
        for (seq, event, place) in events {
            self.bury(seq, event, reason, step);
            self.rest_if_empty(place, step);
        }
        self.close_drained(step);
    }

    /// `false` when nothing waits behind the current events.
    fn drop_oldest(&mut self, reason: DropReason, step: &mut Step<'_>) -> bool {
        let oldest = self.lanes.iter().filter_map(|(place, lane)| Some((lane.oldest_queued()?, *place))).min();
        let Some((_, place)) = oldest else { return false };
        let Some((seq, event)) = self.lanes.get_mut(&place).and_then(|lane| lane.queue.pop_front()) else {
            return false;
        };
        self.bury(seq, event, reason, step);
        self.rest_if_empty(place, step);
        true
    }

    /// What happens to an event that was taken out of its lane to be dropped.
    pub fn bury(&mut self, seq: u64, event: Arc<Waiting>, reason: DropReason, step: &mut Step<'_>) {
        self.left(&event);
        *step.dropped.entry(reason).or_default() += 1;
        step.outbox.dropped(self.about(step.now_ms), reason, seq, &event.id);
        if reason != DropReason::BacklogBytes && !has(Bug::DropLosesEntry) {
            self.dropped.push(seq, event, reason, step.now_ms, &step.policy.limits);
        }
    }

    /// An event is no longer among those that wait.
    pub fn left(&mut self, event: &Waiting) {
        self.waiting_events -= 1;
        self.waiting_bytes -= event.body.len() as u64;
    }

    fn rest_if_empty(&mut self, place: Place, step: &mut Step<'_>) {
        if let Some(lane) = self.lanes.get_mut(&place).filter(|lane| lane.is_empty()) {
            lane.stand(step.due, lane.pool(), None);
        }
    }

    /// Where the oldest layout is empty, the next one's lanes become ready.
    pub fn close_drained(&mut self, step: &mut Step<'_>) {
        let is_drained = |lane: &mut Lane| lane.is_empty() || (has(Bug::LayoutEndsEarly) && lane.queue.is_empty());
        while self.layouts.len() > 1 && self.oldest_layout().all(is_drained) {
            self.layouts.pop_front();
            self.release_held(step);
        }
    }

    /// Makes ready what is held, or has not stood in `due` yet.
    pub fn release_held(&mut self, step: &mut Step<'_>) {
        self.make_ready(step, |lane, _| lane.due_ms().is_none());
    }

    /// Makes ready all but what somebody may be trying: also a lane that waits for its retry begins a new round now.
    pub fn release_all(&mut self, step: &mut Step<'_>) {
        self.make_ready(step, |lane, now_ms| {
            lane.due_ms().is_none_or(|due_ms| due_ms > now_ms && !lane.leased(now_ms))
        });
    }

    fn make_ready(&mut self, step: &mut Step<'_>, which: impl Fn(&Lane, u64) -> bool) {
        let now_ms = step.now_ms;
        for lane in self.oldest_layout().filter(|lane| !lane.is_empty()) {
            if which(lane, now_ms) {
                lane.stand(step.due, lane.pool(), Some(now_ms));
                step.ready.push(lane.id.clone());
            }
        }
    }

    fn oldest_layout(&mut self) -> impl Iterator<Item = &mut Lane> {
        let number = self.layouts.front().expect("an endpoint has a layout").number;
        self.lanes.range_mut((number, 0)..=(number, u16::MAX)).map(|(_, lane)| lane)
    }

    /// Forgets lanes of drained layouts whose last commit nobody will repeat any more.
    pub fn forget_drained(&mut self, now_ms: u64, lease_ms: u64) {
        let oldest = self.layouts.front().expect("an endpoint has a layout").number;
        let is_fresh = |lane: &Lane| lane.last.as_ref().is_some_and(|last| last.at_ms + lease_ms > now_ms);
        self.lanes.retain(|(layout, _), lane| *layout >= oldest || is_fresh(lane));
    }

    /// Leaves *enabled*; its failures are the caller's to take out of the window.
    pub fn disable(&mut self, reason: DisableReason, step: &mut Step<'_>) {
        self.generation += 1;
        self.disabled = Some(Disabled { reason, at_ms: step.now_ms });
        step.outbox.disabled(self.about(step.now_ms), self.generation, reason);
    }

    /// Becomes *enabled*; its lanes are ready.
    pub fn enable(&mut self, step: &mut Step<'_>) {
        self.generation += 1;
        self.disabled = None;
        step.outbox.enabled(self.about(step.now_ms), self.generation);
        self.release_all(step);
    }

    /// Takes all lanes out of `due`: the endpoint is going to be gone.
    pub fn clear(&mut self, step: &mut Step<'_>) {
        for lane in self.lanes.values_mut() {
            lane.stand(step.due, lane.pool(), None);
        }
        *step.dropped.entry(DropReason::EndpointDeleted).or_default() += self.waiting_events;
    }

    /// Puts back a lane whose attempt was never begun.
    pub fn give_back(&mut self, place: Place, token: Token, step: &mut Step<'_>) {
        if let Some(lane) = self.lanes.get_mut(&place).filter(|lane| lane.is_held_by(token)) {
            lane.lease = None;
            lane.stand(step.due, lane.pool(), Some(step.now_ms));
        }
    }

    fn lane_id(&self, (layout, index): Place) -> LaneId {
        LaneId { workspace: self.workspace.clone(), endpoint: self.id.clone(), layout, index }
    }
}
