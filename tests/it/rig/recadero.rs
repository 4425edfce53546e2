//! The real binary.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::PATIENCE;
use super::guard::{self, Guarded};
use super::ports::Port;

/// The admin token that every process of the rig knows.
pub const ADMIN_TOKEN: &str = "an-admin-token-for-tests-0123456789";

/// The binary that is tested.
const PROGRAM: &str = env!("CARGO_BIN_EXE_recadero");

/// Set unless the test says otherwise: receivers of the rig are on 127.0.0.1 and speak plain HTTP.
const DEFAULTS: [(&str, &str); 4] = [
    ("RECADERO_ADMIN_TOKENS", ADMIN_TOKEN),
    ("RECADERO_ALLOW_HTTP", "true"),
    ("RECADERO_ALLOW_NETS", "127.0.0.0/8"),
    ("RECADERO_LOG_FORMAT", "text"),
];

static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // No connection is kept: each test has a runtime of its own, and a connection dies with the one it was made in.
    reqwest::Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_secs(30)).build().unwrap()
});

/// A running `recadero`, with ports and a directory of its own. It ends with this value, or with the test process.
pub struct Process {
    process: Guarded,
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    http: Port,
    ops: Port,
    directory: TempDir,
}

impl Process {
    /// `recadero serve` with these variables on top of the rig's own; waits until `/readyz` says yes.
    pub async fn serve(variables: &[(&str, &str)]) -> Self {
        let mut process = Self::start(&["serve"], variables);
        process.ready().await;
        process
    }

    /// The same, of another build.
    pub async fn serve_by(program: &Path, variables: &[(&str, &str)]) -> Self {
        let mut process = Self::start_by(program, &["serve"], variables);
        process.ready().await;
        process
    }

    /// `recadero` with these arguments, not waited for.
    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_by(Path::new(PROGRAM), arguments, variables)
    }

    fn start_by(program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::Builder::new().prefix("recadero-process-").tempdir().unwrap();
        let (http, ops) = (Port::take(), Port::take());
        let addresses = [
            ("RECADERO_HTTP_ADDR".to_string(), format!("127.0.0.1:{}", http.number())),
            ("RECADERO_OPS_ADDR".to_string(), format!("127.0.0.1:{}", ops.number())),
        ];
        let given = DEFAULTS.iter().chain(variables).map(|(name, value)| (name.to_string(), value.to_string()));
        let variables: Vec<_> = addresses.into_iter().chain(given).collect();
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let process = launch(program, &directory, &arguments, &variables);
        Self { process, program: program.to_owned(), arguments, variables, http, ops, directory }
    }

    /// Waits until `/readyz` says yes; panics with the log when the process ends first.
    pub async fn ready(&mut self) {
        let url = format!("{}/readyz", self.ops());
        self.process
            .ready(PATIENCE, async |_| HTTP.get(&url).send().await.is_ok_and(|answer| answer.status() == 200))
            .await;
    }

    /// The API: `http://127.0.0.1:PORT`.
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http.number())
    }

    /// `/metrics`, `/healthz`, `/readyz`: `http://127.0.0.1:PORT`.
    pub fn ops(&self) -> String {
        format!("http://127.0.0.1:{}", self.ops.number())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Asks the API as an admin: status and body (`null` where there is none).
    pub async fn api(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.try_api(method, path, body).await.unwrap_or_else(|e| panic!("{path}: {e:?}"))
    }

    /// The same, where it may be killed meanwhile.
    pub async fn try_api(&self, method: &str, path: &str, body: Option<&Value>) -> reqwest::Result<(u16, Value)> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = HTTP.request(method, format!("{}{path}", self.http())).bearer_auth(ADMIN_TOKEN);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect(&text) };
        Ok((status, body))
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> String {
        self.probe("/metrics").await.expect("an answer").1
    }

    /// What a path of the ops address answers, status and text; nothing while nobody listens there.
    pub async fn probe(&self, path: &str) -> Option<(u16, String)> {
        let answer = HTTP.get(format!("{}{path}", self.ops())).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// SIGKILL, while something else is asked of it; [`Process::restart`] follows.
    pub fn kill9_meanwhile(&self) {
        let kill = format!("kill -9 {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and waits for the end: the exit status (128 + signal when one ended it). Panics after `limit`.
    pub async fn term(&mut self, limit: Duration) -> i32 {
        self.process.signal("TERM");
        self.wait(limit).await
    }

    /// SIGINT, as by Ctrl-C, and waits for the end.
    pub async fn interrupt(&mut self, limit: Duration) -> i32 {
        self.process.signal("INT");
        self.wait(limit).await
    }

    /// Waits until it ends by itself: the exit status. Panics after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> i32 {
        self.process.wait(limit).await
    }

    /// SIGSTOP.
    pub fn pause(&mut self) {
        self.process.signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.process.signal("CONT");
    }

    /// Starts it again, with the same arguments, variables and ports, after killing it where it still runs.
    pub async fn restart(&mut self) {
        if self.process.ended().is_none() {
            self.kill9();
        }
        self.process = launch_again(self);
        self.ready().await;
    }

    /// What it has printed since it was started last, on standard output and standard error.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// Runs `recadero` to its end: exit status, and what it printed on standard output and standard error. The rig's
/// own variables are not set.
pub async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    run_within(PATIENCE, arguments, variables).await
}

/// [`run`], for what takes longer.
pub async fn run_within(patience: Duration, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let directory = tempfile::Builder::new().prefix("recadero-run-").tempdir().unwrap();
    let mut process = launch(Path::new(PROGRAM), &directory, arguments, variables);
    let status = process.wait(patience).await;
    (status, process.log())
}

fn launch_again(process: &Process) -> Guarded {
    launch(&process.program, &process.directory, &process.arguments, &process.variables)
}

fn launch(
    program: &Path,
    directory: &TempDir,
    arguments: &[impl AsRef<OsStr>],
    variables: &[(impl AsRef<OsStr>, impl AsRef<OsStr>)],
) -> Guarded {
    let mut command = guard::command(directory.path(), program);
    forget_settings(&mut command);
    command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
    Guarded::start("recadero", command, &directory.path().join("log"))
}

/// What the person at the keyboard has set for a Recadero of theirs is not for the test's.
fn forget_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if let Some(name) = name.to_str().filter(|name| name.starts_with("RECADERO_") || name.starts_with("OTEL_")) {
            command.env_remove(name);
        }
    }
}
