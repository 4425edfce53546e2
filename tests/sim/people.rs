//! What people and upstream services do in a history, and what the API tells them at its end.

use std::collections::BTreeMap;

use bytes::Bytes;
use recadero::consume::Outgoing;
use recadero::decide::attempt::Outcome;
use recadero::decide::ids::{EndpointId, EventId, EventType, WorkspaceId};
use recadero::decide::notice::DropReason;
use recadero::store::Records;
use recadero::store::records::{Config, Dropped, Endpoint, ResendFrom, SigningSecret, Workspace};

use crate::history::History;
use crate::plan::{Plan, Poison};
use crate::receivers::Manner;
use crate::tape::{ALL, Op};
use crate::trace::Fact;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// What they remember.
#[derive(Default)]
pub struct People {
    endpoints: Vec<Subject>,
    entitled: BTreeMap<usize, bool>,
    published: Vec<(Outgoing, Fact)>,
    poisons: usize,
    /// How often they resent an event of an endpoint, however it had ended.
    resent: BTreeMap<(EndpointId, EventId), usize>,
}

/// An endpoint, as those know it who set it.
#[derive(Clone)]
struct Subject {
    workspace: usize,
    id: EndpointId,
    config: Config,
    deleted: bool,
}

impl Subject {
    fn home(&self) -> WorkspaceId {
        workspace(self.workspace)
    }
}

fn workspace(number: usize) -> WorkspaceId {
    WorkspaceId::trusted(format!("w{number}"))
}

fn endpoint(number: usize) -> EndpointId {
    EndpointId::trusted(format!("ep_{number}"))
}

fn url(endpoint: &EndpointId, version: u64) -> String {
    format!("http://127.0.0.1:1/{endpoint}/{version}")
}

impl History {
    pub fn publish(&self, number: usize, contact: Option<u64>) {
        let mut people = self.people.lock().unwrap();
        let (home, id) = (workspace(number), format!("e{}", people.published.len()));
        let body = match contact {
            Some(contact) => format!("{{\"contact\":{{\"id\":{contact}}}}}"),
            None => "{}".to_owned(),
        };
        let (event_type, event) = (EventType::trusted("message.sent"), EventId::trusted(id.as_str()));
        let message = Outgoing::event("recadero.events", &home, &event_type, Some(&event), Bytes::from(body));
        let fact = Fact::Published { workspace: home.to_string(), event: id, contact };
        people.published.push((message.clone(), fact.clone()));
        drop(people);
        self.trace.put(fact);
        self.broker.publish(message);
    }

    pub fn publish_again(&self, back: usize) {
        let published = self.people.lock().unwrap().published.iter().rev().nth(back).cloned();
        if let Some((message, fact)) = published {
            self.trace.put(fact);
            self.broker.publish(message);
        }
    }

    /// What the contract's section 2 has rejected, each for one reason.
    pub fn publish_poison(&self, number: usize, poison: Poison) {
        let mut people = self.people.lock().unwrap();
        people.poisons += 1;
        let name = format!("x{}", people.poisons);
        drop(people);
        let event = EventId::trusted(name.as_str());
        let (reason, event_type, body) = match poison {
            Poison::NotJson => ("not_json", "message.sent", r#"{"a":1,"a":1}"#),
            Poison::NotAnObject => ("not_an_object", "message.sent", "[]"),
            Poison::NoWorkspace => ("missing_workspace_id", "message.sent", "{}"),
            Poison::UnknownType => ("unknown_event_type", "message.invented", "{}"),
            Poison::OtherType => ("event_type_mismatch", "message.sent", r#"{"event_type":"comment.created"}"#),
        };
        let (home, event_type) = (workspace(number), EventType::trusted(event_type));
        let mut message = Outgoing::event("recadero.events", &home, &event_type, Some(&event), Bytes::from(body));
        if poison == Poison::NoWorkspace {
            message.properties = message.properties.with_headers(Default::default());
        }
        self.trace.put(Fact::Poison { event: name, reason, body: body.to_owned() });
        self.broker.publish(message);
    }

    pub fn behave(&self, number: usize, manner: Manner) {
        self.receivers.behave(endpoint(number).as_str(), manner);
    }

    pub async fn set_plan(&self, number: usize, entitled: bool) {
        if self.people.lock().unwrap().entitled.insert(number, entitled) == Some(entitled) {
            return;
        }
        let plan = if entitled { "advanced" } else { "basic" }.to_owned();
        let record = Workspace { plan, locale: "en".to_owned(), ..Workspace::default() };
        self.play(Op::PutWorkspace(workspace(number), record)).await;
        self.trace.put(Fact::Plan { workspace: workspace(number).to_string(), entitled });
    }

    pub async fn create(&self, number: usize, lanes: u16) {
        let id = endpoint(self.people.lock().unwrap().endpoints.len());
        let config = Config {
            version: 1,
            url: url(&id, 1),
            events: vec![EventType::trusted("*")],
            description: String::new(),
            lanes,
            headers: Vec::new(),
            secrets: vec![SigningSecret { text: SECRET.to_owned(), until_ms: None }],
            created_ms: 0,
            updated_ms: 0,
        };
        let subject = Subject { workspace: number, id: id.clone(), config: config.clone(), deleted: false };
        self.people.lock().unwrap().endpoints.push(subject);
        self.play(Op::PutEndpoint(workspace(number), id.clone(), config.clone())).await;
        let (workspace, endpoint) = (workspace(number).to_string(), id.to_string());
        self.trace.put(Fact::Created { workspace, endpoint, url: config.url, lanes });
    }

    /// Another setting of `lanes`, or another URL.
    pub async fn change(&self, number: usize, lanes: Option<u16>) {
        let Some(subject) = self.subject(number) else { return };
        let mut config = subject.config.clone();
        config.version += 1;
        match lanes {
            Some(lanes) => config.lanes = lanes,
            None => config.url = url(&subject.id, config.version),
        }
        let answer = self.play(Op::PutEndpoint(subject.home(), subject.id.clone(), config.clone())).await;
        if !answer.contains("Done") {
            return; // Too many layouts are not drained: refused, nothing changed.
        }
        self.people.lock().unwrap().endpoints[number].config = config.clone();
        let endpoint = subject.id.to_string();
        self.trace.put(match lanes {
            Some(lanes) => Fact::Laned { endpoint, lanes },
            None => Fact::Moved { endpoint, url: config.url },
        });
    }

    pub async fn disable(&self, number: usize) {
        let Some(subject) = self.subject(number) else { return };
        if !self.is_disabled(&subject).await {
            self.play(Op::Disable(subject.home(), subject.id.clone())).await;
            self.trace.put(Fact::Disabled { endpoint: subject.id.to_string() });
        }
    }

    pub async fn enable(&self, number: usize, discard: bool) {
        let Some(subject) = self.subject(number) else { return };
        if !self.is_disabled(&subject).await {
            return;
        }
        let before = self.dropped(&subject).await;
        self.play(Op::Enable(subject.home(), subject.id.clone(), discard)).await;
        for Dropped { seq, event, .. } in self.dropped(&subject).await {
            if !before.iter().any(|before| before.seq == seq) {
                self.trace.put(Fact::Discarded { endpoint: subject.id.to_string(), event: event.id.to_string() });
            }
        }
        self.trace.put(Fact::Enabled { endpoint: subject.id.to_string() });
    }

    pub async fn delete(&self, number: usize) {
        let Some(subject) = self.subject(number) else { return };
        self.people.lock().unwrap().endpoints[number].deleted = true;
        self.play(Op::DeleteEndpoint(subject.home(), subject.id.clone())).await;
        self.trace.put(Fact::Deleted { endpoint: subject.id.to_string() });
    }

    /// Everything that was dropped goes once more, in its old order.
    pub async fn recover(&self, number: usize) {
        let Some(subject) = self.subject(number) else { return };
        let events: Vec<_> = self.dropped(&subject).await.into_iter().map(|dropped| dropped.event.id).collect();
        self.play(Op::Resend(subject.home(), subject.id.clone(), ResendFrom::Dropped, events.clone())).await;
        for event in events {
            self.was_resent(&subject, event);
        }
    }

    /// An event goes once more that was delivered, as often as it was sent: of one that waits as well nobody outside
    /// could tell which of the two is sent.
    pub async fn resend(&self, number: usize, back: usize) {
        let Some(subject) = self.subject(number) else { return };
        let rows = self.base.memory.attempts(&subject.home(), &subject.id, None, ALL).await.unwrap();
        let delivered = rows.into_iter().filter(|row| row.row.outcome == Outcome::Delivered);
        let delivered: Vec<EventId> = delivered.map(|row| row.row.event_id.clone()).collect();
        let Some(event) = delivered.get(back).cloned() else { return };
        let sent = 1 + self.people.lock().unwrap().resent.get(&(subject.id.clone(), event.clone())).unwrap_or(&0);
        if delivered.iter().filter(|other| **other == event).count() == sent {
            let op = Op::Resend(subject.home(), subject.id.clone(), ResendFrom::Kept, vec![event.clone()]);
            if self.play(op).await.contains("done: [true]") {
                self.was_resent(&subject, event);
            }
        }
    }

    fn was_resent(&self, subject: &Subject, event: EventId) {
        self.trace.put(Fact::Resent { endpoint: subject.id.to_string(), event: event.to_string() });
        *self.people.lock().unwrap().resent.entry((subject.id.clone(), event)).or_default() += 1;
    }

    /// A workspace with all that it has; it may be set again.
    pub async fn delete_workspace(&self, number: usize) {
        self.play(Op::DeleteWorkspace(workspace(number))).await;
        let mut people = self.people.lock().unwrap();
        people.entitled.insert(number, false);
        let own = people.endpoints.iter_mut().filter(|subject| subject.workspace == number && !subject.deleted);
        for subject in own {
            subject.deleted = true;
            self.trace.put(Fact::Deleted { endpoint: subject.id.to_string() });
        }
        self.trace.put(Fact::Plan { workspace: workspace(number).to_string(), entitled: false });
    }

    /// At the end plans come back and endpoints are enabled, unless the plan of the history says otherwise.
    pub async fn make_good(&self, plan: &Plan) {
        self.set_plan(0, true).await;
        self.set_plan(1, !plan.left_without_plan).await;
        let count = self.people.lock().unwrap().endpoints.len();
        for number in 0..count {
            if !(plan.left_disabled && number == 0) {
                self.enable(number, false).await;
            }
        }
    }

    /// Events that wait at endpoints which could have them.
    pub async fn waiting(&self) -> u64 {
        let mut waiting = 0;
        for subject in self.subjects() {
            if let Some(Endpoint { backlog_events, paused: false, disabled: None, .. }) = self.look(&subject).await {
                waiting += backlog_events;
            }
        }
        waiting
    }

    /// What the API says.
    pub async fn tell(&self) {
        for subject in self.subjects().into_iter().filter(|subject| !subject.deleted) {
            let (home, id) = (subject.home(), subject.id.clone());
            self.play(Op::Endpoint(home.clone(), id.clone())).await;
            self.play(Op::Attempts(home.clone(), id.clone())).await;
            self.play(Op::Dropped(home.clone(), id.clone())).await;
            let endpoint = id.to_string();
            for attempt in self.base.memory.attempts(&home, &id, None, ALL).await.unwrap().into_iter().rev() {
                self.trace.put(Fact::Row {
                    endpoint: endpoint.clone(),
                    event: attempt.row.event_id.to_string(),
                    attempt: attempt.row.attempt,
                    delivered: attempt.row.outcome == Outcome::Delivered,
                });
            }
            for Dropped { event, reason, .. } in self.dropped(&subject).await {
                let (event, reason) = (event.id.to_string(), DropReason::as_str(reason).to_owned());
                self.trace.put(Fact::InDroppedList { endpoint: endpoint.clone(), event, reason });
            }
            if let Some(seen) = self.look(&subject).await {
                let status = seen.status().as_str().to_owned();
                self.trace.put(Fact::Backlog { endpoint, events: seen.backlog_events, status });
            }
        }
        for workspace in [0, 1].map(workspace) {
            self.play(Op::Quota(workspace.clone())).await;
            let quota = self.base.memory.quota(&workspace).await.unwrap();
            let by_endpoint = quota.by_endpoint.iter().map(|(id, count)| (id.to_string(), *count)).collect();
            self.trace.put(Fact::Quota { workspace: workspace.to_string(), used: quota.used, by_endpoint });
        }
        self.trace.put(Fact::Queue { messages: self.broker.depth() });
    }

    async fn play(&self, op: Op) -> String {
        self.base.tape.play(&self.base.memory, op).await
    }

    async fn look(&self, subject: &Subject) -> Option<Endpoint> {
        self.base.memory.endpoint(&subject.home(), &subject.id).await.unwrap()
    }

    async fn is_disabled(&self, subject: &Subject) -> bool {
        self.look(subject).await.is_some_and(|endpoint| endpoint.disabled.is_some())
    }

    async fn dropped(&self, subject: &Subject) -> Vec<Dropped> {
        self.base.memory.dropped(&subject.home(), &subject.id, None, ALL).await.unwrap()
    }

    fn subjects(&self) -> Vec<Subject> {
        self.people.lock().unwrap().endpoints.clone()
    }

    /// An endpoint that was created and not deleted.
    fn subject(&self, number: usize) -> Option<Subject> {
        self.subjects().into_iter().nth(number).filter(|subject| !subject.deleted)
    }
}
