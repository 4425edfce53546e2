//! Notices over ways that take their time, on virtual time.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::time::{Instant, sleep};

use super::*;
use crate::clock::{Clock, Time};
use crate::decide::ids::{EndpointId, EventType, WorkspaceId};
use crate::decide::policy::Policy;
use crate::store::memory::Memory;
use crate::store::records::Config;
use crate::store::{Outbox, Records};

struct Virtual(Instant);

impl Time for Virtual {
    fn boot(&self) -> Duration {
        self.0.elapsed()
    }

    fn unix(&self) -> Duration {
        Duration::from_secs(1_800_000_000) + self.0.elapsed()
    }
}

/// A way that takes so long, and what has arrived over it how often.
struct Way(Duration, Mutex<BTreeMap<String, usize>>);

impl Way {
    fn new(takes: Duration) -> Arc<Self> {
        Arc::new(Self(takes, Mutex::default()))
    }

    fn arrived(&self) -> Vec<usize> {
        self.1.lock().unwrap().values().copied().collect()
    }
}

#[async_trait]
impl Courier for Way {
    async fn send(&self, notice: &Notice) -> Result<Told, String> {
        sleep(self.0).await;
        *self.1.lock().unwrap().entry(notice.id.clone()).or_default() += 1;
        Ok(Told::Somebody)
    }
}

/// A store in which so many endpoints have just been disabled.
async fn disabled(count: usize) -> Memory {
    let store = Memory::new(Policy::default(), 1, Clock::of(Virtual(Instant::now())));
    let workspace = WorkspaceId::trusted("acme");
    let config = Config {
        version: 1,
        url: "https://receiver.test".to_owned(),
        events: vec![EventType::trusted("*")],
        description: String::new(),
        lanes: 1,
        headers: Vec::new(),
        secrets: Vec::new(),
        created_ms: 0,
        updated_ms: 0,
    };
    for number in 0..count {
        let endpoint = EndpointId::trusted(format!("ep_{number}"));
        store.put_endpoint(&workspace, &endpoint, &config).await.unwrap();
        assert!(store.disable(&workspace, &endpoint).await.unwrap());
    }
    store
}

fn notifier(store: &Memory, way: &Arc<Way>, stop: &CancellationToken) -> impl Future<Output = ()> + use<> {
    let couriers = Couriers { amqp: Some(way.clone()), mail: None };
    run(1, Arc::new(store.clone()), couriers, Signals::default(), stop.clone())
}

#[tokio::test(start_paused = true)]
async fn two_notifiers_send_each_notice_once_however_long_the_way() {
    for seconds in [1, 4, 14] {
        let store = disabled(40).await;
        let (way, stop) = (Way::new(Duration::from_secs(seconds)), CancellationToken::new());
        let both = futures_util::future::join(notifier(&store, &way, &stop), notifier(&store, &way, &stop));
        tokio::join!(both, async {
            sleep(Duration::from_secs(40 * (seconds + 2) + 120)).await;
            stop.cancel();
        });
        assert_eq!(way.arrived(), [1; 40], "{seconds} s each");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_being_sent_at_a_stop_is_recorded_and_nothing_else_is_begun() {
    let store = disabled(40).await;
    let (slow, stop) = (Way::new(Duration::from_secs(4)), CancellationToken::new());
    tokio::join!(notifier(&store, &slow, &stop), async {
        sleep(Duration::from_secs(10)).await;
        stop.cancel();
    });
    let before = slow.arrived();
    assert_eq!(before, [1; 3], "two, and the one under way");

    let (quick, stop) = (Way::new(Duration::ZERO), CancellationToken::new());
    tokio::join!(notifier(&store, &quick, &stop), async {
        sleep(Duration::from_secs(5)).await;
        stop.cancel();
    });
    assert_eq!(quick.arrived(), [1; 37], "at once, and none of the three again");
}

#[tokio::test(start_paused = true)]
async fn a_way_that_never_answers_is_given_up_and_tried_again() {
    let store = disabled(1).await;
    let (never, stop) = (Way::new(NOTICE_LEASE * 10), CancellationToken::new());
    let began = Instant::now();
    tokio::join!(notifier(&store, &never, &stop), async {
        sleep(SEND_MAX + Duration::from_millis(100)).await;
        stop.cancel();
    });
    assert!(began.elapsed() < SEND_MAX + Duration::from_secs(1), "a stop waits no longer");
    let tried = async || {
        let leased = store.notices(Partition(0), 16).await.unwrap();
        leased.iter().filter(|it| it.channel == Channel::Amqp).map(|it| it.tries).collect::<Vec<_>>()
    };
    assert!(tried().await.is_empty(), "it has its pause");
    sleep(AGAIN_FIRST).await;
    assert_eq!(tried().await, [1u32]);
}

#[test]
fn pauses_grow_and_an_e_mail_is_given_up_after_a_day() {
    assert_eq!(pause(Channel::Mail, 0), Some(Duration::from_secs(1)));
    assert_eq!(pause(Channel::Mail, 3), Some(Duration::from_secs(8)));
    assert_eq!(pause(Channel::Mail, 20), Some(AGAIN_LAST));
    assert_eq!(pause(Channel::Mail, 200), None);
    assert_eq!(pause(Channel::Amqp, 200), Some(AGAIN_LAST), "a message is never given up");
}
