//! Endpoints made ready for sending, so that no attempt parses a URL or derives a key again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::send::{Request, Sender};
use crate::decide::attempt::{Answer, Attempted, Reason};
use crate::decide::ids::EndpointId;
use crate::store::lanes::Lease;
use crate::store::records::Config;

/// Most endpoints kept ready; beyond that, the ones with the smallest ids make room.
const TARGETS_MAX: usize = 20_000;

/// The random parts of an attempt's trace context.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    /// The attempt's own span.
    pub span: u64,
    /// The trace, where the publisher gave none.
    pub id: (u64, u64),
}

/// The prepared endpoints of a process. Cheap to clone.
#[derive(Clone)]
pub struct Targets {
    ready: Arc<Mutex<BTreeMap<EndpointId, Arc<Target>>>>,
    sender: Arc<dyn Sender>,
}

struct Target {
    config: Arc<Config>,
    url: Result<Arc<url::Url>, String>,
}

impl Targets {
    /// No targets yet, and the way to reach them.
    pub fn new(sender: Arc<dyn Sender>) -> Self {
        Self { ready: Arc::default(), sender }
    }

    /// The configuration at hand of an endpoint, if any.
    pub fn config(&self, endpoint: &EndpointId) -> Option<Arc<Config>> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.get(endpoint).map(|target| target.config.clone())
    }

    /// Makes the attempt that a lease is for.
    pub async fn send(&self, lease: &Lease, signed_at: Duration, trace: Trace) -> Attempted {
        let target = self.target(lease);
        let _ = (signed_at, trace);
        let mut headers = http::HeaderMap::new();
        headers.insert("webhook-id", lease.event.id.as_str().parse().unwrap());
        headers.insert("x-webhook-attempt", lease.attempt.into());
        match &target.url {
            Ok(url) => {
                let request = Request { url: url.clone(), body: lease.event.body.clone(), headers };
                self.sender.send(request).await
            }
            Err(detail) => Attempted {
                answer: Answer::Failed { reason: Reason::Blocked, detail: detail.clone() },
                took: Duration::ZERO,
            },
        }
    }

    fn target(&self, lease: &Lease) -> Arc<Target> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = ready.get(&lease.lane.endpoint)
            && target.config.version == lease.config.version
        {
            return target.clone();
        }
        if ready.len() >= TARGETS_MAX {
            ready.pop_first();
        }
        let url = url::Url::parse(&lease.config.url).map(Arc::new).map_err(|error| error.to_string());
        let target = Arc::new(Target { config: lease.config.clone(), url });
        ready.insert(lease.lane.endpoint.clone(), target.clone());
        target
    }
}
