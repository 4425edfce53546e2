//! `recadero publish`: an upstream service for the command line. Publishes samples, or NDJSON, with confirms.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use futures_util::FutureExt;
use serde::Deserialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::time::interval;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::{Amqp, AmqpOptions};
use crate::consume::amqp::AmqpPublisher;
use crate::consume::{BrokerError, Outgoing, Publisher};
use crate::decide::event_types::KNOWN_EVENT_TYPES;
use crate::decide::ids::{EventId, EventType, WorkspaceId};

/// The most events whose confirms are waited for at the same time.
const UNCONFIRMED_MAX: usize = 256;
/// With a rate, events go out in this many portions a second.
const PORTIONS_PER_SECOND: u32 = 20;
/// The longest line of NDJSON.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// What is read of a file at once: lines for a portion or more.
const BUFFER_BYTES: usize = 1 << 20;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Publishes sample events, or NDJSON from a file or stdin, over AMQP with confirms
#[derive(clap::Args, Clone)]
pub struct Options {
    #[command(flatten)]
    amqp: AmqpOptions,
    /// Whose events they are
    #[arg(long, default_value = "demo", value_parser = workspace)]
    workspace: WorkspaceId,
    /// Only samples of this event type, instead of all nine in turn
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "file", value_parser = known_type)]
    event_type: Option<EventType>,
    /// How many events; else each sample once, or the whole file
    #[arg(long)]
    count: Option<u64>,
    /// Events per second; else as fast as they are confirmed
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Events as NDJSON, one object with an `event_type` a line; `-` is stdin
    #[arg(long)]
    file: Option<PathBuf>,
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    let amqp = options.amqp.check()?;
    super::block_on(publish(&options, &amqp))
}

async fn publish(options: &Options, amqp: &Amqp) -> anyhow::Result<()> {
    let publisher = AmqpPublisher::new(&amqp.url);
    let published = publish_all(options, &amqp.topology.exchange, &publisher).await;
    publisher.close().await;
    published
}

async fn publish_all(options: &Options, exchange: &str, publisher: &AmqpPublisher) -> anyhow::Result<()> {
    let mut source = Source::open(options).await?;
    let mut pace = options.rate.map(|rate| {
        let portion = portion(rate);
        (portion, interval(Duration::from_secs_f64(portion as f64 / f64::from(rate))))
    });
    let mut progress = Progress::new(Clock::system());
    loop {
        let most = match &mut pace {
            None => UNCONFIRMED_MAX,
            Some((portion, pace)) => {
                pace.tick().await;
                *portion
            }
        };
        let (events, end) = source.portion(most).await;
        let message = |Sample { event_type, id, body }| {
            Outgoing::event(exchange, &options.workspace, &event_type, Some(&id), body)
        };
        let messages: Vec<_> = events.into_iter().map(message).collect();
        let count = messages.len();
        if let Err(error) = publisher.publish(messages).await {
            progress.tell("published and confirmed before the failure");
            let advice = match &error {
                BrokerError::Refused(text) if text.contains("NOT_FOUND") => "; `recadero topology` declares it",
                _ => "",
            };
            bail!("{count} events were not confirmed (some may have been taken): {error}{advice}");
        }
        progress.add(count);
        if let Some(end) = end {
            progress.tell(if end.is_ok() {
                "published and confirmed"
            } else {
                "published and confirmed before the failure"
            });
            return end;
        }
    }
}

fn portion(rate: u32) -> usize {
    usize::try_from(rate / PORTIONS_PER_SECOND).unwrap_or(UNCONFIRMED_MAX).clamp(1, UNCONFIRMED_MAX)
}

struct Sample {
    event_type: EventType,
    id: EventId,
    body: Bytes,
}

/// Where the events come from, and how many more there will be.
struct Source {
    kind: Kind,
    left: u64,
}

enum Kind {
    Samples { types: Vec<usize>, next: usize },
    Lines { reader: Box<dyn AsyncBufRead + Unpin>, number: u64 },
}

/// What a line of NDJSON has to tell of itself.
#[derive(Deserialize)]
struct Head {
    event_type: EventType,
    event_id: Option<String>,
}

impl Source {
    async fn open(options: &Options) -> anyhow::Result<Self> {
        let Some(file) = &options.file else {
            let wanted = |name: &str| options.event_type.as_ref().is_none_or(|wanted| wanted.as_str() == name);
            let types: Vec<_> =
                (0..KNOWN_EVENT_TYPES.len()).filter(|index| wanted(KNOWN_EVENT_TYPES[*index].event_type)).collect();
            let left = options.count.unwrap_or(types.len() as u64);
            return Ok(Self { kind: Kind::Samples { types, next: 0 }, left });
        };
        let reader: Box<dyn AsyncBufRead + Unpin> = if file.as_os_str() == "-" {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, tokio::io::stdin()))
        } else {
            let open = tokio::fs::File::open(file).await.with_context(|| format!("--file {}", file.display()))?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, open))
        };
        Ok(Self { kind: Kind::Lines { reader, number: 0 }, left: options.count.unwrap_or(u64::MAX) })
    }

    /// At least one event and at most so many, without waiting for a second one: somebody may be writing the lines as
    /// things happen. And the end, once it is reached.
    async fn portion(&mut self, most: usize) -> (Vec<Sample>, Option<anyhow::Result<()>>) {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return (events, Some(Ok(()))),
                Err(error) => return (events, Some(Err(error))),
            }
            if events.len() >= most || !self.is_at_hand() {
                return (events, None);
            }
        }
    }

    /// Whether the next event can be had without waiting.
    fn is_at_hand(&mut self) -> bool {
        match &mut self.kind {
            Kind::Samples { .. } => true,
            Kind::Lines { reader, .. } => {
                let read = reader.fill_buf().now_or_never();
                read.is_some_and(|read| read.is_ok_and(|bytes| bytes.contains(&b'\n')))
            }
        }
    }

    async fn next(&mut self) -> anyhow::Result<Option<Sample>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        match &mut self.kind {
            Kind::Samples { types, next } => {
                let known = &KNOWN_EVENT_TYPES[types[*next]];
                *next = (*next + 1) % types.len();
                let id = fresh_id();
                let body = Bytes::from(known.with_id(&id));
                Ok(Some(Sample { event_type: EventType::trusted(known.event_type), id, body }))
            }
            Kind::Lines { reader, number } => read_line(reader, number).await,
        }
    }
}

async fn read_line(reader: &mut (dyn AsyncBufRead + Unpin), number: &mut u64) -> anyhow::Result<Option<Sample>> {
    loop {
        *number += 1;
        let mut line = Vec::new();
        (&mut *reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await.context("--file")?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.len() as u64 == LINE_BYTES_MAX {
            bail!("line {number} is longer than {LINE_BYTES_MAX} bytes");
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let head: Head = serde_json::from_slice(line).map_err(|error| {
            // It numbers lines itself, and knows of this one alone.
            anyhow!("line {number}: {}", error.to_string().replacen(" at line 1 column ", " at column ", 1))
        })?;
        if EventType::parse(head.event_type.as_str()).is_none() {
            bail!("line {number}: event_type {:?} is not 1 to 128 of A-Z a-z 0-9 . _ -", head.event_type);
        }
        let id = match head.event_id {
            None => fresh_id(),
            Some(id) => EventId::parse(&id).with_context(|| {
                format!("line {number}: event_id {id:?} is not 1 to 128 visible ASCII characters other than '.'")
            })?,
        };
        return Ok(Some(Sample { event_type: head.event_type, id, body: Bytes::copy_from_slice(line) }));
    }
}

fn fresh_id() -> EventId {
    EventId::trusted(Uuid::new_v4().to_string())
}

fn workspace(text: &str) -> Result<WorkspaceId, String> {
    WorkspaceId::parse(text).ok_or_else(|| "1 to 128 of A-Z a-z 0-9 . _ -".to_owned())
}

fn known_type(text: &str) -> Result<EventType, String> {
    let known = KNOWN_EVENT_TYPES.iter().find(|known| known.event_type == text);
    known.map(|known| EventType::trusted(known.event_type)).ok_or_else(|| {
        let names: Vec<_> = KNOWN_EVENT_TYPES.iter().map(|known| known.event_type).collect();
        format!("one of {}", names.join(", "))
    })
}

/// What was confirmed so far, told on stderr.
struct Progress {
    clock: Clock,
    begin: Duration,
    told: Duration,
    count: usize,
}

impl Progress {
    fn new(clock: Clock) -> Self {
        let begin = clock.boot();
        Self { clock, begin, told: begin, count: 0 }
    }

    fn add(&mut self, count: usize) {
        self.count += count;
        let now = self.clock.boot();
        if now - self.told >= PROGRESS_EVERY {
            self.told = now;
            self.tell("so far");
        }
    }

    fn tell(&self, what: &str) {
        let seconds = (self.clock.boot() - self.begin).as_secs_f64();
        let rate = self.count as f64 / seconds.max(0.001);
        eprintln!("{} events {what}, {rate:.0} per second", self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_keep_their_ids_and_bytes_and_errors_name_the_line() {
        let lines: &[u8] = b"{\"event_type\":\"a.b\",\"event_id\":\"1\", \"n\": 1.0}\n\n{\"event_type\":\"a.b\"}\n{\n";
        let mut reader: Box<dyn AsyncBufRead + Unpin> = Box::new(lines);
        let mut number = 0;
        let first = read_line(&mut *reader, &mut number).await.unwrap().unwrap();
        assert_eq!((first.id.as_str(), &first.body[..]), ("1", &lines[..45]));
        let second = read_line(&mut *reader, &mut number).await.unwrap().unwrap();
        assert_eq!(second.id.as_str().len(), 36, "made here");
        let error = read_line(&mut *reader, &mut number).await.err().unwrap();
        assert_eq!(error.to_string(), "line 4: EOF while parsing an object at column 1");
    }
}
