//! Private `redis-server` processes: one on a socket file of its own, or a Cluster.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::rig::redis::program;

/// How often it is asked whether it is there before the test fails, every 10 ms.
const ASKED_MAX: usize = 2_000;
/// The highest port that leaves room for the Cluster's second one, 10000 above.
const PORT_MAX: u16 = 55_000;
const SLOTS: u16 = 16_384;
const CLUSTER_NODES: u16 = 3;

/// A running server; it ends with this value.
pub struct RedisServer {
    process: Child,
    directory: TempDir,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts a server with more arguments, and waits until it answers.
    pub async fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let server = Self { process: launch(&directory, &arguments), directory, arguments };
        server.wait().await;
        server
    }

    /// Starts a server on a port too, so that others can follow it.
    pub async fn start_on_port(arguments: &[&str]) -> (Self, u16) {
        let port = free_port();
        let text = port.to_string();
        let on_port = ["--bind", "127.0.0.1", "--port", &text];
        (Self::start(&[&on_port, arguments].concat()).await, port)
    }

    /// Kills it and starts it again, on the same files.
    pub async fn restart(&mut self) {
        self.end();
        self.process = launch(&self.directory, &self.arguments);
        self.wait().await;
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.directory.path().join("socket").display())
    }

    /// Sends a command, as one would with redis-cli.
    pub async fn ask(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut connection = redis::Client::open(self.url())?.get_multiplexed_async_connection().await?;
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| {
            command.arg(word);
        });
        command.query_async(&mut connection).await
    }

    async fn wait(&self) {
        for _ in 0..ASKED_MAX {
            if self.ask(&["PING"]).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer");
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(directory: &TempDir, arguments: &[String]) -> Child {
    let mut command = Command::new(program());
    command.args(["--port", "0", "--unixsocket", "socket", "--save", ""]).args(arguments);
    command.current_dir(directory.path()).stdout(Stdio::null());
    command.spawn().expect("redis-server is installed")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// A Sentinel that watches one primary, which it calls `main`.
pub struct Sentinel {
    process: Child,
    _directory: TempDir,
    port: u16,
}

impl Sentinel {
    pub fn start(primary: u16) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let config = format!("bind 127.0.0.1\nport {port}\nsentinel monitor main 127.0.0.1 {primary} 1\n");
        std::fs::write(directory.path().join("conf"), config).expect("a file");
        let mut command = Command::new(program());
        command.args(["conf", "--sentinel"]).current_dir(directory.path()).stdout(Stdio::null());
        Self { process: command.spawn().expect("redis-server is installed"), _directory: directory, port }
    }

    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/main/0", self.port)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Cluster of three primaries.
pub struct Cluster {
    pub nodes: Vec<RedisServer>,
    ports: Vec<u16>,
}

impl Cluster {
    /// Starts it with more arguments for each node, and waits until every node knows all slots.
    pub async fn start(arguments: &[&str]) -> Self {
        let arguments = [&["--cluster-enabled", "yes"], arguments].concat();
        let (mut nodes, mut ports) = (Vec::new(), Vec::new());
        for node in 0..CLUSTER_NODES {
            let (server, port) = RedisServer::start_on_port(&arguments).await;
            let share = SLOTS.div_ceil(CLUSTER_NODES);
            let (first, last) = (node * share, ((node + 1) * share).min(SLOTS) - 1);
            let slots = [first.to_string(), last.to_string()];
            server.ask(&["CLUSTER", "ADDSLOTSRANGE", &slots[0], &slots[1]]).await.expect("ADDSLOTSRANGE");
            if let Some(known) = ports.first().map(u16::to_string) {
                server.ask(&["CLUSTER", "MEET", "127.0.0.1", &known]).await.expect("MEET");
            }
            nodes.push(server);
            ports.push(port);
        }
        let cluster = Self { nodes, ports };
        for _ in 0..ASKED_MAX {
            if cluster.is_whole().await {
                return cluster;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the cluster does not come together");
    }

    /// The nodes' addresses, as an operator writes them.
    pub fn urls(&self) -> String {
        let urls: Vec<String> = self.ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect();
        urls.join(",")
    }

    async fn is_whole(&self) -> bool {
        for node in &self.nodes {
            let info = node.ask(&["CLUSTER", "INFO"]).await.expect("CLUSTER INFO");
            let info: String = redis::from_redis_value(info).expect("a text");
            let nodes = format!("cluster_known_nodes:{CLUSTER_NODES}");
            if !info.contains("cluster_state:ok") || !info.contains(&nodes) {
                return false;
            }
        }
        true
    }
}

fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        if port <= PORT_MAX {
            return port;
        }
    }
}
