//! What it cost: processor time and memory of processes on this machine, and what Redis says of itself.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use redis::aio::MultiplexedConnection;
use serde::Serialize;

/// Linux counts processor time for `/proc` in hundredths of a second, on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// Keys that one step of looking for sets sees.
const SCAN_STEP: usize = 1_000;

/// A process on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// Processor time so far, of all its threads; `None` when it cannot be seen.
    pub fn cpu(self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        // The name, in brackets, may hold anything; utime and stime are the 14th and 15th field of all.
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<u32>().ok()?.checked_add(fields.get(12)?.parse().ok()?)?;
        Some(TICK * ticks)
    }

    /// The memory it has resident, in bytes.
    pub fn resident(self) -> Option<u64> {
        self.status("VmRSS:")
    }

    /// The most memory it ever had resident, in bytes.
    pub fn resident_max(self) -> Option<u64> {
        self.status("VmHWM:")
    }

    fn status(self, field: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
    }
}

/// What Redis needs to remember things; `None` where there is none of them.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub struct Memory {
    /// Of an endpoint that has heard nothing, its share of the routing included.
    pub bytes_per_endpoint: Option<f64>,
    /// Of one of the events that only wait, its id apart.
    pub bytes_per_waiting_event: Option<f64>,
    /// Of an id of those.
    pub bytes_per_id_seen: Option<f64>,
}

/// Sets, and what they take.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sets {
    pub members: u64,
    pub bytes: u64,
}

/// Redis, looked at from beside.
pub struct Redis {
    connection: MultiplexedConnection,
    /// Its process, where it runs on this machine.
    pub process: Option<Process>,
}

/// What Redis has counted since it was started.
#[derive(Clone, Copy, Default, Debug)]
pub struct Scripts {
    /// Calls of scripts.
    pub calls: u64,
    /// Time inside them.
    pub time: Duration,
}

impl Redis {
    /// Connects.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await.context("Redis")?;
        let mut redis = Self { connection, process: None };
        let server = redis.info("server").await?;
        let field = |name: &str| server.lines().find_map(|line| line.strip_prefix(name));
        let pid = field("process_id:").and_then(|pid| pid.trim().parse().ok());
        // A process of that number can be another's where Redis is far away; its name tells.
        redis.process = pid.map(Process).filter(|process| {
            let name = fs::read_to_string(format!("/proc/{}/comm", process.0)).unwrap_or_default();
            name.starts_with("redis") || name.starts_with("valkey")
        });
        Ok(redis)
    }

    /// Calls of scripts so far.
    pub async fn scripts(&mut self) -> anyhow::Result<Scripts> {
        let stats = self.info("commandstats").await?;
        let mut scripts = Scripts::default();
        for line in stats.lines().filter(|line| line.starts_with("cmdstat_eval")) {
            let count = |name: &str| {
                let mut pairs = line.split([':', ',']).filter_map(|pair| pair.split_once('='));
                pairs.find(|(key, _)| *key == name).and_then(|(_, value)| value.trim().parse::<u64>().ok())
            };
            scripts.calls += count("calls").unwrap_or(0);
            scripts.time += Duration::from_micros(count("usec").unwrap_or(0));
        }
        Ok(scripts)
    }

    /// Bytes of memory in use.
    pub async fn used(&mut self) -> anyhow::Result<u64> {
        let memory = self.info("memory").await?;
        let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok());
        used.context("Redis does not say what memory it uses")
    }

    /// The sets among the keys with a text in their names: what is remembered of ids seen.
    pub async fn sets(&mut self, text: &str) -> anyhow::Result<Sets> {
        let (mut cursor, mut sets) = (0_u64, Sets::default());
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("*{text}*")).arg("COUNT").arg(SCAN_STEP).arg("TYPE").arg("set");
            let (next, keys): (u64, Vec<String>) = scan.query_async(&mut self.connection).await?;
            for key in keys {
                let mut usage = redis::cmd("MEMORY");
                usage.arg("USAGE").arg(&key);
                sets.bytes += usage.query_async::<Option<u64>>(&mut self.connection).await?.unwrap_or(0);
                sets.members += redis::cmd("SCARD").arg(&key).query_async::<u64>(&mut self.connection).await?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(sets);
            }
        }
    }

    async fn info(&mut self, section: &str) -> anyhow::Result<String> {
        redis::cmd("INFO").arg(section).query_async(&mut self.connection).await.context("Redis, INFO")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_time_and_memory() {
        let me = Process(std::process::id());
        let spent = |me: Process| me.cpu().unwrap();
        while spent(me) == Duration::ZERO {}
        assert!(me.resident_max().unwrap() > 1 << 20);
        assert!(Process(u32::MAX).cpu().is_none());
    }
}
