//! What the Redis store leaves behind, and what it finishes that another process had begun.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use recadero::clock::Clock;
use recadero::decide::attempt::Outcome;
use recadero::decide::ids::Partition;
use recadero::decide::notice::DropReason;
use recadero::decide::policy::Policy;
use recadero::observe::signal::Signals;
use recadero::store::lanes::{After, Claim, Offer, Pool, Taken};
use recadero::store::records::{EndpointStatus, Put, ResendFrom};
use recadero::store::redis::RedisStore;

use super::fixture::{PARTITIONS, open_redis, redis_options};
use super::redis_server::RedisServer;
use super::world::{HOUR, MINUTE, World, config, ep, ev, failed, home, lane, lane_of, sweep_whole, ws};

/// The names of all keys, without the prefix and the partition.
async fn keys(server: &RedisServer) -> BTreeSet<String> {
    let keys = server.ask(&["KEYS", "t:{*"]).await.expect("KEYS");
    let keys: Vec<String> = redis::from_redis_value(keys).expect("names");
    keys.iter().filter_map(|key| Some(key.split_once("}:")?.1.to_owned())).collect()
}

/// A key of `w`'s partition.
pub fn key(name: &str) -> String {
    let Partition(partition) = Partition::of(&ws("w"), PARTITIONS);
    format!("t:{{p{partition:02}}}:{name}")
}

#[tokio::test]
async fn nothing_is_left_of_what_was_deleted() {
    let world = World::open(&open_redis).await;
    world.connect("ep_a", 1).await;
    world.connect("ep_b", 2).await;
    world.publish(&["a", "b", "c"]).await;
    world.deliver_all().await;
    world.publish(&["d", "e", "f"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.fail(&lease).await;
    world.store.resend(&ws("w"), &ep("ep_b"), ResendFrom::Kept, &[ev("a")]).await.expect("resend");
    world.disable("ep_b").await;
    world.pass(HOUR);
    assert_eq!(world.store.enable(&ws("w"), &ep("ep_b"), true).await.expect("enable"), Some(4));
    assert_eq!(world.lay_out("ep_a", 3).await, Put::Done);
    world.publish(&["g"]).await;
    assert!(keys(world.server()).await.contains("bodies"), "bodies are shared");

    world.store.delete_endpoint(&ws("w"), &ep("ep_a")).await.expect("delete");
    assert!(keys(world.server()).await.contains("bodies"), "the other endpoint needs them");
    world.store.delete_workspace(&ws("w")).await.expect("delete");
    let left = keys(world.server()).await;
    let expected = ["notices", "outbox", "part", "ws:w"];
    let left: Vec<&str> = left.iter().map(String::as_str).filter(|key| !key.starts_with("seen:")).collect();
    assert_eq!(left, expected, "but the routing's version, notices on their way and counters");
}

#[tokio::test]
async fn a_shared_body_goes_with_its_last_event() {
    let world = World::open(&open_redis).await;
    world.connect("ep_a", 1).await;
    world.connect("ep_b", 1).await;
    let kept = usize::try_from(world.policy.limits.log_payloads).expect("few");
    let ids: Vec<String> = (0..kept + 17).map(|number| format!("e{number}")).collect();
    world.publish(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.deliver_all().await;
    // Past the number, seventeen at a time.
    for name in ["bodies", "refs"] {
        let count: usize =
            redis::from_redis_value(world.server().ask(&["HLEN", &key(name)]).await.expect("HLEN")).expect("a number");
        assert_eq!(count, kept, "{name}");
    }
}

#[tokio::test]
async fn upkeep_finishes_a_release_that_was_begun() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    world.publish(&["a"]).await;
    world.disable("ep_a").await;
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Held));
    world.server().ask(&["SADD", &key("releasing"), "w/ep_a"]).await.expect("SADD");
    assert_eq!(world.sweep().await.ready, [lane("ep_a")]);
    assert_eq!(world.due(Pool::Healthy).await, [lane("ep_a")]);
    assert!(!keys(world.server()).await.contains("releasing"));
}

#[tokio::test]
async fn upkeep_finishes_a_purge_that_was_begun() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    let entry = "1 2 2 7 0 - message.sent a -\n";
    world.server().ask(&["HSET", &key("purging"), "w/ep_gone", "1:1:0:1"]).await.expect("HSET");
    world.server().ask(&["HSET", &key("bodies"), "7", "{}"]).await.expect("HSET");
    world.server().ask(&["HSET", &key("refs"), "7", "1"]).await.expect("HSET");
    world.server().ask(&["RPUSH", &key("queue:w/ep_gone.1.0"), entry]).await.expect("RPUSH");
    world.sweep().await;
    let left = keys(world.server()).await;
    assert!(!left.iter().any(|key| key.contains("ep_gone")), "{left:?}");
    assert!(!left.contains("purging") && !left.contains("bodies") && !left.contains("refs"), "{left:?}");
}

/// The same Redis, as a release with another window opens it.
async fn with_window(world: &World, window: Duration) -> World {
    with(world, |policy| policy.limits.dedupe_window = window).await
}

/// The same Redis, as a release with another policy opens it.
async fn with(world: &World, change: impl FnOnce(&mut Policy)) -> World {
    let mut policy = world.policy.clone();
    change(&mut policy);
    let options = redis_options(world.server(), policy.clone());
    let store = RedisStore::open_at(options, Signals::default(), Clock::of(world.time.clone())).await.expect("opens");
    World::with_store(Arc::new(store), world.time.clone(), policy).await
}

#[tokio::test]
async fn a_longer_window_remembers_and_forgets() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    for hours in 0..6 {
        let id = format!("before-{hours}");
        world.publish(&[&id]).await;
        let longer = with_window(&world, (24 + hours) * HOUR).await;
        assert_eq!(longer.publish(&[&id, &format!("after-{hours}")]).await.taken, [Taken::Duplicate, Taken::Stored]);
        world.pass(15 * MINUTE);
    }
    let longer = with_window(&world, 24 * HOUR).await;
    longer.publish(&["a"]).await;
    world.pass(36 * HOUR);
    assert_eq!(longer.publish(&["a"]).await.taken, [Taken::Stored]);
}

#[tokio::test]
async fn a_shorter_window_forgets_nothing_at_once() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    for minutes in 1..7 {
        let id = format!("before-{minutes}");
        world.publish(&[&id]).await;
        let shorter = with_window(&world, minutes * MINUTE).await;
        assert_eq!(shorter.publish(&[&id]).await.taken, [Taken::Duplicate]);
        world.pass(15 * MINUTE);
    }
}

#[tokio::test]
async fn lanes_of_a_drained_layout_are_forgotten() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    world.publish(&["a"]).await;
    world.deliver_all().await;
    assert_eq!(world.lay_out("ep_a", 2).await, Put::Done);
    world.sweep().await;
    assert!(keys(world.server()).await.contains("lane:w/ep_a.1.0"), "its last commit may be repeated");
    world.pass(MINUTE);
    world.sweep().await;
    assert!(!keys(world.server()).await.contains("lane:w/ep_a.1.0"));
}

#[tokio::test]
async fn a_lane_whose_current_event_is_not_there_goes_on_with_what_is() {
    for (number, outcome) in [Outcome::Delivered, failed()].into_iter().enumerate() {
        let world = World::with_endpoint(&open_redis, "ep_a").await;
        world.publish(&["gone", "next"]).await;
        let lease = world.lease(&lane("ep_a")).await;
        world.server().ask(&["LPOP", &key("queue:w/ep_a.1.0")]).await.expect("LPOP");
        assert!(matches!(world.commit(&world.end(&lease, outcome)).await.after, After::Lost), "{number}");
        assert_eq!(world.store.attempts(&ws("w"), &ep("ep_a"), None, 10).await.expect("attempts"), []);
        assert_eq!(world.deliver_all().await, ["next"], "{number}");
    }
}

#[tokio::test]
async fn a_lane_that_lost_its_only_event_is_idle() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    for claimed_again in [false, true] {
        let id = format!("gone-{claimed_again}");
        world.publish(&[&id]).await;
        let lease = world.lease(&lane("ep_a")).await;
        world.server().ask(&["DEL", &key("queue:w/ep_a.1.0")]).await.expect("DEL");
        if claimed_again {
            world.pass(HOUR);
            assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Taken));
        }
        assert!(matches!(world.deliver(&lease).await.after, After::Lost));
        assert_eq!(world.due(Pool::Healthy).await, []);
    }
    let ready = world.publish(&["next"]).await.ready;
    assert_eq!((ready, world.deliver_all().await), (vec![lane("ep_a")], vec!["next".to_owned()]));
}

#[tokio::test]
async fn a_lease_is_of_what_stands_first_in_the_lane() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    world.publish(&["gone", "next"]).await;
    world.lease(&lane("ep_a")).await;
    world.server().ask(&["LPOP", &key("queue:w/ep_a.1.0")]).await.expect("LPOP");
    world.pass(HOUR);
    let lease = world.lease(&lane("ep_a")).await;
    assert_eq!((lease.event.id.as_str(), lease.round, lease.attempt), ("next", 1, 1));
    assert!(matches!(world.deliver(&lease).await.after, After::Idle));
}

#[tokio::test]
async fn an_event_that_stands_twice_in_its_lane_is_not_its_own_next_for_ever() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    world.publish(&["twice", "next"]).await;
    let queue = key("queue:w/ep_a.1.0");
    let entry = world.server().ask(&["LINDEX", &queue, "0"]).await.expect("LINDEX");
    let entry: String = redis::from_redis_value(entry).expect("an entry");
    world.server().ask(&["LPUSH", &queue, &entry]).await.expect("LPUSH");

    let lease = world.lease(&lane("ep_a")).await;
    let end = world.end(&lease, Outcome::Delivered);
    assert!(matches!(world.commit(&end).await.after, After::Lost), "one more than the endpoint counts");
    let delivered = world.deliver_all().await;
    assert_eq!(delivered.last().map(String::as_str), Some("next"), "{delivered:?}");
    assert!(delivered.len() <= 3, "{delivered:?}");
}

#[tokio::test]
async fn the_sweep_finds_lanes_that_nothing_would_come_to() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    world.publish(&["a"]).await;
    world.server().ask(&["ZREM", &key("due:healthy"), "w/ep_a.1.0"]).await.expect("ZREM");
    assert_eq!(world.due(Pool::Healthy).await, []);
    world.sweep().await;
    assert_eq!(world.due(Pool::Healthy).await, [lane("ep_a")]);

    assert_eq!(world.deliver_all().await, ["a"]);
    let (held, idle) = (key("lane:w/ep_a.1.0"), key("idle"));
    world.server().ask(&["COPY", &held, &idle]).await.expect("COPY");
    world.publish(&["b"]).await;
    world.server().ask(&["COPY", &idle, &held, "REPLACE"]).await.expect("COPY");
    world.server().ask(&["ZREM", &key("due:healthy"), "w/ep_a.1.0"]).await.expect("ZREM");
    assert_eq!(world.sweep().await.ready, [lane("ep_a")]);
    assert_eq!(world.deliver_all().await, ["b"]);
}

#[tokio::test]
async fn an_append_leases_nothing_past_events_that_stand_astray() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    let (lane_key, idle) = (key("lane:w/ep_a.1.0"), key("idle"));
    world.publish(&["a"]).await;
    assert_eq!(world.deliver_all().await, ["a"]);
    world.server().ask(&["COPY", &lane_key, &idle]).await.expect("COPY");
    world.publish(&["b"]).await;
    world.server().ask(&["COPY", &idle, &lane_key, "REPLACE"]).await.expect("COPY");
    let event = world.event("w", "c", None).await;
    let appended = world.append_offering(&[event], Offer { token: world.token(), places: 1 }).await;
    assert_eq!((appended.granted.len(), appended.ready), (0, vec![lane("ep_a")]));
    assert_eq!(world.deliver_all().await, ["b", "c"]);
}

#[tokio::test]
async fn lanes_held_under_other_plans_are_released_by_the_sweep() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;

    let without = with(&world, |policy| policy.plans.entitled.clear()).await;
    assert!(matches!(without.deliver(&lease).await.after, After::Held));
    assert_eq!(without.sweep().await.ready, []);
    assert_eq!(without.endpoint("ep_a").await.status(), EndpointStatus::Paused);
    assert_eq!(without.deliver_all().await, [] as [&str; 0]);

    assert_eq!(world.sweep().await.ready, [lane("ep_a")]);
    assert_eq!(world.sweep().await.ready, [], "once");
    assert_eq!(world.deliver_all().await, ["2"]);
}

#[tokio::test]
async fn the_default_plan_holds_and_releases_as_well() {
    let world = World::open(&open_redis).await;
    world.store.put_endpoint(&ws("n"), &ep("ep_n"), &config(1, 1)).await.expect("put_endpoint");
    let entitled = with(&world, |policy| policy.plans.default = "advanced".to_owned()).await;
    let event = entitled.event("n", "1", None).await;
    entitled.append(&[event]).await;
    let lane = lane_of("n", "ep_n", 1, 0);
    assert!(matches!(world.claim(&lane).await, Claim::Held));
    let ready = async |world: &World| sweep_whole(world.store.as_ref(), home("n")).await.ready;
    assert_eq!(ready(&world).await, []);
    assert_eq!(ready(&entitled).await, std::slice::from_ref(&lane));
    assert_eq!(entitled.lease(&lane).await.event.id, ev("1"));
}

#[tokio::test]
async fn the_sweep_releases_neither_a_disabled_endpoint_nor_a_later_layout() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    world.connect("ep_b", 1).await;
    world.publish(&["1"]).await;
    world.disable("ep_a").await;
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Held));
    assert_eq!(world.lay_out("ep_b", 2).await, Put::Done);
    world.publish(&["2"]).await;
    assert_eq!(world.sweep().await.ready, []);
    assert_eq!(world.due(Pool::Healthy).await, [lane("ep_b")]);
}

#[tokio::test]
async fn a_trimming_that_the_store_refuses_fails_no_append() {
    let mut policy = Policy::default();
    policy.limits.backlog_events = 1;
    let world = World::open_with(&open_redis, policy).await;
    world.connect("ep_a", 1).await;
    world.server().ask(&["SET", &key("droppedix:w/ep_a"), "damaged"]).await.expect("SET");
    assert_eq!(world.publish(&["1", "2"]).await.taken, [Taken::Stored, Taken::Stored]);
    assert_eq!(world.publish(&["2"]).await.taken, [Taken::Duplicate]);
    world.server().ask(&["DEL", &key("droppedix:w/ep_a")]).await.expect("DEL");
    assert_eq!(world.publish(&["3"]).await.taken, [Taken::Stored], "the same intake goes on");
}

#[tokio::test]
async fn one_call_of_the_sweep_takes_a_bounded_number_of_events_away() {
    const EVENTS: usize = 1_500;
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    world.connect("ep_b", 1).await;
    let ids: Vec<String> = (0..EVENTS).map(|number| format!("e{number}")).collect();
    world.publish(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.pass(100 * HOUR);
    world.server().ask(&["CONFIG", "RESETSTAT"]).await.expect("CONFIG");
    assert_eq!(world.sweep().await.dropped, [(DropReason::BacklogAge, 2 * EVENTS as u64)], "all in one round");
    let stats = world.server().ask(&["INFO", "commandstats"]).await.expect("INFO");
    let stats: String = redis::from_redis_value(stats).expect("a text");
    let calls = |name: &str| -> usize {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
    };
    assert_eq!(calls("lpop"), 2 * EVENTS);
    assert!(calls("evalsha") >= 4, "{stats}");
}

#[tokio::test]
async fn a_log_that_is_switched_off_is_emptied() {
    let world = World::with_endpoint(&open_redis, "ep_a").await;
    world.connect("ep_b", 1).await;
    world.publish(&["1", "2"]).await;
    world.deliver_all().await;
    let off = with(&world, |policy| policy.limits.log_attempts = 0).await;
    off.sweep().await;
    assert!(!keys(world.server()).await.contains("log:w/ep_b"));

    world.publish(&["3"]).await;
    world.deliver_all().await;
    off.publish(&["4"]).await;
    off.deliver_all().await;
    world.publish(&["5"]).await;
    world.deliver_all().await;
    let rows = world.store.attempts(&ws("w"), &ep("ep_a"), None, 10).await.expect("attempts");
    assert_eq!(rows.iter().map(|row| (row.number, row.row.event_id.as_str())).collect::<Vec<_>>(), [(5, "5")]);
}
