//! Seeded random operations on two stores, which must answer alike at each step and hold the same at the end.
//!
//! Few workspaces, endpoints and events, and small limits, so that things collide; times that step over retries,
//! leases and windows. `RECADERO_DIFF_OPS` and `RECADERO_DIFF_SEED` choose another run; a difference is printed with
//! both, so that it can be run again.
//!
//! What the trait leaves open is not compared: the order of ties and of lanes said to be ready, and in how many steps
//! upkeep is done.

mod apply;
mod generate;

use std::collections::BTreeSet;
use std::time::Duration;

use recadero::decide::policy::{Limits, Policy, Quota, QuotaScope};

use self::apply::Subject;
use self::generate::Generator;
use super::fixture::{Open, open_memory, open_redis};

/// Operations of a run, unless `RECADERO_DIFF_OPS` says another number.
const OPS: u64 = 10_000;

/// The seed, unless `RECADERO_DIFF_SEED` says another.
const SEED: u64 = 1;

/// Seeds of which one at least must find a wrong store; all odd, since those have the workspace's quota.
const WRONG_SEEDS: [u64; 3] = [SEED, SEED + 2, SEED + 4];

/// Operations after which everything that can be read is compared.
const COMPARE_EVERY: u64 = 50;

const MINUTE: Duration = Duration::from_secs(60);

/// Limits that random operations reach, each at its own time.
fn policy(seed: u64) -> Policy {
    let scope = if seed.is_multiple_of(2) { QuotaScope::Endpoint } else { QuotaScope::Workspace };
    Policy {
        retry_delays: vec![MINUTE / 2, MINUTE],
        quota: Quota { limit: 4, window: 10 * MINUTE, scope },
        limits: Limits {
            endpoints: 4,
            backlog_events: 12,
            backlog_bytes: 1_800,
            backlog_age: 30 * MINUTE,
            dropped_events: 6,
            dropped_retention: 20 * MINUTE,
            log_attempts: 10,
            log_age: 45 * MINUTE,
            log_payloads: 3,
            dedupe_window: 8 * MINUTE,
        },
        ..Policy::default()
    }
}

/// What one run compared, or where the two stores differ.
async fn compare(
    ops: u64,
    seed: u64,
    (open_left, policy_left): (&Open, Policy),
    (open_right, policy_right): (&Open, Policy),
) -> Result<BTreeSet<&'static str>, String> {
    let left = Subject::new(open_left(policy_left.clone()).await).await;
    let right = Subject::new(open_right(policy_right).await).await;
    let mut generator = Generator::new(seed, policy_left);
    let mut met = BTreeSet::new();
    for step in 0..ops {
        let op = generator.next(left.now_ms());
        let (answer_left, learned) = left.apply(&op).await;
        let (answer_right, _) = right.apply(&op).await;
        let told = |left: &str, right: &str| {
            format!(
                "RECADERO_DIFF_SEED={seed} RECADERO_DIFF_OPS={}: the stores differ at step {step}\n\
                 operation: {op:#?}\n left: {left}\nright: {right}",
                step + 1
            )
        };
        if answer_left != answer_right {
            return Err(told(&answer_left, &answer_right));
        }
        met.extend(WORDS.iter().filter(|word| answer_left.contains(**word)));
        generator.learn(learned);
        if step % COMPARE_EVERY == 0 || step + 1 == ops {
            let (held_left, held_right) = (left.contents(&generator).await, right.contents(&generator).await);
            for (part_left, part_right) in held_left.iter().zip(&held_right) {
                if part_left != part_right {
                    return Err(told(part_left, part_right));
                }
                met.extend(WORDS.iter().filter(|word| part_left.contains(**word)));
            }
        }
    }
    Ok(met)
}

/// What a run of some length must have met, or its operations are not worth comparing.
const WORDS: &[&str] = &[
    "Next(",
    "Idle",
    "Ready",
    "Waiting {",
    "Held",
    "Lost",
    "Gone",
    "Leased(",
    "granted: [Granted",
    "Taken",
    "Stored",
    "Duplicate",
    "Unmatched",
    "stale: Some",
    "disabled: true",
    "dropped: true",
    "BacklogEvents",
    "BacklogBytes",
    "BacklogAge",
    "Discarded",
    "Retries",
    "Conflict",
    "LimitReached",
    "Missing",
    "Draining",
    "resend: true",
    "round: 2",
    "attempt: 3",
    "layout: 3",
    "Suspect",
    "Paused",
    "kind: Disabled",
    "kind: Enabled",
    "kind: Warning",
    "kind: Dropped",
    "burdens: [Burden",
    "Relieved { freed_bytes: 1",
    "tries: 1",
];

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    if text.is_empty() { default } else { text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")) }
}

#[tokio::test]
async fn memory_and_memory_agree_and_meet_every_answer() {
    let (ops, seed) = (setting("RECADERO_DIFF_OPS", OPS), setting("RECADERO_DIFF_SEED", SEED));
    let both = (&open_memory as &Open, policy(seed));
    let met = compare(ops, seed, both.clone(), both).await.unwrap_or_else(|difference| panic!("{difference}"));
    let missing: Vec<_> = WORDS.iter().filter(|word| !met.contains(**word)).collect();
    assert!(
        (ops, seed) != (OPS, SEED) || missing.is_empty(),
        "the operations are too tame, they never met: {missing:?}"
    );
}

#[tokio::test]
async fn memory_and_redis_agree() {
    let (ops, seed) = (setting("RECADERO_DIFF_OPS", OPS), setting("RECADERO_DIFF_SEED", SEED));
    let (memory, redis) = ((&open_memory as &Open, policy(seed)), (&open_redis as &Open, policy(seed)));
    compare(ops, seed, memory, redis).await.unwrap_or_else(|difference| panic!("{difference}"));
}

/// A store that has one number wrong is told from a right one, whichever number it is.
#[tokio::test]
async fn a_wrong_store_is_found() {
    type Change = fn(&mut Policy);
    let wrongs: &[(&str, Change)] = &[
        ("timeout", |policy| policy.timeout += Duration::from_secs(1)),
        ("plans", |policy| policy.plans.entitled.truncate(1)),
        ("quota.limit", |policy| policy.quota.limit += 1),
        ("quota.window", |policy| policy.quota.window += MINUTE),
        ("quota.scope", |policy| policy.quota.scope = QuotaScope::Endpoint),
        ("limits.endpoints", |policy| policy.limits.endpoints += 1),
        ("limits.backlog_events", |policy| policy.limits.backlog_events -= 1),
        ("limits.backlog_bytes", |policy| policy.limits.backlog_bytes -= 1),
        ("limits.backlog_age", |policy| policy.limits.backlog_age += MINUTE),
        ("limits.dropped_events", |policy| policy.limits.dropped_events -= 1),
        ("limits.dropped_retention", |policy| policy.limits.dropped_retention += MINUTE),
        ("limits.log_attempts", |policy| policy.limits.log_attempts -= 1),
        ("limits.log_age", |policy| policy.limits.log_age += MINUTE),
        ("limits.log_payloads", |policy| policy.limits.log_payloads -= 1),
        ("limits.dedupe_window", |policy| policy.limits.dedupe_window += MINUTE),
    ];
    for (name, change) in wrongs {
        let mut found = false;
        for seed in WRONG_SEEDS {
            let (right, mut wrong) = (policy(seed), policy(seed));
            change(&mut wrong);
            if compare(OPS, seed, (&open_memory, right), (&open_memory, wrong)).await.is_err() {
                found = true;
                break;
            }
        }
        assert!(found, "a store with another {name} is not told from a right one");
    }
}
