//! The receivers, and the way of a request to them.
//!
//! An attempt's limit is the sender's: no status line within it is a failure, whatever the receiver does later. What a
//! stopped process had not written before its limit is never written: the sender looks at a clock that goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use recadero::decide::attempt::{Answer, Attempted, Reason};
use recadero::deliver::send::{Request, Sender};
use tokio::time::Instant;

use crate::process::Process;
use crate::trace::{Fact, Trace};

/// What a receiver does with requests from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// 200 within milliseconds.
    Fine,
    /// 200 after so many milliseconds.
    Slow(u64),
    /// This status at once.
    Status(u16),
    /// No status line, ever.
    Hangs,
    /// 200, after the limit.
    Late,
    /// Nobody listens.
    Refuses,
    /// Fails and behaves, so many milliseconds each.
    Flaps(u64),
}

/// All receivers, by the endpoint's name in the URL's path.
#[derive(Clone)]
pub struct Receivers {
    trace: Trace,
    limit: Duration,
    manners: Arc<Mutex<BTreeMap<String, Manner>>>,
}

impl Receivers {
    pub fn new(trace: Trace, limit: Duration) -> Self {
        Self { trace, limit, manners: Arc::default() }
    }

    pub fn behave(&self, endpoint: &str, manner: Manner) {
        self.manners.lock().unwrap().insert(endpoint.to_owned(), manner);
    }

    pub fn calm(&self) {
        self.manners.lock().unwrap().clear();
    }

    /// A process's way to them.
    pub fn client(&self, process: Arc<Process>) -> Client {
        Client { receivers: self.clone(), process }
    }

    fn manner(&self, url: &str) -> Manner {
        let endpoint = url.rsplit('/').nth(1).unwrap_or_default();
        let manner = self.manners.lock().unwrap().get(endpoint).copied().unwrap_or(Manner::Fine);
        match manner {
            Manner::Flaps(every_ms) if (self.trace.now_ms() / every_ms).is_multiple_of(2) => Manner::Status(503),
            Manner::Flaps(_) => Manner::Fine,
            steady => steady,
        }
    }
}

/// One process's HTTP client.
pub struct Client {
    receivers: Receivers,
    process: Arc<Process>,
}

#[async_trait]
impl Sender for Client {
    async fn send(&self, request: Request) -> Attempted {
        let (limit, trace) = (self.receivers.limit, &self.receivers.trace);
        let (began, process) = (Instant::now(), &self.process);
        let header = |name: &str| request.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let (url, event) = (request.url.to_string(), header("webhook-id").to_owned());
        process.travel().await;
        let manner = self.receivers.manner(&url);
        let status = if began.elapsed() >= limit || manner == Manner::Refuses {
            None
        } else {
            trace.put(Fact::Request {
                process: process.name.clone(),
                url: url.clone(),
                event: event.clone(),
                attempt: header("x-webhook-attempt").parse().unwrap(),
                resend: header("x-webhook-resend") == "true",
                stamped: header("webhook-timestamp").parse().unwrap(),
            });
            let (status, after) = answer(manner, process);
            let left = limit.saturating_sub(began.elapsed());
            tokio::time::sleep(after.min(left)).await;
            status.filter(|_| after < left)
        };
        process.travel().await;
        trace.put(Fact::Ended { process: process.name.clone(), url, event, status });
        let answer = match status {
            Some(status) => Answer::Status { status, excerpt: String::new() },
            None if manner == Manner::Refuses => {
                Answer::Failed { reason: Reason::Connect, detail: "refused".to_owned() }
            }
            None => Answer::Failed { reason: Reason::Timeout, detail: "no status line".to_owned() },
        };
        Attempted { answer, took: began.elapsed() }
    }
}

fn answer(manner: Manner, process: &Process) -> (Option<u16>, Duration) {
    let quick = Duration::from_millis(1 + process.random(30));
    match manner {
        Manner::Slow(ms) => (Some(200), Duration::from_millis(ms)),
        Manner::Status(status) => (Some(status), quick),
        Manner::Hangs => (None, Duration::MAX),
        Manner::Late => (Some(200), Duration::from_millis(5_000 + process.random(3_000))),
        Manner::Fine | Manner::Flaps(_) | Manner::Refuses => (Some(200), quick),
    }
}
