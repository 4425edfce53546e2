//! A private Redis Cluster: three primaries, each with a replica.

use std::time::Duration;

use super::PATIENCE;
use super::ports::Port;
use super::redis::{Options, Redis};
use super::until;

const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;
/// Keys that are moved at once: few, and with a pause, so that whoever uses the slot meets it half moved.
const MOVED_AT_ONCE: &str = "4";
const MOVE_PAUSE: Duration = Duration::from_millis(100);

/// The nodes; `replicas[n]` follows `primaries[n]`, as long as nobody is killed.
pub struct RedisCluster {
    pub primaries: Vec<Redis>,
    pub replicas: Vec<Redis>,
    // The nodes talk to each other over ports of their own.
    _buses: Vec<Port>,
}

impl RedisCluster {
    /// Starts it, and waits until every node knows all others and every replica has what its primary has. A node that is
    /// gone for a second is replaced.
    pub async fn start() -> Self {
        let buses: Vec<Port> = (0..2 * PRIMARIES).map(|_| Port::take()).collect();
        let mut nodes = futures_util::future::join_all(buses.iter().map(|bus| {
            let bus = bus.number().to_string();
            let extra = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", &bus];
            Redis::start(Options { extra: extra.map(str::to_owned).to_vec(), ..Options::default() })
        }))
        .await;
        let share = SLOTS.div_ceil(PRIMARIES);
        for (number, node) in nodes.iter().enumerate() {
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]).await;
            if number < PRIMARIES {
                let (first, last) = (number * share, ((number + 1) * share).min(SLOTS) - 1);
                node.cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
            }
            let (port, bus) = (nodes[0].port().to_string(), buses[0].number().to_string());
            node.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
        }
        for node in &nodes {
            let met = async || said(node, &["CLUSTER", "INFO"]).await.contains("cluster_known_nodes:6");
            until("nodes that know each other", PATIENCE, met).await;
        }
        let replicas = nodes.split_off(PRIMARIES);
        for (primary, replica) in nodes.iter().zip(&replicas) {
            replica.cli(&["CLUSTER", "REPLICATE", &id(primary).await]).await;
        }
        let cluster = Self { primaries: nodes, replicas, _buses: buses };
        for node in cluster.primaries.iter().chain(&cluster.replicas) {
            until("a whole cluster", PATIENCE, async || is_whole(node).await).await;
        }
        for replica in &cluster.replicas {
            let follows = async || said(replica, &["INFO", "replication"]).await.contains("master_link_status:up");
            until("a replica that follows", PATIENCE, follows).await;
        }
        cluster
    }

    /// All nodes' addresses, as an operator writes them.
    pub fn urls(&self) -> String {
        let nodes = self.primaries.iter().chain(&self.replicas);
        nodes.map(Redis::url).collect::<Vec<_>>().join(",")
    }

    /// The slot of a key.
    pub async fn slot(&self, key: &str) -> usize {
        redis::from_redis_value(self.replicas[0].cli(&["CLUSTER", "KEYSLOT", key]).await).unwrap()
    }

    /// Which primary had a slot at the start.
    pub fn home(slot: usize) -> usize {
        slot / SLOTS.div_ceil(PRIMARIES)
    }

    /// Waits until a primary's replica is a primary and the whole cluster, as the others see it, is well again.
    pub async fn promoted(&self, number: usize) {
        let heir = &self.replicas[number];
        let leads = async || said(heir, &["INFO", "replication"]).await.contains("role:master") && is_whole(heir).await;
        until("a promoted replica", PATIENCE, leads).await;
    }

    /// Moves a slot with its keys from one primary to another, as `redis-cli --cluster reshard` does.
    pub async fn migrate(&self, slot: usize, from: usize, to: usize) {
        let (slot, from, to) = (slot.to_string(), &self.primaries[from], &self.primaries[to]);
        let (giver, taker) = (id(from).await, id(to).await);
        to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &giver]).await;
        from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &taker]).await;
        let port = to.port().to_string();
        loop {
            let keys = from.cli(&["CLUSTER", "GETKEYSINSLOT", &slot, MOVED_AT_ONCE]).await;
            let keys: Vec<String> = redis::from_redis_value(keys).unwrap();
            if keys.is_empty() {
                break;
            }
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            from.cli(&words).await;
            tokio::time::sleep(MOVE_PAUSE).await;
        }
        for node in [to, from] {
            node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &taker]).await;
        }
    }
}

async fn id(node: &Redis) -> String {
    said(node, &["CLUSTER", "MYID"]).await
}

async fn is_whole(node: &Redis) -> bool {
    let info = said(node, &["CLUSTER", "INFO"]).await;
    info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
}

async fn said(node: &Redis, words: &[&str]) -> String {
    redis::from_redis_value(node.cli(words).await).unwrap()
}
