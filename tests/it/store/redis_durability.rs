//! What *durable* means on a server: what is waited for, and what is refused.

use std::sync::Arc;

use recadero::decide::ids::Partition;
use recadero::decide::policy::Policy;
use recadero::observe::signal::Signals;
use recadero::store::lanes::Offer;
use recadero::store::redis::{Durability, Options, RedisStore};
use recadero::store::{Lanes, StoreError};

use super::fixture::PARTITIONS;
use super::redis_open::{open, refused};
use super::redis_server::RedisServer;
use super::world::{World, home};
use crate::rig::redis::Redis;
use crate::rig::redis_cluster::RedisCluster;
use crate::rig::{PATIENCE, until};

fn on_disk(options: &mut Options) {
    options.durability = Durability::Disk;
}

#[tokio::test]
async fn disk_is_refused_where_the_disk_lags_behind() {
    let lags = RedisServer::start(&["--appendonly", "no"]).await;
    assert!(refused(open(&lags, on_disk).await).contains("appendfsync always"));
    let holds = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let store = open(&holds, on_disk).await.expect("this one does");
    store.intake().await.expect("intake").persist().await.expect("it is on the disk");
}

/// Whether a server knows `WAITAOF` (Redis 7.2); says so in the test's output where it does not.
async fn has_waitaof(server: &RedisServer) -> bool {
    let has = server.ask(&["WAITAOF", "0", "0", "0"]).await.is_ok();
    if !has {
        println!("this redis-server has no WAITAOF: what needs it is not shown");
    }
    has
}

#[tokio::test]
async fn disk_is_waited_for_where_the_server_can_be_asked() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "everysec"]).await;
    if !has_waitaof(&server).await {
        return;
    }
    let world = World::on(Arc::new(open(&server, on_disk).await.expect("opens")), Policy::default()).await;
    let event = [world.event("w", "a", None).await];
    let intake = world.store.intake().await.expect("intake");
    intake.append(home("w"), &event, Offer::NONE).await.expect("append");
    intake.persist().await.expect("it is on the disk within a second");
    let figures = server.ask(&["INFO", "commandstats"]).await.expect("INFO");
    let figures: String = redis::from_redis_value(figures).expect("a text");
    assert!(figures.contains("cmdstat_waitaof:calls=2,"), "the test's and the store's: {figures}");

    server.ask(&["CONFIG", "SET", "appendonly", "no"]).await.expect("CONFIG SET");
    intake.append(home("w"), &event, Offer::NONE).await.expect("append");
    assert!(matches!(intake.persist().await, Err(StoreError::NotDurable(_))), "it is on no disk any more");
}

#[tokio::test]
async fn a_replicas_disk_is_waited_for_where_the_server_can_be_asked() {
    let with_log = ["--appendonly", "yes", "--repl-diskless-sync-delay", "0"];
    let (primary, port) = RedisServer::start_on_port(&with_log).await;
    if !has_waitaof(&primary).await {
        return;
    }
    let replica = RedisServer::start(&[&with_log[..], &["--replicaof", "127.0.0.1", &port.to_string()]].concat()).await;
    let store = open(&primary, |options| options.durability = Durability::Replica).await.expect("opens");
    let persisted = async || {
        let intake = store.intake().await.expect("intake");
        intake.append(home("w"), &[], Offer::NONE).await.expect("append");
        intake.persist().await
    };
    for turn in 0.. {
        match persisted().await {
            Ok(()) => break,
            Err(error) => assert!(turn < 5, "the replica never has it: {error}"),
        }
    }
    replica.ask(&["CONFIG", "SET", "appendonly", "no"]).await.expect("CONFIG SET");
    let late = persisted().await;
    assert!(matches!(&late, Err(StoreError::NotDurable(why)) if why.contains("replica's disk")), "{late:?}");
}

#[tokio::test]
async fn disk_is_looked_at_again_before_anything_is_said_to_be_on_it() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    if has_waitaof(&server).await {
        return; // It says itself when something is on the disk.
    }
    let store = open(&server, on_disk).await.expect("opens");
    server.ask(&["CONFIG", "SET", "appendfsync", "everysec"]).await.expect("CONFIG SET");
    let persisted = store.intake().await.expect("intake").persist().await;
    assert!(matches!(persisted, Err(StoreError::NotDurable(why)) if why.contains("appendfsync")));
    server.ask(&["CONFIG", "SET", "appendfsync", "always"]).await.expect("CONFIG SET");
    store.intake().await.expect("intake").persist().await.expect("it is on the disk again");
}

#[tokio::test]
async fn one_server_is_waited_for_once_however_many_partitions() {
    let (primary, port) = RedisServer::start_on_port(&["--repl-diskless-sync-delay", "0"]).await;
    let _replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port.to_string()]).await;
    let store = open(&primary, |options| options.durability = Durability::Replica).await.expect("opens");
    for _ in 0..5 {
        primary.ask(&["CONFIG", "RESETSTAT"]).await.expect("CONFIG");
        let intake = store.intake().await.expect("intake");
        for partition in (0..PARTITIONS).map(Partition) {
            intake.append(partition, &[], Offer::NONE).await.expect("append");
        }
        if intake.persist().await.is_err() {
            continue; // The replica is not there yet.
        }
        let stats = primary.ask(&["INFO", "commandstats"]).await.expect("INFO");
        let stats: String = redis::from_redis_value(stats).expect("a text");
        assert!(stats.contains("cmdstat_wait:calls=1,"), "{stats}");
        return;
    }
    panic!("the replica never has it");
}

#[tokio::test]
async fn replica_waits_for_one() {
    let primary = RedisServer::start(&[]).await;
    let store = open(&primary, |options| options.durability = Durability::Replica).await.expect("opens");
    let world = World::on(Arc::new(store), Policy::default()).await;
    let event = [world.event("w", "a", None).await];
    let alone = world.store.intake().await.expect("intake");
    alone.append(home("w"), &event, Offer::NONE).await.expect("append");
    assert!(matches!(alone.persist().await, Err(StoreError::NotDurable(_))), "there is no replica");
    assert!(
        matches!(alone.append(home("w"), &event, Offer::NONE).await, Err(StoreError::Unavailable(_))),
        "the intake has ended"
    );
}

#[tokio::test]
async fn replica_is_content_with_one() {
    let (primary, port) = RedisServer::start_on_port(&["--repl-diskless-sync-delay", "0"]).await;
    let _replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port.to_string()]).await;
    let store = open(&primary, |options| options.durability = Durability::Replica).await.expect("opens");
    let world = World::on(Arc::new(store), Policy::default()).await;
    let event = [world.event("w", "a", None).await];
    for _ in 0..5 {
        let intake = world.store.intake().await.expect("intake");
        intake.append(home("w"), &event, Offer::NONE).await.expect("append");
        if intake.persist().await.is_ok() {
            return;
        }
    }
    panic!("the replica never has it");
}

#[tokio::test]
async fn on_a_cluster_what_a_fail_over_took_away_is_not_said_to_be_on_a_replica() {
    let cluster = RedisCluster::start().await;
    let (url, prefix, durability) = (cluster.urls(), "t".to_owned(), Durability::Replica);
    let options = Options { url, prefix, partitions: PARTITIONS, durability, policy: Policy::default() };
    let store = RedisStore::open(options, Signals::default()).await.expect("opens");
    let world = World::on(Arc::new(store), Policy::default()).await;
    let number = RedisCluster::home(cluster.slot(&format!("t:{{p{:02}}}:part", home("w").0)).await);
    let (primary, replica) = (&cluster.primaries[number], &cluster.replicas[number]);
    let intake = world.store.intake().await.expect("intake");
    intake.append(home("w"), &[world.event("w", "a", None).await], Offer::NONE).await.expect("append");
    intake.persist().await.expect("it is on the replica");

    // The replica hears nothing more, does not have the next event, and takes over.
    for words in [["CONFIG", "SET", "masteruser", "nobody"], ["CONFIG", "SET", "masterauth", "wrong"]] {
        replica.cli(&words).await;
    }
    replica.cli(&["CLIENT", "KILL", "TYPE", "master"]).await;
    until("a replica on its own", PATIENCE, async || says(replica, "master_link_status:down").await).await;
    intake.append(home("w"), &[world.event("w", "b", None).await], Offer::NONE).await.expect("append");
    replica.cli(&["CLUSTER", "FAILOVER", "TAKEOVER"]).await;
    until("a primary that follows", PATIENCE, async || says(primary, "master_link_status:up").await).await;
    // The old primary takes over again. Nobody's connection to it has broken.
    replica.cli(&["CONFIG", "SET", "masterauth", ""]).await;
    primary.cli(&["CLUSTER", "FAILOVER", "TAKEOVER"]).await;
    until("both as they were", PATIENCE, async || says(replica, "master_link_status:up").await).await;

    let persisted = intake.persist().await;
    assert!(matches!(&persisted, Err(StoreError::NotDurable(why)) if why.contains("lacks 1 event")), "{persisted:?}");
}

async fn says(node: &Redis, line: &str) -> bool {
    let info: String = redis::from_redis_value(node.cli(&["INFO", "replication"]).await).expect("a text");
    info.contains(line)
}
