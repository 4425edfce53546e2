//! A process that cannot outlive its test.
//!
//! `Drop` covers a test that ends or panics, but not one that is killed. So a small shell (`guard.sh`) stands between,
//! in a process group of its own, and waits on a pipe that the kernel closes when the test is gone, whatever ended it.
//! Rejected: `PR_SET_PDEATHSIG`, which needs `unsafe` between fork and exec, and fires when a *thread* ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::until;

/// How much of a log a failing test shows.
const SHOWN_LINES: usize = 60;

/// A guarded process. Dropping it kills the process and removes its directory; when the test is panicking, the end
/// of its log is shown.
pub struct Guarded {
    name: String,
    shell: Child,
    pipe: Option<ChildStdin>,
    pid: u32,
    log: PathBuf,
    log_start: usize,
    status: Option<i32>,
}

/// The command that runs `program` under a guard; add arguments and environment, then [`Guarded::start`] it.
pub fn command(directory: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("sh");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/rig/guard.sh"));
    command.arg(directory).arg(program).current_dir(directory);
    command
}

impl Guarded {
    /// Starts what [`command`] made. Everything it prints is added to `log`; `name` is for messages.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let log_start = usize::try_from(file.metadata().unwrap().len()).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file).process_group(0);
        let mut shell = command.spawn().unwrap();
        let pipe = shell.stdin.take();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = line.trim().parse().unwrap();
        Self { name: name.into(), shell, pipe, pid, log: log.into(), log_start, status: None }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the process has printed since this start.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.log_start..).unwrap_or_default()).into_owned()
    }

    /// The exit status, as a shell says it (128 + signal), once the process has ended.
    pub fn ended(&mut self) -> Option<i32> {
        if self.status.is_none() {
            self.status = self.shell.try_wait().unwrap().map(|status| status.code().unwrap_or(-1));
        }
        self.status
    }

    /// Waits until the process ends by itself and answers its exit status; panics after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> i32 {
        let what = format!("the end of {}", self.name);
        until(&what, limit, async || self.ended().is_some()).await;
        self.status.unwrap()
    }

    /// Sends a signal: `KILL`, `TERM`, `STOP`, `CONT`. Panics when the process has ended.
    pub fn signal(&mut self, signal: &str) {
        assert_eq!(self.ended(), None, "{} had ended before SIG{signal}:\n{}", self.name, self.tail());
        // The shell's own kill: there is no program of that name on a small machine.
        let kill = format!("kill -{signal} {}", self.pid);
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    /// Kills the process with SIGKILL and waits for its end. What is on disk stays.
    pub fn kill(&mut self) {
        self.signal("KILL");
        while self.ended().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until `ready` says yes, and panics with the log when the process ends first or `limit` is over.
    pub async fn ready(&mut self, limit: Duration, mut ready: impl AsyncFnMut(&str) -> bool) {
        let what = format!("{} ready", self.name);
        until(&what, limit, async || {
            let ended = self.ended();
            assert_eq!(ended, None, "{} ended before it was ready:\n{}", self.name, self.tail());
            ready(&self.log()).await
        })
        .await;
    }

    /// The last lines of the log.
    pub fn tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- {} (process {}) last said:\n{}\n---", self.name, self.pid, self.tail());
        }
        drop(self.pipe.take());
        if self.status.is_none() {
            // The guard kills by SIGKILL, so this ends at once.
            let _ = self.shell.wait();
        }
    }
}
