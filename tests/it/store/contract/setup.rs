//! What people set: workspaces, plans, endpoints, deletion, enabling with discard; and who is alive.

use recadero::decide::notice::{DisableReason, DropReason};
use recadero::decide::policy::Policy;
use recadero::store::lanes::{After, Claim, Pool};
use recadero::store::records::{Config, Disabled, EndpointStatus, Put, Workspace};

use crate::store::fixture::Open;
use crate::store::world::{LEASE, SECOND, World, config, ep, lane, record, ws};

promises! {
    a_workspaces_record_is_kept_as_it_was_set,
    workspaces_are_listed_in_byte_order_by_page_and_query,
    routing_changes_with_plan_endpoints_and_nothing_else,
    endpoints_are_listed_in_the_order_of_their_creation,
    an_endpoint_is_changed_only_from_its_present_version,
    a_workspace_has_no_more_endpoints_than_it_may,
    without_a_plan_lanes_are_held_and_go_on_when_it_returns,
    paused_and_disabled_are_flags_of_their_own,
    a_workspace_never_set_is_on_the_default_plan,
    enable_and_disable_again_change_nothing,
    enable_with_discard_drops_what_waited,
    discard_leaves_the_event_under_way,
    enabling_an_enabled_endpoint_discards_nothing,
    deleting_an_endpoint_drops_all_that_waits_for_it,
    deleting_a_workspace_deletes_its_endpoints,
    a_deleted_workspaces_routing_version_never_comes_back,
    members_are_those_that_beat_within_three_seconds,
    wakes_reach_their_member,
}

async fn a_workspaces_record_is_kept_as_it_was_set(open: &Open) {
    let world = World::open(open).await;
    let record = Workspace {
        plan: "enterprise".to_owned(),
        name: "Año \"Nuevo\"".to_owned(),
        notify: vec!["a@b.test".to_owned(), "c@d.test".to_owned()],
        locale: "es".to_owned(),
    };
    world.store.put_workspace(&ws("w"), &record).await.expect("put_workspace");
    assert_eq!(world.store.workspace(&ws("w")).await.expect("workspace"), Some(record));
    assert_eq!(world.store.workspace(&ws("none")).await.expect("workspace"), None);
}

async fn workspaces_are_listed_in_byte_order_by_page_and_query(open: &Open) {
    let world = World::open(open).await;
    for name in ["b", "B", "a-1", "a_2", "10", "9"] {
        world.plan(name, "advanced").await;
    }
    world.store.put_endpoint(&ws("only-endpoints"), &ep("ep_x"), &config(1, 1)).await.expect("put_endpoint");
    let unknown = world.event("unknown", "1", None).await;
    world.append(&[unknown]).await;
    let page = async |after: Option<&str>, query: Option<&str>, limit| {
        let after = after.map(ws);
        let names = world.store.workspaces(after.as_ref(), query, limit).await.expect("workspaces");
        names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(page(None, None, 100).await, ["10", "9", "B", "a-1", "a_2", "b", "only-endpoints", "w"]);
    assert_eq!(page(Some("9"), None, 2).await, ["B", "a-1"]);
    assert_eq!(page(Some("C"), None, 2).await, ["a-1", "a_2"]);
    assert_eq!(page(None, Some("a"), 100).await, ["a-1", "a_2"]);
    assert_eq!(page(Some("a-1"), Some("a"), 100).await, ["a_2"]);
}

async fn routing_changes_with_plan_endpoints_and_nothing_else(open: &Open) {
    let world = World::open(open).await;
    let version = async || world.store.routing(&ws("w")).await.expect("routing").version;
    let first = version().await;
    world.plan("w", "enterprise").await;
    world.connect("ep_a", 1).await;
    assert_eq!(version().await, first + 2);
    world
        .store
        .put_workspace(&ws("w"), &Workspace { name: "other".to_owned(), ..record("enterprise") })
        .await
        .expect("it is done");
    world.disable("ep_a").await;
    world.enable("ep_a").await;
    world.publish(&["1"]).await;
    world.deliver_all().await;
    assert_eq!(version().await, first + 2);
    world.lay_out("ep_a", 4).await;
    assert_eq!(version().await, first + 3);
    let routing = world.store.routing(&ws("w")).await.expect("routing");
    assert_eq!((routing.plan.as_deref(), routing.routes.len()), (Some("enterprise"), 1));
    let route = &routing.routes[0];
    assert_eq!((&route.endpoint, &route.events, route.layout, route.lanes), (&ep("ep_a"), &config(1, 1).events, 2, 4));
    world.store.delete_endpoint(&ws("w"), &ep("ep_a")).await.expect("delete_endpoint");
    assert_eq!(version().await, first + 4);
    assert_eq!(world.store.routing(&ws("none")).await.expect("routing").version, 1);
}

async fn endpoints_are_listed_in_the_order_of_their_creation(open: &Open) {
    let world = World::open(open).await;
    for name in ["ep_c", "ep_a", "ep_b"] {
        world.connect(name, 1).await;
    }
    world.lay_out("ep_c", 2).await;
    world.store.delete_endpoint(&ws("w"), &ep("ep_a")).await.expect("delete_endpoint");
    world.connect("ep_0", 1).await;
    let listed = world.store.endpoints(&ws("w")).await.expect("endpoints");
    assert_eq!(listed.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["ep_c", "ep_b", "ep_0"]);
    let routes = world.store.routing(&ws("w")).await.expect("routing").routes;
    assert_eq!(routes.iter().map(|it| it.endpoint.as_str()).collect::<Vec<_>>(), ["ep_c", "ep_b", "ep_0"]);
    assert_eq!(listed[0], world.endpoint("ep_c").await);
    assert_eq!(world.store.endpoints(&ws("none")).await.expect("endpoints"), []);
}

async fn an_endpoint_is_changed_only_from_its_present_version(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    let put = async |id: &str, version| {
        world.store.put_endpoint(&ws("w"), &ep(id), &config(version, 1)).await.expect("put_endpoint")
    };
    assert_eq!(put("ep_a", 1).await, Put::Done, "as it is");
    let other = Config { description: "another".to_owned(), ..config(1, 1) };
    let created = world.store.put_endpoint(&ws("w"), &ep("ep_a"), &other).await.expect("put_endpoint");
    assert_eq!(created, Put::Conflict, "the id exists");
    assert_eq!(put("ep_a", 3).await, Put::Conflict);
    assert_eq!(put("ep_none", 2).await, Put::Missing);
    assert_eq!(put("ep_a", 2).await, Put::Done);
    let version = world.store.routing(&ws("w")).await.expect("routing").version;
    assert_eq!(put("ep_a", 2).await, Put::Done, "whoever lost the answer asks again");
    assert_eq!(world.store.routing(&ws("w")).await.expect("routing").version, version, "which changes nothing");
    let other = Config { description: "another".to_owned(), ..config(2, 1) };
    let changed = world.store.put_endpoint(&ws("w"), &ep("ep_a"), &other).await.expect("put_endpoint");
    assert_eq!(changed, Put::Conflict, "somebody else was first");
    assert_eq!(world.endpoint("ep_a").await.config, config(2, 1));
    world.publish(&["1"]).await;
    assert_eq!(world.lease(&lane("ep_a")).await.config.version, 2);
}

async fn a_workspace_has_no_more_endpoints_than_it_may(open: &Open) {
    let mut policy = Policy::default();
    policy.limits.endpoints = 2;
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 1).await;
    world.connect("ep_b", 1).await;
    let put = async |id: &str, version| {
        world.store.put_endpoint(&ws("w"), &ep(id), &config(version, 1)).await.expect("put_endpoint")
    };
    assert_eq!(put("ep_c", 1).await, Put::LimitReached);
    assert_eq!(put("ep_a", 1).await, Put::Done, "it is there");
    assert_eq!(put("ep_a", 2).await, Put::Done);
    world.store.delete_endpoint(&ws("w"), &ep("ep_b")).await.expect("delete_endpoint");
    assert_eq!(put("ep_c", 1).await, Put::Done);
}

async fn without_a_plan_lanes_are_held_and_go_on_when_it_returns(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2", "3"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.plan("w", "none").await;
    assert!(matches!(world.deliver(&lease).await.after, After::Held));
    assert_eq!(world.publish(&["4"]).await.taken, [recadero::store::lanes::Taken::Unmatched], "nothing new is stored");
    assert_eq!(world.due(Pool::Healthy).await, []);
    world.plan("w", "enterprise").await;
    assert_eq!(world.due(Pool::Healthy).await, [lane("ep_a")]);
    assert_eq!(world.endpoint("ep_a").await.generation, 0);
    assert_eq!(world.deliver_all().await, ["2", "3"]);
}

async fn paused_and_disabled_are_flags_of_their_own(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    world.disable("ep_a").await;
    let disabled = Some(Disabled { reason: DisableReason::Manual, at_ms: world.time.now_ms() });
    world.plan("w", "none").await;
    let endpoint = world.endpoint("ep_a").await;
    assert_eq!((endpoint.status(), endpoint.paused, endpoint.disabled), (EndpointStatus::Paused, true, disabled));
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Held));
    world.plan("w", "advanced").await;
    let endpoint = world.endpoint("ep_a").await;
    assert_eq!((endpoint.status(), endpoint.disabled), (EndpointStatus::Disabled, disabled));
    assert_eq!(world.deliver_all().await, [] as [&str; 0]);
    world.plan("w", "none").await;
    world.enable("ep_a").await;
    assert_eq!(world.endpoint("ep_a").await.status(), EndpointStatus::Paused);
    assert_eq!(world.deliver_all().await, [] as [&str; 0]);
    world.plan("w", "advanced").await;
    assert_eq!(world.endpoint("ep_a").await.status(), EndpointStatus::Enabled);
    assert_eq!(world.deliver_all().await, ["1"]);
}

async fn a_workspace_never_set_is_on_the_default_plan(open: &Open) {
    for (default, paused) in [("none", true), ("advanced", false)] {
        let mut policy = Policy::default();
        policy.plans.default = default.to_owned();
        let world = World::open_with(open, policy).await;
        world.store.put_endpoint(&ws("n"), &ep("ep_n"), &config(1, 1)).await.expect("put_endpoint");
        let endpoint = world.store.endpoint(&ws("n"), &ep("ep_n")).await.expect("endpoint").expect("it exists");
        assert_eq!(endpoint.paused, paused);
        assert_eq!(world.store.routing(&ws("n")).await.expect("routing").plan, None);
    }
}

async fn enable_and_disable_again_change_nothing(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.enable("ep_a").await;
    assert_eq!(world.endpoint("ep_a").await.generation, 0);
    world.disable("ep_a").await;
    let before = world.endpoint("ep_a").await;
    world.pass(SECOND);
    world.disable("ep_a").await;
    assert_eq!(world.endpoint("ep_a").await, before);
    assert_eq!(world.store.enable(&ws("w"), &ep("none"), true).await.expect("enable"), None);
    assert!(!world.store.disable(&ws("w"), &ep("none")).await.expect("disable"));
}

async fn enable_with_discard_drops_what_waited(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2", "3"]).await;
    world.fail(&world.lease(&lane("ep_a")).await).await;
    world.disable("ep_a").await;
    let dropped = world.store.enable(&ws("w"), &ep("ep_a"), true).await.expect("enable");
    assert_eq!(dropped, Some(3), "the one that was tried as well");
    let dropped = world.dropped("ep_a").await;
    assert!(dropped.iter().all(|it| it.reason == DropReason::Discarded));
    assert_eq!(world.dropped_ids("ep_a").await, ["1", "2", "3"]);
    assert_eq!(world.due(Pool::Suspect).await, []);
    world.publish(&["4"]).await;
    assert_eq!(world.deliver_all().await, ["4"]);
}

async fn discard_leaves_the_event_under_way(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.disable("ep_a").await;
    assert_eq!(world.store.enable(&ws("w"), &ep("ep_a"), true).await.expect("enable"), Some(1));
    assert!(matches!(world.deliver(&lease).await.after, After::Idle));

    world.publish(&["3"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.pass(LEASE);
    world.disable("ep_a").await;
    assert_eq!(world.store.enable(&ws("w"), &ep("ep_a"), true).await.expect("enable"), Some(1));
    assert!(matches!(world.deliver(&lease).await.after, After::Lost));
}

async fn enabling_an_enabled_endpoint_discards_nothing(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    assert_eq!(world.store.enable(&ws("w"), &ep("ep_a"), true).await.expect("enable"), Some(0));
    assert_eq!(world.deliver_all().await, ["1"]);
}

async fn deleting_an_endpoint_drops_all_that_waits_for_it(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.connect("ep_b", 1).await;
    world.publish(&["1", "2", "3"]).await;
    world.fail(&world.lease(&lane("ep_a")).await).await;
    assert_eq!(world.store.delete_endpoint(&ws("w"), &ep("ep_a")).await.expect("delete_endpoint"), Some(3));
    assert_eq!(world.store.delete_endpoint(&ws("w"), &ep("ep_a")).await.expect("delete_endpoint"), None);
    assert_eq!(world.store.endpoint(&ws("w"), &ep("ep_a")).await.expect("endpoint"), None);
    assert_eq!((world.used().await, world.due(Pool::Suspect).await), (0, vec![]));
    world.sweep().await;
    let attempts = world.store.attempts(&ws("w"), &ep("ep_a"), None, 10).await.expect("attempts");
    assert_eq!((attempts.len(), world.dropped("ep_a").await.len()), (0, 0));
    assert_eq!(world.deliver_all().await, ["1", "2", "3"], "the other endpoint's");
}

async fn deleting_a_workspace_deletes_its_endpoints(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.connect("ep_b", 1).await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    assert_eq!(world.store.delete_workspace(&ws("w")).await.expect("delete_workspace"), Some(4));
    assert_eq!(world.store.delete_workspace(&ws("w")).await.expect("delete_workspace"), None);
    assert!(matches!(world.deliver(&lease).await.after, After::Gone));
    assert_eq!(world.store.workspace(&ws("w")).await.expect("workspace"), None);
    assert_eq!(world.store.workspaces(None, None, 10).await.expect("workspaces"), []);
    assert_eq!(world.store.endpoints(&ws("w")).await.expect("endpoints"), []);
    assert_eq!((world.due(Pool::Healthy).await, world.figures().await.backlog_events), (vec![], 0));
}

async fn a_deleted_workspaces_routing_version_never_comes_back(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    let before = world.event("w", "1", None).await;
    world.store.delete_workspace(&ws("w")).await.expect("delete_workspace");
    world.sweep().await;
    assert!(world.append(std::slice::from_ref(&before)).await.stale.is_some());
    world.plan("w", "advanced").await;
    world.connect("ep_b", 1).await;
    assert!(world.append(&[before]).await.stale.is_some());
}

async fn members_are_those_that_beat_within_three_seconds(open: &Open) {
    let world = World::open(open).await;
    let beat = async |name| world.store.beat(name).await.expect("beat");
    assert_eq!(beat(Some("b")).await, ["b"]);
    assert_eq!(beat(Some("a")).await, ["a", "b"]);
    world.pass(2 * SECOND);
    assert_eq!(beat(Some("a")).await, ["a", "b"]);
    world.pass(SECOND);
    assert_eq!(beat(Some("a")).await, ["a"]);
    beat(Some("b")).await;
    world.store.leave("b").await.expect("leave");
    assert_eq!(beat(Some("a")).await, ["a"]);
}

async fn wakes_reach_their_member(open: &Open) {
    let world = World::open(open).await;
    let (mut a, mut b) = (world.store.wakes("a").await.expect("wakes"), world.store.wakes("b").await.expect("wakes"));
    world.store.wake("a", &[lane("ep_a"), lane("ep_b")]).await.expect("wake");
    world.store.wake("nobody", &[lane("ep_a")]).await.expect("wake");
    let woken = tokio::time::timeout(5 * SECOND, a.recv()).await.expect("the wake comes");
    assert_eq!(woken, Some(vec![lane("ep_a"), lane("ep_b")]));
    assert!(b.try_recv().is_err());
    drop(a);
    world.store.wake("a", &[lane("ep_a")]).await.expect("a hint to nobody is no error");
}
