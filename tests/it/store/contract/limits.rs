//! Backlog, dropped list, retention: what an endpoint may hold, and what goes when it holds more.

use std::time::Duration;

use bytes::Bytes;
use recadero::decide::ids::EventId;
use recadero::decide::notice::DropReason;
use recadero::decide::policy::Policy;
use recadero::decide::relief::Burden;
use recadero::store::lanes::{After, Append, Appended, Claim, Relieved};
use recadero::store::records::{EndpointStatus, ResendFrom, Resent};

use crate::store::fixture::Open;
use crate::store::world::{HOUR, LEASE, MINUTE, SECOND, World, contact, ep, ev, lane, lane_of, ws};

promises! {
    past_the_limit_of_events_the_oldest_are_dropped,
    the_event_being_tried_is_never_dropped_by_a_limit,
    an_event_that_was_handed_over_is_never_dropped_by_a_limit,
    the_oldest_goes_whichever_lane_it_is_in,
    a_lane_emptied_by_the_limits_at_once_is_not_said_to_be_ready,
    when_bytes_are_short_dropped_events_go_first,
    what_is_dropped_for_bytes_is_not_kept,
    an_event_too_old_is_dropped_by_the_sweep,
    age_drops_neither_a_leased_nor_a_tried_event,
    the_dropped_list_keeps_the_newest,
    dropped_events_are_kept_for_their_retention,
    the_same_id_dropped_again_replaces_the_earlier,
    resending_moves_a_dropped_event_once,
    recovered_events_keep_the_order_given,
    resending_a_delivered_event_copies_it,
    resending_a_delivered_event_again_while_it_waits_copies_it_once,
    a_resent_event_goes_to_its_contacts_lane_of_the_newest_layout,
    resending_what_is_not_there_does_nothing,
    the_gauges_count_what_waits_and_who,
    the_sweep_tells_the_oldest_of_all_and_of_enabled_endpoints,
    the_sweep_meets_who_can_make_room,
    relief_takes_the_oldest_that_wait_and_never_a_current_one,
    relief_takes_dropped_events_first,
    relief_takes_nothing_from_an_endpoint_that_events_go_to,
}

async fn small(open: &Open, change: impl FnOnce(&mut recadero::decide::policy::Limits)) -> World {
    let mut policy = Policy::default();
    change(&mut policy.limits);
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 1).await;
    world
}

async fn publish_bytes(world: &World, id: &str, bytes: usize) -> Appended {
    let event = Append { body: Bytes::from(vec![b'x'; bytes]), ..world.event("w", id, None).await };
    world.append(&[event]).await
}

fn ids(names: &[&str]) -> Vec<EventId> {
    names.iter().map(|name| ev(name)).collect()
}

async fn resend(world: &World, from: ResendFrom, names: &[&str]) -> Resent {
    world.store.resend(&ws("w"), &ep("ep_a"), from, &ids(names)).await.expect("resend")
}

async fn past_the_limit_of_events_the_oldest_are_dropped(open: &Open) {
    let world = small(open, |limits| limits.backlog_events = 3).await;
    assert_eq!(world.publish(&["1", "2", "3"]).await.dropped, []);
    let appended = world.publish(&["4", "5"]).await;
    assert_eq!(appended.dropped, [(DropReason::BacklogEvents, 2)]);
    assert_eq!(world.endpoint("ep_a").await.backlog_events, 3);
    let dropped = world.dropped("ep_a").await;
    let dropped: Vec<_> = dropped.iter().map(|it| (it.event.id.as_str(), it.reason)).collect();
    assert_eq!(dropped, [("1", DropReason::BacklogEvents), ("2", DropReason::BacklogEvents)]);
    assert_eq!(world.deliver_all().await, ["3", "4", "5"]);
}

async fn the_event_being_tried_is_never_dropped_by_a_limit(open: &Open) {
    let world = small(open, |limits| limits.backlog_events = 2).await;
    world.publish(&["1"]).await;
    world.fail(&world.lease(&lane("ep_a")).await).await;
    world.publish(&["2", "3", "4"]).await;
    assert_eq!(world.dropped_ids("ep_a").await, ["2", "3"]);
    world.pass(30 * SECOND);
    assert_eq!(world.deliver_all().await, ["1", "4"]);
}

async fn an_event_that_was_handed_over_is_never_dropped_by_a_limit(open: &Open) {
    let world = small(open, |limits| limits.backlog_events = 1).await;
    world.publish(&["1"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    assert_eq!(world.publish(&["2"]).await.dropped, [(DropReason::BacklogEvents, 1)]);
    world.pass(LEASE);
    assert_eq!(world.publish(&["3"]).await.dropped, [(DropReason::BacklogEvents, 1)]);
    assert_eq!(world.lease(&lane("ep_a")).await.seq, lease.seq);
}

async fn the_oldest_goes_whichever_lane_it_is_in(open: &Open) {
    let mut policy = Policy::default();
    policy.limits.backlog_events = 2;
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 2).await;
    world.publish_of("odd-1", 3).await;
    world.publish_of("even-1", 2).await;
    world.publish_of("even-2", 2).await;
    assert_eq!(world.dropped_ids("ep_a").await, ["odd-1"]);
    assert!(matches!(world.claim(&lane_of("w", "ep_a", 1, 1)).await, Claim::Taken), "its lane is idle again");
    assert_eq!(world.deliver_all().await, ["even-1", "even-2"]);
}

async fn a_lane_emptied_by_the_limits_at_once_is_not_said_to_be_ready(open: &Open) {
    let mut policy = Policy::default();
    policy.limits.backlog_events = 1;
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 2).await;
    let odd = world.event("w", "odd", crate::store::world::contact(3)).await;
    let even = world.event("w", "even", crate::store::world::contact(2)).await;
    assert_eq!(world.append(&[odd, even]).await.ready, [lane_of("w", "ep_a", 1, 0)]);
}

async fn when_bytes_are_short_dropped_events_go_first(open: &Open) {
    let world = small(open, |limits| {
        (limits.backlog_events, limits.backlog_bytes) = (2, 100);
    })
    .await;
    for id in ["1", "2", "3", "4"] {
        assert!(publish_bytes(&world, id, 25).await.dropped.len() <= 1);
    }
    assert_eq!(world.dropped_ids("ep_a").await, ["1", "2"]);
    let appended = publish_bytes(&world, "5", 26).await;
    assert_eq!(appended.dropped, [(DropReason::BacklogEvents, 1)], "what was dropped before is no drop again");
    assert_eq!(world.dropped_ids("ep_a").await, ["3"], "1 and 2 made room, in this order");
    assert_eq!(world.deliver_all().await, ["4", "5"]);
}

async fn what_is_dropped_for_bytes_is_not_kept(open: &Open) {
    let world = small(open, |limits| limits.backlog_bytes = 100).await;
    publish_bytes(&world, "1", 50).await;
    publish_bytes(&world, "2", 50).await;
    assert_eq!(publish_bytes(&world, "3", 1).await.dropped, [(DropReason::BacklogBytes, 1)]);
    assert_eq!(world.dropped_ids("ep_a").await, [] as [&str; 0]);
    assert_eq!(world.deliver_all().await, ["2", "3"]);
}

async fn an_event_too_old_is_dropped_by_the_sweep(open: &Open) {
    let world = small(open, |limits| limits.backlog_age = HOUR).await;
    world.publish(&["1"]).await;
    world.pass(MINUTE);
    world.publish(&["2"]).await;
    world.pass(59 * MINUTE - Duration::from_millis(1));
    assert_eq!(world.sweep().await.dropped, []);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.sweep().await.dropped, [(DropReason::BacklogAge, 1)]);
    assert_eq!(world.dropped("ep_a").await[0].reason, DropReason::BacklogAge);
    assert_eq!(world.deliver_all().await, ["2"]);
}

async fn age_drops_neither_a_leased_nor_a_tried_event(open: &Open) {
    let world = small(open, |limits| limits.backlog_age = 10 * SECOND).await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.pass(10 * SECOND);
    assert_eq!(world.sweep().await.dropped, [(DropReason::BacklogAge, 1)], "2 alone");
    assert_eq!(world.dropped_ids("ep_a").await, ["2"]);
    world.fail(&lease).await;
    world.pass(HOUR);
    assert_eq!(world.sweep().await.dropped, [], "an attempt was recorded");

    world.deliver(&world.lease(&lane("ep_a")).await).await;
    world.publish(&["3"]).await;
    world.lease(&lane("ep_a")).await;
    world.pass(LEASE);
    assert_eq!(world.sweep().await.dropped, [(DropReason::BacklogAge, 1)], "its worker died before the end");
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken));
}

async fn the_dropped_list_keeps_the_newest(open: &Open) {
    let world = small(open, |limits| {
        (limits.backlog_events, limits.dropped_events) = (1, 2);
    })
    .await;
    world.publish(&["1", "2", "3", "4"]).await;
    assert_eq!(world.dropped_ids("ep_a").await, ["2", "3"]);
}

async fn dropped_events_are_kept_for_their_retention(open: &Open) {
    let world = small(open, |limits| {
        (limits.backlog_events, limits.dropped_retention) = (1, HOUR);
    })
    .await;
    world.publish(&["1", "2"]).await;
    world.pass(MINUTE);
    world.publish(&["3"]).await;
    world.pass(59 * MINUTE - Duration::from_millis(1));
    world.sweep().await;
    assert_eq!(world.dropped_ids("ep_a").await, ["1", "2"]);
    world.pass(Duration::from_millis(1));
    world.sweep().await;
    assert_eq!(world.dropped_ids("ep_a").await, ["2"]);
}

async fn the_same_id_dropped_again_replaces_the_earlier(open: &Open) {
    let world = small(open, |limits| limits.backlog_events = 1).await;
    world.publish(&["1", "2"]).await;
    let earlier = world.dropped("ep_a").await[0].seq;
    world.pass(2 * HOUR);
    world.publish(&["1"]).await;
    world.publish(&["3"]).await;
    let dropped = world.dropped("ep_a").await;
    assert_eq!(world.dropped_ids("ep_a").await, ["2", "1"], "in the order of their numbers");
    assert!(dropped[1].seq > earlier);
    assert_eq!(dropped[1].dropped_ms, world.time.now_ms());
}

async fn resending_moves_a_dropped_event_once(open: &Open) {
    let world = small(open, |limits| limits.backlog_events = 1).await;
    world.publish(&["1", "2"]).await;
    let before = world.dropped("ep_a").await.remove(0);
    world.deliver_all().await;
    world.pass(HOUR);
    let resent = resend(&world, ResendFrom::Dropped, &["1"]).await;
    assert_eq!((resent.done, resent.ready), (vec![true], vec![lane("ep_a")]));
    assert_eq!(resend(&world, ResendFrom::Dropped, &["1"]).await.done, [false]);
    assert_eq!(world.dropped_ids("ep_a").await, [] as [&str; 0]);
    let lease = world.lease(&lane("ep_a")).await;
    assert!(lease.seq > before.seq && lease.event.resend);
    assert_eq!((lease.event.at_ms, lease.round, lease.attempt), (world.time.now_ms(), 1, 1));
    assert_eq!((&lease.event.id, &lease.event.body), (&before.event.id, &before.event.body));
    world.deliver(&lease).await;
    assert_eq!(world.deliver_all().await, [] as [&str; 0]);
}

async fn recovered_events_keep_the_order_given(open: &Open) {
    let world = small(open, |limits| limits.backlog_events = 3).await;
    world.publish(&["1", "2", "3", "4", "5", "6"]).await;
    let resent = resend(&world, ResendFrom::Dropped, &["1", "none", "2", "3", "2"]).await;
    assert_eq!(resent.done, [true, false, true, true, false]);
    assert_eq!(resent.ready, []);
    assert_eq!(world.deliver_all().await, ["4", "5", "6", "1", "2", "3"]);
}

async fn resending_a_delivered_event_copies_it(open: &Open) {
    let world = small(open, |limits| limits.log_payloads = 2).await;
    world.publish(&["1", "2", "3"]).await;
    world.deliver_all().await;
    let resent = resend(&world, ResendFrom::Kept, &["1", "3", "2"]).await;
    assert_eq!(resent.done, [false, true, true], "of 1 the payload is gone");
    assert_eq!(world.publish(&["3"]).await.taken, [recadero::store::lanes::Taken::Duplicate]);
    assert_eq!(world.deliver_all().await, ["3", "2"]);
    assert_eq!(resend(&world, ResendFrom::Kept, &["3"]).await.done, [true], "it was a copy");
    assert_eq!(world.deliver_all().await, ["3"]);
}

async fn resending_a_delivered_event_again_while_it_waits_copies_it_once(open: &Open) {
    let world = World::open(open).await;
    world.connect("ep_a", 2).await;
    for (id, hash) in [("1", 1), ("2", 2), ("3", 3)] {
        world.publish_of(id, hash).await;
    }
    world.deliver_all().await;
    world.publish_of("4", 1).await;
    assert_eq!(resend(&world, ResendFrom::Kept, &["1", "2", "1"]).await.done, [true; 3]);
    assert_eq!(world.endpoint("ep_a").await.backlog_events, 3);
    assert_eq!(resend(&world, ResendFrom::Kept, &["3", "2", "1"]).await.done, [true; 3]);
    assert_eq!(world.endpoint("ep_a").await.backlog_events, 4, "3 alone");

    let tried = world.lease(&lane_of("w", "ep_a", 1, 0)).await;
    assert_eq!(tried.event.id, ev("2"));
    assert_eq!(resend(&world, ResendFrom::Kept, &["2"]).await.done, [true], "it is under way");
    assert!(matches!(world.deliver(&tried).await.after, After::Idle));
    assert_eq!(world.deliver_all().await, ["4", "1", "3"]);

    assert_eq!(resend(&world, ResendFrom::Kept, &["2"]).await.done, [true]);
    world.disable("ep_a").await;
    world.store.enable(&ws("w"), &ep("ep_a"), true).await.expect("enable");
    assert_eq!(resend(&world, ResendFrom::Kept, &["2"]).await.done, [true], "the copy was discarded");
    assert_eq!(world.deliver_all().await, ["2"]);
}

async fn a_resent_event_goes_to_its_contacts_lane_of_the_newest_layout(open: &Open) {
    let world = small(open, |_| {}).await;
    world.publish_of("1", 3).await;
    world.deliver_all().await;
    world.publish_of("2", 3).await;
    world.lay_out("ep_a", 4).await;
    assert_eq!(resend(&world, ResendFrom::Kept, &["1"]).await.ready, [], "the older layout is not drained");
    world.deliver(&world.lease(&lane("ep_a")).await).await;
    assert_eq!(world.lease(&lane_of("w", "ep_a", 2, 3)).await.event.id, ev("1"));
}

async fn resending_what_is_not_there_does_nothing(open: &Open) {
    let world = small(open, |_| {}).await;
    world.publish(&["1"]).await;
    for from in [ResendFrom::Kept, ResendFrom::Dropped] {
        assert_eq!(resend(&world, from, &["1"]).await, Resent { done: vec![false], ready: vec![] });
        let missing = world.store.resend(&ws("w"), &ep("ep_none"), from, &ids(&["1", "2"])).await.expect("resend");
        assert_eq!(missing.done, [false, false]);
    }
    assert_eq!(world.endpoint("ep_a").await.backlog_events, 1);
}

async fn the_gauges_count_what_waits_and_who(open: &Open) {
    let world = small(open, |_| {}).await;
    assert_eq!(world.sweep().await.oldest_ms, 0);
    world.connect("ep_b", 1).await;
    world.publish(&["1"]).await;
    world.pass(3 * SECOND);
    world.publish(&["2"]).await;
    world.pass(SECOND);
    world.lease(&lane("ep_a")).await;
    world.disable("ep_b").await;
    let (swept, figures) = (world.sweep().await, world.figures().await);
    assert_eq!((figures.backlog_events, swept.oldest_ms), (4, 4_000));
    assert_eq!(figures.endpoints, [(EndpointStatus::Enabled, 1), (EndpointStatus::Disabled, 1)]);
    world.plan("w", "none").await;
    assert_eq!(world.figures().await.endpoints, [(EndpointStatus::Paused, 2)]);
    world.store.delete_endpoint(&ws("w"), &ep("ep_b")).await.expect("delete_endpoint");
    assert_eq!(world.figures().await.backlog_events, 2);
}

/// The burdens that a sweep meets, by endpoint.
async fn burdens(world: &World) -> Vec<(String, u64)> {
    let mut met: Vec<_> =
        world.sweep().await.burdens.into_iter().map(|burden| (burden.endpoint.to_string(), burden.bytes)).collect();
    met.sort();
    met
}

async fn relieve(world: &World, bytes: u64) -> (u64, u64) {
    let burden = Burden { bytes: 0, workspace: ws("w"), endpoint: ep("ep_a") };
    let relieved = world.store.relieve(&burden, bytes).await.expect("relieve");
    (relieved.freed_bytes, relieved.dropped)
}

async fn the_sweep_tells_the_oldest_of_all_and_of_enabled_endpoints(open: &Open) {
    let world = small(open, |_| {}).await;
    let oldest = async || {
        let swept = world.sweep().await;
        (swept.oldest_ms, swept.oldest_enabled_ms)
    };
    assert_eq!(oldest().await, (0, 0), "nothing waits");
    world.publish(&["1"]).await;
    world.pass(2 * SECOND);
    world.connect("ep_b", 1).await;
    world.publish(&["2"]).await;
    world.pass(SECOND);
    assert_eq!(oldest().await, (3_000, 3_000));
    world.disable("ep_a").await;
    assert_eq!(oldest().await, (3_000, 1_000), "the disabled one's wait by design");
    world.plan("w", "none").await;
    assert_eq!(oldest().await, (3_000, 0), "and those of a paused one");
    world.plan("w", "advanced").await;
    world.enable("ep_a").await;
    assert_eq!(oldest().await, (3_000, 3_000));
}

async fn the_sweep_meets_who_can_make_room(open: &Open) {
    let world = small(open, |_| {}).await;
    world.connect("ep_b", 2).await;
    for (id, hash) in [("1", 2), ("2", 3)] {
        let event = Append { body: Bytes::from_static(b"{1234567}"), ..world.event("w", id, contact(hash)).await };
        world.append(&[event]).await;
    }
    assert_eq!(burdens(&world).await, [], "events go to all");
    for lane in [lane("ep_a"), lane_of("w", "ep_b", 1, 0)] {
        world.fail(&world.lease(&lane).await).await;
    }
    assert_eq!(burdens(&world).await, [("ep_a".to_owned(), 18)], "a lane of the other may be well");
    world.fail(&world.lease(&lane_of("w", "ep_b", 1, 1)).await).await;
    assert_eq!(burdens(&world).await, [("ep_a".to_owned(), 18), ("ep_b".to_owned(), 18)]);
    world.pass(MINUTE);
    world.deliver(&world.lease(&lane("ep_a")).await).await;
    assert_eq!(burdens(&world).await, [("ep_b".to_owned(), 18)]);
    world.disable("ep_a").await;
    assert_eq!(burdens(&world).await, [("ep_a".to_owned(), 9), ("ep_b".to_owned(), 18)]);
}

async fn relief_takes_the_oldest_that_wait_and_never_a_current_one(open: &Open) {
    let world = small(open, |_| {}).await;
    for id in ["1", "2", "3", "4"] {
        publish_bytes(&world, id, 10).await;
    }
    world.fail(&world.lease(&lane("ep_a")).await).await;
    assert_eq!(relieve(&world, 11).await, (20, 2), "2 and 3");
    assert_eq!(world.dropped_ids("ep_a").await, [] as [&str; 0], "what made room is not kept");
    assert_eq!(relieve(&world, 1_000).await, (10, 1));
    assert_eq!(relieve(&world, 1_000).await, (0, 0), "1 was tried");
    world.pass(MINUTE);
    let notices = world.notices().await;
    let told: Vec<_> = notices.iter().map(|it| (it.notice.reason.as_str(), it.notice.count)).collect();
    assert_eq!(told, [("backlog_bytes", Some(3))]);
    assert_eq!(world.deliver_all().await, ["1"]);
}

async fn relief_takes_dropped_events_first(open: &Open) {
    let world = small(open, |limits| limits.backlog_events = 2).await;
    for id in ["1", "2", "3", "4"] {
        publish_bytes(&world, id, 10).await;
    }
    world.disable("ep_a").await;
    assert_eq!(relieve(&world, 10).await, (10, 0), "1 was dropped before");
    assert_eq!(world.dropped_ids("ep_a").await, ["2"]);
    assert_eq!(relieve(&world, 20).await, (20, 1));
    world.enable("ep_a").await;
    assert_eq!(world.deliver_all().await, ["4"]);
}

async fn relief_takes_nothing_from_an_endpoint_that_events_go_to(open: &Open) {
    let world = small(open, |_| {}).await;
    world.publish(&["1", "2"]).await;
    assert_eq!(relieve(&world, 1_000).await, (0, 0));
    world.fail(&world.lease(&lane("ep_a")).await).await;
    world.pass(MINUTE);
    world.deliver(&world.lease(&lane("ep_a")).await).await;
    assert_eq!(relieve(&world, 1_000).await, (0, 0), "it is well again");
    let nobody = Burden { bytes: 1, workspace: ws("w"), endpoint: ep("ep_none") };
    assert_eq!(world.store.relieve(&nobody, 1).await.expect("relieve"), Relieved::default());
    assert_eq!(world.deliver_all().await, ["2"]);
}
