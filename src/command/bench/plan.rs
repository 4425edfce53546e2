//! What is measured: how many endpoints, who hears which event, and which event comes when.
//!
//! Endpoints stand in *groups* of as many as hear one event; the events go to the groups in turns. So an event's number
//! says all of it: its group, its contact, and its place among the events of that contact. Nothing has to be remembered
//! to publish it, or to see at its arrival whether it comes in order.

use std::sync::LazyLock;

use anyhow::{Context, ensure};
use bytes::Bytes;

use crate::decide::ids::{EndpointId, EventId, EventType, WorkspaceId};

/// Contacts per lane of an endpoint: enough that the lanes of a group are about equally long.
const CONTACTS_PER_LANE: u64 = 8;

/// Groups that a workspace may have: each hears an event type of its own, and a list of options has no more entries.
pub const GROUPS_MAX: u64 = 256;

/// Most deliveries of one run: each is remembered.
const DELIVERIES_MAX: u64 = 1 << 30;

/// Bytes of [`FILLER`]; no common divisor with the numbers that endpoints come in.
const FILLER_BYTES: u64 = 8_191;

/// Letters that bodies are filled with, each from a place of its own. Bodies that differ in a few bytes only would be
/// one in the eyes of Redis's Lua, which tells strings apart by a hash of some of their bytes.
static FILLER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0_u64;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b"abcdefghijklmnopqrstuvwxyz      "[usize::try_from(state >> 59).unwrap_or_default()]
    };
    (0..FILLER_BYTES).map(letter).collect()
});

/// The largest event that any setting lets through.
const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// The figures that a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    endpoints: u64,
    /// Of them: those that hear events.
    active: u64,
    workspaces: u64,
    fan_out: u64,
    lanes: u16,
    hanging: u64,
    failing: u64,
    payload: usize,
}

/// What an endpoint does with a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Behaviour {
    /// 200, at once.
    Answers,
    /// Nothing, for as long as it takes, once it is measured.
    Hangs,
    /// 500, at once.
    Fails,
}

/// An event to be published.
#[derive(Debug)]
pub struct Event {
    pub workspace: WorkspaceId,
    pub event_type: EventType,
    pub id: EventId,
    pub body: Bytes,
}

impl Plan {
    /// Checks the figures against each other.
    pub fn new(options: &super::Load) -> anyhow::Result<Self> {
        let super::Load { endpoints, active, workspaces, fan_out, lanes, payload, hanging, failing, .. } = *options;
        ensure!(
            endpoints.is_multiple_of(workspaces * fan_out),
            "--endpoints is not a multiple of --workspaces × --fan-out"
        );
        let active = active.unwrap_or(endpoints);
        ensure!(
            active <= endpoints && active.is_multiple_of(fan_out),
            "--active is at most --endpoints, and a multiple of --fan-out"
        );
        for (name, share) in [("hanging", hanging), ("failing", failing)] {
            ensure!((0.0..1.0).contains(&share), "--{name} is a share: 0 or more, and less than 1");
        }
        ensure!(payload <= PAYLOAD_BYTES_MAX, "--payload is at most {PAYLOAD_BYTES_MAX}");
        let count = |share: f64| (endpoints as f64 * share).round() as u64;
        let (hanging, failing) = (count(hanging), count(failing));
        ensure!(hanging + failing < endpoints, "--hanging and --failing leave no endpoint to be measured");
        let plan = Self { endpoints, active, workspaces, fan_out, lanes, hanging, failing, payload };
        ensure!(
            plan.groups() / workspaces <= GROUPS_MAX,
            "a workspace has at most {GROUPS_MAX} groups of endpoints here; raise --workspaces or --fan-out"
        );
        Ok(plan)
    }

    pub fn workspaces(&self) -> u64 {
        self.workspaces
    }

    pub fn lanes(&self) -> u16 {
        self.lanes
    }

    /// Groups of all workspaces.
    fn groups(&self) -> u64 {
        self.endpoints / self.fan_out
    }

    /// Groups that hear events, the first of all; event `n` goes to group `n % active_groups`.
    pub fn active_groups(&self) -> u64 {
        self.active / self.fan_out
    }

    /// Event types that workspaces have in common, one for each group of a workspace.
    pub fn event_types(&self) -> impl Iterator<Item = EventType> {
        (0..self.groups() / self.workspaces).map(event_type)
    }

    /// A workspace by its number.
    pub fn workspace(&self, number: u64) -> WorkspaceId {
        WorkspaceId::trusted(format!("bench-{number}"))
    }

    /// Where an endpoint belongs, what it is called, and what it hears.
    pub fn endpoint(&self, endpoint: u64) -> (WorkspaceId, EndpointId, EventType) {
        let group = endpoint / self.fan_out;
        let id = EndpointId::trusted(format!("ep_{endpoint}"));
        (self.workspace(group % self.workspaces), id, event_type(group / self.workspaces))
    }

    /// The endpoints of a workspace.
    pub fn endpoints_of(self, workspace: u64) -> impl Iterator<Item = u64> {
        let groups = (workspace..self.groups()).step_by(usize::try_from(self.workspaces).unwrap_or(usize::MAX));
        groups.flat_map(move |group| group * self.fan_out..(group + 1) * self.fan_out)
    }

    /// What an endpoint does with a delivery. Those that are no good are spread evenly among the others.
    pub fn behaviour(&self, endpoint: u64) -> Behaviour {
        let bad = self.hanging + self.failing;
        let before = |endpoint: u64| endpoint * bad / self.endpoints;
        let hanging_before = |bad_one: u64| bad_one * self.hanging / bad;
        let nth = before(endpoint);
        if endpoint >= self.endpoints || before(endpoint + 1) == nth {
            Behaviour::Answers
        } else if hanging_before(nth + 1) > hanging_before(nth) {
            Behaviour::Hangs
        } else {
            Behaviour::Fails
        }
    }

    /// The event of a number, from 0.
    pub fn event(&self, number: u64) -> Event {
        let group = number % self.active_groups();
        let event_type = event_type(group / self.workspaces);
        let contact = (number / self.active_groups()) % self.contacts();
        let head =
            format!(r#"{{"event_type":"{event_type}","event_id":"{number}","contact":{{"id":"c{contact}"}},"text":""#);
        let mut body = head.into_bytes();
        let filled = self.payload.saturating_sub(2).max(body.len());
        let offset = usize::try_from(number % FILLER_BYTES).unwrap_or_default();
        while body.len() < filled {
            let from = if body.len() < FILLER.len() { offset } else { 0 };
            let most = (filled - body.len()).min(FILLER.len() - from);
            body.extend_from_slice(&FILLER[from..from + most]);
        }
        body.extend_from_slice(b"\"}");
        let id = EventId::trusted(number.to_string());
        Event { workspace: self.workspace(group % self.workspaces), event_type, id, body: body.into() }
    }

    /// How many deliveries, to endpoints that answer, so many events make.
    pub fn deliveries(&self, events: u64) -> anyhow::Result<u64> {
        let of = |group: u64| {
            let all = group * self.fan_out..(group + 1) * self.fan_out;
            let healthy = all.filter(|endpoint| self.behaviour(*endpoint) == Behaviour::Answers);
            healthy.count() as u64 * (events / self.active_groups() + u64::from(group < events % self.active_groups()))
        };
        let all = (0..self.active_groups()).try_fold(0_u64, |sum, group| sum.checked_add(of(group)));
        all.filter(|all| *all <= DELIVERIES_MAX).with_context(|| format!("more than {DELIVERIES_MAX} deliveries"))
    }

    /// The place of a delivery: the sequence that it must be in order in, and the delivery's number of all.
    /// `None` for one that was never planned.
    pub fn place(&self, endpoint: u64, number: u64) -> Option<Place> {
        let (round, group) = (number / self.active_groups(), number % self.active_groups());
        (endpoint < self.active && endpoint / self.fan_out == group).then(|| Place {
            sequence: endpoint * self.contacts() + round % self.contacts(),
            delivery: round * self.active + endpoint,
        })
    }

    /// Sequences that have to keep their order: one for each endpoint and contact.
    pub fn sequences(&self) -> u64 {
        self.active * self.contacts()
    }

    /// Places that so many events may take; see [`Place::delivery`].
    pub fn places(&self, events: u64) -> u64 {
        events.div_ceil(self.active_groups()) * self.active
    }

    /// With one lane the endpoint's whole order counts, and one contact has it.
    fn contacts(&self) -> u64 {
        if self.lanes == 1 { 1 } else { u64::from(self.lanes) * CONTACTS_PER_LANE }
    }
}

/// See [`Plan::place`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub sequence: u64,
    pub delivery: u64,
}

fn event_type(group: u64) -> EventType {
    EventType::trusted(format!("bench.{group}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::bench::Load;

    fn plan(endpoints: u64, workspaces: u64, fan_out: u64, lanes: u16, hanging: f64) -> Plan {
        let load = Load { endpoints, workspaces, fan_out, lanes, hanging, ..Load::default() };
        Plan::new(&load).unwrap()
    }

    #[test]
    fn an_event_is_heard_by_the_endpoints_of_its_group_and_by_no_other() {
        let plan = plan(12, 2, 3, 1, 0.0);
        for number in 0..20 {
            let event = plan.event(number);
            let hear = |endpoint: &u64| {
                let (workspace, _, event_type) = plan.endpoint(*endpoint);
                workspace == event.workspace && event_type == event.event_type
            };
            let planned = |endpoint: &u64| plan.place(*endpoint, number).is_some();
            let heard: Vec<_> = (0..12).filter(hear).collect();
            assert_eq!((heard.len(), &heard), (3, &(0..12).filter(planned).collect()));
        }
    }

    #[test]
    fn every_delivery_has_a_place_of_its_own() {
        let plan = plan(12, 2, 3, 4, 0.0);
        let all = (0..50).flat_map(|number| (0..12).filter_map(move |endpoint| plan.place(endpoint, number)));
        let mut taken: Vec<_> = all.map(|place| place.delivery).collect();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len() as u64, plan.deliveries(50).unwrap());
        assert!(taken.iter().all(|delivery| *delivery < plan.places(50)));
    }

    #[test]
    fn endpoints_that_are_not_active_hear_nothing() {
        let load = Load { endpoints: 12, active: Some(4), fan_out: 2, ..Load::default() };
        let plan = Plan::new(&load).unwrap();
        assert_eq!(plan.deliveries(50).unwrap(), 100);
        let heard = (0..50).flat_map(|number| (0..12).filter(move |endpoint| plan.place(*endpoint, number).is_some()));
        assert_eq!(heard.collect::<std::collections::BTreeSet<_>>(), (0..4).collect());
    }

    #[test]
    fn bad_endpoints_have_their_shares_and_no_delivery_is_waited_for_there() {
        let load = Load { endpoints: 10, hanging: 0.2, failing: 0.3, ..Load::default() };
        let plan = Plan::new(&load).unwrap();
        let count = |behaviour| (0..10).filter(|endpoint| plan.behaviour(*endpoint) == behaviour).count();
        assert_eq!((count(Behaviour::Hangs), count(Behaviour::Fails), count(Behaviour::Answers)), (2, 3, 5));
        assert_eq!(plan.deliveries(100).unwrap(), 50);
    }

    #[test]
    fn a_body_is_json_of_the_size_asked_for() {
        let body = plan(1, 1, 1, 1, 0.0).event(7).body;
        assert_eq!(body.len(), Load::default().payload);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["event_id"], "7");
    }
}
