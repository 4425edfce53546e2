//! A machine that is suspended in the middle of an attempt: its timers stand still, the clock does not.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use recadero::clock::{Clock, Time};
use recadero::decide::attempt::Reason;
use recadero::deliver::guard::resolve::Lookup;
use tokio::io::AsyncReadExt as _;

use super::receivers::{Receiver, Tls, answering};
use super::{AMPLE, Set, assert_failed, post, status};

/// A clock that only moves when the machine is suspended, and a lookup during which that happens.
#[derive(Clone, Default)]
struct Suspends {
    now: Arc<AtomicU64>,
    seconds: u64,
}

impl Time for Suspends {
    fn boot(&self) -> Duration {
        Duration::from_secs(self.now.load(Ordering::SeqCst))
    }

    fn unix(&self) -> Duration {
        self.boot()
    }
}

#[async_trait]
impl Lookup for Suspends {
    async fn lookup(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        self.now.fetch_add(self.seconds, Ordering::SeqCst);
        Ok(vec!["127.0.0.1".parse().unwrap()])
    }
}

fn set(seconds: u64) -> Set {
    let suspends = Suspends { now: Arc::default(), seconds };
    Set { clock: Clock::of(suspends.clone()), ..Set::lookup(suspends) }
}

#[tokio::test]
async fn nothing_is_sent_past_the_deadline() {
    let tls = Tls::new("receiver.example", &[b"http/1.1"]);
    let all = |log: super::receivers::Log, mut stream: super::receivers::AnyStream| async move {
        let mut sent = Vec::new();
        let _ = stream.read_to_end(&mut sent).await;
        log.note(String::from_utf8_lossy(&sent).into_owned());
    };
    let (plain, secured) = (Receiver::start(all).await, Receiver::start_tls(&tls, all).await);
    let mut set = set(AMPLE.as_secs() + 1);
    set.options.extra_roots = Some(tls.pem.clone().into_bytes());
    for (receiver, url) in [
        (&plain, format!("http://receiver.example:{}", plain.address.port())),
        (&secured, secured.https("receiver.example")),
    ] {
        let attempted = set.post(&url).await;
        assert_failed(&attempted, Reason::Timeout, "suspended");
        assert!(attempted.took > AMPLE, "{:?}", attempted.took);
        receiver.ended().await;
        assert_eq!(receiver.requests(), [""], "a connection, and not a byte on it");
    }
}

#[tokio::test]
async fn a_short_suspend_changes_nothing() {
    let receiver = Receiver::start(answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let sender = set(AMPLE.as_secs() - 1).sender();
    let url = format!("http://receiver.example:{}", receiver.address.port());
    assert_eq!(status(&post(&sender, &url).await), Some(200));
}
