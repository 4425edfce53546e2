//! Claims: due lanes, leases and their end, tokens, giving back.

use std::time::Duration;

use recadero::store::lanes::{After, Claim, LEASE_RENEWAL, Pool, Token};

use crate::store::fixture::Open;
use crate::store::world::{LEASE, SECOND, World, home, lane, lane_of, leased, next, ws};

promises! {
    due_lanes_come_longest_due_first,
    a_leased_lane_is_nobody_elses,
    the_same_token_gets_the_same_lease_again,
    a_lane_comes_back_when_its_lease_ends,
    a_lane_taken_over_is_lost_to_the_first_token,
    a_late_commit_counts_while_nobody_took_the_lane,
    an_idle_or_unknown_lane_is_not_to_be_had,
    a_claim_answers_in_the_order_asked,
    a_disabled_endpoints_lane_is_held,
    a_token_is_held_too_once_its_endpoint_is_disabled,
    a_lane_held_after_its_lease_can_still_be_committed,
    given_back_a_lane_is_ready_at_once_with_the_same_event,
    only_the_holder_can_give_back,
    a_handed_over_lease_is_full_length_again,
    a_handed_over_lease_that_is_young_goes_on,
}

async fn due_lanes_come_longest_due_first(open: &Open) {
    let world = World::with_endpoint(open, "ep_b").await;
    world.publish(&["1"]).await;
    world.pass(SECOND);
    world.connect("ep_a", 1).await;
    world.publish(&["2"]).await;
    world.pass(2 * SECOND);
    let due = world.store.due(home("w"), Pool::Healthy, 10).await.expect("due");
    let due: Vec<_> = due.iter().map(|due| (due.lane.endpoint.as_str(), due.late_ms)).collect();
    assert_eq!(due, [("ep_b", 3_000), ("ep_a", 2_000)]);
    assert_eq!(world.store.due(home("w"), Pool::Healthy, 1).await.expect("due").len(), 1);
    assert_eq!(world.due(Pool::Suspect).await, []);
}

async fn a_leased_lane_is_nobody_elses(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    world.lease(&lane("ep_a")).await;
    assert_eq!(world.due(Pool::Healthy).await, []);
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken));
}

async fn the_same_token_gets_the_same_lease_again(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let token = world.token();
    let first = leased(world.claim_as(&lane("ep_a"), token).await);
    world.pass(10 * SECOND);
    let again = leased(world.claim_as(&lane("ep_a"), token).await);
    let attempt = |lease: &recadero::store::lanes::Lease| (lease.seq, lease.round, lease.attempt, lease.generation);
    assert_eq!((attempt(&first), &first.event), (attempt(&again), &again.event));
    world.pass(10 * SECOND);
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken), "asked again, it lasts its length from then");
    world.pass(5 * SECOND);
    let other = world.lease(&lane("ep_a")).await;
    assert_eq!(attempt(&other), attempt(&first));
    assert!(matches!(world.claim_as(&lane("ep_a"), token).await, Claim::Taken));
}

async fn a_lane_comes_back_when_its_lease_ends(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    world.lease(&lane("ep_a")).await;
    world.pass(LEASE - Duration::from_millis(1));
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.due(Pool::Healthy).await, [lane("ep_a")]);
    assert_eq!(world.lease(&lane("ep_a")).await.attempt, 1);
}

async fn a_lane_taken_over_is_lost_to_the_first_token(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let first = world.lease(&lane("ep_a")).await;
    world.pass(LEASE);
    let second = world.lease(&lane("ep_a")).await;
    assert!(matches!(world.deliver(&first).await.after, After::Lost));
    assert_eq!(world.endpoint("ep_a").await.last_attempt, None, "nothing was recorded");
    assert!(matches!(world.deliver(&second).await.after, After::Next(_)));
}

async fn a_late_commit_counts_while_nobody_took_the_lane(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.pass(10 * LEASE);
    let next = crate::store::world::next(world.deliver(&lease).await);
    assert_eq!(next.event.id.as_str(), "2");
}

async fn an_idle_or_unknown_lane_is_not_to_be_had(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken));
    world.publish(&["1"]).await;
    for unknown in [lane_of("w", "ep_a", 1, 5), lane_of("w", "ep_none", 1, 0), lane_of("none", "ep_a", 1, 0)] {
        assert!(matches!(world.claim(&unknown).await, Claim::Taken));
    }
    world.deliver_all().await;
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken));
}

async fn a_claim_answers_in_the_order_asked(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.connect("ep_b", 1).await;
    world.publish(&["1"]).await;
    world.disable("ep_b").await;
    let wants = ["ep_b", "ep_none", "ep_a"].map(|endpoint| recadero::store::lanes::Want {
        lane: lane(endpoint),
        token: world.token(),
        config: None,
    });
    let claims = world.store.claim(home("w"), &wants).await.expect("claim");
    assert!(matches!(&claims[..], [Claim::Held, Claim::Taken, Claim::Leased(_)]), "{claims:?}");
}

async fn a_disabled_endpoints_lane_is_held(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    world.disable("ep_a").await;
    assert_eq!(world.due(Pool::Healthy).await, [lane("ep_a")]);
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Held));
    assert_eq!(world.due(Pool::Healthy).await, []);
    assert_eq!(world.publish(&["2"]).await.ready, []);
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken));
    assert_eq!(world.endpoint("ep_a").await.backlog_events, 2);
}

async fn a_token_is_held_too_once_its_endpoint_is_disabled(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    let token = world.token();
    world.claim_as(&lane("ep_a"), token).await;
    world.disable("ep_a").await;
    assert!(matches!(world.claim_as(&lane("ep_a"), token).await, Claim::Held));
    world.enable("ep_a").await;
    assert_eq!(world.lease(&lane("ep_a")).await.round, 2);
}

async fn a_lane_held_after_its_lease_can_still_be_committed(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.disable("ep_a").await;
    world.pass(LEASE);
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Held));
    assert!(matches!(world.deliver(&lease).await.after, After::Held));
    world.enable("ep_a").await;
    assert_eq!(world.deliver_all().await, ["2"]);
}

async fn given_back_a_lane_is_ready_at_once_with_the_same_event(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.store.give_back(home("w"), &lane("ep_a"), lease.token).await.expect("give_back");
    assert_eq!(world.due(Pool::Healthy).await, [lane("ep_a")]);
    assert!(matches!(world.deliver(&lease).await.after, After::Lost));
    let again = world.lease(&lane("ep_a")).await;
    assert_eq!((again.seq, again.round, again.attempt), (lease.seq, lease.round, lease.attempt));
}

async fn only_the_holder_can_give_back(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    world.lease(&lane("ep_a")).await;
    world.store.give_back(home("w"), &lane("ep_a"), Token(999)).await.expect("give_back");
    world.store.give_back(home("w"), &lane("ep_none"), Token(999)).await.expect("give_back");
    assert_eq!(world.due(Pool::Healthy).await, []);
    assert_eq!(world.store.routing(&ws("w")).await.expect("routing").routes.len(), 1);
}

async fn a_handed_over_lease_is_full_length_again(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.pass(10 * SECOND);
    world.deliver(&lease).await;
    world.pass(LEASE - SECOND);
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken));
    world.pass(SECOND);
    assert_eq!(world.lease(&lane("ep_a")).await.event.id.as_str(), "2");
}

async fn a_handed_over_lease_that_is_young_goes_on(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.pass(LEASE_RENEWAL);
    let next = next(world.deliver(&lease).await);
    world.pass(LEASE - LEASE_RENEWAL - Duration::from_millis(1));
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken));
    world.pass(Duration::from_millis(1));
    let taken_over = world.lease(&lane("ep_a")).await;
    assert_eq!((taken_over.seq, taken_over.attempt), (next.seq, 1));
    assert!(matches!(world.deliver(&next).await.after, After::Lost));
}
