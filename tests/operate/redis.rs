//! A Redis of a test's own, on a socket file; it ends with its value.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// How often it is asked whether it is there before the test fails, every 10 ms.
const ASKED_MAX: usize = 2_000;

/// A running server.
pub struct Redis {
    process: Child,
    directory: TempDir,
}

impl Redis {
    /// Starts `redis-server`, or what `RECADERO_TEST_REDIS_SERVER` names, and waits until it answers.
    pub async fn start() -> Self {
        let program = std::env::var("RECADERO_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(program);
        command.args(["--port", "0", "--unixsocket", "socket", "--save", ""]);
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

    async fn answers(&self) -> bool {
        let asked = async {
            let mut connection = ::redis::Client::open(self.url())?.get_multiplexed_async_connection().await?;
            ::redis::cmd("PING").query_async::<String>(&mut connection).await
        };
        asked.await.is_ok()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
