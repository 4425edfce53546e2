//! Changing `lanes`: order per contact survives it, with whatever backlog.

use recadero::store::lanes::{After, Claim, Lease, Pool};
use recadero::store::records::{LAYOUTS_MAX, Put};

use crate::store::fixture::Open;
use crate::store::world::{World, ep, lane_of, next, ws};

promises! {
    a_new_layout_is_not_due_until_the_older_is_empty,
    a_new_layout_waits_for_a_leased_lane_of_the_older,
    order_per_contact_survives_several_changes,
    an_endpoint_without_backlog_changes_at_once,
    a_layout_that_was_never_used_is_replaced,
    too_many_layouts_that_are_not_drained_are_refused,
    a_layout_emptied_by_the_limits_opens_the_next,
    enabling_releases_the_oldest_layout_alone,
    the_last_commit_of_a_drained_layout_can_be_repeated,
    the_same_number_of_lanes_is_no_new_layout,
}

async fn layout(world: &World) -> (u32, u16) {
    let route = &world.store.routing(&ws("w")).await.expect("routing").routes[0];
    (route.layout, route.lanes)
}

async fn a_new_layout_is_not_due_until_the_older_is_empty(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish_of("1", 3).await;
    assert_eq!(world.lay_out("ep_a", 4).await, Put::Done);
    assert_eq!(world.publish_of("2", 3).await.ready, []);
    assert_eq!(world.due(Pool::Healthy).await, [lane_of("w", "ep_a", 1, 0)]);
    assert!(matches!(world.claim(&lane_of("w", "ep_a", 2, 3)).await, Claim::Taken));
    let first = world.lease(&lane_of("w", "ep_a", 1, 0)).await;
    assert!(matches!(world.deliver(&first).await.after, After::Idle));
    assert_eq!(world.due(Pool::Healthy).await, [lane_of("w", "ep_a", 2, 3)]);
    assert_eq!(world.deliver_all().await, ["2"]);
}

async fn a_new_layout_waits_for_a_leased_lane_of_the_older(open: &Open) {
    let world = World::open(open).await;
    world.connect("ep_a", 2).await;
    world.publish_of("even", 2).await;
    world.publish_of("odd", 3).await;
    let (even, odd) = (lane_of("w", "ep_a", 1, 0), lane_of("w", "ep_a", 1, 1));
    let (even, odd) = (world.lease(&even).await, world.lease(&odd).await);
    world.lay_out("ep_a", 1).await;
    world.publish_of("even-2", 2).await;
    world.deliver(&even).await;
    assert_eq!(world.due(Pool::Healthy).await, [], "the other lane is leased");
    world.fail(&odd).await;
    assert_eq!(world.due(Pool::Healthy).await, [], "the other lane waits for its retry");
    world.pass(crate::store::world::MINUTE);
    world.deliver(&world.lease(&odd.lane).await).await;
    assert_eq!(world.deliver_all().await, ["even-2"]);
}

async fn order_per_contact_survives_several_changes(open: &Open) {
    let world = World::open(open).await;
    world.connect("ep_a", 2).await;
    let contacts = [2, 3, 8, 9];
    let mut under_way: Vec<Lease> = Vec::new();
    for (turn, lanes) in [8, 1, 3].into_iter().enumerate() {
        for contact in contacts {
            world.publish_of(&format!("{contact}-{turn}a"), contact).await;
            world.publish_of(&format!("{contact}-{turn}b"), contact).await;
        }
        if turn == 0 {
            under_way.push(world.lease(&lane_of("w", "ep_a", 1, 0)).await);
        }
        world.lay_out("ep_a", lanes).await;
    }
    for contact in contacts {
        world.publish_of(&format!("{contact}-3"), contact).await;
    }
    let mut out: Vec<String> = world.deliver_all().await;
    assert!(out.iter().all(|id| id.starts_with(['3', '9']) && id.contains("-0")), "{out:?}");
    let mut lease = under_way.remove(0);
    loop {
        out.push(lease.event.id.to_string());
        let committed = world.deliver(&lease).await;
        match committed.after {
            After::Next(_) => lease = next(committed),
            _ => break,
        }
    }
    out.extend(world.deliver_all().await);
    assert_eq!(out.len(), 28);
    for contact in contacts {
        let of_contact: Vec<&str> = out.iter().filter_map(|id| id.strip_prefix(&format!("{contact}-"))).collect();
        assert_eq!(of_contact, ["0a", "0b", "1a", "1b", "2a", "2b", "3"]);
    }
}

async fn an_endpoint_without_backlog_changes_at_once(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    for lanes in [2, 3, 4, 5, 6, 7, 8, 9, 10, 11] {
        assert_eq!(world.lay_out("ep_a", lanes).await, Put::Done);
    }
    assert_eq!(layout(&world).await.1, 11);
    world.publish_of("1", 10).await;
    assert_eq!(world.deliver_all().await, ["1"]);
}

async fn a_layout_that_was_never_used_is_replaced(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    for lanes in 2..40 {
        assert_eq!(world.lay_out("ep_a", lanes).await, Put::Done);
        assert_eq!(layout(&world).await, (2, lanes));
    }
    world.publish_of("2", 38).await;
    assert_eq!(world.deliver_all().await, ["1", "2"]);
}

async fn too_many_layouts_that_are_not_drained_are_refused(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["0"]).await;
    for turn in 1..LAYOUTS_MAX {
        let lanes = u16::try_from(turn).expect("few layouts") + 1;
        assert_eq!(world.lay_out("ep_a", lanes).await, Put::Done);
        world.publish(&[&turn.to_string()]).await;
    }
    let before = (world.endpoint("ep_a").await.config, world.store.routing(&ws("w")).await.expect("routing"));
    assert_eq!(world.lay_out("ep_a", 60).await, Put::Draining);
    let after = (world.endpoint("ep_a").await.config, world.store.routing(&ws("w")).await.expect("routing"));
    assert_eq!(before, after);
    let first = world.lease(&lane_of("w", "ep_a", 1, 0)).await;
    world.deliver(&first).await;
    assert_eq!(world.lay_out("ep_a", 60).await, Put::Done);
    assert_eq!(world.deliver_all().await, ["1", "2", "3", "4", "5", "6", "7"]);
}

async fn a_layout_emptied_by_the_limits_opens_the_next(open: &Open) {
    let mut policy = recadero::decide::policy::Policy::default();
    policy.limits.backlog_events = 2;
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 1).await;
    world.publish(&["1"]).await;
    world.lay_out("ep_a", 2).await;
    assert_eq!(world.publish_of("2", 2).await.ready, []);
    let last = world.publish_of("3", 2).await;
    assert_eq!(last.ready, [lane_of("w", "ep_a", 2, 0)]);
    assert_eq!(world.due(Pool::Healthy).await, [lane_of("w", "ep_a", 2, 0)], "an emptied lane leaves due");
    assert_eq!(world.deliver_all().await, ["2", "3"]);
}

async fn enabling_releases_the_oldest_layout_alone(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    world.disable("ep_a").await;
    world.claim(&lane_of("w", "ep_a", 1, 0)).await;
    world.lay_out("ep_a", 2).await;
    world.publish(&["2"]).await;
    world.enable("ep_a").await;
    assert_eq!(world.due(Pool::Healthy).await, [lane_of("w", "ep_a", 1, 0)]);
    assert_eq!(world.deliver_all().await, ["1", "2"]);
}

async fn the_last_commit_of_a_drained_layout_can_be_repeated(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    let lease = world.lease(&lane_of("w", "ep_a", 1, 0)).await;
    world.lay_out("ep_a", 2).await;
    world.publish(&["2"]).await;
    assert!(matches!(world.deliver(&lease).await.after, After::Idle));
    world.sweep().await;
    assert!(matches!(world.deliver(&lease).await.after, After::Idle));
    let rows = world.store.attempts(&ws("w"), &ep("ep_a"), None, 10).await.expect("attempts");
    assert_eq!(rows.len(), 1);
}

async fn the_same_number_of_lanes_is_no_new_layout(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    let version = world.store.routing(&ws("w")).await.expect("routing").version;
    assert_eq!(world.lay_out("ep_a", 1).await, Put::Done);
    assert_eq!(layout(&world).await, (1, 1));
    assert_eq!(world.store.routing(&ws("w")).await.expect("routing").version, version + 1);
}
