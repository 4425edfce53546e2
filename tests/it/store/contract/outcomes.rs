//! Commits: what an attempt's end does, once, whoever repeats it.

use std::time::Duration;

use recadero::decide::attempt::Outcome;
use recadero::decide::notice::DropReason;
use recadero::decide::retry::Next;
use recadero::store::lanes::{After, Claim, Commit, Committed, Pool, Token};

use crate::store::fixture::Open;
use crate::store::world::{LEASE, SECOND, World, ep, failed, home, lane, next, ws};

promises! {
    delivered_brings_the_next_event_and_then_idle,
    without_more_the_lane_is_ready_for_anybody,
    a_repeat_of_any_commit_has_the_same_answer_and_counts_once,
    a_repeated_hand_over_is_lost_when_the_lane_was_taken_since,
    a_repeated_hand_over_is_held_when_the_endpoint_was_disabled_since,
    a_commit_that_is_not_the_current_attempts_is_lost,
    retries_wait_from_the_failures_end,
    a_retry_is_not_to_be_had_before_its_time,
    later_events_wait_for_the_retries_of_the_first,
    after_the_fourth_failure_the_event_is_dropped_and_the_next_goes_on,
    a_failure_makes_the_lane_suspect_and_a_delivery_healthy,
    an_event_is_handed_over_only_within_the_pool,
    delivered_under_an_older_generation_advances,
    failed_under_an_older_generation_counts_nothing_and_begins_a_new_round,
    a_last_failure_under_an_older_generation_drops,
    failed_while_disabled_is_held,
    a_deleted_endpoints_commit_is_answered_gone,
    commits_of_several_lanes_share_a_call,
}

fn brief(committed: &Committed) -> (String, bool, bool) {
    let after = match &committed.after {
        After::Next(lease) => {
            format!("next {} {} {} {}", lease.seq, lease.round, lease.attempt, lease.event.id)
        }
        other => format!("{other:?}"),
    };
    (after, committed.disabled, committed.dropped)
}

async fn delivered_brings_the_next_event_and_then_idle(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let first = world.lease(&lane("ep_a")).await;
    let second = next(world.deliver(&first).await);
    assert_eq!((second.event.id.as_str(), second.token), ("2", first.token));
    assert!(second.seq > first.seq);
    assert!(matches!(world.deliver(&second).await.after, After::Idle));
    assert_eq!(world.endpoint("ep_a").await.backlog_events, 0);
    assert_eq!(world.due(Pool::Healthy).await, []);
}

async fn without_more_the_lane_is_ready_for_anybody(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    let turn_over = Commit { more: false, ..world.end(&lease, Outcome::Delivered) };
    assert!(matches!(world.commit(&turn_over).await.after, After::Ready));
    assert_eq!(world.due(Pool::Healthy).await, [lane("ep_a")]);
    assert_eq!(world.lease(&lane("ep_a")).await.event.id.as_str(), "2");
}

async fn a_repeat_of_any_commit_has_the_same_answer_and_counts_once(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2", "3", "4"]).await;
    let mut kinds = Vec::new();
    let mut lease = world.lease(&lane("ep_a")).await;
    for step in 0..6 {
        let commit = match step {
            0 => world.end(&lease, Outcome::Delivered),
            1 => world.end(&lease, failed()),
            2 => Commit { next: Next::Drop, ..world.end(&lease, failed()) },
            3 => world.end(&lease, Outcome::Delivered),
            4 => {
                world.disable("ep_a").await;
                world.end(&lease, failed())
            }
            _ => world.end(&lease, Outcome::Delivered),
        };
        let first = world.commit(&commit).await;
        let rows = world.store.attempts(&ws("w"), &ep("ep_a"), None, 100).await.expect("attempts");
        let used = world.used().await;
        let stats = world.store.stats(&ws("w"), &ep("ep_a")).await.expect("stats");
        let again = world.commit(&commit).await;
        assert_eq!(brief(&again), brief(&first), "step {step}");
        assert_eq!(world.store.attempts(&ws("w"), &ep("ep_a"), None, 100).await.expect("attempts"), rows);
        assert_eq!(world.store.stats(&ws("w"), &ep("ep_a")).await.expect("stats"), stats);
        assert_eq!((rows.len(), world.used().await), (step + 1, used));
        kinds.push(brief(&first).0.split(' ').next().unwrap_or_default().to_owned());
        lease = match first.after {
            After::Next(lease) => *lease,
            After::Idle => break,
            After::Held => {
                world.enable("ep_a").await;
                world.lease(&lane("ep_a")).await
            }
            _ => {
                world.pass(30 * SECOND);
                world.lease(&lane("ep_a")).await
            }
        };
    }
    assert_eq!(kinds, ["next", "Waiting", "next", "Ready", "Held", "Idle"]);
}

async fn a_repeated_hand_over_is_lost_when_the_lane_was_taken_since(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    let commit = world.end(&lease, Outcome::Delivered);
    world.commit(&commit).await;
    world.pass(LEASE);
    world.lease(&lane("ep_a")).await;
    assert!(matches!(world.commit(&commit).await.after, After::Lost));
}

async fn a_repeated_hand_over_is_held_when_the_endpoint_was_disabled_since(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    let commit = world.end(&lease, Outcome::Delivered);
    world.commit(&commit).await;
    world.disable("ep_a").await;
    assert!(matches!(world.commit(&commit).await.after, After::Held));
}

async fn a_commit_that_is_not_the_current_attempts_is_lost(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    let good = world.end(&lease, Outcome::Delivered);
    let wrong = [
        Commit { token: Token(999), ..good.clone() },
        Commit { seq: lease.seq + 1, ..good.clone() },
        Commit { round: 2, ..good.clone() },
        Commit { attempt: 2, ..good.clone() },
        Commit { lane: crate::store::world::lane_of("w", "ep_a", 1, 3), ..good.clone() },
    ];
    for commit in wrong {
        let committed = world.commit(&commit).await;
        assert!(matches!(committed.after, After::Lost), "{commit:?}");
        assert!(!committed.disabled && !committed.dropped);
    }
    let endpoint = world.endpoint("ep_a").await;
    assert_eq!((endpoint.last_attempt, endpoint.backlog_events), (None, 2));
    assert!(matches!(world.commit(&good).await.after, After::Next(_)));
}

async fn retries_wait_from_the_failures_end(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    for (attempt, wait) in [(1, 30), (2, 60), (3, 90)] {
        let lease = world.lease(&lane("ep_a")).await;
        assert_eq!(lease.attempt, attempt);
        world.pass(7 * SECOND);
        let commit = Commit { ended_ago: 2 * SECOND, ..world.end(&lease, failed()) };
        let ended_ms = world.time.now_ms() - 2_000;
        let After::Waiting { at_ms } = world.commit(&commit).await.after else { panic!("it waits") };
        assert_eq!(at_ms, ended_ms + wait * 1_000);
        let row = world.endpoint("ep_a").await.last_attempt.expect("it was logged");
        assert_eq!((row.at_ms, row.next_attempt_ms, row.row), (ended_ms, Some(at_ms), (*commit.row).clone()));
        world.pass(Duration::from_millis(at_ms - world.time.now_ms()));
    }
}

async fn a_retry_is_not_to_be_had_before_its_time(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.fail(&lease).await;
    world.pass(30 * SECOND - Duration::from_millis(1));
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken));
    assert!(matches!(world.claim_as(&lane("ep_a"), lease.token).await, Claim::Taken));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.lease(&lane("ep_a")).await.attempt, 2);
}

async fn later_events_wait_for_the_retries_of_the_first(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    world.fail(&world.lease(&lane("ep_a")).await).await;
    assert_eq!(world.publish(&["2"]).await.ready, []);
    assert_eq!(world.deliver_all().await, [] as [&str; 0]);
    world.pass(30 * SECOND);
    assert_eq!(world.deliver_all().await, ["1", "2"]);
}

async fn after_the_fourth_failure_the_event_is_dropped_and_the_next_goes_on(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    for _ in 0..3 {
        assert!(!world.fail(&world.lease(&lane("ep_a")).await).await.dropped);
        world.pass(90 * SECOND);
    }
    let fourth = world.fail(&world.lease(&lane("ep_a")).await).await;
    assert!(fourth.dropped);
    let second = next(fourth);
    assert_eq!((second.event.id.as_str(), second.attempt, second.round), ("2", 1, 1));
    let dropped = world.dropped("ep_a").await;
    assert_eq!(dropped.len(), 1);
    assert_eq!((dropped[0].event.id.as_str(), dropped[0].reason), ("1", DropReason::Retries));
    assert_eq!(dropped[0].dropped_ms, world.time.now_ms());
    let row = world.endpoint("ep_a").await.last_attempt.expect("it was logged");
    assert_eq!(row.next_attempt_ms, None);
}

async fn a_failure_makes_the_lane_suspect_and_a_delivery_healthy(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    world.fail(&world.lease(&lane("ep_a")).await).await;
    world.pass(30 * SECOND);
    assert_eq!((world.due(Pool::Healthy).await, world.due(Pool::Suspect).await), (vec![], vec![lane("ep_a")]));
    let lease = world.lease(&lane("ep_a")).await;
    assert_eq!(lease.pool, Pool::Suspect);
    assert!(matches!(world.deliver(&lease).await.after, After::Ready));
    assert_eq!((world.due(Pool::Healthy).await, world.due(Pool::Suspect).await), (vec![lane("ep_a")], vec![]));
}

async fn an_event_is_handed_over_only_within_the_pool(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2", "3", "4"]).await;
    let drop_now = |lease| Commit { next: Next::Drop, ..world.end(lease, failed()) };
    let lease = world.lease(&lane("ep_a")).await;
    assert!(matches!(world.commit(&drop_now(&lease)).await.after, After::Ready), "it became suspect");
    let second = next(world.commit(&drop_now(&world.lease(&lane("ep_a")).await)).await);
    assert_eq!((second.event.id.as_str(), second.pool), ("3", Pool::Suspect));
    assert!(matches!(world.deliver(&second).await.after, After::Ready), "it became healthy");
}

async fn delivered_under_an_older_generation_advances(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.disable("ep_a").await;
    assert!(matches!(world.deliver(&lease).await.after, After::Held));
    world.enable("ep_a").await;
    let second = world.lease(&lane("ep_a")).await;
    assert_eq!((second.event.id.as_str(), second.round, second.generation), ("2", 1, 2));
}

async fn failed_under_an_older_generation_counts_nothing_and_begins_a_new_round(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    world.fail(&world.lease(&lane("ep_a")).await).await;
    world.pass(30 * SECOND);
    let lease = world.lease(&lane("ep_a")).await;
    assert_eq!(lease.attempt, 2);
    world.disable("ep_a").await;
    world.enable("ep_a").await;
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken), "an attempt is under way");
    let again = next(world.fail(&lease).await);
    assert_eq!((again.seq, again.round, again.attempt, again.generation), (lease.seq, 2, 1, 2));
    assert_eq!(world.used().await, 0);
    assert_eq!(world.endpoint("ep_a").await.last_attempt.expect("it was logged").number, 2);
}

async fn a_last_failure_under_an_older_generation_drops(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.disable("ep_a").await;
    let committed = world.commit(&Commit { next: Next::Drop, ..world.end(&lease, failed()) }).await;
    assert_eq!((brief(&committed).0.as_str(), committed.dropped, committed.disabled), ("Idle", true, false));
    assert_eq!((world.dropped_ids("ep_a").await, world.used().await), (vec!["1".to_owned()], 0));
}

async fn failed_while_disabled_is_held(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.disable("ep_a").await;
    assert!(matches!(world.fail(&lease).await.after, After::Held));
    world.pass(10 * LEASE);
    assert_eq!(world.due(Pool::Suspect).await, []);
}

async fn a_deleted_endpoints_commit_is_answered_gone(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.store.delete_endpoint(&ws("w"), &ep("ep_a")).await.expect("delete_endpoint");
    assert!(matches!(world.deliver(&lease).await.after, After::Gone));
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken));
}

async fn commits_of_several_lanes_share_a_call(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.connect("ep_b", 1).await;
    world.publish(&["1", "2"]).await;
    let (a, b) = (world.lease(&lane("ep_a")).await, world.lease(&lane("ep_b")).await);
    let commits = [world.end(&b, failed()), world.end(&a, Outcome::Delivered)];
    let answers = world.store.commit(home("w"), &commits).await.expect("commit");
    assert!(matches!(answers[0].after, After::Waiting { .. }));
    assert!(matches!(&answers[1].after, After::Next(lease) if lease.lane == a.lane));
}
