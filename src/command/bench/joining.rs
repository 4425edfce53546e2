//! A process that comes while a queue is drained: how fast it gets its share of the lanes.
//!
//! Both processes are asked for their metrics several times a second: who of them delivered how much since. Rejected:
//! telling connections apart at the receivers, which know nothing of processes.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// How often they are asked: several turns of each lane lie in between.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long an answer may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// What counts as having got a share: so much of it.
const MOST: f64 = 0.9;

/// What each process says of itself.
const DELIVERED: &str = "recadero_delivery_attempts_total{outcome=\"delivered\",reason=\"\"} ";

/// How the process that came later fared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Joined {
    /// Its share of the deliveries, of both processes', when that had settled.
    pub share: f64,
    /// From its start until it made nine tenths of that share.
    pub seconds: f64,
}

/// A free loopback port for a process to say there what it does.
pub fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Looks at two processes, the second of which has just been started.
pub struct Watch {
    stop: CancellationToken,
    looks: JoinHandle<Vec<Look>>,
}

/// What both had delivered at a time.
#[derive(Clone, Copy, Debug)]
struct Look {
    since_start: Duration,
    delivered: [u64; 2],
}

impl Watch {
    /// Begins to look.
    pub fn start(addresses: [SocketAddr; 2], clock: Clock) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_WAIT_MAX).build()?;
        let looks = tokio::spawn(look(addresses, clock, client, stop.clone()));
        Ok(Self { stop, looks })
    }

    /// What was seen; `None` if too little was delivered to tell.
    pub async fn end(self) -> anyhow::Result<Option<Joined>> {
        self.stop.cancel();
        Ok(joined(&self.looks.await?))
    }
}

async fn look(addresses: [SocketAddr; 2], clock: Clock, client: reqwest::Client, stop: CancellationToken) -> Vec<Look> {
    let (begin, mut looks) = (clock.boot(), Vec::new());
    loop {
        let [one, other] = addresses.map(|address| delivered(&client, address));
        let (one, other) = tokio::join!(one, other);
        // One that is not there yet has delivered nothing.
        if let Some(one) = one {
            let delivered = [one, other.unwrap_or(0)];
            looks.push(Look { since_start: clock.boot().saturating_sub(begin), delivered });
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return looks;
        }
    }
}

async fn delivered(client: &reqwest::Client, address: SocketAddr) -> Option<u64> {
    let metrics = client.get(format!("http://{address}/metrics")).send().await.ok()?.text().await.ok()?;
    metrics.lines().find_map(|line| line.strip_prefix(DELIVERED)?.trim().parse().ok())
}

/// The share of the second half of the time counts as settled.
fn joined(looks: &[Look]) -> Option<Joined> {
    let share = |from: &Look, to: &Look| {
        let [one, other] = [0, 1].map(|index| to.delivered[index].saturating_sub(from.delivered[index]));
        (one + other > 0).then(|| other as f64 / (one + other) as f64)
    };
    let settled = share(looks.get(looks.len() / 2)?, looks.last()?)?;
    let got = |pair: &&[Look]| share(&pair[0], &pair[1]).is_some_and(|share| share >= MOST * settled);
    let since_start = looks.windows(2).find(got)?[1].since_start;
    (settled > 0.0).then_some(Joined { share: settled, seconds: since_start.as_secs_f64() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What both delivered in each second.
    fn looks(by_second: &[[u64; 2]]) -> Vec<Look> {
        let (mut delivered, mut looks) = ([0, 0], Vec::new());
        for (second, [one, other]) in by_second.iter().enumerate() {
            delivered = [delivered[0] + one, delivered[1] + other];
            looks.push(Look { since_start: Duration::from_secs(second as u64), delivered });
        }
        looks
    }

    #[test]
    fn it_has_its_share_when_it_delivers_nearly_what_it_delivers_in_the_end() {
        let found = joined(&looks(&[[10, 0], [10, 0], [9, 1], [6, 4], [4, 4], [5, 5], [5, 5], [5, 5]]));
        assert_eq!(found, Some(Joined { share: 0.5, seconds: 4.0 }));
    }

    #[test]
    fn who_never_delivers_has_no_share() {
        assert_eq!(joined(&looks(&[[10, 0], [10, 0], [10, 0]])), None);
        assert_eq!(joined(&[]), None);
    }
}
