//! Events that the store alone refuses, among others that it takes.

use serde_json::json;

use super::rabbit::{REJECTED, receiver};
use super::site::{QUEUE, Site, connect, idle, metric, queue_depth};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::publish::Publisher;
use crate::rig::rabbit::Rabbit;
use crate::rig::redis::{Options, Redis};
use crate::rig::until;

const LANES: [u16; 8] = [1, 1, 1, 1, 1, 1, 1, 4];

#[tokio::test]
async fn events_whose_script_fails_every_time_are_rejected_and_disturb_nobody() {
    let (receiver, rabbit) = (receiver().await, Rabbit::shared().await);
    let redis = Redis::start(Options::default()).await;
    let process = Site::new(&redis.url(), rabbit.url()).serve().await;
    connect(&process, &receiver, &LANES).await;
    let plan = json!({"plan": "advanced"});
    process.api("PUT", "/v1/workspaces/broken", Some(&plan)).await;
    let wanted = json!({"url": receiver.url(), "events": ["*"]});
    let (_, made) = process.api("POST", "/v1/workspaces/broken/endpoints", Some(&wanted)).await;

    // Its partition is known by its record; the queue of its only lane becomes what no script expects.
    let record = redis.cli(&["KEYS", &format!("recadero:*:ep:broken/{}", made["id"].as_str().unwrap())]).await;
    let record: Vec<String> = redis::from_redis_value(record).unwrap();
    redis.cli(&["SET", &(record[0].replace(":ep:", ":queue:") + ".1.0"), "a string"]).await;

    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(1_000, 20_000)));
    let publisher = Publisher::connect(rabbit.url()).await;
    let count = sized(25, 200);
    for number in 0..count {
        publisher.event("message.received", "broken", &number.to_string(), b"{}").await;
        tokio::time::sleep(ms(number % 30)).await;
    }
    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&process, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("rejected", count.into())]);
    assert_eq!(findings.repeats, 0, "{findings}");
    let refused = async || metric(&process, "events_rejected_total", "store_error").await == count as f64;
    until("all that was refused is rejected", ARRIVAL, refused).await;
    assert_eq!((queue_depth(&rabbit, QUEUE).await, u64::from(queue_depth(&rabbit, REJECTED).await)), (0, count));
}
