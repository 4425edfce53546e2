//! The router against a broker and a store that fail where they are told to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::STORE_PATIENCE;
use super::fakes::{How, Op};
use super::world::{EXCHANGE, WORKSPACES, World, lane, reason};
use crate::consume::Broker;
use crate::consume::local::LocalBroker;
use crate::store::StoreError;
use crate::store::lanes::{Append, Memory as Use};

#[tokio::test(start_paused = true)]
async fn events_reach_their_lanes_in_order_and_poison_is_rejected() {
    let world = World::new().await;
    // Twice in one batch, whose routing is not known yet.
    world.publish("acme", "acme-0").await;
    world.publish_thirty().await;
    world.publish("acme", "acme-3").await;
    world.publish("nobody", "x").await;
    world.route().await;
    world.assert_thirty("no faults").await;
    assert_eq!(world.broker.rejected().len(), 1);
    assert_eq!(world.seen.woken.lock().unwrap().len(), 3, "each idle lane became ready once");
    let counts = ["Received", "Routed", "Duplicate", "Unmatched", "Rejected"].map(|signal| world.seen.count(signal));
    assert_eq!(counts, [33, 30, 2, 1, 1]);
    assert_eq!(world.faults.count(Op::Ack), world.faults.count(Op::Persist), "one acknowledgement for a batch");
    assert!(world.faults.count(Op::Ack) <= 5, "events are taken in batches");
}

#[tokio::test(start_paused = true)]
async fn what_an_append_leased_is_handed_over() {
    let world = World::new().await;
    world.seen.places.store(2, Ordering::Relaxed);
    world.publish_thirty().await;
    world.route().await;
    let held = world.seen.held.lock().unwrap();
    assert!(held.unheard.is_empty());
    assert!(!held.granted.is_empty());
    assert_eq!(held.granted.len() + world.seen.woken.lock().unwrap().len(), 3, "leased or ready, but not both");
}

#[tokio::test(start_paused = true)]
async fn whoever_holds_places_learns_that_an_append_was_not_answered() {
    let world = World::new().await;
    world.seen.places.store(2, Ordering::Relaxed);
    world.publish("acme", "acme-0").await;
    // The first one finds the routing to be another.
    *world.faults.plan.lock().unwrap() = vec![(Op::Append, 2, How::After)];
    world.route().await;
    let held = world.seen.held.lock().unwrap();
    assert_eq!(held.unheard, [lane("acme")], "it was leased, and nobody heard of it");
    assert!(held.granted.is_empty() && world.seen.woken.lock().unwrap().is_empty());
}

/// Every operation, the first, second and third of its kind, without effect and with its reply lost.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_repeated_or_overtaken_whatever_fails() {
    for op in [Op::Subscribe, Op::Next, Op::Ack, Op::Reject, Op::Intake, Op::Append, Op::Persist] {
        for nth in 1..=12 {
            for how in [How::Before, How::After] {
                let world = World::new().await;
                world.publish_thirty().await;
                // Two in a row: what begins again fails again.
                *world.faults.plan.lock().unwrap() = vec![(op, nth, how), (op, nth + 1, how)];
                world.route().await;
                world.assert_thirty(&format!("{op:?} {nth} {how:?}")).await;
                let counts = ["Received", "Routed", "Duplicate", "Rejected"].map(|signal| world.seen.count(signal));
                // An acknowledgement that took effect without a word is the only one that nobody can count.
                if (op, how) != (Op::Ack, How::After) {
                    assert_eq!(counts, [30, 30, 0, 1], "{op:?} {nth} {how:?}");
                }
            }
        }
    }
}

/// A crash at each point where the router waits for somebody; another router goes on.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_repeated_or_overtaken_wherever_a_router_stops() {
    for polls in 1..200 {
        let world = World::new().await;
        world.publish_thirty().await;
        let mut first = Box::pin(world.router(8).run(CancellationToken::new()));
        for _ in 0..polls {
            assert!(futures_util::poll!(&mut first).is_pending());
        }
        drop(first);
        world.route().await;
        world.assert_thirty(&format!("stopped after {polls} polls")).await;
    }
}

/// Two routers that hold the same messages, as when one lost its subscription and does not know it yet.
#[tokio::test(start_paused = true)]
async fn two_routers_with_the_same_messages_deliver_them_once_in_order() {
    for (one, other) in [(1, 1), (3, 7), (31, 5)] {
        let world = World::new().await;
        let double = World { broker: LocalBroker::new(EXCHANGE), faults: Arc::default(), ..world };
        let world = World { memory: double.memory.clone(), seen: Arc::default(), ..World::new().await };
        world.publish_thirty().await;
        double.publish_thirty().await;
        let stop = CancellationToken::new();
        let routing =
            futures_util::future::join(world.router(one).run(stop.clone()), double.router(other).run(stop.clone()));
        tokio::join!(routing, async {
            world.until("both queues are empty", || world.broker.depth() == (0, 0)).await;
            double.until("both queues are empty", || double.broker.depth() == (0, 0)).await;
            stop.cancel();
        });
        world.assert_thirty(&format!("{one} and {other} at a time")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_store_alone_refuses_is_rejected_and_its_neighbours_go_in() {
    for bad in ["acme-0", "acme-5", "cora-9"] {
        let world = World::new().await;
        world.faults.check(move |items| refuse(items, |item| item.id.as_str() == bad));
        world.publish_thirty().await;
        world.route().await;
        for workspace in WORKSPACES {
            let expected: Vec<_> = (0..10).map(|n| format!("{workspace}-{n}")).filter(|id| id != bad).collect();
            assert_eq!(world.delivered(workspace).await, expected, "{bad}");
        }
        let rejected = world.broker.rejected();
        let of_store: Vec<_> = rejected.iter().filter(|message| reason(message) == "store_error").collect();
        assert_eq!(of_store.len(), 1, "{bad}");
        assert_eq!(of_store[0].properties.message_id().as_ref().unwrap().as_str(), bad);
        assert_eq!(world.seen.count("Rejected { reason: \"store_error\", detail: \"WRONGTYPE\""), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_refused_twice_and_then_taken_goes_in_at_its_place() {
    let world = World::new().await;
    world.faults.check(refuse_first("acme-5", 3));
    world.publish_thirty().await;
    world.route().await;
    world.assert_thirty("refused in its group and twice alone").await;
    assert_eq!(world.broker.rejected().len(), 1, "the poison alone");
}

/// In an installation with one workspace the witness is a successor. The store goes away while that one is on its way
/// in, for so long that the batch comes from the queue again, and then takes the refused one.
#[tokio::test(start_paused = true)]
async fn a_refused_event_never_goes_in_behind_one_of_its_workspace() {
    for away in [Duration::ZERO, STORE_PATIENCE * 3] {
        for (nth, how) in (1..=18).flat_map(|nth| [(nth, How::Before), (nth, How::After)]) {
            let world = World::new().await;
            // In its group and three times alone, in three rounds.
            world.faults.check(refuse_first("acme-0", 12));
            *world.faults.plan.lock().unwrap() = vec![(Op::Append, nth, how)];
            *world.faults.away.lock().unwrap() = away;
            for n in 0..3 {
                world.publish("acme", &format!("acme-{n}")).await;
            }
            world.route().await;
            let mut all = world.delivered("acme").await;
            assert!(all.is_sorted(), "{nth} {how:?}: {all:?}");
            let rejected = world.broker.rejected();
            all.extend(rejected.iter().map(|message| message.properties.message_id().as_ref().unwrap().to_string()));
            all.sort();
            assert_eq!(all, ["acme-0", "acme-1", "acme-2"], "{nth} {how:?}: each is in its lane or rejected");
        }
    }
}

/// An event is refused alone, over and over; then the store goes away before, or while, another shows that it is well.
#[tokio::test(start_paused = true)]
async fn nobody_is_blamed_when_the_store_goes_away_in_the_middle() {
    for (nth, how) in (1..=9).flat_map(|nth| [(nth, How::Before), (nth, How::After)]) {
        let world = World::new().await;
        world.faults.check(refuse_first("acme-0", 4));
        *world.faults.plan.lock().unwrap() = vec![(Op::Append, nth, how), (Op::Append, nth + 1, how)];
        world.publish_thirty().await;
        world.route().await;
        world.assert_thirty(&format!("{nth} {how:?}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refused_everything_for_a_while_gets_no_event_rejected() {
    for refusals in 1..=12 {
        let world = World::new().await;
        world.faults.check(refuse_first("", refusals));
        world.publish_thirty().await;
        world.route().await;
        world.assert_thirty(&format!("{refusals} refusals")).await;
    }
    for pause in [1, 10, 59, 61, 600].map(Duration::from_secs) {
        let world = World::new().await;
        let well = tokio::time::Instant::now() + pause;
        world.faults.check(move |items| refuse(items, |_| tokio::time::Instant::now() < well));
        world.publish_thirty().await;
        world.route().await;
        world.assert_thirty(&format!("refused for {pause:?}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn refused_events_of_the_only_workspace_are_rejected_one_after_the_other() {
    let world = World::new().await;
    world.faults.check(|items| refuse(items, |item| ["a0", "a1", "a4"].contains(&item.id.as_str())));
    for n in 0..6 {
        world.publish("acme", &format!("a{n}")).await;
    }
    let stop = CancellationToken::new();
    tokio::join!(world.router(8).run(stop.clone()), async {
        world.until("the queue is empty", || world.broker.depth() == (0, 0)).await;
        world.faults.check(|_| None);
        world.publish("acme", "a0").await;
        world.until("the queue is empty again", || world.broker.depth() == (0, 0)).await;
        stop.cancel();
    });
    assert_eq!(world.delivered("acme").await, ["a2", "a3", "a5", "a0"], "published again after a repair");
    let rejected = world.broker.rejected();
    let ids: Vec<_> = rejected.iter().map(|message| message.properties.message_id().clone().unwrap()).collect();
    assert_eq!(ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["a0", "a1", "a4"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_everything_gets_no_event_rejected() {
    let world = World::new().await;
    world.faults.check(|items| refuse(items, |_| true));
    world.publish("acme", "acme-0").await;
    world.publish("bolt", "bolt-0").await;
    let stop = CancellationToken::new();
    tokio::join!(world.router(8).run(stop.clone()), async {
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(world.broker.rejected().is_empty());
        world.faults.check(|items| refuse(items, |item| item.id.as_str() == "acme-0"));
        world.until("the queue is empty", || world.broker.depth() == (0, 0)).await;
        stop.cancel();
    });
    assert_eq!(world.broker.rejected().len(), 1, "now that a neighbour goes in");
    assert_eq!(world.delivered("bolt").await, ["bolt-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_store_leaves_the_events_in_rabbitmq() {
    let world = World::new().await;
    world.faults.check(|_| Some(StoreError::Full("OOM".to_owned())));
    *world.faults.used.lock().unwrap() = Use { used: 10, max: 10, fullest: (10, 10) };
    world.publish_thirty().await;
    let stop = CancellationToken::new();
    tokio::join!(world.router(8).run(stop.clone()), async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(world.broker.depth(), (23, 8), "no more than the prefetch is held");
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(world.broker.depth(), (31, 0), "past its patience the router holds nothing");
        assert_eq!(world.faults.count(Op::Subscribe), 1, "and does not subscribe while the store is full");
        assert_eq!(world.seen.count("Intake { flows: false"), 1, "said once");
        world.faults.check(|_| None);
        *world.faults.used.lock().unwrap() = Use::default();
        world.until("the queue is empty", || world.broker.depth() == (0, 0)).await;
        stop.cancel();
    });
    world.assert_thirty("after an hour").await;
    assert_eq!(world.seen.count("Intake { flows: true"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_router_whose_events_another_took_over_does_not_say_for_ever_that_the_store_is_full() {
    let world = World::new().await;
    world.faults.check(|_| Some(StoreError::Full("OOM".to_owned())));
    *world.faults.used.lock().unwrap() = Use { used: 10, max: 10, fullest: (10, 10) };
    world.publish("acme", "acme-0").await;
    let stop = CancellationToken::new();
    tokio::join!(world.router(8).run(stop.clone()), async {
        world
            .until("the router holds nothing", || {
                world.seen.count("Intake { flows: false") == 1 && world.broker.depth() == (1, 0)
            })
            .await;
        let mut other = world.broker.subscribe(0, 8).await.unwrap();
        let taken = other.next(8).await.unwrap();
        other.ack(taken[0].tag).await.unwrap();
        *world.faults.used.lock().unwrap() = Use::default();
        world.until("it says so no more", || world.seen.count("Intake { flows: true") == 1).await;
        stop.cancel();
        other.close().await;
    });
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_not_waited_for_without_end() {
    for op in [Op::Intake, Op::Append, Op::Persist] {
        let world = World::new().await;
        world.publish_thirty().await;
        *world.faults.plan.lock().unwrap() = vec![(op, 1, How::Hang)];
        world.route().await;
        world.assert_thirty(&format!("{op:?} hangs")).await;
        assert_eq!(world.faults.count(Op::Subscribe), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_subscription_is_noticed_while_the_batch_waits_for_the_store() {
    let world = World::new().await;
    world.publish_thirty().await;
    *world.faults.plan.lock().unwrap() = vec![(Op::Append, 1, How::Hang)];
    let stop = CancellationToken::new();
    tokio::join!(world.router(8).run(stop.clone()), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.broker.depth().1, 8, "held");
        world.faults.closed.notify_waiters();
        world.until("the queue is empty", || world.broker.depth() == (0, 0)).await;
        stop.cancel();
    });
    world.assert_thirty("subscription lost").await;
    assert_eq!((world.seen.count("Broker { connected: false"), world.seen.count("Broker { connected: true")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_the_batch_in_hand_and_takes_no_other() {
    let world = World::new().await;
    world.publish_thirty().await;
    let stop = CancellationToken::new();
    let mut routing = Box::pin(world.router(8).run(stop.clone()));
    while world.faults.count(Op::Append) == 0 {
        assert!(futures_util::poll!(&mut routing).is_pending());
    }
    stop.cancel();
    routing.await;
    assert_eq!(world.broker.depth(), (23, 0), "eight are in and acknowledged, none is held");
    world.route().await;
    world.assert_thirty("stopped").await;
    assert_eq!(world.seen.count("Duplicate"), 0, "nothing had to be repeated");
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_store_that_is_gone() {
    let world = World::new().await;
    world.publish_thirty().await;
    world.faults.check(|_| Some(StoreError::Unavailable("gone".to_owned())));
    let stop = CancellationToken::new();
    tokio::join!(world.router(8).run(stop.clone()), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        stop.cancel();
    });
    assert_eq!(world.broker.depth(), (31, 0), "all is back in its queue");
}

#[tokio::test(start_paused = true)]
async fn a_changed_routing_is_followed_in_the_middle_of_a_batch() {
    let world = World::new().await;
    world.publish("acme", "acme-0").await;
    world.publish("late", "late-0").await;
    world.route().await;
    assert_eq!(world.seen.count("Unmatched"), 1, "no plan yet");
    let stop = CancellationToken::new();
    tokio::join!(world.router(8).run(stop.clone()), async {
        for n in 1..5 {
            world.publish("late", &format!("late-{n}")).await;
            world.until("it was routed", || world.broker.depth() == (0, 0)).await;
            if n == 2 {
                world.connect("late").await;
            }
        }
        stop.cancel();
    });
    assert_eq!(world.delivered("late").await, ["late-3", "late-4"]);
}

fn refuse(items: &[Append], bad: impl Fn(&Append) -> bool) -> Option<StoreError> {
    items.iter().any(bad).then(|| StoreError::Refused("WRONGTYPE".to_owned()))
}

/// Refuses an event, or with no name all of them, so many times.
fn refuse_first(bad: &'static str, times: usize) -> impl Fn(&[Append]) -> Option<StoreError> + Send {
    let left = std::sync::atomic::AtomicUsize::new(times);
    move |items| {
        let refused = refuse(items, |item| bad.is_empty() || item.id.as_str() == bad)?;
        let one_less = |left: usize| left.checked_sub(1);
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        left.fetch_update(relaxed, relaxed, one_less).is_ok().then_some(refused)
    }
}
