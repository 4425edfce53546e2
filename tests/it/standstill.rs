//! `recadero_intake_stopped` (contract, section 6): why a router's events do not get into the store.

use serde_json::Value;

use crate::rig::receiver::Receiver;
use crate::rig::until;
use crate::service::{SOON, Service, metric};

const REASONS: [&str; 4] = ["store_full", "store_unavailable", "store_refuses", "durability"];

/// The reasons that are given.
async fn stopped(service: &Service) -> Vec<&'static str> {
    let mut given = Vec::new();
    for reason in REASONS {
        if metric(&service.process, &format!("recadero_intake_stopped{{reason=\"{reason}\"}}")).await > 0.0 {
            given.push(reason);
        }
    }
    given
}

async fn until_stopped(service: &Service, reasons: &[&str]) {
    until(&format!("stopped by {reasons:?}"), SOON, async || stopped(service).await == reasons).await;
}

#[tokio::test]
async fn the_intake_says_why_it_stands_still_and_when_it_goes_on() {
    let mut service = Service::start(&[]).await;
    let receiver = Receiver::ok().await;
    let endpoint = service.connect("acme", &receiver.url()).await;
    assert_eq!(stopped(&service).await, [] as [&str; 0]);

    service.redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    service.publisher.event("message.sent", "acme", "e1", b"{}").await;
    until_stopped(&service, &["store_full"]).await;
    // Its replicas are gone, so that nothing it takes would be kept.
    service.redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    service.redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    until_stopped(&service, &["durability"]).await;
    service.redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    until_stopped(&service, &[]).await;
    receiver.wait_for(1, SOON).await;
    service.until_idle(&endpoint).await;

    service.redis.kill();
    service.publisher.event("message.sent", "acme", "e2", b"{}").await;
    until_stopped(&service, &["store_unavailable"]).await;
    service.redis.restart().await;
    until_stopped(&service, &[]).await;
    let waiting = service.process.api("GET", "/v1/rejected", None).await;
    assert_eq!(waiting.1["data"], Value::Array(vec![]), "nothing is rejected for a store in trouble");
}
