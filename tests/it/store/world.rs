//! What the promises are told with: a store, its time, and the few moves that routers, deliverers and people make.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use recadero::decide::attempt::{Outcome, Reason};
use recadero::decide::ids::{ContactHash, EndpointId, EventId, EventType, LaneId, Partition, WorkspaceId};
use recadero::decide::notice::{DropReason, NoticeKind};
use recadero::decide::policy::Policy;
use recadero::decide::retry;
use recadero::decide::route;
use recadero::store::Store;
use recadero::store::lanes::{
    After, Append, Appended, Claim, Commit, Committed, Due, Figures, Intake, Lease, Offer, Pool, Swept, Token, Want,
};
use recadero::store::outbox::Outgoing;
use recadero::store::records::{AttemptRow, Config, Dropped, Endpoint, Put, SigningSecret, Workspace};

use super::fixture::{Fixture, Given, Open, PARTITIONS};
use super::redis_server::RedisServer;

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3_600);

/// A lease's length under the default policy.
pub const LEASE: Duration = Duration::from_secs(15);

pub struct World {
    pub store: Arc<dyn Store>,
    pub time: Given,
    pub policy: Policy,
    intake: Box<dyn Intake>,
    tokens: AtomicU64,
    /// Kept until the test is over.
    server: Option<RedisServer>,
}

pub fn ws(name: &str) -> WorkspaceId {
    WorkspaceId::parse(name).expect("a test's workspace has a good name")
}

pub fn ep(name: &str) -> EndpointId {
    EndpointId::trusted(name)
}

pub fn ev(name: &str) -> EventId {
    EventId::parse(name).expect("a test's event has a good id")
}

pub fn home(workspace: &str) -> Partition {
    Partition::of(&ws(workspace), PARTITIONS)
}

/// The first lane of an endpoint's first layout, in workspace `w`.
pub fn lane(endpoint: &str) -> LaneId {
    lane_of("w", endpoint, 1, 0)
}

pub fn lane_of(workspace: &str, endpoint: &str, layout: u32, index: u16) -> LaneId {
    LaneId { workspace: ws(workspace), endpoint: ep(endpoint), layout, index }
}

pub fn record(plan: &str) -> Workspace {
    Workspace { plan: plan.to_owned(), name: "W".to_owned(), notify: vec![], locale: "en".to_owned() }
}

pub fn config(version: u64, lanes: u16) -> Config {
    Config {
        version,
        url: "https://receiver.test/".to_owned(),
        events: vec![EventType::trusted(route::ALL_EVENTS)],
        description: String::new(),
        lanes,
        headers: vec![("X-Own".to_owned(), "value".to_owned())],
        secrets: vec![SigningSecret { text: "whsec_AAAA".to_owned(), until_ms: None }],
        created_ms: 1,
        updated_ms: version,
    }
}

/// Contacts that fall into different lanes of any layout of two or more, when there are two of them.
pub fn contact(hash: u64) -> Option<ContactHash> {
    Some(ContactHash(hash))
}

pub fn failed() -> Outcome {
    Outcome::Failed(Reason::Status)
}

impl World {
    /// A store with the workspace `w` on an entitled plan.
    pub async fn open(open: &Open) -> Self {
        Self::open_with(open, Policy::default()).await
    }

    pub async fn open_with(open: &Open, policy: Policy) -> Self {
        let fixture = open(policy.clone()).await;
        Self::of(fixture, policy).await
    }

    /// As [`World::open`], with a store whose time is not the test's.
    pub async fn on(store: Arc<dyn Store>, policy: Policy) -> Self {
        Self::with_store(store, Given::default(), policy).await
    }

    /// As [`World::open`], with a store whose time is this one.
    pub async fn with_store(store: Arc<dyn Store>, time: Given, policy: Policy) -> Self {
        Self::of(Fixture { store, time, server: None }, policy).await
    }

    async fn of(Fixture { store, time, server }: Fixture, policy: Policy) -> Self {
        let intake = store.intake().await.expect("the store is there");
        let world = Self { store, time, policy, intake, tokens: AtomicU64::new(0), server };
        world.plan("w", "advanced").await;
        world
    }

    /// As [`World::open`], with an endpoint of one lane.
    pub async fn with_endpoint(open: &Open, endpoint: &str) -> Self {
        let world = Self::open(open).await;
        world.connect(endpoint, 1).await;
        world
    }

    /// The server that the store is on.
    pub fn server(&self) -> &RedisServer {
        self.server.as_ref().expect("the store is on a server")
    }

    pub fn pass(&self, span: Duration) {
        self.time.pass(span);
    }

    pub async fn plan(&self, workspace: &str, plan: &str) {
        self.store.put_workspace(&ws(workspace), &record(plan)).await.expect("put_workspace");
    }

    /// Creates an endpoint in `w` that wants everything.
    pub async fn connect(&self, endpoint: &str, lanes: u16) {
        let put = self.store.put_endpoint(&ws("w"), &ep(endpoint), &config(1, lanes)).await.expect("put_endpoint");
        assert_eq!(put, Put::Done);
    }

    /// Changes an endpoint's `lanes`.
    pub async fn lay_out(&self, endpoint: &str, lanes: u16) -> Put {
        let version = self.endpoint(endpoint).await.config.version + 1;
        self.store.put_endpoint(&ws("w"), &ep(endpoint), &config(version, lanes)).await.expect("put_endpoint")
    }

    pub async fn endpoint(&self, endpoint: &str) -> Endpoint {
        let found = self.store.endpoint(&ws("w"), &ep(endpoint)).await.expect("endpoint");
        found.expect("the endpoint exists")
    }

    pub async fn enable(&self, endpoint: &str) {
        let enabled = self.store.enable(&ws("w"), &ep(endpoint), false).await.expect("enable");
        assert_eq!(enabled, Some(0));
    }

    pub async fn disable(&self, endpoint: &str) {
        assert!(self.store.disable(&ws("w"), &ep(endpoint)).await.expect("disable"));
    }

    /// An event as a router would append it.
    pub async fn event(&self, workspace: &str, id: &str, contact: Option<ContactHash>) -> Append {
        let workspace = ws(workspace);
        let routing = self.store.routing(&workspace).await.expect("routing");
        let event_type = EventType::trusted("message.sent");
        let lanes = route::lanes(&workspace, &event_type, contact, &routing, &self.policy.plans);
        Append {
            id: ev(id),
            event_type,
            contact,
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            body: Bytes::from(format!("{{\"id\":\"{id}\"}}")),
            routing_version: routing.version,
            lanes,
            workspace,
        }
    }

    pub async fn append(&self, items: &[Append]) -> Appended {
        self.append_offering(items, Offer::NONE).await
    }

    pub async fn append_offering(&self, items: &[Append], offer: Offer) -> Appended {
        let workspace = items.first().map(|item| item.workspace.as_str().to_owned());
        let partition = home(&workspace.expect("a group has an event"));
        self.intake.append(partition, items, offer).await.expect("append")
    }

    /// Publishes events to `w`, without a contact, as one group.
    pub async fn publish(&self, ids: &[&str]) -> Appended {
        self.append(&self.events(ids).await).await
    }

    /// Events of `w`, without a contact.
    pub async fn events(&self, ids: &[&str]) -> Vec<Append> {
        let mut items = Vec::new();
        for id in ids {
            items.push(self.event("w", id, None).await);
        }
        items
    }

    /// Publishes one event of a contact to `w`.
    pub async fn publish_of(&self, id: &str, hash: u64) -> Appended {
        let item = self.event("w", id, contact(hash)).await;
        self.append(&[item]).await
    }

    pub async fn due(&self, pool: Pool) -> Vec<LaneId> {
        let due: Vec<Due> = self.store.due(home("w"), pool, 100).await.expect("due");
        due.into_iter().map(|due| due.lane).collect()
    }

    pub fn token(&self) -> Token {
        Token(self.tokens.fetch_add(1, Ordering::SeqCst) + 1)
    }

    pub async fn claim_as(&self, lane: &LaneId, token: Token) -> Claim {
        let want = Want { lane: lane.clone(), token, config: None };
        let partition = Partition::of(&lane.workspace, PARTITIONS);
        let mut claims = self.store.claim(partition, &[want]).await.expect("claim");
        claims.pop().expect("each want has an answer")
    }

    pub async fn claim(&self, lane: &LaneId) -> Claim {
        self.claim_as(lane, self.token()).await
    }

    /// Claims a lane that is to be had.
    pub async fn lease(&self, lane: &LaneId) -> Lease {
        leased(self.claim(lane).await)
    }

    pub async fn commit(&self, commit: &Commit) -> Committed {
        let partition = Partition::of(&commit.lane.workspace, PARTITIONS);
        let answers = self.store.commit(partition, std::slice::from_ref(commit)).await.expect("commit");
        answers.into_iter().next().expect("each commit has an answer")
    }

    pub async fn deliver(&self, lease: &Lease) -> Committed {
        self.commit(&self.end(lease, Outcome::Delivered)).await
    }

    pub async fn fail(&self, lease: &Lease) -> Committed {
        self.commit(&self.end(lease, failed())).await
    }

    /// The commit of an attempt that ended just now, by a worker who would go on.
    pub fn end(&self, lease: &Lease, outcome: Outcome) -> Commit {
        Commit::of(
            lease,
            AttemptRow {
                event_id: lease.event.id.clone(),
                event_type: lease.event.event_type.clone(),
                attempt: lease.attempt,
                duration_ms: 70,
                outcome,
                status: Some(if outcome == Outcome::Delivered { 200 } else { 500 }),
                excerpt: "what came back".to_owned(),
                signed_ms: self.time.now_ms(),
                resend: lease.event.resend,
            },
            retry::after_failure(lease.attempt, &self.policy.retry_delays),
        )
    }

    /// Delivers everything that can be claimed now, lane by lane; answers with the events in the order they went out.
    pub async fn deliver_all(&self) -> Vec<String> {
        let mut delivered = Vec::new();
        while let Some(lane) = self.next_due().await {
            let Claim::Leased(mut lease) = self.claim(&lane).await else { continue };
            loop {
                delivered.push(lease.event.id.to_string());
                match self.deliver(&lease).await.after {
                    After::Next(next) => lease = next,
                    _ => break,
                }
            }
        }
        delivered
    }

    async fn next_due(&self) -> Option<LaneId> {
        let healthy = self.due(Pool::Healthy).await;
        healthy.into_iter().chain(self.due(Pool::Suspect).await).next()
    }

    /// Fails attempts, each on a new event of its own, so that the quota alone matters. The endpoint's lane must be idle.
    pub async fn fail_times(&self, endpoint: &str, times: usize) -> Vec<Committed> {
        let mut answers = Vec::new();
        for _ in 0..times {
            let id = format!("f{}", self.token());
            let item = Append { lanes: vec![lane(endpoint)], ..self.event("w", &id, None).await };
            self.append(&[item]).await;
            let lease = self.lease(&lane(endpoint)).await;
            answers.push(self.commit(&Commit { next: retry::Next::Drop, ..self.end(&lease, failed()) }).await);
        }
        answers
    }

    /// A whole round of upkeep of `w`'s partition, in one value.
    pub async fn sweep(&self) -> Swept {
        sweep_whole(self.store.as_ref(), home("w")).await
    }

    /// The figures of `w`'s partition.
    pub async fn figures(&self) -> Figures {
        self.store.figures(home("w")).await.expect("figures")
    }

    /// Leases all notices of `w`'s partition that are due.
    pub async fn notices(&self) -> Vec<Outgoing> {
        self.store.notices(home("w"), 1_000).await.expect("notices")
    }

    /// The ids of the due notices of a kind, once per channel.
    pub async fn notice_ids(&self, kind: NoticeKind) -> Vec<String> {
        let notices = self.notices().await.into_iter().map(|outgoing| outgoing.notice);
        notices.filter(|notice| notice.kind == kind).map(|notice| notice.id).collect()
    }

    pub async fn dropped(&self, endpoint: &str) -> Vec<Dropped> {
        self.store.dropped(&ws("w"), &ep(endpoint), None, 500).await.expect("dropped")
    }

    pub async fn dropped_ids(&self, endpoint: &str) -> Vec<String> {
        self.dropped(endpoint).await.into_iter().map(|dropped| dropped.event.id.to_string()).collect()
    }

    pub async fn used(&self) -> u32 {
        self.store.quota(&ws("w")).await.expect("quota").used
    }
}

/// Most steps that one round of upkeep takes in these tests.
const SWEEP_STEPS_MAX: usize = 10_000;

/// Takes the steps of one round of upkeep together.
pub async fn sweep_whole(store: &dyn Store, partition: Partition) -> Swept {
    let mut whole = Swept::default();
    let mut dropped = std::collections::BTreeMap::<DropReason, u64>::new();
    for _ in 0..SWEEP_STEPS_MAX {
        let step = store.sweep(partition, whole.next).await.expect("sweep");
        for (reason, count) in step.dropped {
            *dropped.entry(reason).or_default() += count;
        }
        whole.ready.extend(step.ready);
        whole.burdens.extend(step.burdens);
        whole.oldest_ms = whole.oldest_ms.max(step.oldest_ms);
        whole.oldest_enabled_ms = whole.oldest_enabled_ms.max(step.oldest_enabled_ms);
        whole.next = step.next;
        if whole.next.is_none() {
            whole.dropped = dropped.into_iter().collect();
            return whole;
        }
    }
    panic!("upkeep has no end");
}

pub fn leased(claim: Claim) -> Lease {
    match claim {
        Claim::Leased(lease) => *lease,
        other => panic!("the lane is to be had, but: {other:?}"),
    }
}

pub fn next(committed: Committed) -> Lease {
    match committed.after {
        After::Next(lease) => *lease,
        other => panic!("the next event is handed over, but: {other:?}"),
    }
}
