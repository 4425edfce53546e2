//! Chooses operations: what routers, deliverers and people do, with the mistakes, repeats and delays they make.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use recadero::decide::attempt::{Outcome, Reason};
use recadero::decide::ids::{ContactHash, EndpointId, EventId, EventType, LaneId, Partition, WorkspaceId};
use recadero::decide::notice::Channel;
use recadero::decide::policy::Policy;
use recadero::decide::retry;
use recadero::decide::route::{self, Routing};
use recadero::store::lanes::{Append, Commit, Granted, Lease, Offer, Pool, Token, Want};
use recadero::store::outbox::Sent;
use recadero::store::records::{AttemptRow, Config, LAYOUTS_MAX, ResendFrom, Workspace};

use super::apply::{Learned, Op};
use crate::store::fixture::PARTITIONS;

/// Leases, commits, lanes and notices that are remembered, to come back to.
const REMEMBERED: usize = 12;

/// A lane remembers its last commit for a lease at least; what is older is not repeated.
const REPEATED_WITHIN_MS: u64 = 15_000;

/// Endpoints that are known of a workspace, deleted ones included.
const ENDPOINTS: usize = 6;

pub struct Generator {
    random: StdRng,
    policy: Policy,
    workspaces: Vec<WorkspaceId>,
    routings: BTreeMap<WorkspaceId, Vec<Routing>>,
    endpoints: BTreeMap<WorkspaceId, Vec<EndpointId>>,
    configs: BTreeMap<EndpointId, Config>,
    leases: Vec<Lease>,
    commits: Vec<(u64, Commit)>,
    due: Vec<LaneId>,
    notices: Vec<(String, Channel)>,
    /// Events that were leased: sooner or later they are delivered or dropped, and can be resent.
    tried: Vec<(WorkspaceId, EndpointId, EventId)>,
    planned: Vec<Op>,
    /// An endpoint whose lanes are changed again and again, and how many times still.
    unsteady: Option<(WorkspaceId, EndpointId, usize)>,
    numbered: u64,
}

impl Generator {
    pub fn new(seed: u64, policy: Policy) -> Self {
        // Two in one partition, one in another.
        let names = || (0..).map(|n| WorkspaceId::trusted(format!("w{n}")));
        let of = |partition: u16| names().filter(move |it| Partition::of(it, PARTITIONS) == Partition(partition));
        let workspaces = of(0).take(2).chain(of(1).take(1)).collect();
        Self {
            random: StdRng::seed_from_u64(seed),
            policy,
            workspaces,
            routings: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            configs: BTreeMap::new(),
            leases: Vec::new(),
            commits: Vec::new(),
            due: Vec::new(),
            notices: Vec::new(),
            tried: Vec::new(),
            planned: Vec::new(),
            unsteady: None,
            numbered: 0,
        }
    }

    pub fn workspaces(&self) -> &[WorkspaceId] {
        &self.workspaces
    }

    /// Events that may be kept, dropped or current.
    pub fn tried(&self) -> &[(WorkspaceId, EndpointId, EventId)] {
        &self.tried
    }

    /// Takes note of an answer.
    pub fn learn(&mut self, learned: Learned) {
        let tried = |lease: &Lease| (lease.lane.workspace.clone(), lease.lane.endpoint.clone(), lease.event.id.clone());
        remember(&mut self.tried, learned.leases.iter().map(tried));
        remember(&mut self.tried, learned.dropped);
        remember(&mut self.leases, learned.leases);
        remember(&mut self.due, learned.due);
        remember(&mut self.notices, learned.notices);
        // What was leased at once is worked on, or asked for under its token, or forgotten: then the lease ends.
        for granted in learned.granted {
            let config = self.configs.get(&granted.lane.endpoint).cloned().map(Arc::new);
            match config {
                Some(config) if config.version == granted.config_version && self.chance(2) => {
                    remember(&mut self.leases, [granted.lease(config)]);
                }
                config if !self.chance(3) => {
                    let Granted { lane, token, .. } = granted;
                    self.planned.push(Op::Claim(home(&lane), vec![Want { lane, token, config }]));
                }
                _ => {}
            }
        }
        if let Some((workspace, routing)) = learned.routing {
            remember(self.routings.entry(workspace).or_default(), [routing]);
        }
        if let Some(burden) = learned.burdens.choose(&mut self.random) {
            let most = self.random.random_range(0..2) * burden.bytes;
            self.planned.push(Op::Relieve(burden.clone(), self.random.random_range(0..200) + most));
        }
        match learned.endpoint {
            Some((_, id, Some(config))) => {
                self.configs.insert(id, config);
            }
            Some((_, id, None)) => {
                self.configs.remove(&id);
            }
            None => {}
        }
    }

    pub fn next(&mut self, now_ms: u64) -> Op {
        if let Some(op) = self.planned.pop() {
            return op;
        }
        if let Some((workspace, endpoint, times @ 1..)) = self.unsteady.take() {
            self.unsteady = Some((workspace.clone(), endpoint.clone(), times - 1));
            let event = self.event(workspace.clone());
            let append = Op::Append(Partition::of(&workspace, PARTITIONS), vec![event], Offer::NONE);
            let change = self.put_endpoint(workspace, endpoint, now_ms);
            self.planned.push(change);
            return append;
        }
        let workspace = self.pick_workspace();
        let partition = Partition::of(&workspace, PARTITIONS);
        let pool = if self.chance(2) { Pool::Healthy } else { Pool::Suspect };
        match self.random.random_range(0..1000) {
            0..130 => Op::Pass(self.span()),
            130..240 => self.append(partition),
            240..360 => Op::Due(partition, pool),
            360..540 => {
                let lane = self.due.last().map(home);
                lane.map_or(Op::Due(partition, pool), |partition| self.claim(partition))
            }
            540..790 => {
                let lane = self.leases.choose(&mut self.random).map(|lease| home(&lease.lane));
                self.commit(lane.unwrap_or(partition), now_ms)
            }
            790..800 => self.give_back(partition),
            800..815 => Op::Sweep(partition),
            815..825 => Op::Notices(partition),
            825..835 => self.settle(partition),
            835..855 => Op::Routing(workspace),
            855..863 => self.put_workspace(workspace),
            863..865 => Op::DeleteWorkspace(workspace),
            865..870 => self.workspaces_page(),
            870..875 => {
                let member = format!("m{}", self.random.random_range(0..3));
                if self.chance(4) { Op::Leave(member) } else { Op::Beat(member) }
            }
            _ => self.on_endpoint(workspace, now_ms),
        }
    }

    fn on_endpoint(&mut self, workspace: WorkspaceId, now_ms: u64) -> Op {
        let endpoint = self.pick_endpoint(&workspace);
        let (from, limit) = (self.random.random_range(0..40), self.random.random_range(0..6));
        let from = self.chance(2).then_some(from);
        match self.random.random_range(0..125) {
            0..28 => self.put_endpoint(workspace, endpoint, now_ms),
            28..31 => {
                // Preferably one that somebody is working for.
                let busy = self.leases.last().map(|lease| (lease.lane.workspace.clone(), lease.lane.endpoint.clone()));
                let (workspace, endpoint) = busy.unwrap_or((workspace, endpoint));
                Op::DeleteEndpoint(workspace, endpoint)
            }
            31..34 => {
                self.unsteady = Some((workspace.clone(), endpoint.clone(), 2 * LAYOUTS_MAX));
                Op::Enable(workspace, endpoint, true)
            }
            34..54 => Op::Enable(workspace, endpoint, self.chance(2)),
            54..68 => Op::Disable(workspace, endpoint),
            68..73 => Op::Quota(workspace),
            73..78 => Op::Attempts(workspace, endpoint, from, limit),
            78..81 => Op::Stats(workspace, endpoint),
            81..88 => Op::Dropped(workspace, endpoint, from, limit),
            88..91 => Op::Payload(workspace, endpoint, self.recent_event()),
            _ => {
                let chosen = self.tried.choose(&mut self.random).cloned();
                let (workspace, endpoint) = chosen.map_or((workspace, endpoint), |(home, of, _)| (home, of));
                let of_endpoint = |it: &&(WorkspaceId, EndpointId, EventId)| it.0 == workspace && it.1 == endpoint;
                let mut events: Vec<_> = self.tried.iter().filter(of_endpoint).map(|it| it.2.clone()).collect();
                events.push(self.recent_event());
                if self.chance(2) {
                    events.reverse();
                }
                let from = if self.chance(2) { ResendFrom::Dropped } else { ResendFrom::Kept };
                Op::Resend(workspace, endpoint, from, events)
            }
        }
    }

    /// Mostly moments; now and then past a lease, a retry, a window, a day.
    fn span(&mut self) -> Duration {
        let (least_ms, most_ms) = match self.random.random_range(0..100) {
            0..50 => (0, 3_000),
            50..65 => (14_000, 16_000),
            65..85 => (29_000, 91_000),
            85..95 => (60_000, 300_000),
            95..99 => (600_000, 2_000_000),
            _ => (3_000_000, 90_000_000),
        };
        // Whole seconds half of the time, so that things fall due in the same millisecond.
        let ms = self.random.random_range(least_ms..=most_ms);
        Duration::from_millis(if self.chance(2) { ms / 1_000 * 1_000 } else { ms })
    }

    fn append(&mut self, partition: Partition) -> Op {
        let of_partition = |it: &&WorkspaceId| Partition::of(it, PARTITIONS) == partition;
        let workspaces: Vec<WorkspaceId> = self.workspaces.iter().filter(of_partition).cloned().collect();
        let count = self.random.random_range(1..6);
        let items = (0..count).map(|_| {
            let workspace = workspaces.choose(&mut self.random).cloned().unwrap_or_else(|| self.pick_workspace());
            self.event(workspace)
        });
        let items = items.collect();
        let places = if self.chance(2) { self.random.random_range(1..5) } else { 0 };
        Op::Append(partition, items, Offer { token: Token(self.random.random()), places })
    }

    fn event(&mut self, workspace: WorkspaceId) -> Append {
        let known = self.routings.get(&workspace).map(Vec::as_slice).unwrap_or_default();
        let routing = match self.random.random_range(0..40) {
            0 => Routing::default(),
            1 => known.choose(&mut self.random).cloned().unwrap_or_default(),
            _ => known.last().cloned().unwrap_or_default(),
        };
        let event_type =
            EventType::trusted(*["message.sent", "contact.created"].choose(&mut self.random).unwrap_or(&""));
        let contact = if self.chance(4) { None } else { Some(ContactHash(self.random.random_range(0..6))) };
        let id = if self.chance(6) { self.recent_event() } else { self.new_event() };
        let bytes = self.random.random_range(1..200);
        Append {
            lanes: route::lanes(&workspace, &event_type, contact, &routing, &self.policy.plans),
            workspace,
            id,
            event_type,
            contact,
            traceparent: self.chance(3).then(|| "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            body: (0..bytes).map(|_| self.random.random::<u8>()).collect::<Bytes>(),
            routing_version: routing.version,
        }
    }

    fn claim(&mut self, partition: Partition) -> Op {
        let mut wants: BTreeMap<LaneId, Token> = BTreeMap::new();
        for _ in 0..self.random.random_range(1..5) {
            let token = Token(self.random.random());
            match self.random.random_range(0..10) {
                0 => {
                    if let Some(lease) = self.leases.choose(&mut self.random) {
                        wants.insert(lease.lane.clone(), lease.token);
                    }
                }
                1 => {
                    let workspace = self.pick_workspace();
                    let endpoint = self.pick_endpoint(&workspace);
                    let (layout, index) = (self.random.random_range(1..4), self.random.random_range(0..3));
                    wants.insert(LaneId { workspace, endpoint, layout, index }, token);
                }
                _ => {
                    if let Some(which) = self.due.iter().rposition(|lane| home(lane) == partition) {
                        wants.insert(self.due.remove(which), token);
                    }
                }
            }
        }
        wants.retain(|lane, _| home(lane) == partition);
        let want = |(lane, token): (LaneId, Token)| {
            let config = self.configs.get(&lane.endpoint).cloned().map(Arc::new);
            Want { lane, token, config }
        };
        Op::Claim(partition, wants.into_iter().map(want).collect())
    }

    fn commit(&mut self, partition: Partition, now_ms: u64) -> Op {
        let mut commits: BTreeMap<LaneId, Commit> = BTreeMap::new();
        let of_partition = |it: &Lease| home(&it.lane) == partition;
        for _ in 0..self.random.random_range(1..4) {
            if self.chance(6) {
                self.commits.retain(|(at_ms, _)| at_ms + REPEATED_WITHIN_MS > now_ms);
                if let Some((_, commit)) = self.commits.choose(&mut self.random) {
                    commits.insert(commit.lane.clone(), commit.clone());
                }
            } else if let Some(which) = self.leases.iter().position(of_partition) {
                let lease = self.leases.remove(which);
                let commit = self.end(&lease);
                commits.insert(commit.lane.clone(), commit);
            }
        }
        commits.retain(|lane, _| home(lane) == partition);
        if commits.is_empty() {
            return self.append(partition);
        }
        let commits: Vec<Commit> = commits.into_values().collect();
        remember(&mut self.commits, commits.iter().map(|commit| (now_ms, commit.clone())));
        Op::Commit(partition, commits)
    }

    fn end(&mut self, lease: &Lease) -> Commit {
        let failed = self.random.random_range(0..100) < 60;
        let outcome = if failed { Outcome::Failed(Reason::Timeout) } else { Outcome::Delivered };
        let wrong = |random: &mut StdRng| u32::from(random.random_range(0..40) == 0);
        let (seq, round) = (wrong(&mut self.random), wrong(&mut self.random));
        Commit {
            lane: lease.lane.clone(),
            token: Token(lease.token.0.wrapping_add(wrong(&mut self.random).into())),
            seq: lease.seq + u64::from(seq),
            round: lease.round + round,
            attempt: lease.attempt + wrong(&mut self.random),
            generation: lease.generation,
            outcome,
            next: retry::after_failure(lease.attempt, &self.policy.retry_delays),
            ended_ago: Duration::from_millis(self.random.random_range(0..2_000)),
            row: Arc::new(AttemptRow {
                event_id: lease.event.id.clone(),
                event_type: lease.event.event_type.clone(),
                attempt: lease.attempt,
                duration_ms: self.random.random_range(0..6_000),
                outcome,
                status: (!failed).then_some(200),
                excerpt: "sí\n\"quoted\" \u{0} text".to_owned(),
                signed_ms: self.random.random_range(0..2_000_000_000_000),
                resend: lease.event.resend,
            }),
            more: !self.chance(4),
            config: lease.config.clone(),
        }
    }

    fn give_back(&mut self, partition: Partition) -> Op {
        let of_partition = |it: &&Lease| home(&it.lane) == partition;
        let leases: Vec<&Lease> = self.leases.iter().filter(of_partition).collect();
        match leases.choose(&mut self.random) {
            Some(lease) => Op::GiveBack(partition, lease.lane.clone(), lease.token),
            None => Op::Sweep(partition),
        }
    }

    fn settle(&mut self, partition: Partition) -> Op {
        let sent = match self.chance(2) {
            true => Sent::Done,
            false => Sent::Again(Duration::from_secs(self.random.random_range(0..120))),
        };
        match self.notices.choose(&mut self.random).cloned() {
            Some((id, channel)) => Op::Settle(partition, id, channel, sent),
            None => Op::Notices(partition),
        }
    }

    fn put_workspace(&mut self, workspace: WorkspaceId) -> Op {
        let plan = [
            "advanced",
            "advanced",
            "advanced",
            "advanced",
            "advanced",
            "enterprise",
            "enterprise",
            "enterprise",
            "none",
        ]
        .choose(&mut self.random)
        .unwrap_or(&"");
        let name = format!("name {}", self.random.random_range(0..3));
        let record = Workspace { plan: (*plan).to_owned(), name, notify: vec![], locale: "es".to_owned() };
        self.planned.push(Op::Routing(workspace.clone()));
        Op::PutWorkspace(workspace, record)
    }

    fn put_endpoint(&mut self, workspace: WorkspaceId, endpoint: EndpointId, now_ms: u64) -> Op {
        let present = self.configs.get(&endpoint).map_or(0, |config| config.version);
        let version = if self.chance(15) { present + self.random.random_range(0..3) } else { present + 1 };
        let events = ["*", "message.sent", "contact.created"].choose(&mut self.random).unwrap_or(&"*");
        let config = Config {
            version: version.max(1),
            url: format!("https://{}.test/", self.random.random_range(0..9)),
            events: vec![EventType::trusted(*events), EventType::trusted("message.sent")],
            description: "ñ".to_owned(),
            lanes: self.random.random_range(1..5),
            headers: vec![],
            secrets: vec![],
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        // What came of it is looked at, so that the next change starts from the present version.
        self.planned.push(Op::Routing(workspace.clone()));
        self.planned.push(Op::Endpoint(workspace.clone(), endpoint.clone()));
        Op::PutEndpoint(workspace, endpoint, config)
    }

    fn workspaces_page(&mut self) -> Op {
        let after = self.chance(2).then(|| self.pick_workspace());
        let query = self.chance(2).then(|| self.random.random_range(0..10).to_string());
        Op::Workspaces(after, query, self.random.random_range(0..4))
    }

    fn pick_workspace(&mut self) -> WorkspaceId {
        self.workspaces.choose(&mut self.random).expect("there are some").clone()
    }

    /// An endpoint of the workspace; one that was deleted is never created again, so new ones come up.
    fn pick_endpoint(&mut self, workspace: &WorkspaceId) -> EndpointId {
        let fresh = self.random.random_range(0..20) == 0;
        let known = self.endpoints.entry(workspace.clone()).or_default();
        if fresh || known.is_empty() {
            self.numbered += 1;
            remember_at_most(known, [EndpointId::trusted(format!("ep_{}", self.numbered))], ENDPOINTS);
        }
        known.choose(&mut self.random).expect("there is one").clone()
    }

    fn new_event(&mut self) -> EventId {
        self.numbered += 1;
        EventId::trusted(format!("e{}", self.numbered))
    }

    fn recent_event(&mut self) -> EventId {
        if let Some((_, _, tried)) = self.tried.choose(&mut self.random).cloned().filter(|_| self.chance(2)) {
            return tried;
        }
        let back = self.random.random_range(0..40);
        EventId::trusted(format!("e{}", self.numbered.saturating_sub(back)))
    }

    /// One time in `n`.
    fn chance(&mut self, n: u32) -> bool {
        self.random.random_range(0..n) == 0
    }
}

fn home(lane: &LaneId) -> Partition {
    Partition::of(&lane.workspace, PARTITIONS)
}

fn remember<T>(into: &mut Vec<T>, what: impl IntoIterator<Item = T>) {
    remember_at_most(into, what, REMEMBERED);
}

fn remember_at_most<T>(into: &mut Vec<T>, what: impl IntoIterator<Item = T>, most: usize) {
    into.extend(what);
    let over = into.len().saturating_sub(most);
    into.drain(..over);
}
