//! RabbitMQ nodes that rabbitmqctl reaches, one or several in a cluster, with an epmd of the test's own.

use std::process::Command;

use tempfile::TempDir;

use super::PATIENCE;
use super::guard::{self, Guarded};
use super::ports::Port;
use super::rabbit::Rabbit;

/// Nodes of one cluster.
pub struct Cluster {
    /// The nodes, the first being the one that the others joined.
    pub nodes: Vec<Rabbit>,
    epmd_port: Port,
    // In this order: the nodes end before what they are registered with.
    _dist_ports: Vec<Port>,
    _epmd: Guarded,
    directory: TempDir,
}

impl Cluster {
    /// Starts so many nodes, with more lines of `rabbitmq.conf`. Takes some seven seconds, and eight more for each that joins.
    pub async fn start(count: usize, lines: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("recadero-cluster-").tempdir().unwrap();
        let epmd_port = Port::take();
        let mut command = guard::command(directory.path(), "epmd");
        command.args(["-port", &epmd_port.number().to_string(), "-address", "127.0.0.1"]);
        let epmd = Guarded::start("epmd", command, &directory.path().join("epmd.log"));
        let dist_ports: Vec<Port> = (0..count).map(|_| Port::take()).collect();
        let epmd_number = epmd_port.number().to_string();
        let nodes = futures_util::future::join_all(dist_ports.iter().enumerate().map(async |(number, dist)| {
            let (node, dist) = (format!("n{number}"), dist.number().to_string());
            Rabbit::start_among(lines, &[("RIG_NODE", &node), ("RIG_EPMD", &epmd_number), ("RIG_DIST", &dist)]).await
        }))
        .await;
        let cluster = Self { nodes, epmd_port, _dist_ports: dist_ports, _epmd: epmd, directory };
        for number in 1..count {
            cluster.ctl(number, &["stop_app"]).await;
            cluster.ctl(number, &["join_cluster", "n0@localhost"]).await;
            cluster.ctl(number, &["start_app"]).await;
        }
        cluster
    }

    /// `rabbitmqctl` for a node; what it printed.
    pub async fn ctl(&self, node: usize, words: &[&str]) -> String {
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmqctl");
        command
            .env("HOME", self.directory.path())
            .env("ERL_EPMD_PORT", self.epmd_port.number().to_string())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .args(["--quiet", "--erlang-cookie", "rig", "--node", &format!("n{node}@localhost")])
            .args(words);
        let done = tokio::task::spawn_blocking(move || command.output().unwrap());
        let done = tokio::time::timeout(PATIENCE, done).await.expect("rabbitmqctl").unwrap();
        let told = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{words:?}: {told} {}", String::from_utf8_lossy(&done.stderr));
        told
    }
}
