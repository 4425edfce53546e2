//! A private RabbitMQ: a node of the test's own, or a virtual host of its own on a shared node.
//!
//! A node takes seconds to start, so tests that do it no harm share one. Names of exchanges and queues are fixed by
//! the contract; a virtual host per test keeps them apart. They are made with the node, and claimed by making a file
//! beside its data, once each: nobody gets what another test left behind. Rejected: making them one by one, which
//! takes rabbitmqctl (a second and a half) or the management plugin.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use lapin::{Connection, ConnectionProperties};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::PATIENCE;
use super::guard::{self, Guarded};
use super::ports::Port;

/// The shared node that `tests/run` started: `amqp://guest:guest@127.0.0.1:PORT`.
const SHARED_URL: &str = "RECADERO_TEST_AMQP_URL";
/// Where its virtual hosts are claimed.
const SHARED_CLAIMS: &str = "RECADERO_TEST_AMQP_CLAIMS";
/// Virtual hosts that a shared node has, in `tests/run` too. A test that finds none left starts a node of its own.
const VHOSTS: usize = 150;
/// Those of a node that one test alone shares with itself: each is a part of a second of its start.
const VHOSTS_OF_ONE_TEST: usize = 4;

/// A RabbitMQ, as one test sees it. A node of its own ends with this value, or with the test process.
pub struct Rabbit {
    url: String,
    own: Option<Node>,
}

impl Rabbit {
    /// Starts a node of the test's own: for tests that kill, stop or fill it. Takes some seven seconds.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with more lines of `rabbitmq.conf`; those that begin with `-` are arguments of Erlang's.
    pub async fn start_with(lines: &[&str]) -> Self {
        Self::of(Node::start(0, lines, &[]).await)
    }

    /// One of a cluster, with these variables for `rabbit.sh`.
    pub(super) async fn start_among(lines: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::of(Node::start(0, lines, variables).await)
    }

    fn of(node: Node) -> Self {
        Self { url: format!("{}/%2f", node.base()), own: Some(node) }
    }

    /// An empty virtual host on a node that other tests use too: the one that `tests/run` started, else one that
    /// this process starts once.
    pub async fn shared() -> Self {
        static NODE: OnceCell<Node> = OnceCell::const_new();
        let (base, claims, vhosts) = match (std::env::var(SHARED_URL), std::env::var_os(SHARED_CLAIMS)) {
            (Ok(url), Some(claims)) => (url, PathBuf::from(claims), VHOSTS),
            _ => {
                // cargo-nextest, which says so, runs a process for each test.
                let vhosts = if std::env::var_os("NEXTEST").is_some() { VHOSTS_OF_ONE_TEST } else { VHOSTS };
                let node = NODE.get_or_init(|| Node::start(vhosts, &[], &[])).await;
                (node.base(), node.directory.path().to_path_buf(), vhosts)
            }
        };
        match claim(&claims, vhosts) {
            Some(vhost) => Self { url: format!("{base}/{vhost}"), own: None },
            None => Self::start().await,
        }
    }

    /// For `RECADERO_AMQP_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection of the caller's own.
    pub async fn connection(&self) -> Connection {
        Connection::connect(&self.url, ConnectionProperties::default())
            .await
            .expect("a connection to the private RabbitMQ")
    }

    /// The process id of the test's own node.
    pub fn pid(&self) -> u32 {
        self.own.as_ref().and_then(|node| node.server.as_ref()).expect("a running node of the test's own").pid()
    }

    /// SIGKILL; the data stay. But RabbitMQ (3.10) writes the name of a new quorum queue to its disk half a second after
    /// it said that the queue is declared: a queue that is killed younger than that comes back empty, without a leader.
    pub fn kill(&mut self) {
        self.running().kill();
        self.node().server = None;
    }

    /// SIGTERM, and waits for the end; the data stay.
    pub async fn stop(&mut self) {
        self.running().signal("TERM");
        self.running().wait(PATIENCE).await;
        self.node().server = None;
    }

    /// Starts again on the same port and data, after killing it where it still runs.
    pub async fn restart(&mut self) {
        if self.node().server.is_some() {
            self.kill();
        }
        self.node().launch().await;
    }

    /// SIGSTOP: connections stay open, nothing is answered.
    pub fn pause(&mut self) {
        self.running().signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.running().signal("CONT");
    }

    fn node(&mut self) -> &mut Node {
        self.own.as_mut().expect("a node of the test's own: Rabbit::start(), not shared()")
    }

    fn running(&mut self) -> &mut Guarded {
        self.node().server.as_mut().expect("a running RabbitMQ")
    }
}

struct Node {
    server: Option<Guarded>,
    vhosts: usize,
    lines: Vec<String>,
    variables: Vec<(String, String)>,
    port: Port,
    directory: TempDir,
}

impl Node {
    async fn start(vhosts: usize, lines: &[&str], variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::Builder::new().prefix("recadero-rabbit-").tempdir().unwrap();
        let lines = lines.iter().map(ToString::to_string).collect();
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let mut node = Self { server: None, vhosts, lines, variables, port: Port::take(), directory };
        node.launch().await;
        node
    }

    fn base(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port.number())
    }

    async fn launch(&mut self) {
        let mut command = guard::command(self.directory.path(), "sh");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/rig/rabbit.sh"));
        command
            .arg(self.directory.path())
            .args([self.port.number().to_string(), self.vhosts.to_string()])
            .args(&self.lines)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut server = Guarded::start("rabbitmq-server", command, &self.directory.path().join("log"));
        server.ready(PATIENCE, async |log| log.contains("Server startup complete")).await;
        self.server = Some(server);
    }
}

/// The first virtual host that nobody has claimed.
fn claim(claims: &Path, vhosts: usize) -> Option<String> {
    (0..vhosts).map(|n| format!("t{n}")).find(|vhost| {
        // Who makes the file has it; "exists" is the only error that means "the next one".
        match OpenOptions::new().write(true).create_new(true).open(claims.join(format!("claimed-{vhost}"))) {
            Ok(_) => true,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => false,
            Err(e) => panic!("{}: {e}", claims.display()),
        }
    })
}
