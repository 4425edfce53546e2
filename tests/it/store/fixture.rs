//! The stores under test, each by a clock that the test moves.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use recadero::clock::{Clock, Time};
use recadero::decide::policy::Policy;
use recadero::store::Store;
use recadero::store::memory::Memory;

/// Partitions of the stores under test: more than one, and few enough to meet in.
pub const PARTITIONS: u16 = 4;

/// When the tests' time begins: the beginning of an hour, so that minutes, hours and buckets can be counted from it.
pub const START_MS: u64 = 1_767_225_600_000;

/// An empty store and its time.
pub struct Fixture {
    pub store: Arc<dyn Store>,
    pub time: Given,
}

/// Opens an empty store of one kind under a policy.
pub type Open = dyn Fn(Policy) -> Pin<Box<dyn Future<Output = Fixture> + Send>> + Send + Sync;

/// The memory store.
pub fn open_memory(policy: Policy) -> Pin<Box<dyn Future<Output = Fixture> + Send>> {
    Box::pin(async {
        let time = Given::default();
        let store = Arc::new(Memory::new(policy, PARTITIONS, Clock::of(time.clone())));
        Fixture { store, time }
    })
}

/// A time that stands still until the test moves it.
#[derive(Clone)]
pub struct Given(Arc<AtomicU64>);

impl Default for Given {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(START_MS)))
    }
}

impl Given {
    pub fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn pass(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_millis()).expect("a test's span is short"), Ordering::SeqCst);
    }
}

impl Time for Given {
    fn boot(&self) -> Duration {
        self.unix()
    }

    fn unix(&self) -> Duration {
        Duration::from_millis(self.now_ms())
    }
}
