//! What the Redis store promises of its server: which ones it works with, and what it does when one is full or gone.

use std::sync::Arc;
use std::time::Duration;

use recadero::decide::ids::Partition;
use recadero::decide::policy::Policy;
use recadero::observe::signal::Signals;
use recadero::store::lanes::{Intake, Memory, Offer};
use recadero::store::redis::{Durability, Options, RedisStore};
use recadero::store::{Lanes, StoreError};

use super::fixture::{PARTITIONS, START_MS, redis_options};
use super::redis_data::key;
use super::redis_server::{Cluster, RedisServer, Sentinel};
use super::world::{World, config, contact, ep, home, ws};

pub async fn open(server: &RedisServer, change: impl FnOnce(&mut Options)) -> Result<RedisStore, StoreError> {
    let mut options = redis_options(server, Policy::default());
    change(&mut options);
    RedisStore::open(options, Signals::default()).await
}

pub fn refused(opened: Result<RedisStore, StoreError>) -> String {
    match opened {
        Err(StoreError::Refused(why)) => why,
        Err(other) => panic!("refused for good, but: {other}"),
        Ok(_) => panic!("this server will not do"),
    }
}

#[tokio::test]
async fn a_redis_that_deletes_events_when_full_is_refused() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]).await;
    assert!(refused(open(&server, |_| ()).await).contains("noeviction"));
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let server = RedisServer::start(&[]).await;
    open(&server, |_| ()).await.expect("the first number holds");
    let why = refused(open(&server, |options| options.partitions += 1).await);
    assert!(why.contains("RECADERO_PARTITIONS"), "{why}");
}

#[tokio::test]
async fn data_of_a_newer_release_is_refused() {
    let server = RedisServer::start(&[]).await;
    server.ask(&["HSET", "t:meta", "schema", "2"]).await.expect("HSET");
    assert!(refused(open(&server, |_| ()).await).contains("version 2"));
}

/// An intake, which says why there is none.
async fn intake(store: &RedisStore) -> Result<Box<dyn Intake>, String> {
    match store.intake().await {
        Err(StoreError::Unavailable(why)) => Err(why),
        answer => Ok(answer.expect("it is there, or may be later")),
    }
}

#[tokio::test]
async fn a_redis_that_would_delete_events_later_takes_none() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server, |_| ()).await.expect("opens");
    let before = intake(&store).await.expect("it keeps what it holds");
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await.expect("CONFIG SET");
    assert!(intake(&store).await.is_err_and(|why| why.contains("noeviction")));
    let mut looks = 0;
    while let Ok(appended) = before.append(home("w"), &[], Offer::NONE).await {
        assert!(appended.taken.is_empty() && looks < 100, "an open intake looks again now and then");
        tokio::time::sleep(Duration::from_millis(200)).await;
        looks += 1;
    }
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await.expect("CONFIG SET");
    assert!(intake(&store).await.is_ok());
}

#[tokio::test]
async fn every_primary_of_a_cluster_must_do() {
    let cluster = Cluster::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let options = Options { url: cluster.urls(), ..redis_options(&cluster.nodes[0], Policy::default()) };
    let options = Options { durability: Durability::Disk, ..options };
    let open = async || RedisStore::open(options.clone(), Signals::default()).await;
    let store = open().await.expect("opens");
    let intake = store.intake().await.expect("intake");
    for partition in (0..PARTITIONS).map(Partition) {
        intake.append(partition, &[], Offer::NONE).await.expect("append");
    }
    intake.persist().await.expect("it is on the disks");
    for node in &cluster.nodes {
        node.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await.expect("CONFIG SET");
        assert!(refused(open().await).contains("allkeys-lru"));
        node.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction", "appendonly", "no"]).await.expect("CONFIG SET");
        assert!(refused(open().await).contains("appendonly yes"));
        node.ask(&["CONFIG", "SET", "appendonly", "yes"]).await.expect("CONFIG SET");
    }
    open().await.expect("all are as before");
}

#[tokio::test]
async fn the_protocol_that_the_address_asks_for_changes_nothing() {
    let (server, port) = RedisServer::start_on_port(&[]).await;
    let url = format!("redis://127.0.0.1:{port}?protocol=resp3");
    let store = open(&server, |options| options.url = url).await.expect("opens");
    assert!(store.memory().await.expect("memory").used > 0);
    let world = World::on(Arc::new(store), Policy::default()).await;
    world.connect("ep_a", 1).await;
    world.publish(&["a"]).await;
    assert_eq!(world.figures().await.endpoints.len(), 1);
    assert_eq!(world.deliver_all().await, ["a"]);
}

#[tokio::test]
async fn sentinels_name_the_primary() {
    let (server, port) = RedisServer::start_on_port(&[]).await;
    let sentinel = Sentinel::start(port);
    let options = Options { url: sentinel.url(), ..redis_options(&server, Policy::default()) };
    for _ in 0..3_000 {
        if let Ok(store) = RedisStore::open(options.clone(), Signals::default()).await {
            let mut wakes = store.wakes("m").await.expect("listens");
            store.wake("m", &[super::world::lane("ep_a")]).await.expect("wakes");
            assert!(wakes.recv().await.is_some());
            let world = World::on(Arc::new(store), Policy::default()).await;
            world.connect("ep_a", 1).await;
            world.publish(&["a"]).await;
            assert_eq!(world.deliver_all().await, ["a"]);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the primary is not found");
}

#[tokio::test]
async fn a_full_redis_takes_no_event_and_still_drains() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server, |_| ()).await.expect("opens");
    let world = World::on(Arc::new(store), Policy::default()).await;
    world.connect("ep_a", 1).await;
    world.publish(&["a", "b"]).await;
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]).await.expect("CONFIG SET");
    let next = world.event("w", "c", contact(1)).await;
    let refused = world.store.intake().await.expect("intake").append(home("w"), &[next], Offer::NONE).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    assert_eq!(world.deliver_all().await, ["a", "b"]);
    let created = world.store.put_endpoint(&ws("w"), &ep("ep_b"), &config(1, 1)).await;
    assert!(matches!(created, Err(StoreError::Full(_))), "{created:?}");
}

#[tokio::test]
async fn only_what_the_operation_is_to_blame_for_is_refused() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server, |_| ()).await.expect("opens");
    let world = World::on(Arc::new(store), Policy::default()).await;
    let event = [world.event("w", "a", None).await];
    server.ask(&["ACL", "SETUSER", "default", "-evalsha"]).await.expect("ACL");
    let forbidden = world.store.intake().await.expect("intake").append(home("w"), &event, Offer::NONE).await;
    assert!(matches!(forbidden, Err(StoreError::Unavailable(_))), "{forbidden:?}");
    server.ask(&["ACL", "SETUSER", "default", "+evalsha"]).await.expect("ACL");
    server.ask(&["SET", &key("ws:w"), "damaged"]).await.expect("SET");
    let damaged = world.store.intake().await.expect("intake").append(home("w"), &event, Offer::NONE).await;
    assert!(matches!(damaged, Err(StoreError::Refused(_))), "{damaged:?}");
}

#[tokio::test]
async fn a_redis_that_forbids_what_is_needed_is_refused_at_the_beginning() {
    let server = RedisServer::start(&[]).await;
    server.ask(&["ACL", "SETUSER", "default", "-config"]).await.expect("ACL");
    open(&server, |_| ()).await.expect("INFO shows what must be known");
    server.ask(&["ACL", "SETUSER", "default", "-info", "+config"]).await.expect("ACL");
    let store = open(&server, |_| ()).await.expect("CONFIG GET does as well");
    assert_eq!(store.memory().await.expect("unknown, which is no error"), Memory::default());
    server.ask(&["ACL", "SETUSER", "default", "-config"]).await.expect("ACL");
    assert!(refused(open(&server, |_| ()).await).contains("maxmemory-policy"));
    server.ask(&["ACL", "SETUSER", "default", "+info"]).await.expect("ACL");
    server.ask(&["ACL", "SETUSER", "default", "-hget"]).await.expect("ACL");
    assert!(refused(open(&server, |_| ()).await).contains("hget"));
}

#[tokio::test]
async fn a_redis_that_went_is_found_again() {
    let mut server = RedisServer::start(&[]).await;
    let store = open(&server, |_| ()).await.expect("opens");
    let world = World::on(Arc::new(store), Policy::default()).await;
    let event = [world.event("w", "a", None).await];
    let intake = world.store.intake().await.expect("intake");
    server.restart().await;
    let cut = intake.append(home("w"), &event, Offer::NONE).await;
    assert!(matches!(cut, Err(StoreError::Unavailable(_))), "{cut:?}");
    for _ in 0..3_000 {
        if world.store.workspace(&ws("w")).await.is_ok() {
            assert!(intake.append(home("w"), &event, Offer::NONE).await.is_err(), "the intake has ended");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the store is not found again");
}

#[tokio::test]
async fn time_is_the_servers() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server, |_| ()).await.expect("opens");
    let world = World::on(Arc::new(store), Policy::default()).await;
    world.connect("ep_a", 1).await;
    world.publish(&["a"]).await;
    let at_ms = world.endpoint("ep_a").await.oldest_ms.expect("one waits");
    assert_ne!(at_ms, START_MS);
    assert!(at_ms > 1_700_000_000_000, "{at_ms}");
}

#[tokio::test]
async fn a_wake_is_heard() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server, |_| ()).await.expect("opens");
    let mut wakes = store.wakes("m").await.expect("listens");
    store.wake("other", &[super::world::lane("ep_b")]).await.expect("wakes");
    store.wake("m", &[super::world::lane("ep_a")]).await.expect("wakes");
    assert_eq!(wakes.recv().await.expect("heard"), [super::world::lane("ep_a")]);
}

#[tokio::test]
async fn a_cluster_does_as_well() {
    let cluster = Cluster::start(&[]).await;
    let options = Options { url: cluster.urls(), ..redis_options(&cluster.nodes[0], Policy::default()) };
    let store = RedisStore::open(options, Signals::default()).await.expect("opens");
    let mut wakes = store.wakes("m").await.expect("listens");
    let world = World::on(Arc::new(store), Policy::default()).await;
    world.connect("ep_a", 2).await;
    world.connect("ep_b", 1).await;
    world.publish(&["a", "b", "c"]).await;
    assert_eq!(world.lay_out("ep_a", 3).await, recadero::store::records::Put::Done);
    world.publish(&["d"]).await;
    world.sweep().await;
    let mut delivered = world.deliver_all().await;
    delivered.sort();
    assert_eq!(delivered, ["a", "a", "b", "b", "c", "c", "d", "d"]);
    for name in ["one", "two", "three", "four", "five"] {
        world.plan(name, "advanced").await;
    }
    assert_eq!(world.store.workspaces(None, None, 10).await.expect("workspaces").len(), 6);
    world.store.wake("m", &[super::world::lane("ep_a")]).await.expect("wakes");
    assert_eq!(wakes.recv().await.expect("heard").len(), 1);
    assert!(world.store.memory().await.expect("memory").used > 0);
}

#[tokio::test]
async fn in_a_cluster_only_the_node_that_is_short_of_memory_is_relieved() {
    let cluster = Cluster::start(&[]).await;
    let options = Options { url: cluster.urls(), ..redis_options(&cluster.nodes[0], Policy::default()) };
    let store = RedisStore::open(options, Signals::default()).await.expect("opens");
    let world = World::on(Arc::new(store), Policy::default()).await;
    world.connect("ep_a", 1).await;
    world.publish(&["1", "2", "3", "4"]).await;
    world.disable("ep_a").await;
    let mut relieved = Vec::new();
    for node in &cluster.nodes {
        assert_eq!(world.store.memory().await.expect("memory").fullest.1, 0, "no node has a limit");
        node.ask(&["CONFIG", "SET", "maxmemory", "1mb"]).await.expect("CONFIG SET");
        let (used, max) = world.store.memory().await.expect("memory").fullest;
        assert!(used > max && max == 1 << 20, "{used} of {max}");
        let burden = world.sweep().await.burdens.pop().expect("it is a burden");
        relieved.push(world.store.relieve(&burden, 1).await.expect("relieve").dropped);
        node.ask(&["CONFIG", "SET", "maxmemory", "0"]).await.expect("CONFIG SET");
    }
    relieved.sort();
    assert_eq!(relieved, [0, 0, 1], "by the node that has it");
}
