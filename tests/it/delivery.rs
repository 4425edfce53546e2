//! What arrives at an endpoint (contract, section 3): the bytes, the headers, the signatures, and the order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use lapin::types::AMQPValue;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use sha2::Sha256;

use crate::rig::publish::{EXCHANGE, event, headers};
use crate::rig::receiver::{Answer, Receiver, Request};
use crate::service::{Endpoint, SOON, Service};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// HMAC-SHA256 in base64, by the test's own hand.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Both signatures of a request, by the endpoint's secret.
pub fn assert_signed(request: &Request, secret: &str) {
    assert_eq!(request.header("x-webhook-signature"), Some(hmac(secret.as_bytes(), &request.body).as_str()));
    let (id, timestamp) = (request.header("webhook-id").unwrap(), request.header("webhook-timestamp").unwrap());
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.body].concat();
    assert_eq!(request.header("webhook-signature"), Some(format!("v1,{}", hmac(&key, &signed)).as_str()));
}

fn samples() -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/events")).unwrap().map(|file| file.unwrap().path());
    let mut samples: Vec<_> = files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".json").unwrap().to_owned();
            (name, fs::read(&path).unwrap().trim_ascii_end().to_vec())
        })
        .collect();
    samples.sort();
    assert_eq!(samples.len(), 9);
    samples
}

#[tokio::test]
async fn the_nine_events_arrive_byte_exact_with_every_header() {
    assert_eq!(
        hmac(b"secret", br#"{"event":"message","data":"test"}"#),
        "UtAE5LaeNjrL33PUEQfh69YKw7UhrrkOL9tQN0+xIrI=",
        "the contract's own vector"
    );
    let service = Service::start(&[]).await;
    let receiver = Receiver::ok().await;
    let own = json!({"X-Own": "its value", "Authorization": "Bearer mine"});
    let url = format!("{}/hook?x=1", receiver.url());
    let endpoint = service.connect_with("acme", json!({"url": url, "events": ["*"], "headers": own})).await;

    let samples = samples();
    let began = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for (event_type, body) in &samples {
        let id = serde_json::from_slice::<serde_json::Value>(body).unwrap()["event_id"].as_str().unwrap().to_owned();
        let mut properties = event("acme", &id);
        let mut table = properties.headers().clone().unwrap();
        table.insert("traceparent".into(), AMQPValue::LongString(format!("00-{TRACE}-{SPAN}-01").into()));
        properties = properties.with_headers(table);
        service.publisher.message(EXCHANGE, event_type, properties, body).await;
    }
    let requests = receiver.wait_for(9, SOON).await;
    let ended = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();

    let mut spans = BTreeSet::new();
    for (request, (event_type, body)) in requests.iter().zip(&samples) {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook?x=1"));
        assert_eq!(request.text().as_bytes(), body, "{event_type}");
        assert_signed(request, &endpoint.secret);
        let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        let expected = [
            "accept",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "traceparent",
            "user-agent",
            "webhook-id",
            "webhook-signature",
            "webhook-timestamp",
            "x-own",
            "x-webhook-attempt",
            "x-webhook-event",
            "x-webhook-signature",
        ];
        assert_eq!(names, expected, "these and no others; X-Webhook-Resend is for resent ones");
        let value = |name: &str| request.header(name).unwrap();
        assert_eq!(value("content-type"), "application/json");
        assert_eq!(value("user-agent"), format!("Recadero/{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(value("webhook-id"), request.json()["event_id"]);
        assert!((began..=ended).contains(&value("webhook-timestamp").parse().unwrap()));
        assert_eq!((value("x-webhook-event"), value("x-webhook-attempt")), (event_type.as_str(), "1"));
        assert_eq!((value("x-own"), value("authorization")), ("its value", "Bearer mine"));
        assert_eq!(value("host"), format!("127.0.0.1:{}", receiver.port()));
        let trace: Vec<_> = value("traceparent").split('-').collect();
        assert_eq!((trace[0], trace[1], trace[3], trace.len()), ("00", TRACE, "01", 4));
        assert!(trace[2].len() == 16 && trace[2] != SPAN && trace[2] != "0000000000000000", "{trace:?}");
        spans.insert(trace[2].to_owned());
    }
    assert_eq!(spans.len(), 9, "each attempt has a span of its own");
}

#[tokio::test]
async fn bodies_are_compact_with_type_and_id_last_where_absent() {
    let service = Service::start(&[]).await;
    let receiver = Receiver::ok().await;
    let endpoint = service.connect("acme", &receiver.url()).await;
    let cases = [
        ("both", r#"{"b":1}"#, r#"{"b":1,"event_type":"message.sent","event_id":"both"}"#),
        ("empty", " {\n} ", r#"{"event_type":"message.sent","event_id":"empty"}"#),
        (
            "id",
            r#"{"event_type":"message.sent","z":[ ],"a":{ }}"#,
            r#"{"event_type":"message.sent","z":[],"a":{},"event_id":"id"}"#,
        ),
        ("type", "{\"event_id\": \"type\",\r\n\t\"a\": 1}", r#"{"event_id":"type","a":1,"event_type":"message.sent"}"#),
        (
            "numbers",
            r#"{"z": 1.50, "a": 1E+2, "m": 12345678901234567890123, "-": -0, "event_id": "numbers", "event_type": "message.sent"}"#,
            r#"{"z":1.50,"a":1E+2,"m":12345678901234567890123,"-":-0,"event_id":"numbers","event_type":"message.sent"}"#,
        ),
        (
            "escapes",
            r#"{"\u0061": "\u00e9\/\u20ac \ud83d\ude00 \" \\ \n é","event_id":"escapes","event_type":"message.sent"}"#,
            "{\"a\":\"é/€ 😀 \\\" \\\\ \\n é\",\"event_id\":\"escapes\",\"event_type\":\"message.sent\"}",
        ),
    ];
    for (id, published, _) in cases {
        service.publisher.event("message.sent", "acme", id, published.as_bytes()).await;
    }
    let requests = receiver.wait_for(cases.len(), SOON).await;
    for (request, (id, _, delivered)) in requests.iter().zip(cases) {
        assert_eq!(request.text(), delivered);
        assert_eq!((request.header("webhook-id"), request.header("traceparent")), (Some(id), None));
        assert_signed(request, &endpoint.secret);
    }
}

/// What a receiver does with each attempt of an event, and after how long, by a seed.
fn fate(seed: u64, path: &str, event: &str, attempt: u32) -> (bool, Answer) {
    let mut hash = seed;
    for byte in path.bytes().chain(event.bytes()) {
        hash = hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte);
    }
    let mut random = StdRng::seed_from_u64(hash.wrapping_add(u64::from(attempt)));
    let delay = Duration::from_micros(random.random_range(0..3_000));
    // Never all four: none of these events is to be dropped.
    let fails = attempt < 4 && random.random_bool(0.04);
    let answer = match (fails, random.random_range(0..4)) {
        (false, _) => Answer::ok(),
        (true, 0) => Answer::status(500),
        (true, 1) => Answer::status(204),
        (true, 2) => Answer::close(),
        (true, _) => Answer::raw("nonsense\r\n\r\n"),
    };
    (fails, answer.after(delay))
}

fn attempt_of(request: &Request) -> u32 {
    request.header("x-webhook-attempt").unwrap().parse().unwrap()
}

fn id_of(request: &Request) -> &str {
    request.header("webhook-id").unwrap()
}

const WORKSPACES: usize = 4;
const ENDPOINTS: usize = 5;
const EVENTS: usize = 2_000;
const CONTACTS: usize = 25;

/// An event's contact, of its number: the same order in each workspace for whoever checks.
fn contact(number: usize) -> usize {
    (number / WORKSPACES) * 7 % CONTACTS
}

#[tokio::test]
async fn two_thousand_events_reach_twenty_endpoints_in_order_whatever_fails() {
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let service = Service::start(&[
        ("RECADERO_RETRY_DELAYS", "5ms,10ms,15ms"),
        ("RECADERO_QUOTA_LIMIT", "100000"),
        ("RECADERO_LOG", "warn"),
    ])
    .await;
    let receiver =
        Receiver::start(move |request| fate(seed, &request.path, id_of(request), attempt_of(request)).1).await;
    let mut endpoints: Vec<(String, Endpoint)> = Vec::new();
    for workspace in 0..WORKSPACES {
        for number in 0..ENDPOINTS {
            // The last of each workspace has lanes.
            let (path, lanes) = (format!("/{workspace}/{number}"), if number == ENDPOINTS - 1 { 8 } else { 1 });
            let body = json!({"url": format!("{}{path}", receiver.url()), "events": ["*"], "lanes": lanes});
            endpoints.push((path, service.connect_with(&format!("w{workspace}"), body).await));
        }
    }

    let mut published: Vec<Vec<(String, usize)>> = vec![Vec::new(); WORKSPACES];
    let mut confirms = Vec::new();
    for number in 0..EVENTS {
        let (workspace, contact, id) = (number % WORKSPACES, contact(number), format!("e{number}"));
        let name = AMQPValue::LongString(format!("w{workspace}").into());
        // The contact's id stands in the header or in the body.
        let (properties, body) = if number % 3 == 0 {
            let contact = AMQPValue::LongLongInt(contact as i64);
            (headers(&[("workspace_id", name), ("contact_id", contact)]), "{}".to_owned())
        } else {
            (headers(&[("workspace_id", name)]), format!(r#"{{"contact":{{"id":{contact}}}}}"#))
        };
        let properties = properties.with_message_id(id.clone().into());
        confirms.push((properties, body));
        published[workspace].push((id, contact));
    }
    service.publisher.all(EXCHANGE, "contact.updated", confirms).await;

    let all = EVENTS * ENDPOINTS;
    let limit = Duration::from_secs(120);
    receiver.wait_until("every delivery", limit, |requests| delivered(seed, requests) >= all).await;
    for (_, endpoint) in &endpoints {
        service.until_idle(endpoint).await;
    }
    // What would be sent twice would be sent now.
    tokio::time::sleep(Duration::from_millis(200)).await;

    let mut by_path: BTreeMap<String, Vec<Arc<Request>>> = BTreeMap::new();
    for request in receiver.requests() {
        by_path.entry(request.path.clone()).or_default().push(request);
    }
    let mut overtaken = 0;
    for (index, (path, _)) in endpoints.iter().enumerate() {
        let published = &published[index / ENDPOINTS];
        let arrived = &by_path[path];
        if index % ENDPOINTS < ENDPOINTS - 1 {
            let expected: Vec<_> = published.iter().flat_map(|(id, _)| attempts(seed, path, id)).collect();
            assert_eq!(told(arrived.iter()), expected, "{path}");
            continue;
        }
        let of: BTreeMap<&str, usize> = published.iter().map(|(id, contact)| (id.as_str(), *contact)).collect();
        for contact in 0..CONTACTS {
            let mine = published.iter().filter(|(_, of)| *of == contact);
            let expected: Vec<_> = mine.flat_map(|(id, _)| attempts(seed, path, id)).collect();
            let arrived = arrived.iter().filter(|request| of[id_of(request)] == contact);
            assert_eq!(told(arrived), expected, "{path}, contact {contact}");
        }
        let numbers: Vec<usize> = arrived.iter().map(|request| id_of(request)[1..].parse().unwrap()).collect();
        overtaken += numbers.windows(2).filter(|pair| pair[0] > pair[1]).count();
    }
    assert!(overtaken > 0, "with lanes, contacts do not wait for each other");
}

/// The attempts that an event's fate asks for, no more and no fewer.
fn attempts(seed: u64, path: &str, id: &str) -> Vec<(String, u32)> {
    let failures = (1..).take_while(|attempt| fate(seed, path, id, *attempt).0).count();
    (1..=u32::try_from(failures).unwrap() + 1).map(|attempt| (id.to_owned(), attempt)).collect()
}

fn told<'a>(requests: impl Iterator<Item = &'a Arc<Request>>) -> Vec<(String, u32)> {
    requests.map(|request| (id_of(request).to_owned(), attempt_of(request))).collect()
}

fn delivered(seed: u64, requests: &[Arc<Request>]) -> usize {
    let fails = |request: &Request| fate(seed, &request.path, id_of(request), attempt_of(request)).0;
    requests.iter().filter(|request| !fails(request)).count()
}

#[tokio::test]
async fn order_per_contact_survives_a_change_of_lanes_with_a_backlog() {
    let service = Service::start(&[]).await;
    let receiver = Receiver::start(|_| Answer::ok().after(Duration::from_millis(4))).await;
    let endpoint = service.connect("acme", &receiver.url()).await;
    let mut published: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut number = 0;
    for lanes in [8, 3, 1] {
        let mut batch = Vec::new();
        for _ in 0..150 {
            let (id, contact) = (format!("e{number}"), format!("c{}", number * 3 % 10));
            batch.push((id.clone(), format!(r#"{{"contact":{{"id":"{contact}"}}}}"#)));
            published.entry(contact).or_default().push(id);
            number += 1;
        }
        let batch = batch.iter().map(|(id, body)| ("message.sent", "acme", id.as_str(), body.as_bytes()));
        service.publisher.events(batch).await;
        let before = receiver.count();
        receiver.wait_for(before + 10, SOON).await;
        let patched = service.of(&endpoint, "PATCH", "", json!({"lanes": lanes})).await;
        assert_eq!(patched["lanes"], lanes);
        assert!(patched["backlog"]["events"].as_u64().unwrap() > 50, "{patched}");
    }
    receiver.wait_for(number, SOON).await;
    service.until_idle(&endpoint).await;
    let mut arrived: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in receiver.requests() {
        let contact = request.json()["contact"]["id"].as_str().unwrap().to_owned();
        arrived.entry(contact).or_default().push(id_of(&request).to_owned());
    }
    assert_eq!(arrived, published);
}
