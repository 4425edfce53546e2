//! `recadero health`: asks a running process whether it is ready, where a container has no curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::config::ConfigError;

/// How long an answer may take; it is made without asking anybody.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

const ADDRESS: &str = "0.0.0.0:9464";

/// Asks a running process whether it is ready, and what is missing if not
#[derive(clap::Args, Clone)]
pub struct Options {
    /// Where its `/readyz` is, as it was given to `recadero serve`
    #[arg(long, value_name = "ADDRESS", env = "RECADERO_OPS_ADDR", default_value = ADDRESS)]
    ops_addr: String,
}

#[derive(Deserialize)]
struct Readiness {
    ready: bool,
    missing: Vec<Missing>,
}

#[derive(Deserialize)]
struct Missing {
    what: String,
    detail: String,
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    let given = Some(options.ops_addr.as_str()).filter(|text| !text.is_empty()).unwrap_or(ADDRESS);
    let wrong = |_| ConfigError::of("ops-addr", format!("{given:?} is not an address; write it like 127.0.0.1:9464"));
    let address = reachable(given.parse().map_err(wrong)?);
    super::block_on(async move {
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_WAIT_MAX).build()?;
        let answer = client.get(format!("http://{address}/readyz")).send().await;
        let answer = answer.with_context(|| format!("nothing answers at {address}"))?;
        let read = serde_json::from_slice(&answer.bytes().await?);
        let Readiness { ready, missing } = read.with_context(|| format!("{address} is not a recadero"))?;
        if !ready {
            let missing: Vec<_> =
                missing.iter().map(|missing| format!("{}: {}", missing.what, missing.detail)).collect();
            bail!("not ready; {}", missing.join("; "));
        }
        println!("ready");
        Ok(())
    })
}

/// Where somebody listens at every address, the one to ask is this machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
