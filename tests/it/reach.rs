//! What deliveries never connect to: forbidden addresses, as literals, behind names, and behind redirects.

use std::io::ErrorKind;
use std::net::TcpListener;

use serde_json::json;

use crate::rig::receiver::{Answer, Receiver};
use crate::service::{Endpoint, SOON, Service};

/// Listens, and knows whether anybody was there.
struct Trap(TcpListener);

impl Trap {
    fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// A connection waits in the kernel until it is accepted, so none is missed.
    fn assert_untouched(&self) {
        let accepted = self.0.accept();
        assert!(accepted.as_ref().is_err_and(|e| e.kind() == ErrorKind::WouldBlock), "{accepted:?}");
    }
}

/// A forbidden host, in every way to write one, and of every kind that is not globally reachable.
const FORBIDDEN: &[&str] = &[
    // 127.0.0.1
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "%31%32%37.0.0.1",
    "127\u{3002}0\u{3002}0\u{3002}1",
    "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::1]",
    "[2001:0:7f00:1::f7f7:f7f7]",
    "[2001:0:808:808:0:0:80ff:fffe]",
    // The others.
    "0.0.0.0",
    "0",
    "10.0.0.1",
    "100.64.0.1",
    "169.254.0.1",
    "172.16.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "169.254.169.254",
    "0xa9fea9fe",
    "168.63.129.16",
    "[::]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::1]",
    "[100::1]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[2001:db8::1]",
    "[2002:a9fe:a9fe::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
];

async fn refused(service: &Service, url: &str) {
    let body = json!({"url": url, "events": ["*"]});
    let (status, problem) = service.process.api("POST", "/v1/workspaces/acme/endpoints", Some(&body)).await;
    assert_eq!((status, &problem["code"]), (422, &json!("invalid_url")), "{url}: {problem}");
}

#[tokio::test]
async fn endpoints_at_forbidden_addresses_are_refused() {
    let service = Service::start(&[("RECADERO_ALLOW_NETS", "")]).await;
    service.entitle("acme").await;
    let trap = Trap::at("127.0.0.1:0");
    for host in FORBIDDEN {
        refused(&service, &format!("http://{host}:{}/", trap.port())).await;
        refused(&service, &format!("https://{host}/")).await;
    }
    let localhost = format!("http://localhost:{}/", trap.port());
    let endpoint = service.connect("acme", &localhost).await;
    for host in ["127.0.0.1", "0x7f.1", "[::1]"] {
        let body = json!({"url": format!("http://{host}:{}/", trap.port())});
        let (status, problem) = service.process.api("PATCH", &endpoint.path(), Some(&body)).await;
        assert_eq!((status, &problem["code"]), (422, &json!("invalid_url")), "{host}: {problem}");
    }
    assert_eq!(service.shown(&endpoint).await["url"], localhost);
    trap.assert_untouched();
}

async fn assert_blocked(service: &Service, endpoint: &Endpoint) {
    service.until_shown(endpoint, "an attempt", |shown| !shown["last_attempt"].is_null()).await;
    let attempts = service.attempts(endpoint).await;
    let last = &attempts[0];
    assert_eq!((&last["outcome"], &last["reason"]), (&json!("failed"), &json!("blocked")), "{last}");
    assert_eq!(last["status"], json!(null));
    let excerpt = last["response_excerpt"].as_str().unwrap();
    assert!(!excerpt.contains("127.0.0.1") && !excerpt.contains("::1"), "where the name leads stays here: {excerpt}");
}

#[tokio::test]
async fn names_of_forbidden_addresses_are_never_connected_to() {
    let service = Service::start(&[("RECADERO_ALLOW_NETS", ""), ("RECADERO_RETRY_DELAYS", "1h")]).await;
    let trap = Trap::at("127.0.0.1:0");
    let mut endpoints = Vec::new();
    for (scheme, host) in [("http", "localhost"), ("https", "localhost"), ("http", "LocalHost")] {
        endpoints.push(service.connect("acme", &format!("{scheme}://{host}:{}/", trap.port())).await);
    }
    service.publisher.event("message.sent", "acme", "1", b"{}").await;
    for endpoint in &endpoints {
        assert_blocked(&service, endpoint).await;
    }
    trap.assert_untouched();
}

#[tokio::test]
async fn an_endpoint_that_was_saved_under_other_rules_is_not_connected_to() {
    let mut service = Service::start(&[]).await;
    let trap = Trap::at("127.0.0.1:0");
    let endpoint = service.connect("acme", &format!("http://127.0.0.1:{}/", trap.port())).await;
    assert_eq!(service.process.term(SOON).await, 0);
    service.process = service.another(&[("RECADERO_ALLOW_NETS", ""), ("RECADERO_RETRY_DELAYS", "1h")]).await;
    service.publisher.event("message.sent", "acme", "1", b"{}").await;
    assert_blocked(&service, &endpoint).await;
    trap.assert_untouched();
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let service = Service::start(&[("RECADERO_ALLOW_NETS", "127.0.0.1"), ("RECADERO_RETRY_DELAYS", "1h")]).await;
    // Forbidden to this service, as every address but one is, and an allowed one.
    let (forbidden, allowed) = (Trap::at("127.0.0.2:0"), Trap::at("127.0.0.1:0"));
    let targets = [format!("http://127.0.0.2:{}/", forbidden.port()), format!("http://127.0.0.1:{}/", allowed.port())];
    let to = targets.clone();
    let receiver = Receiver::start(move |request| {
        let (status, target) = request.path[1..].split_once('/').unwrap();
        Answer::status(status.parse().unwrap()).header("location", &to[target.parse::<usize>().unwrap()])
    })
    .await;
    refused(&service, &targets[0]).await;
    let mut endpoints = Vec::new();
    for status in [301, 302, 303, 307, 308] {
        for target in 0..targets.len() {
            let url = format!("{}/{status}/{target}", receiver.url());
            endpoints.push((status, service.connect("acme", &url).await));
        }
    }
    service.publisher.event("message.sent", "acme", "1", b"{}").await;
    for (status, endpoint) in &endpoints {
        service.until_shown(endpoint, "an attempt", |shown| !shown["last_attempt"].is_null()).await;
        let attempts = service.attempts(endpoint).await;
        let last = &attempts[0];
        assert_eq!((&last["reason"], &last["status"]), (&json!("status"), &json!(status)), "{last}");
    }
    forbidden.assert_untouched();
    allowed.assert_untouched();
}
