//! Leases that an append gives: to whom, on what, and what a lost answer leaves.

use std::sync::Arc;

use recadero::decide::notice::DropReason;
use recadero::decide::policy::Policy;
use recadero::decide::retry::Next;
use recadero::store::lanes::{After, Append, Appended, Claim, Commit, Offer, Pool, Taken};

use crate::store::fixture::Open;
use crate::store::world::{LEASE, SECOND, World, config, ep, ev, failed, home, lane, lane_of, leased, next, ws};

promises! {
    an_idle_lane_is_leased_as_a_claim_would,
    what_is_leased_goes_on_like_any_lease,
    no_more_lanes_are_leased_than_there_are_places,
    places_are_counted_over_a_large_group,
    nothing_is_leased_that_may_not_send,
    a_suspect_lane_waits_for_a_place_of_its_kind,
    only_an_idle_lane_of_the_oldest_layout_is_leased,
    an_event_for_several_endpoints_is_leased_at_each,
    a_repeated_append_leases_nothing_again,
    unheard_leases_can_be_given_back,
    an_unheard_lease_ends,
    limits_leave_what_is_leased,
}

async fn append(world: &World, ids: &[&str], places: usize) -> Appended {
    world.append_offering(&world.events(ids).await, Offer { token: world.token(), places }).await
}

async fn an_idle_lane_is_leased_as_a_claim_would(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    let appended = append(&world, &["1", "2"], 4).await;
    assert_eq!(appended.taken, [Taken::Stored, Taken::Stored]);
    assert_eq!(appended.ready, []);
    let [granted] = &appended.granted[..] else { panic!("{appended:?}") };
    assert_eq!((&granted.lane, granted.config_version), (&lane("ep_a"), 1));
    assert_eq!((granted.event.id.as_str(), granted.event.at_ms), ("1", world.time.now_ms()));
    let claimed = leased(world.claim_as(&lane("ep_a"), granted.token).await);
    let lease = granted.clone().lease(Arc::new(config(1, 1)));
    assert_eq!(format!("{lease:?}"), format!("{claimed:?}"), "asked for under its token it is the same");
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken), "it is nobody else's");
    assert_eq!(world.due(Pool::Healthy).await, []);
}

async fn what_is_leased_goes_on_like_any_lease(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    let granted = append(&world, &["1", "2"], 1).await.granted.remove(0);
    let lease = granted.lease(Arc::new(config(1, 1)));
    let second = next(world.deliver(&lease).await);
    assert_eq!(second.event.id.as_str(), "2");
    assert!(matches!(world.fail(&second).await.after, After::Waiting { .. }));
    world.pass(30 * SECOND);
    assert_eq!(world.deliver_all().await, ["2"]);
    assert_eq!(append(&world, &["3"], 1).await.granted.len(), 1, "idle and healthy again");
}

async fn no_more_lanes_are_leased_than_there_are_places(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.connect("ep_b", 1).await;
    world.connect("ep_c", 1).await;
    let appended = append(&world, &["1"], 2).await;
    assert_eq!((appended.granted.len(), appended.ready.len()), (2, 1));
    assert_eq!(world.due(Pool::Healthy).await, appended.ready);
    assert_eq!(append(&world, &["2"], 3).await.granted.len(), 0, "none of them is idle");
}

async fn places_are_counted_over_a_large_group(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.connect("ep_b", 1).await;
    let mut items = Vec::new();
    for number in 0..300 {
        let endpoint = if number < 299 { "ep_a" } else { "ep_b" };
        let event = world.event("w", &format!("e{number}"), None).await;
        items.push(Append { lanes: vec![lane(endpoint)], ..event });
    }
    let appended = world.append_offering(&items, Offer { token: world.token(), places: 1 }).await;
    let granted: Vec<_> = appended.granted.iter().map(|granted| &granted.lane).collect();
    assert_eq!((granted, appended.ready), (vec![&lane("ep_a")], vec![lane("ep_b")]));
}

async fn nothing_is_leased_that_may_not_send(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.disable("ep_a").await;
    let appended = append(&world, &["1"], 1).await;
    assert_eq!((appended.granted.len(), appended.ready), (0, vec![lane("ep_a")]));
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Held));

    world.connect("ep_b", 1).await;
    let event = world.event("w", "2", None).await;
    world.plan("w", "none").await;
    let routing_version = world.store.routing(&ws("w")).await.expect("routing").version;
    let event = Append { lanes: vec![lane("ep_b")], routing_version, ..event };
    let appended = world.append_offering(&[event], Offer { token: world.token(), places: 1 }).await;
    assert_eq!((appended.granted.len(), appended.ready), (0, vec![lane("ep_b")]));
}

async fn a_suspect_lane_waits_for_a_place_of_its_kind(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    let dropped = Commit { next: Next::Drop, ..world.end(&lease, failed()) };
    assert!(matches!(world.commit(&dropped).await.after, After::Idle));
    let appended = append(&world, &["2"], 1).await;
    assert_eq!((appended.granted.len(), appended.ready), (0, vec![lane("ep_a")]));
    assert_eq!(world.due(Pool::Suspect).await, [lane("ep_a")]);
}

async fn only_an_idle_lane_of_the_oldest_layout_is_leased(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    assert_eq!(append(&world, &["2"], 1).await.granted.len(), 0, "it is ready");
    world.lay_out("ep_a", 2).await;
    let appended = append(&world, &["3"], 1).await;
    assert_eq!((appended.granted.len(), appended.ready.len()), (0, 0), "the older layout is not drained");
    assert_eq!(world.deliver_all().await, ["1", "2", "3"]);
    let appended = append(&world, &["4"], 1).await;
    assert_eq!(appended.granted[0].lane, lane_of("w", "ep_a", 2, 0));
}

async fn an_event_for_several_endpoints_is_leased_at_each(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.connect("ep_b", 1).await;
    let appended = append(&world, &["1"], 2).await;
    for granted in appended.granted {
        let lease = granted.lease(Arc::new(config(1, 1)));
        assert_eq!(lease.event.body, "{\"id\":\"1\"}");
        assert!(matches!(world.deliver(&lease).await.after, After::Idle));
    }
    for endpoint in ["ep_a", "ep_b"] {
        let payload = world.store.payload(&ws("w"), &ep(endpoint), &ev("1")).await;
        assert!(payload.expect("payload").is_some(), "{endpoint} keeps what was delivered");
    }
}

async fn a_repeated_append_leases_nothing_again(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    assert_eq!(append(&world, &["1"], 1).await.granted.len(), 1);
    let again = append(&world, &["1", "2"], 1).await;
    assert_eq!(again.taken, [Taken::Duplicate, Taken::Stored]);
    assert_eq!((again.granted.len(), again.ready.len()), (0, 0));
}

async fn unheard_leases_can_be_given_back(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    let granted = append(&world, &["1"], 1).await.granted.remove(0);
    world.store.give_back(home("w"), &granted.lane, granted.token).await.expect("give_back");
    assert_eq!(world.due(Pool::Healthy).await, [lane("ep_a")]);
    assert_eq!(world.deliver_all().await, ["1"]);
}

async fn an_unheard_lease_ends(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    append(&world, &["1", "2"], 1).await;
    world.pass(LEASE - SECOND);
    assert_eq!(world.due(Pool::Healthy).await, []);
    world.pass(SECOND);
    assert_eq!(world.deliver_all().await, ["1", "2"]);
}

async fn limits_leave_what_is_leased(open: &Open) {
    let mut policy = Policy::default();
    policy.limits.backlog_events = 1;
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 1).await;
    let appended = append(&world, &["1", "2", "3"], 1).await;
    assert_eq!(appended.dropped, [(DropReason::BacklogEvents, 2)]);
    let lease = appended.granted[0].clone().lease(Arc::new(config(1, 1)));
    assert!(matches!(world.deliver(&lease).await.after, After::Idle));
}
