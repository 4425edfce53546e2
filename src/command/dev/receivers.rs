//! The demo's receivers: one that is fine, and four ways of not being so.
//!
//! One small server on loopback plays all of them. Each can be told to behave differently while it runs:
//! `curl -X PUT http://127.0.0.1:PORT/failing/fine`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{post, put};
use tokio::net::TcpListener;

use super::door;

/// How a receiver behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Behaviour {
    /// 200 at once.
    Fine,
    /// 200, but late.
    Slow,
    /// 500, always.
    Failing,
    /// No answer at all.
    Hanging,
    /// 503 on an event's first two attempts, 200 on the third.
    Recovering,
}

impl Behaviour {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Fine, Self::Slow, Self::Failing, Self::Hanging, Self::Recovering];

    /// Its name, which is also the path of the receiver that begins with it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Slow => "slow",
            Self::Failing => "failing",
            Self::Hanging => "hanging",
            Self::Recovering => "recovering",
        }
    }

    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|behaviour| behaviour.as_str() == name)
    }
}

/// How long the hanging receiver keeps a connection; far past any attempt's limit.
const HANG: Duration = Duration::from_secs(60);

/// The attempt at which the recovering receiver is well again.
const RECOVERED_AT: u32 = 3;

/// The receivers, running. Clones are the same ones.
#[derive(Clone)]
pub struct Receivers {
    addr: SocketAddr,
    stage: Stage,
}

#[derive(Clone)]
struct Stage {
    behaviours: Arc<Mutex<BTreeMap<&'static str, Behaviour>>>,
    slow: Duration,
}

impl Receivers {
    /// Starts them on a free loopback port; `slow` is how late the slow one answers. They end with the process.
    pub async fn start(slow: Duration) -> std::io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let behaviours = Behaviour::ALL.map(|behaviour| (behaviour.as_str(), behaviour)).into();
        let receivers = Self { addr, stage: Stage { behaviours: Arc::new(Mutex::new(behaviours)), slow } };
        let app = Router::new()
            .route("/{receiver}", post(receive))
            .route("/{receiver}/{behaviour}", put(change))
            .layer(axum::middleware::from_fn(door::guard))
            .with_state(receivers.clone());
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the demo's receivers have ended");
            }
        });
        Ok(receivers)
    }

    /// How a receiver behaves now, if there is one of this name.
    pub fn behaviour(&self, receiver: &str) -> Option<Behaviour> {
        self.stage.behaviours().get(receiver).copied()
    }

    /// Makes a receiver behave differently from now on; `false` when there is none of this name.
    pub fn set(&self, receiver: &str, behaviour: Behaviour) -> bool {
        self.stage.behaviours().get_mut(receiver).map(|present| *present = behaviour).is_some()
    }

    /// The URL that all of them are below.
    pub fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The URL of a receiver.
    pub fn url(&self, behaviour: Behaviour) -> String {
        format!("{}/{}", self.base(), behaviour.as_str())
    }
}

impl Stage {
    fn behaviours(&self) -> MutexGuard<'_, BTreeMap<&'static str, Behaviour>> {
        self.behaviours.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(
    State(Receivers { stage, .. }): State<Receivers>,
    Path(receiver): Path<String>,
    headers: HeaderMap,
) -> StatusCode {
    let behaviour = stage.behaviours().get(receiver.as_str()).copied();
    let attempt = headers.get("x-webhook-attempt").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    match behaviour {
        None => StatusCode::NOT_FOUND,
        Some(Behaviour::Fine) => StatusCode::OK,
        Some(Behaviour::Slow) => {
            tokio::time::sleep(stage.slow).await;
            StatusCode::OK
        }
        Some(Behaviour::Failing) => StatusCode::INTERNAL_SERVER_ERROR,
        Some(Behaviour::Hanging) => {
            tokio::time::sleep(HANG).await;
            StatusCode::OK
        }
        Some(Behaviour::Recovering) if attempt >= Some(RECOVERED_AT) => StatusCode::OK,
        Some(Behaviour::Recovering) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn change(
    State(receivers): State<Receivers>,
    Path((receiver, behaviour)): Path<(String, String)>,
) -> (StatusCode, String) {
    let Some(behaviour) = Behaviour::parse(&behaviour) else {
        let known = Behaviour::ALL.map(Behaviour::as_str).join(", ");
        return (StatusCode::UNPROCESSABLE_ENTITY, format!("behaviours are: {known}\n"));
    };
    if receivers.set(&receiver, behaviour) {
        (StatusCode::OK, format!("{receiver} now behaves like {}\n", behaviour.as_str()))
    } else {
        (StatusCode::NOT_FOUND, format!("there is no receiver {receiver}\n"))
    }
}
