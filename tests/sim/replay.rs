//! The same histories on Redis: what the memory store was asked and answered is played to the Redis store, at the same
//! times, and must be answered alike.
//!
//! Rejected: histories whose processes work on a Redis themselves. A virtual clock stands still or runs away while a
//! socket is waited for, and then the same seed no longer gives the same history.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use recadero::clock::{Clock, Time};
use recadero::observe::signal::Signals;
use recadero::store::Lanes;
use recadero::store::redis::{Durability, Options, RedisStore};
use recadero::testing::{self, Bug};

use crate::history;
use crate::plan::Plan;
use crate::rig::redis::Redis;
use crate::tape::{Taped, apply};
use crate::trace::BEGIN_UNIX_MS;

/// The tape's time.
#[derive(Clone, Default)]
struct Given(Arc<AtomicU64>);

impl Time for Given {
    fn boot(&self) -> Duration {
        self.unix()
    }

    fn unix(&self) -> Duration {
        Duration::from_millis(BEGIN_UNIX_MS + self.0.load(Ordering::Relaxed))
    }
}

/// What a history's store was asked. It is lived on a thread of its own, since no runtime can stand on another.
fn tape(seed: u64, bug: Option<Bug>) -> Vec<Taped> {
    let live = move || history::live_taped(&Plan::of(seed), true).1;
    let living = std::thread::spawn(move || bug.map_or_else(live, |bug| testing::with(bug, live)));
    living.join().expect("the history ends")
}

/// Plays a seed's tape to a Redis, up to the first difference.
async fn replay(redis: &Redis, seed: u64, tape: &[Taped]) -> Result<(), String> {
    let (plan, time) = (Plan::of(seed), Given::default());
    let options = Options {
        url: redis.url(),
        prefix: format!("seed-{seed}"),
        partitions: plan.partitions,
        durability: Durability::Memory,
        policy: history::policy(&plan),
    };
    let store = RedisStore::open_at(options, Signals::default(), Clock::of(time.clone())).await.unwrap();
    let intake = store.intake().await.unwrap();
    for (step, taped) in tape.iter().enumerate() {
        time.0.store(taped.at_ms, Ordering::Relaxed);
        let answer = apply(&store, &*intake, &taped.op).await;
        if answer != taped.answer {
            let Taped { at_ms, op, answer: memory } = taped;
            return Err(format!(
                "seed {seed}: the stores differ at step {step}, {at_ms} ms\n{op:#?}\nmemory: {memory}\n redis: {answer}"
            ));
        }
    }
    Ok(())
}

/// Each a quarter of the seeds, so that they run side by side.
macro_rules! quarters {
    ($($name:ident $quarter:literal),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let redis = Redis::start(Default::default()).await;
                let mut operations = 0;
                for seed in (0..200).skip($quarter).step_by(4) {
                    let tape = tape(seed, None);
                    replay(&redis, seed, &tape).await.unwrap_or_else(|difference| panic!("{difference}"));
                    operations += tape.len();
                }
                assert!(operations > 1_000, "only {operations} operations");
            }
        )+
    };
}

quarters!(redis_answers_alike_1 0, redis_answers_alike_2 1, redis_answers_alike_3 2, redis_answers_alike_4 3);

/// A memory store with a bug is told from Redis, which has none of these.
#[tokio::test]
async fn a_store_with_a_bug_is_told_from_redis() {
    for bug in [Bug::LostRetry, Bug::WindowOffByOne, Bug::CountIsKept, Bug::NewLayoutAtOnce, Bug::DropLosesEntry] {
        let redis = Redis::start(Default::default()).await;
        let mut found = false;
        for seed in 0..50 {
            found = found || replay(&redis, seed, &tape(seed, Some(bug))).await.is_err();
        }
        assert!(found, "{bug:?} makes no difference");
    }
}
