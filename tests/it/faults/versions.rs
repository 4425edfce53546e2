//! Two releases side by side on one Redis, as during every upgrade and every way back.
//!
//! Two sets of scripts in one binary stand for them: the same text under other hashes. `tests/upgrade OLD NEW` runs the
//! same with two real ones.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::site::{Site, connect, delivered, idle};
use super::upstream::{Plan, Traffic};
use super::{ARRIVAL, ms, sized};
use crate::rig::rabbit::Rabbit;
use crate::rig::recadero::Process;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::redis::{Options, Redis};
use crate::rig::until;

const LANES: [u16; 8] = [1, 1, 1, 1, 1, 1, 1, 4];

/// Processes of the old release, and of the new one.
async fn serve(site: &Site) -> [Process; 2] {
    let binary = |name| std::env::var_os(name).map(PathBuf::from);
    match (binary("RECADERO_TEST_OLD"), binary("RECADERO_TEST_NEW")) {
        (Some(old), Some(new)) => {
            // The old one makes what the new one finds.
            let old = Process::serve_by(&old, &site.variables()).await;
            [old, Process::serve_by(&new, &site.variables()).await]
        }
        _ => [site.serve().await, site.clone().with("RECADERO_TEST_SCRIPTS", "another release's").serve().await],
    }
}

#[tokio::test]
async fn two_releases_side_by_side_killed_at_random_lose_nothing_and_keep_order() {
    let receiver = Receiver::start(|_| Answer::ok().after(ms(10))).await;
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let site = Site::new(&redis.url(), rabbit.url());
    let mut processes = serve(&site).await;
    connect(&processes[0], &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan { pause: ms(60), ..Plan::new(LANES.len(), 100_000) });
    let both = async || delivered(&processes[0]).await >= 30.0 && delivered(&processes[1]).await >= 30.0;
    until("both deliver", ARRIVAL, both).await;
    let info: String = redis::from_redis_value(redis.cli(&["INFO", "memory"]).await).unwrap();
    let scripts = info.lines().find_map(|line| line.strip_prefix("number_of_cached_scripts:")).unwrap().trim();

    // Which one and when: no two runs alike, none that waits for a good moment.
    let (start, mut kills) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(sized(10, 60)) {
        tokio::time::sleep(ms(rand::random_range(100..1_500))).await;
        let process = &mut processes[rand::random_range(0..2)];
        process.kill9();
        kills += 1;
        process.restart().await;
    }

    let ledger = traffic.stop().await;
    ledger.arrive(&receiver, ARRIVAL).await;
    idle(&processes[1], LANES.len()).await;
    let findings = ledger.judge(&receiver, &LANES);
    findings.report(&[("kills", kills.into()), ("scripts known to Redis", scripts.into())]);
    assert!(findings.repeats_per_lane_max <= kills, "{findings}");
    assert!(kills >= 3, "{kills} kills");
}
