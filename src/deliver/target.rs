//! Endpoints made ready for sending, so that no attempt parses a URL or derives a key again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use url::Url;

use super::send::headers::{self, Outgoing, Traceparent};
use super::send::own::OwnHeaders;
use super::send::{Request, Sender};
use super::sign::Secret;
use crate::decide::attempt::{Answer, Attempted, Reason};
use crate::decide::ids::EndpointId;
use crate::store::lanes::Lease;
use crate::store::records::{Config, SigningSecret};
use crate::testing::{Bug, has};

/// Most endpoints kept ready; beyond that, the ones with the smallest ids make room.
const TARGETS_MAX: usize = 20_000;

/// The prepared endpoints of a process. Cheap to clone.
#[derive(Clone)]
pub struct Targets {
    ready: Arc<Mutex<BTreeMap<EndpointId, Arc<Target>>>>,
    sender: Arc<dyn Sender>,
}

/// One endpoint, prepared from one version of its configuration.
struct Target {
    config: Arc<Config>,
    url: Arc<Url>,
    /// The newest first; the times until which the older ones sign stand in `config`.
    secrets: Vec<Secret>,
    own: OwnHeaders,
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

    /// Makes the attempt that a lease is for. `at` is when it begins (Unix time).
    pub async fn send(&self, lease: &Lease, at: Duration) -> Attempted {
        let target = match self.target(lease) {
            Ok(target) => target,
            // Checked when it was saved: only another release's configuration comes to this.
            Err(detail) => {
                let answer = Answer::Failed { reason: Reason::Blocked, detail };
                return Attempted { answer, took: Duration::ZERO };
            }
        };
        let event = &lease.event;
        let traceparent = event.traceparent.as_deref().and_then(Traceparent::parse);
        let span = |trace: Traceparent| trace.attempt(&lease.lane.endpoint, &event.id, lease.attempt, at);
        let headers = headers::build(&Outgoing {
            event: &event.id,
            event_type: &event.event_type,
            attempt: lease.attempt,
            at,
            body: &event.body,
            secrets: target.signing(at),
            traceparent: traceparent.map(span),
            own: &target.own,
            resend: event.resend,
        });
        self.sender.send(Request { url: target.url.clone(), body: event.body.clone(), headers }).await
    }

    fn target(&self, lease: &Lease) -> Result<Arc<Target>, String> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = ready.get(&lease.lane.endpoint)
            && (target.config.version == lease.config.version || has(Bug::OldUrl))
        {
            return Ok(target.clone());
        }
        let target = Arc::new(Target::prepare(&lease.config)?);
        if ready.len() >= TARGETS_MAX {
            ready.pop_first();
        }
        ready.insert(lease.lane.endpoint.clone(), target.clone());
        Ok(target)
    }
}

impl Target {
    fn prepare(config: &Arc<Config>) -> Result<Self, String> {
        let url = Url::parse(&config.url).map_err(|error| format!("the endpoint's URL is not one: {error}"))?;
        let secret = |secret: &SigningSecret| Secret::parse(&secret.text);
        let secrets = config.secrets.iter().map(secret).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let own = OwnHeaders::check(config.headers.iter().cloned()).map_err(|error| error.to_string())?;
        Ok(Self { config: config.clone(), url: Arc::new(url), secrets, own })
    }

    /// The secrets that sign at this time.
    fn signing(&self, at: Duration) -> &[Secret] {
        let signs = |secret: &&SigningSecret| secret.until_ms.is_none_or(|until| at < Duration::from_millis(until));
        // The newest come first, and an older one never signs for longer than a newer one.
        &self.secrets[..self.config.secrets.iter().take_while(signs).count()]
    }
}
