//! A private `redis-server` on a socket file of its own.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// How often it is asked whether it is there before the test fails, every 10 ms.
const ASKED_MAX: usize = 1_000;

/// A running server; it ends with this value.
pub struct RedisServer {
    process: Child,
    directory: TempDir,
}

impl RedisServer {
    /// Starts a server with more arguments, and waits until it answers.
    pub async fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--unixsocket", "socket", "--save", ""]).args(arguments);
        command.current_dir(directory.path()).stdout(Stdio::null());
        let server = Self { process: command.spawn().expect("redis-server is installed"), directory };
        for _ in 0..ASKED_MAX {
            if server.answers().await {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer");
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

    async fn answers(&self) -> bool {
        self.ask(&["PING"]).await.is_ok()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
