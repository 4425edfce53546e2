//! What an e-mail is written from, and how long it is tried, on virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use recadero::decide::ids::{EndpointId, WorkspaceId};
use recadero::decide::notice::{Channel, Notice, NoticeKind};
use recadero::decide::policy::Policy;
use recadero::notify::mail::{Letter, Writer};
use recadero::notify::{self, Courier, Couriers, Told};
use recadero::observe::signal::{Signal, Signals, Tap};
use recadero::store::Records;
use recadero::store::memory::Memory;
use recadero::store::records::Workspace;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::world::{PARTITIONS, Reply, Virtual, World, config, pass};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn people(store: &Memory, workspace: &WorkspaceId) {
    let notify = vec!["ana@acme.test".to_owned()];
    let record = Workspace { plan: "advanced".to_owned(), notify, ..Workspace::default() };
    store.put_workspace(workspace, &record).await.unwrap();
}

/// The letter of a disabling that came true just now.
async fn letter(world: &World, workspace: &WorkspaceId, endpoint: &EndpointId) -> Letter {
    let attempts = world.store.attempts(workspace, endpoint, None, 1).await.unwrap();
    let notice = Notice {
        id: "disabled-ep_a-1".to_owned(),
        kind: NoticeKind::Disabled,
        at_ms: attempts[0].at_ms,
        workspace: workspace.clone(),
        endpoint: endpoint.clone(),
        event: None,
        reason: "quota".to_owned(),
        count: None,
    };
    let (store, policy) = (Arc::new(world.store.clone()), Arc::new(world.policy.clone()));
    Writer { store, policy, public_url: None }.write(&notice).await.unwrap().expect("somebody to tell").1
}

#[tokio::test(start_paused = true)]
async fn what_went_wrong_is_counted_over_the_window_and_no_longer() {
    let mut policy = Policy { retry_delays: Vec::new(), ..Policy::default() };
    (policy.quota.limit, policy.limits.log_attempts) = (10_000, 5_000);
    let world = World::new(policy, |seen| match seen.event.split_once('-').unwrap().0 {
        "old" => Reply::Status(404, Duration::ZERO),
        "new" => Reply::Status(503, Duration::ZERO),
        _ => Reply::Status(200, Duration::ZERO),
    });
    let workspace = world.workspace("w").await;
    people(&world.store, &workspace).await;
    let endpoint = world.endpoint(&workspace, "a", 1).await;
    let publish = async |kind: &str, count: u64| {
        for number in 0..count {
            world.publish(&workspace, &format!("{kind}-{number}"), 1).await;
        }
        pass(Duration::from_secs(60)).await;
    };
    publish("old", 100).await;
    pass(Duration::from_secs(20 * 60)).await;
    publish("new", 600).await;
    publish("fine", 700).await;
    let now = letter(&world, &workspace, &endpoint).await.text;
    assert!(now.contains("600 x  it answered 503") && now.contains("100 x  it answered 404"), "{now}");

    // More pages of the log than one, and the oldest failures have left the window.
    pass(Duration::from_secs(15 * 60)).await;
    publish("fine-too", 1).await;
    let later = letter(&world, &workspace, &endpoint).await.text;
    assert!(later.contains("600 x  it answered 503") && !later.contains("404"), "{later}");
}

/// A way out that is closed, and when it was tried.
#[derive(Default)]
struct Closed(Mutex<Vec<Instant>>);

#[async_trait]
impl Courier for Closed {
    async fn send(&self, _: &Notice) -> Result<Told, String> {
        self.0.lock().unwrap().push(Instant::now());
        Err("closed".to_owned())
    }
}

#[derive(Default)]
struct Outcomes(Mutex<Vec<String>>);

impl Tap for Outcomes {
    fn see(&self, signal: &Signal<'_>) {
        if let Signal::Notice { id, channel: Channel::Mail, outcome, .. } = signal {
            self.0.lock().unwrap().push(format!("{outcome} {id}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_e_mail_that_nobody_takes_is_tried_for_a_day_with_growing_pauses_and_then_given_up() {
    let store = Memory::new(Policy::default(), PARTITIONS, Virtual::clock());
    let workspace = WorkspaceId::parse("w").unwrap();
    people(&store, &workspace).await;
    let endpoint = EndpointId::trusted("ep_a");
    store.put_endpoint(&workspace, &endpoint, &config("a", 1, 1)).await.unwrap();
    store.disable(&workspace, &endpoint).await.unwrap();

    let (closed, outcomes) = (Arc::new(Closed::default()), Arc::new(Outcomes::default()));
    let couriers = Couriers { amqp: None, mail: Some(closed.clone()) };
    let signals = Signals::new([outcomes.clone() as Arc<dyn Tap>]);
    let stop = CancellationToken::new();
    tokio::spawn(notify::run(PARTITIONS, Arc::new(store), couriers, signals, stop.clone()));
    let began = Instant::now();
    pass(2 * DAY).await;
    stop.cancel();

    let tries = closed.0.lock().unwrap().clone();
    let pauses: Vec<_> = tries.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert!(pauses[..9].windows(2).all(|pair| pair[0] < pair[1]), "they grow: {pauses:?}");
    let lasted = tries.last().unwrap().duration_since(began);
    assert!(lasted >= DAY && lasted < DAY + Duration::from_secs(60 * 60), "{lasted:?}");
    let outcomes = outcomes.0.lock().unwrap();
    let (last, before) = outcomes.split_last().unwrap();
    assert_eq!(last, "given_up disabled-ep_a-1");
    assert!(before.len() == tries.len() - 1 && before.iter().all(|outcome| outcome == "failed disabled-ep_a-1"));
}
