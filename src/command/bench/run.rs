//! One run: a queue, a store and receivers of its own, whoever delivers between them, and what came of it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use super::Load;
use super::joining::{self, Watch};
use super::load::Publisher;
use super::plan::Plan;
use super::readers::{Console, Readers};
use super::receiver;
use super::report::{Reading, Report};
use super::service::{self, Place, Served};
use super::tally::{Measured, Tally};
use super::usage::{Memory, Process, Redis};
use crate::clock::Clock;
use crate::config::{ConfigError, ServeOptions};

/// How long nothing may arrive before the rest counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long who delivers may go on after the last arrival, to record it.
const SETTLE: Duration = Duration::from_millis(200);

/// Who delivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// `recadero serve`.
    Service,
    /// The bare loop that it is compared with.
    Forwarder,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "recadero serve",
            Self::Forwarder => "bare forwarder",
        })
    }
}

/// What every run of this command has in common.
pub struct Run {
    pub load: Load,
    pub plan: Plan,
    /// The service's options as they were given.
    pub given: ServeOptions,
    /// RabbitMQ's process.
    pub rabbitmq: Option<u32>,
    /// Events that the forwarder posts at once.
    pub at_once: u16,
}

impl Run {
    /// Runs it, and deletes what it made, however it ends.
    pub async fn run(&self, subject: Subject, stop: &CancellationToken) -> anyhow::Result<Report> {
        let name = format!("recadero.bench.{:08x}", rand::random::<u32>());
        let mut serve = service::options(self.given.clone(), &name, &self.plan);
        let console = (self.load.readers > 0).then(Console::new).transpose()?;
        if let Some(console) = &console {
            serve = service::with_console(serve, console);
        }
        let settings = serve.check()?;
        let [redis_url] = settings.store.urls.as_slice() else {
            bail!(ConfigError::of("redis-url", "names a Cluster, and bench measures a single server"));
        };
        let (redis_url, amqp_url) = (redis_url.clone(), settings.amqp.url.clone());
        let place = Place::open(settings).await?;
        let mut measuring = Measuring {
            run: self,
            subject,
            serve,
            name,
            clock: Clock::system(),
            rabbitmq: self.rabbitmq.map(Process),
            ops: service::FREE,
            served: None,
            console,
            readers: None,
        };
        let measured = stop.run_until_cancelled(measuring.measure(&place, amqp_url.reveal(), redis_url.reveal())).await;
        // First its end, then the end of what it wrote.
        let ended = match measuring.served.take() {
            Some(served) => served.end().await.with_context(|| format!("{subject} is still there")),
            None => Ok(()),
        };
        let cleared = place.clear().await;
        let report = measured.context("interrupted; what the run made is deleted")??;
        ended.and(cleared)?;
        Ok(report)
    }
}

struct Measuring<'a> {
    run: &'a Run,
    subject: Subject,
    serve: ServeOptions,
    /// Of exchange and keys.
    name: String,
    clock: Clock,
    rabbitmq: Option<Process>,
    /// Where the first process can be asked.
    ops: SocketAddr,
    served: Option<Served>,
    console: Option<Console>,
    readers: Option<Readers>,
}

impl Measuring<'_> {
    async fn measure(&mut self, place: &Place, amqp_url: &str, redis_url: &str) -> anyhow::Result<Report> {
        // With a rate, one event of each group goes before, so that caches and connections are there.
        let warm_up = if self.run.load.rate == 0 { 0 } else { self.run.plan.active_groups() };
        let events = warm_up + self.run.load.events;
        let tally = Arc::new(Tally::new(&self.run.load, self.run.plan, events, self.clock.clone())?);
        let receivers = receiver::start(self.run.plan, Arc::clone(&tally)).await.context("the receivers")?;
        let mut redis = Redis::connect(redis_url).await?;
        let memory = self.prepare(place, receivers, &mut redis).await?;
        let publisher = Publisher::connect(amqp_url, &self.name, self.run.plan).await?;

        let mut joined = None;
        let from = if self.run.load.rate == 0 {
            publisher.fill(0..events).await?;
            publisher.finish().await?;
            let from = self.read(&tally, &mut redis).await?;
            self.served = Some(self.start(place, receivers, amqp_url)?);
            let watch = self.join().await?;
            self.arrive(&tally, self.run.plan.deliveries(events)?).await?;
            if let Some(watch) = watch {
                joined = watch.end().await?;
            }
            Reading { service: Some(Duration::ZERO), ..from }
        } else {
            self.served = Some(self.start(place, receivers, amqp_url)?);
            publisher.fill(0..warm_up).await?;
            self.arrive(&tally, self.run.plan.deliveries(warm_up)?).await?;
            if let Some(console) = &self.console {
                let Load { endpoints, readers, .. } = self.run.load;
                self.readers = Some(Readers::start(console, self.run.plan, endpoints, readers).await?);
            }
            let from = self.read(&tally, &mut redis).await?;
            let measured = Measured { from: warm_up, begin: self.clock.boot(), rate: self.run.load.rate };
            tally.measure(measured);
            publisher.pace(measured, events, &self.clock).await?;
            publisher.finish().await?;
            self.arrive(&tally, self.run.plan.deliveries(events)?).await?;
            from
        };
        tokio::time::sleep(SETTLE).await;
        let to = self.read(&tally, &mut redis).await?;
        Ok(Report::new(self.run.load, self.subject, &tally.counts(), &from, &to, memory).with(joined))
    }

    /// Sets everything up that is there before the first event, and sees what that takes of Redis's memory.
    async fn prepare(&self, place: &Place, receivers: SocketAddr, redis: &mut Redis) -> anyhow::Result<Memory> {
        let empty = redis.used().await?;
        place.set_up(self.run.plan, receivers, &self.clock).await?;
        let set_up = redis.used().await?;
        let events = self.run.load.waiting;
        place.wait(self.run.plan, events, receivers, &self.clock).await?;
        let ids = redis.sets(&self.name).await?;
        let filled = redis.used().await?;
        let each = |bytes: u64, count: u64| (count > 0).then(|| bytes as f64 / count as f64);
        Ok(Memory {
            bytes_per_endpoint: each(set_up.saturating_sub(empty), self.run.load.endpoints),
            bytes_per_waiting_event: each(filled.saturating_sub(set_up).saturating_sub(ids.bytes), events),
            bytes_per_id_seen: each(ids.bytes, ids.members),
        })
    }

    fn start(&mut self, place: &Place, receivers: SocketAddr, amqp_url: &str) -> anyhow::Result<Served> {
        let load = &self.run.load;
        match self.subject {
            Subject::Service => {
                if load.joins_after.is_some() {
                    self.ops = joining::free_address()?;
                }
                Served::service(&self.serve, self.ops, load.processes)
            }
            Subject::Forwarder => {
                let endpoints = load.active.unwrap_or(load.endpoints);
                Served::forwarder(amqp_url, &place.queue(), receivers, endpoints, self.run.at_once)
            }
        }
    }

    /// Lets another process come, if one is to.
    async fn join(&mut self) -> anyhow::Result<Option<Watch>> {
        let (Some(served), Some(after)) = (&mut self.served, self.run.load.joins_after) else { return Ok(None) };
        let second = joining::free_address()?;
        tokio::time::sleep(Duration::from_secs(after.into())).await;
        served.add_service(&self.serve, second)?;
        Watch::start([self.ops, second], self.clock.clone()).map(Some)
    }

    /// Waits for deliveries, unless who delivers ends before.
    async fn arrive(&mut self, tally: &Tally, deliveries: u64) -> anyhow::Result<()> {
        let served = self.served.as_mut().context("nobody was started")?;
        tokio::select! {
            biased;
            ended = served.ended() => bail!("{} has ended by itself: {}", self.subject, ended?),
            () = tally.wait(deliveries, PATIENCE) => Ok(()),
        }
    }

    async fn read(&mut self, tally: &Tally, redis: &mut Redis) -> anyhow::Result<Reading> {
        let shown = self.readers.as_mut().map(Readers::shown).transpose()?;
        let served = self.served.as_ref();
        Ok(Reading {
            shown,
            delivered: tally.delivered(),
            service: served.and_then(|served| served.all(Process::cpu)),
            resident: served.and_then(|served| served.all(Process::resident)),
            resident_max: served.and_then(|served| served.all(Process::resident_max)),
            redis: redis.process.and_then(Process::cpu),
            rabbitmq: self.rabbitmq.and_then(Process::cpu),
            bench: Process(std::process::id()).cpu(),
            scripts: redis.scripts().await?,
        })
    }
}
