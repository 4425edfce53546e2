//! Events in: order, duplicates, routing versions.

use recadero::decide::ids::LaneId;
use recadero::store::lanes::{Append, Offer, Pool, Taken};

use crate::store::fixture::Open;
use crate::store::world::{HOUR, MINUTE, World, config, ep, home, lane, lane_of, ws};

promises! {
    events_go_out_in_the_order_they_came,
    what_is_appended_is_what_is_leased,
    an_id_seen_within_the_window_is_a_duplicate,
    an_id_is_forgotten_after_at_most_a_window_and_a_quarter,
    a_duplicate_is_remembered_anew,
    ids_are_remembered_by_workspace,
    a_repeated_batch_appends_only_what_is_missing,
    an_event_without_a_lane_is_unmatched_and_seen,
    appending_stops_at_a_routing_that_is_not_the_present_one,
    a_routing_of_version_0_never_matches,
    a_stale_routing_goes_before_a_duplicate,
    only_an_idle_lane_becomes_ready,
    an_event_stands_in_every_lane_that_it_belongs_to,
    events_of_no_lane_or_of_nobodys_cost_the_others_nothing,
    an_event_may_have_more_lanes_than_one_command_reads,
    contacts_have_lanes_of_their_own,
    what_was_appended_can_be_waited_for,
}

async fn events_go_out_in_the_order_they_came(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    world.publish(&["3"]).await;
    assert_eq!(world.deliver_all().await, ["1", "2", "3"]);
}

async fn what_is_appended_is_what_is_leased(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    let sent = world.event("w", "1", crate::store::world::contact(7)).await;
    world.append(std::slice::from_ref(&sent)).await;
    let lease = world.lease(&lane("ep_a")).await;
    let event = &lease.event;
    assert_eq!((&event.id, &event.event_type, event.contact), (&sent.id, &sent.event_type, sent.contact));
    assert_eq!((&event.traceparent, &event.body), (&sent.traceparent, &sent.body));
    assert_eq!((event.at_ms, event.resend), (world.time.now_ms(), false));
    assert_eq!((lease.round, lease.attempt, lease.generation, lease.pool), (1, 1, 0, Pool::Healthy));
    assert_eq!(*lease.config, config(1, 1));
}

async fn an_id_seen_within_the_window_is_a_duplicate(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    assert_eq!(world.publish(&["1", "1"]).await.taken, [Taken::Stored, Taken::Duplicate]);
    world.pass(HOUR);
    assert_eq!(world.publish(&["1", "2"]).await.taken, [Taken::Duplicate, Taken::Stored]);
    assert_eq!(world.deliver_all().await, ["1", "2"]);
}

async fn an_id_is_forgotten_after_at_most_a_window_and_a_quarter(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    world.pass(HOUR + 14 * MINUTE);
    assert_eq!(world.publish(&["1"]).await.taken, [Taken::Duplicate]);
    world.pass(MINUTE);
    assert_eq!(world.publish(&["2"]).await.taken, [Taken::Stored]);
    assert_eq!(world.deliver_all().await, ["1", "2", "2"]);
}

async fn a_duplicate_is_remembered_anew(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    for _ in 0..5 {
        world.pass(HOUR);
        assert_eq!(world.publish(&["1"]).await.taken, [Taken::Duplicate]);
    }
    world.pass(HOUR + 15 * MINUTE);
    assert_eq!(world.publish(&["1"]).await.taken, [Taken::Stored]);
}

async fn ids_are_remembered_by_workspace(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    let elsewhere = world.event("other", "1", None).await;
    assert_eq!(world.append(&[elsewhere]).await.taken, [Taken::Unmatched]);
}

async fn a_repeated_batch_appends_only_what_is_missing(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let again = world.publish(&["1", "2", "3"]).await;
    assert_eq!(again.taken, [Taken::Duplicate, Taken::Duplicate, Taken::Stored]);
    assert_eq!(world.deliver_all().await, ["1", "2", "3"]);
}

async fn an_event_without_a_lane_is_unmatched_and_seen(open: &Open) {
    let world = World::open(open).await;
    let unmatched = world.publish(&["1"]).await;
    assert_eq!((unmatched.taken, unmatched.ready), (vec![Taken::Unmatched], vec![]));
    assert_eq!(world.publish(&["1"]).await.taken, [Taken::Duplicate]);
}

async fn appending_stops_at_a_routing_that_is_not_the_present_one(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    let before = [world.event("w", "1", None).await, world.event("w", "2", None).await];
    world.connect("ep_b", 1).await;
    let present = world.event("w", "0", None).await;
    let group = [present, before[0].clone(), before[1].clone()];
    let appended = world.append(&group).await;
    assert_eq!(appended.taken, [Taken::Stored]);
    let (workspace, routing) = appended.stale.expect("the routing is stale");
    assert_eq!((workspace, &routing), (ws("w"), &world.store.routing(&ws("w")).await.expect("routing")));
    assert!(routing.version > before[0].routing_version);
    assert_eq!(world.endpoint("ep_a").await.backlog_events, 1);

    let again = world.publish(&["0", "1", "2"]).await;
    assert_eq!(again.taken, [Taken::Duplicate, Taken::Stored, Taken::Stored]);
    assert!(again.stale.is_none());
}

async fn a_routing_of_version_0_never_matches(open: &Open) {
    let world = World::open(open).await;
    for workspace in ["w", "never-set"] {
        let event = Append { routing_version: 0, ..world.event(workspace, "1", None).await };
        let appended = world.append(&[event]).await;
        assert_eq!(appended.taken, []);
        assert!(appended.stale.expect("the routing is asked for").1.version > 0);
    }
}

async fn a_stale_routing_goes_before_a_duplicate(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    let event = Append { routing_version: 0, ..world.event("w", "1", None).await };
    let appended = world.append(&[event]).await;
    assert!(appended.taken.is_empty() && appended.stale.is_some());
}

async fn only_an_idle_lane_becomes_ready(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    assert_eq!(world.publish(&["1", "2"]).await.ready, [lane("ep_a")]);
    assert_eq!(world.publish(&["3"]).await.ready, []);
    world.lease(&lane("ep_a")).await;
    assert_eq!(world.publish(&["4"]).await.ready, []);
}

async fn an_event_stands_in_every_lane_that_it_belongs_to(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.connect("ep_b", 1).await;
    world.publish(&["1", "2"]).await;
    let lease_a = world.lease(&lane("ep_a")).await;
    world.deliver(&lease_a).await;
    let (a, b) = (world.endpoint("ep_a").await, world.endpoint("ep_b").await);
    assert_eq!((a.backlog_events, b.backlog_events), (1, 2));
    let kept = world.store.payload(&ws("w"), &ep("ep_a"), &lease_a.event.id).await.expect("payload");
    let lease_b = world.lease(&lane("ep_b")).await;
    assert_eq!(kept.as_ref(), Some(&*lease_b.event));
}

async fn events_of_no_lane_or_of_nobodys_cost_the_others_nothing(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    let mut events = Vec::new();
    for (id, lanes) in [("1", vec!["ep_a", "ep_x"]), ("2", vec!["ep_x"]), ("3", vec![]), ("4", vec!["ep_a"])] {
        let lanes = lanes.into_iter().map(lane).collect();
        events.push(Append { lanes, ..world.event("w", id, None).await });
    }
    let taken = [Taken::Stored, Taken::Stored, Taken::Unmatched, Taken::Stored];
    assert_eq!(world.append(&events).await.taken, taken);
    let first = world.lease(&lane("ep_a")).await;
    let fourth = crate::store::world::next(world.deliver(&first).await);
    for (lease, sent) in [(first, &events[0]), (fourth, &events[3])] {
        assert_eq!((&lease.event.id, &lease.event.body), (&sent.id, &sent.body));
    }
}

async fn an_event_may_have_more_lanes_than_one_command_reads(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    let mut lanes = Vec::new();
    for endpoint in 0..17 {
        let endpoint = format!("ep_{endpoint}");
        world.connect(&endpoint, 64).await;
        lanes.extend((0..64).map(|index| lane_of("w", &endpoint, 1, index)));
    }
    let to_all = async |id| Append { lanes: lanes.clone(), ..world.event("w", id, None).await };
    let (first, second) = (to_all("1").await, to_all("2").await);
    assert_eq!(world.append(&[first]).await.ready, lanes);
    assert_eq!(world.append(&[second]).await.ready, []);
    for place in [0, 999, 1_000, 1_087] {
        let lease = world.lease(&lanes[place]).await;
        assert_eq!(
            (lease.event.id.as_str(), world.endpoint(lease.lane.endpoint.as_str()).await.backlog_events),
            ("1", 128)
        );
    }
}

async fn contacts_have_lanes_of_their_own(open: &Open) {
    let world = World::open(open).await;
    world.connect("ep_a", 2).await;
    world.publish_of("even-1", 2).await;
    world.publish_of("odd-1", 3).await;
    world.publish_of("even-2", 2).await;
    world.publish(&["none"]).await;
    let lanes: Vec<LaneId> = vec![lane_of("w", "ep_a", 1, 0), lane_of("w", "ep_a", 1, 1)];
    let mut due: Vec<LaneId> = world.due(Pool::Healthy).await;
    due.sort();
    assert_eq!(due, lanes);
    let (even, odd) = (world.lease(&lanes[0]).await, world.lease(&lanes[1]).await);
    assert_eq!((even.event.id.as_str(), odd.event.id.as_str()), ("even-1", "odd-1"));
    let even = crate::store::world::next(world.deliver(&even).await);
    let none = crate::store::world::next(world.deliver(&even).await);
    assert_eq!((even.event.id.as_str(), none.event.id.as_str()), ("even-2", "none"));
}

async fn what_was_appended_can_be_waited_for(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    let intake = world.store.intake().await.expect("intake");
    let event = world.event("w", "1", None).await;
    intake.append(home("w"), &[event], Offer::NONE).await.expect("append");
    intake.persist().await.expect("persist");
    assert_eq!(world.deliver_all().await, ["1"]);
}
