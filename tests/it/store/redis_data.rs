//! What the Redis store leaves behind, and what it finishes that another process had begun.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use recadero::clock::Clock;
use recadero::decide::attempt::Outcome;
use recadero::decide::ids::Partition;
use recadero::observe::signal::Signals;
use recadero::store::lanes::{After, Claim, Pool, Taken};
use recadero::store::records::{Put, ResendFrom};
use recadero::store::redis::RedisStore;

use super::fixture::{PARTITIONS, open_redis, redis_options};
use super::redis_server::RedisServer;
use super::world::{HOUR, MINUTE, World, ep, ev, failed, lane, ws};

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
    let ids: Vec<String> = (0..kept + 20).map(|number| format!("e{number}")).collect();
    world.publish(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.deliver_all().await;
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
    let mut policy = world.policy.clone();
    policy.limits.dedupe_window = window;
    let options = redis_options(world.server(), policy.clone());
    let store = RedisStore::open_at(options, Signals::default(), Clock::of(world.time.clone())).await.expect("opens");
    World::on(Arc::new(store), policy).await
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
