//! A private Redis.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use super::PATIENCE;
use super::guard::{self, Guarded};
use super::ports::Port;

/// The server that tests run: `redis-server`, or what `RECADERO_TEST_REDIS_SERVER` names, such as a newer one.
pub fn program() -> String {
    std::env::var("RECADERO_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

/// The log of writes, until it is written anew: after a restart, or when it has 64 MB.
const AOF_FILE: &str = "appendonlydir/appendonly.aof.1.incr.aof";

/// What of a write is on disk when Redis answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aof {
    /// Nothing, ever: a restarted server is empty.
    #[default]
    None,
    /// What is older than a second, when the machine dies; everything, when only the process does.
    Everysec,
    /// Everything.
    Always,
}

/// How the server is set up. The policy is `noeviction` unless `extra` says otherwise.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Persistence.
    pub aof: Aof,
    /// Bytes it may hold; no limit without.
    pub maxmemory: Option<u64>,
    /// The port of the primary that it follows.
    pub replica_of: Option<u16>,
    /// More of redis-server's arguments, such as `--cluster-enabled`, `yes`.
    pub extra: Vec<String>,
    /// Its log can lose what a machine would lose (see [`Redis::lose_unsynced`] and [`Redis::tear_a_write`]).
    pub watched: bool,
    /// Starts from its log as it is, where others repair it first, as docs/operating.md says.
    pub unrepaired: bool,
}

/// A private `redis-server` on 127.0.0.1; it ends with this value, or with the test process, whatever ends that.
pub struct Redis {
    server: Option<Guarded>,
    options: Options,
    port: Port,
    directory: TempDir,
}

impl Redis {
    /// Starts a server and waits until it answers.
    pub async fn start(options: Options) -> Self {
        let directory = tempfile::Builder::new().prefix("recadero-redis-").tempdir().unwrap();
        let mut redis = Self { server: None, options, port: Port::take(), directory };
        redis.launch().await;
        redis
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// The port, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("a running Redis").pid()
    }

    /// SIGKILL; the files stay.
    pub fn kill(&mut self) {
        self.running().kill();
        self.server = None;
    }

    /// SIGTERM, and waits for the end; the files stay.
    pub async fn stop(&mut self) {
        self.running().signal("TERM");
        self.running().wait(PATIENCE).await;
        self.server = None;
    }

    /// Starts again on the same port and files, after killing it where it still runs, and waits until it answers.
    pub async fn restart(&mut self) {
        if self.server.is_some() {
            self.kill();
        }
        self.launch().await;
    }

    /// Waits until it ends by itself; the files stay.
    pub async fn ended(&mut self) {
        self.running().wait(PATIENCE).await;
        self.server = None;
    }

    /// Lets no file of its grow past so many bytes: to it, the disk is full. `None` gives room again.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        // The soft limit alone, which may be raised again.
        let arguments = ["--pid".to_owned(), self.pid().to_string(), format!("--fsize={limit}:")];
        assert!(Command::new("prlimit").args(arguments).status().unwrap().success(), "prlimit");
    }

    /// Bytes of its log of writes (AOF), as far as they were handed to the system.
    pub fn log_bytes(&self) -> u64 {
        self.directory.path().join(AOF_FILE).metadata().unwrap().len()
    }

    /// Bytes of it that are on the disk beyond doubt.
    pub fn synced_bytes(&self) -> u64 {
        let note = std::fs::read_to_string(self.directory.path().join("synced"));
        note.map_or(0, |bytes| bytes.trim().parse().unwrap()) // Nothing is synced before the first second is over.
    }

    /// After it was killed: takes from its log what was not on the disk, as when the machine loses power. How many
    /// bytes that were.
    pub fn lose_unsynced(&self) -> u64 {
        let (all, synced) = (self.log_bytes(), self.synced_bytes());
        let log = std::fs::File::options().write(true).open(self.directory.path().join(AOF_FILE)).unwrap();
        log.set_len(synced).unwrap();
        all - synced
    }

    /// Lets it die in the middle of its next write to its log that has several commands; waits until it has.
    pub async fn tear_a_write(&mut self) {
        std::fs::write(self.directory.path().join("tear"), []).unwrap();
        self.ended().await;
    }

    /// Whether it has written its log anew since it was started.
    pub async fn has_a_log_written_anew(&self) -> bool {
        let info: String = redis::from_redis_value(self.cli(&["INFO", "persistence"]).await).unwrap();
        !info.contains("aof_rewrites:0") && info.contains("aof_rewrite_in_progress:0")
    }

    /// SIGSTOP: connections stay open, nothing is answered.
    pub fn pause(&mut self) {
        self.running().signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.running().signal("CONT");
    }

    /// A connection of the caller's own.
    pub async fn connection(&self) -> MultiplexedConnection {
        connect(&self.url()).await.expect("a connection to the private Redis")
    }

    /// Sends one command, as one would with redis-cli.
    pub async fn cli(&self, words: &[&str]) -> redis::Value {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut self.connection().await).await.unwrap_or_else(|e| panic!("{words:?}: {e}"))
    }

    fn running(&mut self) -> &mut Guarded {
        self.server.as_mut().expect("a running Redis")
    }

    /// Takes from the end of its log what a kill left of a script.
    fn repair(&self) {
        let manifest = self.directory.path().join("appendonlydir/appendonly.aof.manifest");
        if !manifest.exists() {
            return;
        }
        // The server's own program, by another name.
        let mut command = Command::new(program());
        command.arg0("redis-check-aof").arg("--fix").arg(manifest);
        let mut check = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // It asks only where there is something to take, and may have ended before.
        let _ = check.stdin.take().unwrap().write_all(b"y\n");
        let said = check.wait_with_output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    }

    async fn launch(&mut self) {
        if !self.options.unrepaired {
            self.repair();
        }
        let mut command = guard::command(self.directory.path(), program());
        command.args(["--bind", "127.0.0.1", "--port"]).arg(self.port().to_string());
        command.arg("--dir").arg(self.directory.path());
        command.args(["--save", "", "--daemonize", "no", "--maxmemory-policy", "noeviction"]);
        // Else a primary waits five seconds before it feeds a new replica.
        command.args(["--repl-diskless-sync-delay", "0"]);
        match self.options.aof {
            Aof::None => command.args(["--appendonly", "no"]),
            Aof::Everysec => command.args(["--appendonly", "yes", "--appendfsync", "everysec"]),
            Aof::Always => command.args(["--appendonly", "yes", "--appendfsync", "always"]),
        };
        if let Some(bytes) = self.options.maxmemory {
            command.arg("--maxmemory").arg(bytes.to_string());
        }
        if let Some(primary) = self.options.replica_of {
            command.args(["--replicaof", "127.0.0.1"]).arg(primary.to_string());
        }
        command.args(&self.options.extra);
        if self.options.watched {
            let library = self.directory.path().join("aof.so");
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/rig/aof.c");
            let compiled =
                Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
            assert!(compiled.unwrap().success(), "cc {source}");
            command.env("LD_PRELOAD", library);
            command
                .env("AOF_SYNCED", self.directory.path().join("synced"))
                .env("AOF_TEAR", self.directory.path().join("tear"));
        }
        let url = self.url();
        let mut server = Guarded::start("redis-server", command, &self.directory.path().join("log"));
        // PING is refused while the files are loaded.
        server.ready(PATIENCE, async |_| ping(&url).await.is_ok()).await;
        self.server = Some(server);
    }
}

pub(super) async fn connect(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_response_timeout(Some(Duration::from_secs(30)));
    redis::Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await
}

async fn ping(url: &str) -> redis::RedisResult<()> {
    redis::cmd("PING").query_async(&mut connect(url).await?).await
}
