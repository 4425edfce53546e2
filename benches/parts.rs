//! What the parts of the hot path cost that ask nobody: `cargo bench --features testing --bench parts`.
//!
//! Divan prints a table of times per call; `-- sign` runs what has that in its name. Bodies are of 1 KiB.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use divan::{Bencher, black_box};
use recadero::decide::attempt::Outcome;
use recadero::decide::event::{Header, Published, decode};
use recadero::decide::event_types::EventTypes;
use recadero::decide::ids::{EndpointId, EventId, EventType, LaneId, Partition, WorkspaceId};
use recadero::decide::retry::Next;
use recadero::deliver::send::headers::{Outgoing, build};
use recadero::deliver::send::own::OwnHeaders;
use recadero::deliver::sign::Secret;
use recadero::store::lanes::{Commit, Token};
use recadero::store::records::{AttemptRow, Config};
use recadero::store::redis::commit_bytes;

const BODY_BYTES: usize = 1_024;
const MAX_EVENT_BYTES: usize = 1 << 20;

fn main() {
    divan::main();
}

/// As publishers send it, with spaces that are not delivered.
fn body() -> Vec<u8> {
    let head = r#"{ "event_type": "message.sent", "event_id": "evt_0193f5a0", "contact": { "id": "c1" }, "text": ""#;
    let text = "a".repeat(BODY_BYTES - head.len() - 3);
    format!("{head}{text}\" }}").into_bytes()
}

#[divan::bench]
fn decode_an_event(bencher: Bencher) {
    let (types, body) = (EventTypes::new([]), body());
    bencher.bench(|| {
        let published = Published {
            routing_key: "message.sent",
            body: black_box(&body),
            message_id: None,
            workspace_id: Header::Text("acme"),
            contact_id: Header::Absent,
            traceparent: None,
        };
        decode(&published, &types, MAX_EVENT_BYTES).unwrap()
    });
}

#[divan::bench]
fn sign_a_body(bencher: Bencher) {
    let (secret, body) = (Secret::from_random([7; 24]), body());
    bencher.bench(|| secret.sign_body(black_box(&body)));
}

#[divan::bench]
fn sign_by_the_standard(bencher: Bencher) {
    let (secret, body) = (Secret::from_random([7; 24]), body());
    bencher.bench(|| secret.sign_standard("evt_0193f5a0", "1767225600", black_box(&body)));
}

#[divan::bench]
fn build_the_headers(bencher: Bencher) {
    let (event, event_type) = (EventId::trusted("evt_0193f5a0"), EventType::trusted("message.sent"));
    let (secrets, own, body) = ([Secret::from_random([7; 24])], OwnHeaders::default(), body());
    bencher.bench(|| {
        build(black_box(&Outgoing {
            event: &event,
            event_type: &event_type,
            attempt: 1,
            at: Duration::from_secs(1_767_225_600),
            body: &body,
            secrets: &secrets,
            traceparent: None,
            own: &own,
            resend: false,
        }))
    });
}

/// By the number of lanes that share the call.
#[divan::bench(args = [1, 8, 32])]
fn build_the_call_of_a_commit(bencher: Bencher, lanes: u64) {
    let commits: Vec<_> = (0..lanes).map(delivered).collect();
    bencher.bench(|| commit_bytes(Partition(1), black_box(&commits)));
}

fn delivered(number: u64) -> Commit {
    let endpoint = EndpointId::trusted(format!("ep_{number:016}"));
    let row = AttemptRow {
        event_id: EventId::trusted("evt_0193f5a0"),
        event_type: EventType::trusted("message.sent"),
        attempt: 1,
        duration_ms: 70,
        outcome: Outcome::Delivered,
        status: Some(200),
        excerpt: String::new(),
        signed_ms: 1_767_225_600_000,
        resend: false,
    };
    let config = Config {
        version: 1,
        url: "https://r.example/".to_owned(),
        events: vec![EventType::trusted("*")],
        description: String::new(),
        lanes: 1,
        headers: Vec::new(),
        secrets: Vec::new(),
        created_ms: 0,
        updated_ms: 0,
    };
    Commit {
        lane: LaneId { workspace: WorkspaceId::trusted("acme"), endpoint, layout: 1, index: 0 },
        token: Token(number + 1),
        seq: 7,
        round: 1,
        attempt: 1,
        generation: 0,
        outcome: Outcome::Delivered,
        next: Next::Drop,
        ended_ago: Duration::ZERO,
        row: Arc::new(row),
        more: true,
        config: Arc::new(config),
    }
}
