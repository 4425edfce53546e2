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

/// Another release that is to be tried, by the variable that names its binary.
fn real(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// How many scripts Redis knows.
async fn scripts(redis: &Redis) -> usize {
    let info: String = redis::from_redis_value(redis.cli(&["INFO", "memory"]).await).unwrap();
    let count = info.lines().find_map(|line| line.strip_prefix("number_of_cached_scripts:"));
    count.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn two_releases_side_by_side_killed_at_random_lose_nothing_and_keep_order() {
    let receiver = Receiver::start(|_| Answer::ok().after(ms(10))).await;
    let (redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    let site = Site::new(&redis.url(), rabbit.url());
    let other = site.clone().with("RECADERO_TEST_SCRIPTS", "another release's");
    // The old one makes what the new one finds.
    let old = match real("RECADERO_TEST_OLD") {
        Some(old) => Process::serve_by(&old, &site.variables()).await,
        None => site.serve().await,
    };
    connect(&old, &receiver, &LANES).await;
    let traffic = Traffic::start(rabbit.url(), Plan::endless(LANES.len()));
    until("the old one delivers", ARRIVAL, async || delivered(&old).await >= 200.0).await;
    let of_one = scripts(&redis).await;
    let new = match real("RECADERO_TEST_NEW") {
        Some(new) => Process::serve_by(&new, &site.variables()).await,
        None => other.serve().await,
    };
    until("the new one delivers", ARRIVAL, async || delivered(&new).await >= 200.0).await;
    let of_both = scripts(&redis).await;

    // Which one and when: no two runs alike, none that waits for a good moment.
    let (start, mut processes, mut kills) = (Instant::now(), [old, new], 0);
    while start.elapsed() < Duration::from_secs(sized(8, 60)) {
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
    findings.report(&[("kills", kills.into()), ("scripts of one", of_one.into()), ("scripts of both", of_both.into())]);
    assert!(findings.repeats_per_lane_max <= kills, "{findings}");
    assert!(kills >= 3, "{kills} kills");
    let real = real("RECADERO_TEST_OLD").is_some();
    assert!(real || of_both >= of_one + 4, "claim, commit and others twice: {of_one}, {of_both}");
}
