//! What a run has found, as a table or as JSON.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::Load;
use super::joining::Joined;
use super::run::Subject;
use super::tally::Counts;
use super::usage::{Memory, Scripts};

/// Everything that is counted from outside, at one moment.
#[derive(Clone, Copy, Default, Debug)]
pub struct Reading {
    pub delivered: u64,
    pub service: Option<Duration>,
    pub redis: Option<Duration>,
    pub rabbitmq: Option<Duration>,
    pub bench: Option<Duration>,
    pub scripts: Scripts,
    /// Memory of who delivers, in bytes: now, and the most there ever was.
    pub resident: Option<u64>,
    pub resident_max: Option<u64>,
    /// How often people were shown a page of the console.
    pub shown: Option<u64>,
}

/// The findings. A figure that could not be seen is `null`; rates and costs are per delivery that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    load: Load,
    deliveries: u64,
    seconds: f64,
    deliveries_per_second: f64,
    /// How fast the first and the last tenth of a filled queue came.
    first_tenth_per_second: Option<f64>,
    last_tenth_per_second: Option<f64>,
    latency_ms: Option<Latency>,
    /// With --hanging: of the first second, which is then no part of the other.
    latency_first_second_ms: Option<Latency>,
    cpu_us_per_delivery: Cpu,
    /// Processor time of who delivers, by the second.
    service_cores: Option<f64>,
    redis: Redis,
    service_resident_bytes: Option<u64>,
    service_resident_max_bytes: Option<u64>,
    /// With --readers: how often they were shown a page, by the second.
    pages_per_second: Option<f64>,
    /// With --joins-after.
    joined: Option<Joined>,
    order: Order,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct Cpu {
    service: Option<f64>,
    redis: Option<f64>,
    rabbitmq: Option<f64>,
    /// This process: receivers and publisher.
    bench: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Redis {
    script_calls_per_delivery: f64,
    us_per_script_call: f64,
    #[serde(flatten)]
    memory: Memory,
}

#[derive(Debug, Serialize)]
struct Order {
    right: bool,
    expected: u64,
    lost: u64,
    out_of_order: u64,
    repeated: u64,
    unknown: u64,
}

impl Report {
    /// Sums up what was counted between two moments.
    pub fn new(load: Load, subject: Subject, counts: &Counts, from: &Reading, to: &Reading, memory: Memory) -> Self {
        let deliveries = to.delivered - from.delivered;
        let each = deliveries.max(1) as f64;
        let seconds = counts.span.as_secs_f64();
        let cost =
            |from: Option<Duration>, to: Option<Duration>| Some((to?.saturating_sub(from?)).as_secs_f64() * 1e6 / each);
        let calls = to.scripts.calls - from.scripts.calls;
        let inside = to.scripts.time.saturating_sub(from.scripts.time);
        Self {
            load,
            deliveries,
            seconds,
            deliveries_per_second: deliveries as f64 / seconds.max(1e-6),
            first_tenth_per_second: counts.first_tenth_per_second,
            last_tenth_per_second: counts.last_tenth_per_second,
            latency_ms: Latency::of(&counts.latencies),
            latency_first_second_ms: Latency::of(&counts.latencies_at_first),
            cpu_us_per_delivery: Cpu {
                service: cost(from.service, to.service),
                redis: cost(from.redis, to.redis),
                rabbitmq: cost(from.rabbitmq, to.rabbitmq),
                bench: cost(from.bench, to.bench),
            },
            service_cores: cost(from.service, to.service).map(|us| us * each / 1e6 / seconds.max(1e-6)),
            redis: Redis {
                script_calls_per_delivery: calls as f64 / each,
                us_per_script_call: inside.as_secs_f64() * 1e6 / calls.max(1) as f64,
                memory,
            },
            service_resident_bytes: to.resident,
            service_resident_max_bytes: to.resident_max,
            pages_per_second: to.shown.map(|shown| (shown - from.shown.unwrap_or(0)) as f64 / seconds.max(1e-6)),
            joined: None,
            order: Order {
                // The forwarder promises no order.
                right: counts.is_complete() && (counts.disordered == 0 || subject == Subject::Forwarder),
                expected: counts.expected,
                lost: counts.lost(),
                out_of_order: counts.disordered,
                repeated: counts.repeated,
                unknown: counts.unknown,
            },
        }
    }

    /// With how a process fared that came meanwhile.
    pub fn with(self, joined: Option<Joined>) -> Self {
        Self { joined, ..self }
    }

    /// Deliveries per second.
    pub fn rate(&self) -> f64 {
        self.deliveries_per_second
    }

    /// Half of the deliveries took at most so many milliseconds.
    pub fn latency_p50(&self) -> Option<f64> {
        self.latency_ms.as_ref().map(|latency| latency.p50)
    }

    /// All but one in a hundred did.
    pub fn latency_p99(&self) -> Option<f64> {
        self.latency_ms.as_ref().map(|latency| latency.p99)
    }

    /// Microseconds per delivery of who delivers.
    pub fn service_cpu(&self) -> Option<f64> {
        self.cpu_us_per_delivery.service
    }

    /// Those of Redis.
    pub fn redis_cpu(&self) -> Option<f64> {
        self.cpu_us_per_delivery.redis
    }

    /// Those of RabbitMQ.
    pub fn rabbitmq_cpu(&self) -> Option<f64> {
        self.cpu_us_per_delivery.rabbitmq
    }

    /// What was delivered.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// The most important in one line.
    pub fn summary(&self) -> String {
        let cpu = self.service_cpu().map(|us| format!(", {us:.1} µs each")).unwrap_or_default();
        format!("{:.0} deliveries per second{cpu}", self.rate())
    }

    /// One line on what the service did wrong; `None` when order and loss are right.
    pub fn complaint(&self) -> Option<String> {
        let Order { right, lost, out_of_order, unknown, .. } = &self.order;
        (!right).then(|| format!("{lost} deliveries lost, {out_of_order} out of order, {unknown} never published"))
    }
}

impl Latency {
    /// Of at least one delivery.
    fn of(micros: &Histogram<u64>) -> Option<Self> {
        let ms = |us: u64| us as f64 / 1e3;
        let at = |quantile| ms(micros.value_at_quantile(quantile));
        (!micros.is_empty()).then(|| Self { p50: at(0.50), p90: at(0.90), p99: at(0.99), max: ms(micros.max()) })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { load, order, redis, cpu_us_per_delivery: cpu, .. } = self;
        let figure = |figure: Option<f64>| figure.map_or("not seen".to_owned(), |figure| format!("{figure:.1} µs"));
        writeln!(f, "{load}")?;
        writeln!(f, "deliveries per second   {:.0}", self.deliveries_per_second)?;
        writeln!(f, "  deliveries, time      {} in {:.2} s", self.deliveries, self.seconds)?;
        if let (Some(first), Some(last)) = (self.first_tenth_per_second, self.last_tenth_per_second) {
            writeln!(f, "  first, last tenth     {first:.0}, {last:.0} per second")?;
        }
        let latencies = [("latency  ", &self.latency_ms), ("  1st second", &self.latency_first_second_ms)];
        for (name, Latency { p50, p90, p99, max }) in
            latencies.iter().filter_map(|(name, it)| Some((name, it.as_ref()?)))
        {
            writeln!(f, "{name:<24}p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  max {max:.1} ms")?;
        }
        writeln!(f, "CPU per delivery")?;
        writeln!(f, "  recadero serve        {}", figure(cpu.service))?;
        writeln!(f, "  Redis                 {}", figure(cpu.redis))?;
        writeln!(f, "  RabbitMQ              {}", figure(cpu.rabbitmq))?;
        writeln!(f, "  receivers, publisher  {}", figure(cpu.bench))?;
        if let Some(cores) = self.service_cores {
            writeln!(f, "CPU of serve            {:.1} % of a core", cores * 100.0)?;
        }
        writeln!(f, "Redis scripts           {:.3} calls per delivery", redis.script_calls_per_delivery)?;
        writeln!(f, "  inside one            {:.1} µs", redis.us_per_script_call)?;
        let Memory { bytes_per_endpoint, bytes_per_waiting_event, bytes_per_id_seen } = redis.memory;
        let takes = [
            ("Redis, an endpoint", bytes_per_endpoint),
            ("  a waiting event", bytes_per_waiting_event),
            ("  an id seen", bytes_per_id_seen),
        ];
        for (name, bytes) in takes.iter().filter_map(|(name, bytes)| Some((name, (*bytes)?))) {
            writeln!(f, "{name:<24}{bytes:.0} bytes")?;
        }
        if let (Some(now), Some(most)) = (self.service_resident_bytes, self.service_resident_max_bytes) {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            writeln!(f, "memory of serve         {:.1} MiB, at most {:.1} MiB", mib(now), mib(most))?;
        }
        if let Some(pages) = self.pages_per_second {
            writeln!(f, "pages of the console    {pages:.1} per second")?;
        }
        if let Some(Joined { share, seconds }) = self.joined {
            writeln!(
                f,
                "one more process        makes {share:.2} of all, and nine tenths of that after {seconds:.1} s"
            )?;
        }
        let right = if order.right { "right" } else { "WRONG" };
        write!(f, "order and loss          {right}: {} of {} arrived", order.expected - order.lost, order.expected)?;
        write!(f, ", {} lost, {} out of order", order.lost, order.out_of_order)?;
        write!(f, ", {} repeated, {} unknown", order.repeated, order.unknown)
    }
}
