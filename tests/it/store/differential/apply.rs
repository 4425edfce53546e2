//! One store under comparison: applies an operation, answers in text that two stores can be compared by.

use std::fmt::Debug;
use std::time::Duration;

use recadero::decide::ids::{EndpointId, EventId, LaneId, Partition, WorkspaceId};
use recadero::decide::notice::Channel;
use recadero::decide::relief::Burden;
use recadero::decide::route::Routing;
use recadero::store::Store;
use recadero::store::lanes::{After, Append, Claim, Commit, Granted, Intake, Lease, Offer, Pool, Swept, Token, Want};
use recadero::store::outbox::Sent;
use recadero::store::records::{Config, ResendFrom, Workspace};

use super::generate::Generator;
use crate::store::fixture::{Fixture, PARTITIONS};
use crate::store::world::sweep_whole;

/// Rows asked for where ties could make a shorter page another one.
const ALL: usize = 500;

/// An operation, whole: it can be applied to any store.
#[derive(Clone, Debug)]
pub enum Op {
    Pass(Duration),
    Append(Partition, Vec<Append>, Offer),
    Due(Partition, Pool),
    Claim(Partition, Vec<Want>),
    Commit(Partition, Vec<Commit>),
    GiveBack(Partition, LaneId, Token),
    Sweep(Partition),
    Relieve(Burden, u64),
    Beat(String),
    Leave(String),
    Notices(Partition),
    Settle(Partition, String, Channel, Sent),
    Workspaces(Option<WorkspaceId>, Option<String>, usize),
    PutWorkspace(WorkspaceId, Workspace),
    DeleteWorkspace(WorkspaceId),
    Routing(WorkspaceId),
    Endpoint(WorkspaceId, EndpointId),
    PutEndpoint(WorkspaceId, EndpointId, Config),
    DeleteEndpoint(WorkspaceId, EndpointId),
    Enable(WorkspaceId, EndpointId, bool),
    Disable(WorkspaceId, EndpointId),
    Quota(WorkspaceId),
    Attempts(WorkspaceId, EndpointId, Option<u64>, usize),
    Stats(WorkspaceId, EndpointId),
    Dropped(WorkspaceId, EndpointId, Option<u64>, usize),
    Payload(WorkspaceId, EndpointId, EventId),
    Resend(WorkspaceId, EndpointId, ResendFrom, Vec<EventId>),
}

/// What later operations go by.
#[derive(Default)]
pub struct Learned {
    pub leases: Vec<Lease>,
    pub granted: Vec<Granted>,
    pub dropped: Vec<(WorkspaceId, EndpointId, EventId)>,
    pub due: Vec<LaneId>,
    pub routing: Option<(WorkspaceId, Routing)>,
    pub endpoint: Option<(WorkspaceId, EndpointId, Option<Config>)>,
    pub notices: Vec<(String, Channel)>,
    pub burdens: Vec<Burden>,
}

pub struct Subject {
    fixture: Fixture,
    intake: Box<dyn Intake>,
}

impl Subject {
    pub async fn new(fixture: Fixture) -> Self {
        let intake = fixture.store.intake().await.expect("the store is there");
        Self { fixture, intake }
    }

    pub fn now_ms(&self) -> u64 {
        self.fixture.time.now_ms()
    }

    fn store(&self) -> &dyn Store {
        self.fixture.store.as_ref()
    }

    pub async fn apply(&self, op: &Op) -> (String, Learned) {
        let mut learned = Learned::default();
        let store = self.store();
        let answer = match op {
            Op::Pass(span) => {
                self.fixture.time.pass(*span);
                String::new()
            }
            Op::Append(partition, items, offer) => {
                let answer = self.intake.append(*partition, items, *offer).await.map(|mut appended| {
                    appended.ready.sort();
                    appended.dropped.sort();
                    learned.routing = appended.stale.clone();
                    learned.granted = appended.granted.clone();
                    appended
                });
                text(answer)
            }
            Op::Due(partition, pool) => {
                let answer = store.due(*partition, *pool, ALL).await.map(|mut due| {
                    due.sort_by(|a, b| b.late_ms.cmp(&a.late_ms).then_with(|| a.lane.cmp(&b.lane)));
                    learned.due = due.iter().map(|due| due.lane.clone()).collect();
                    due
                });
                text(answer)
            }
            Op::Claim(partition, wants) => {
                let answer = store.claim(*partition, wants).await;
                for claim in answer.iter().flatten() {
                    if let Claim::Leased(lease) = claim {
                        learned.leases.push((**lease).clone());
                    }
                }
                text(answer)
            }
            Op::Commit(partition, commits) => {
                let answer = store.commit(*partition, commits).await;
                for committed in answer.iter().flatten() {
                    if let After::Next(lease) = &committed.after {
                        learned.leases.push((**lease).clone());
                    }
                }
                text(answer)
            }
            Op::GiveBack(partition, lane, token) => text(store.give_back(*partition, lane, *token).await),
            Op::Sweep(partition) => {
                let mut whole: Swept = sweep_whole(store, *partition).await;
                whole.ready.sort();
                whole.ready.dedup();
                whole.burdens.sort();
                learned.burdens = whole.burdens.clone();
                let overview = store.overview(ALL).await.map(|mut overview| {
                    overview.disabled.sort();
                    overview.suspect.sort();
                    overview
                });
                format!("{whole:?} {} {}", text(store.figures(*partition).await), text(overview))
            }
            Op::Relieve(burden, bytes) => {
                let answer = store.relieve(burden, *bytes).await.map(|mut relieved| {
                    relieved.ready.sort();
                    relieved
                });
                text(answer)
            }
            Op::Beat(member) => text(store.beat(Some(member)).await),
            Op::Leave(member) => text(store.leave(member).await),
            Op::Notices(partition) => {
                let answer = store.notices(*partition, ALL).await.map(|mut notices| {
                    notices.sort_by(|a, b| (&a.notice.id, a.channel).cmp(&(&b.notice.id, b.channel)));
                    learned.notices = notices.iter().map(|it| (it.notice.id.clone(), it.channel)).collect();
                    notices
                });
                text(answer)
            }
            Op::Settle(partition, id, channel, sent) => text(store.settle(*partition, id, *channel, *sent).await),
            Op::Workspaces(after, query, limit) => {
                text(store.workspaces(after.as_ref(), query.as_deref(), *limit).await)
            }
            Op::PutWorkspace(workspace, record) => text(store.put_workspace(workspace, record).await),
            Op::DeleteWorkspace(workspace) => text(store.delete_workspace(workspace).await),
            Op::Routing(workspace) => {
                let answer = store.routing(workspace).await;
                learned.routing = answer.as_ref().ok().map(|routing| (workspace.clone(), routing.clone()));
                text(answer)
            }
            Op::Endpoint(workspace, endpoint) => {
                let answer = store.endpoint(workspace, endpoint).await;
                let config = answer.as_ref().ok().and_then(|it| it.as_ref()).map(|it| it.config.clone());
                learned.endpoint = Some((workspace.clone(), endpoint.clone(), config));
                let retrying = store.retrying(workspace, endpoint, ALL).await;
                format!("{} {}", text(answer), text(retrying))
            }
            Op::PutEndpoint(workspace, endpoint, config) => text(store.put_endpoint(workspace, endpoint, config).await),
            Op::DeleteEndpoint(workspace, endpoint) => text(store.delete_endpoint(workspace, endpoint).await),
            Op::Enable(workspace, endpoint, discard) => text(store.enable(workspace, endpoint, *discard).await),
            Op::Disable(workspace, endpoint) => text(store.disable(workspace, endpoint).await),
            Op::Quota(workspace) => text(store.quota(workspace).await),
            Op::Attempts(workspace, endpoint, before, limit) => {
                text(store.attempts(workspace, endpoint, *before, *limit).await)
            }
            Op::Stats(workspace, endpoint) => text(store.stats(workspace, endpoint).await),
            Op::Dropped(workspace, endpoint, after, limit) => {
                let answer = store.dropped(workspace, endpoint, *after, *limit).await;
                let ids = answer.iter().flatten().map(|dropped| dropped.event.id.clone());
                learned.dropped = ids.map(|id| (workspace.clone(), endpoint.clone(), id)).collect();
                text(answer)
            }
            Op::Payload(workspace, endpoint, event) => text(store.payload(workspace, endpoint, event).await),
            Op::Resend(workspace, endpoint, from, events) => {
                let answer = store.resend(workspace, endpoint, *from, events).await.map(|mut resent| {
                    resent.ready.sort();
                    resent
                });
                text(answer)
            }
        };
        (answer, learned)
    }

    /// Everything that can be read, part by part.
    pub async fn contents(&self, generator: &Generator) -> Vec<String> {
        let store = self.store();
        let mut parts = vec![text(store.workspaces(None, None, ALL).await)];
        for partition in (0..PARTITIONS).map(Partition) {
            for pool in [Pool::Healthy, Pool::Suspect] {
                parts.push(self.apply(&Op::Due(partition, pool)).await.0);
            }
        }
        for workspace in generator.workspaces() {
            parts.push(text(store.workspace(workspace).await));
            parts.push(text(store.routing(workspace).await));
            parts.push(text(store.quota(workspace).await));
            let endpoints = store.endpoints(workspace).await;
            let ids: Vec<EndpointId> = endpoints.iter().flatten().map(|endpoint| endpoint.id.clone()).collect();
            parts.push(text(endpoints));
            for endpoint in ids {
                parts.push(text(store.attempts(workspace, &endpoint, None, ALL).await));
                parts.push(text(store.stats(workspace, &endpoint).await));
                parts.push(text(store.dropped(workspace, &endpoint, None, ALL).await));
                let of_endpoint = |it: &&(WorkspaceId, EndpointId, EventId)| it.0 == *workspace && it.1 == endpoint;
                for (_, _, event) in generator.tried().iter().filter(of_endpoint) {
                    parts.push(text(store.payload(workspace, &endpoint, event).await));
                }
            }
        }
        parts
    }
}

fn text(answer: impl Debug) -> String {
    format!("{answer:?}")
}
