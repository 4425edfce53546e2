//! Workers whose clocks are wrong.

use super::site::{Site, connect, delivered, idle};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::rabbit::Rabbit;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::redis::{Options, Redis};
use crate::rig::until;

const LANES: [u16; 8] = [1, 1, 1, 1, 1, 1, 1, 4];

#[tokio::test]
async fn two_workers_whose_clocks_are_two_hours_apart_keep_order_retries_and_quota() {
    // Every fifth event fails at its first attempt.
    let fails = |id: &str| id.bytes().map(u32::from).sum::<u32>() % 5 == 0;
    let receiver = Receiver::start(move |request| {
        let first = request.header("x-webhook-attempt") == Some("1");
        let status = if first && fails(request.header("webhook-id").unwrap()) { 500 } else { 200 };
        Answer::status(status).after(ms(20))
    })
    .await;
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let site = Site::new(&redis.url(), rabbit.url()).with("RECADERO_RETRY_DELAYS", "50ms,50ms,50ms");
    let (early, late) =
        (site.clone().with("RECADERO_TEST_CLOCK_AHEAD", "-3600"), site.with("RECADERO_TEST_CLOCK_AHEAD", "3600"));
    let (early, late) = tokio::join!(early.serve(), late.serve());
    connect(&early, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::new(LANES.len(), sized(1_200, 10_000)));
    until("both deliver", ARRIVAL, async || delivered(&early).await >= 50.0 && delivered(&late).await >= 50.0).await;

    let ledger = traffic.finish().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&late, LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    let mut counted = 0;
    for tenant in 0..LANES.len() {
        let (_, quota) = early.api("GET", &format!("/v1/workspaces/w{tenant}/quota"), None).await;
        counted += usize::try_from(quota["used"].as_u64().unwrap()).unwrap();
    }
    let failed = ledger.0.iter().filter(|entry| fails(&entry.id)).count();
    // Both were at work: their clocks show in what they signed.
    let stamps: Vec<u64> =
        receiver.requests().iter().map(|it| it.header("webhook-timestamp").unwrap().parse().unwrap()).collect();
    let apart = stamps.iter().max().unwrap() - stamps.iter().min().unwrap();
    findings.report(&[
        ("clocks apart", format!("{apart} s").into()),
        ("failures", failed.into()),
        ("counted", counted.into()),
    ]);
    assert!(apart >= 7_200, "{apart} s apart");
    assert_eq!(findings.repeats, 0, "{findings}");
    assert_eq!((findings.retries, counted), (failed, failed));
}
