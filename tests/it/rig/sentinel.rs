//! A private Sentinel, which watches one primary and replaces it when it is gone for a second.

use tempfile::TempDir;

use super::PATIENCE;
use super::guard::{self, Guarded};
use super::ports::Port;
use super::redis::{Redis, connect, program};
use super::until;

/// A running Sentinel; it calls what it watches `main`.
pub struct Sentinel {
    _server: Guarded,
    port: Port,
    _directory: TempDir,
}

impl Sentinel {
    /// Starts it, and waits until it knows the primary's replica.
    pub async fn start(primary: &Redis) -> Self {
        let directory = tempfile::Builder::new().prefix("recadero-sentinel-").tempdir().unwrap();
        let port = Port::take();
        let config = format!(
            "bind 127.0.0.1\nport {}\nsentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 10000\n",
            port.number(),
            primary.port()
        );
        std::fs::write(directory.path().join("conf"), config).unwrap();
        let mut command = guard::command(directory.path(), program());
        command.args(["conf", "--sentinel"]);
        let server = Guarded::start("sentinel", command, &directory.path().join("log"));
        let sentinel = Self { _server: server, port, _directory: directory };
        let knows = async || match sentinel.ask(&["SENTINEL", "REPLICAS", "main"]).await {
            Some(redis::Value::Array(replicas)) => !replicas.is_empty(),
            _ => false,
        };
        until("a Sentinel that knows the replica", PATIENCE, knows).await;
        sentinel
    }

    /// For `RECADERO_REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/main/0", self.port.number())
    }

    /// The port of the primary, as it tells clients.
    pub async fn primary(&self) -> u16 {
        let answer = self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]).await.expect("an answer");
        let (_, port): (String, u16) = redis::from_redis_value(answer).unwrap();
        port
    }

    async fn ask(&self, words: &[&str]) -> Option<redis::Value> {
        let mut connection = connect(&format!("redis://127.0.0.1:{}", self.port.number())).await.ok()?;
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await.ok()
    }
}
