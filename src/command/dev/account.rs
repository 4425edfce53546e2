//! The account on the terminal: what happens, in lines for a person.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;

use super::curl::Curl;
use crate::decide::attempt::Outcome;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::decide::policy::Policy;
use crate::notify::mail::Letter;
use crate::observe::signal::{Signal, Tap};
use crate::store::Store;

/// Lines that may wait for the terminal; more are dropped rather than slow the service down.
const LINES_MAX: usize = 4096;

/// Hears the signals and writes an account of them.
pub struct Account {
    lines: mpsc::Sender<Line>,
    names: OnceLock<BTreeMap<EndpointId, &'static str>>,
    attempts_max: usize,
}

/// Something to tell.
enum Line {
    /// One line about a receiver.
    Told { name: &'static str, text: String },
    /// A failure was counted: the line is followed by how full the quota is.
    Failed { name: &'static str, text: String },
    /// An endpoint was disabled.
    Disabled { name: &'static str, endpoint: EndpointId },
    /// An e-mail that `serve` would send.
    Mail { to: Vec<String>, letter: Letter },
}

impl Account {
    /// An account, and what it has to tell.
    pub fn new(policy: &Policy) -> (Arc<Self>, Lines) {
        let (lines, told) = mpsc::channel(LINES_MAX);
        let attempts_max = policy.retry_delays.len() + 1;
        (Arc::new(Self { lines, names: OnceLock::new(), attempts_max }), Lines(told))
    }

    /// Says which endpoint is which receiver.
    pub fn name(&self, names: BTreeMap<EndpointId, &'static str>) {
        // Set once, by the one who made the endpoints.
        let _ = self.names.set(names);
    }

    /// An e-mail that `serve` would send.
    pub fn mail(&self, to: Vec<String>, letter: Letter) {
        self.tell(Line::Mail { to, letter });
    }

    fn name_of(&self, endpoint: &EndpointId) -> &'static str {
        self.names.get().and_then(|names| names.get(endpoint)).copied().unwrap_or("another")
    }

    fn tell(&self, line: Line) {
        // A terminal that cannot follow misses lines; the service does not wait for it.
        let _ = self.lines.try_send(line);
    }
}

impl Tap for Account {
    fn see(&self, signal: &Signal<'_>) {
        match signal {
            Signal::Attempted { lane, event_type, attempt, outcome, status, took, retry_in, .. } => {
                let name = self.name_of(&lane.endpoint);
                let what = match (outcome, status) {
                    (Outcome::Failed(_), Some(status)) => format!("answered {status}"),
                    (Outcome::Failed(reason), None) => reason.to_string(),
                    (Outcome::Delivered, _) => "delivered".to_owned(),
                };
                let of = format!("{:<26} attempt {attempt} of {}", event_type.as_str(), self.attempts_max);
                let text = format!("{of}  {what} after {} ms", took.as_millis());
                self.tell(match (outcome, retry_in) {
                    (Outcome::Delivered, _) => Line::Told { name, text },
                    (Outcome::Failed(_), None) => Line::Failed { name, text },
                    (Outcome::Failed(_), Some(pause)) => {
                        Line::Failed { name, text: format!("{text}; again in {}", seconds(*pause)) }
                    }
                });
            }
            Signal::Dropped { reason, count, endpoint: Some(endpoint) } => {
                let text = format!("{count} event dropped ({}); the next one goes on", reason.as_str());
                self.tell(Line::Told { name: self.name_of(endpoint), text });
            }
            Signal::Disabled { endpoint, .. } => {
                self.tell(Line::Disabled { name: self.name_of(endpoint), endpoint: (*endpoint).clone() });
            }
            Signal::Enabled { endpoint, .. } => {
                let text = "ENABLED again with a clean count; what waited goes out in order".to_owned();
                self.tell(Line::Told { name: self.name_of(endpoint), text });
            }
            _ => {}
        }
    }
}

/// What the account has to tell.
pub struct Lines(mpsc::Receiver<Line>);

impl Lines {
    /// Writes to the terminal until the account is gone.
    pub async fn write(mut self, workspace: WorkspaceId, policy: &Policy, store: Arc<dyn Store>, curl: Curl) {
        while let Some(line) = self.0.recv().await {
            match line {
                Line::Told { name, text } => print(name, &text),
                Line::Failed { name, text } => {
                    let used = store.quota(&workspace).await.map(|quota| quota.used).unwrap_or_default();
                    print(name, &format!("{text}   [errors {used} of {}]", policy.quota.limit));
                }
                Line::Disabled { name, endpoint } => {
                    print(name, "DISABLED: the workspace's error quota was exceeded; its events wait in order");
                    print("", &format!("  mend the receiver:  {}", curl.mend(name)));
                    print("", &format!("  enable it again:    {}", curl.enable(&endpoint)));
                }
                Line::Mail { to, letter } => {
                    print("e-mail", &format!("to {}: {}", to.join(", "), letter.subject));
                    letter.text.lines().for_each(|line| print("", &format!("  | {line}")));
                }
            }
        }
    }
}

fn print(name: &str, text: &str) {
    // Nobody reads any more (a closed pipe): the demo goes on without its account.
    let _ = writeln!(std::io::stdout(), "{name:>12}  {text}");
}

fn seconds(time: Duration) -> String {
    match time.as_millis() {
        millis if millis % 1000 == 0 => format!("{} s", millis / 1000),
        millis => format!("{millis} ms"),
    }
}
