//! OpenTelemetry's own variables (contract, section 1): read by their own names, checked like every other value.
//!
//! The SDK reads most of them itself and takes the default for what it does not understand; here each is looked at before,
//! so that a wrong one is a line on the terminal and not a trace that nobody finds.

use std::time::Duration;

use super::check::{certificates, secret_url};
use super::given::{ConfigError, Given, Sensitive};
use crate::decide::trace::Traceparent;

/// Where traces go, and which.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// The URL that spans are posted to.
    pub endpoint: Sensitive,
    /// How long a request may take.
    pub timeout: Duration,
    /// Extra root certificates: PEM that was found to be good.
    pub roots: Option<Vec<u8>>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// Whether somebody named the service.
    pub is_named: bool,
}

/// Which traces are recorded.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sampler {
    /// Whether a publisher's decision counts before ours.
    parent_based: bool,
    /// The share of all others, from 0 to 1.
    ratio: f64,
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const SAMPLERS: [(&str, bool, Option<f64>); 6] = [
    ("always_on", false, Some(1.0)),
    ("always_off", false, Some(0.0)),
    ("traceidratio", false, None),
    ("parentbased_always_on", true, Some(1.0)),
    ("parentbased_always_off", true, Some(0.0)),
    ("parentbased_traceidratio", true, None),
];

/// Whole numbers that the SDK reads itself.
const NUMBERS: [&str; 4] =
    ["OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_EXPORT_TIMEOUT"];

impl Sampler {
    /// Whether a span is recorded, by its parent and its trace.
    pub fn samples(self, parent: Option<Traceparent>, context: Traceparent) -> bool {
        match parent {
            Some(parent) if self.parent_based => parent.is_sampled(),
            _ => self.takes(context.trace()),
        }
    }

    /// As every OpenTelemetry SDK decides: by the lower half of the trace's id, so that all agree on a trace.
    fn takes(self, trace: u128) -> bool {
        const ALL: u64 = 1 << 63;
        let share = (self.ratio * ALL as f64) as u64;
        ((trace as u64) >> 1) < share
    }
}

/// What the variables say; `None` when nothing is to be traced.
pub(super) fn tracing(given: &Given) -> Result<Option<Tracing>, ConfigError> {
    let base = given.maybe("otel-exporter-otlp-endpoint", |text| secret_url(text, &["http", "https"]))?;
    read(base, &|name| std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

fn read(base: Option<Sensitive>, variables: Variables<'_>) -> Result<Option<Tracing>, ConfigError> {
    let own = checked(variables, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", |text| secret_url(text, &["http", "https"]))?;
    let of_all = || base.map(|base| Sensitive::new(format!("{}/v1/traces", base.reveal().trim_end_matches('/'))));
    let Some(endpoint) = own.or_else(of_all) else { return Ok(None) };
    let disabled = checked(variables, "OTEL_SDK_DISABLED", |text| Ok(text.eq_ignore_ascii_case("true")))?;
    let exporter = checked(variables, "OTEL_TRACES_EXPORTER", |text| match text {
        "otlp" | "none" => Ok(text == "otlp"),
        _ => Err(format!("{text:?} is neither otlp nor none")),
    })?;
    if disabled == Some(true) || exporter == Some(false) {
        return Ok(None);
    }
    either(variables, "PROTOCOL", |text| match text {
        "http/protobuf" => Ok(()),
        _ => Err(format!("{text:?} is not spoken here; only http/protobuf is")),
    })?;
    either(variables, "COMPRESSION", |text| match text {
        "gzip" | "none" => Ok(()),
        _ => Err(format!("{text:?} is neither gzip nor none")),
    })?;
    either(variables, "HEADERS", headers)?;
    for name in NUMBERS {
        checked(variables, name, |text| match text.parse::<u64>() {
            Ok(1..) => Ok(()),
            _ => Err(format!("{text:?} is not a whole number from 1")),
        })?;
    }
    let timeout = either(variables, "TIMEOUT", |text| match text.parse() {
        Ok(milliseconds @ 1..) => Ok(Duration::from_millis(milliseconds)),
        _ => Err(format!("{text:?} is not a whole number of milliseconds")),
    })?;
    let attributes = checked(variables, "OTEL_RESOURCE_ATTRIBUTES", |text| Ok(text.to_owned()))?.unwrap_or_default();
    let named = |pair: &str| pair.split('=').next().is_some_and(|key| key.trim() == "service.name");
    Ok(Some(Tracing {
        endpoint,
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        roots: either(variables, "CERTIFICATE", certificates)?,
        sampler: sampler(variables)?,
        is_named: variables("OTEL_SERVICE_NAME").is_some() || attributes.split(',').any(named),
    }))
}

fn sampler(variables: Variables<'_>) -> Result<Sampler, ConfigError> {
    let known = SAMPLERS.map(|(name, ..)| name).join(", ");
    let chosen = checked(variables, "OTEL_TRACES_SAMPLER", |text| {
        let found = SAMPLERS.iter().find(|(name, ..)| *name == text);
        found.copied().ok_or_else(|| format!("{text:?} is none of {known}"))
    })?;
    let argument = checked(variables, "OTEL_TRACES_SAMPLER_ARG", |text| match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(format!("{text:?} is not a number from 0 to 1")),
    })?;
    let (_, parent_based, ratio) = chosen.unwrap_or(SAMPLERS[3]);
    Ok(Sampler { parent_based, ratio: ratio.or(argument).unwrap_or(1.0) })
}

/// A variable of traces alone, else the one for all that is exported.
fn either<T>(
    variables: Variables<'_>,
    end: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    match checked(variables, &format!("OTEL_EXPORTER_OTLP_TRACES_{end}"), &parse)? {
        Some(value) => Ok(Some(value)),
        None => checked(variables, &format!("OTEL_EXPORTER_OTLP_{end}"), parse),
    }
}

fn checked<T>(
    variables: Variables<'_>,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    let value = variables(name).map(|text| parse(&text)).transpose();
    value.map_err(|problem| ConfigError { option: name.to_owned(), problem })
}

/// `key=value,key=value`; the values may be tokens, and are not repeated.
fn headers(text: &str) -> Result<(), String> {
    let good = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or(("", ""));
        http::HeaderName::try_from(name.trim()).is_ok() && http::HeaderValue::try_from(value.trim()).is_ok()
    };
    if text.split(',').filter(|pair| !pair.trim().is_empty()).all(good) {
        return Ok(());
    }
    Err("is not a list of headers; write it like key=value,key=value".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

    fn read_from(pairs: &[(&str, &str)]) -> Result<Option<Tracing>, ConfigError> {
        let variable = |name: &str| pairs.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        read(Some(Sensitive::new("http://collector:4318/")), &variable)
    }

    fn samples(pairs: &[(&str, &str)]) -> [bool; 4] {
        let sampler = read_from(pairs).unwrap().unwrap().sampler;
        let of = |trace: &str, flag: &str| {
            Traceparent::parse(&format!("00-0000000000000000{trace}-00f067aa0ba902b7-{flag}")).unwrap()
        };
        let (low, high) = ("1000000000000000", "f000000000000000");
        [
            sampler.samples(None, of(low, "00")),
            sampler.samples(None, of(high, "00")),
            sampler.samples(Some(of(high, "01")), of(high, "01")),
            sampler.samples(Some(of(low, "00")), of(low, "00")),
        ]
    }

    #[test]
    fn without_an_endpoint_or_where_it_is_said_so_nothing_is_traced() {
        assert!(read(None, &|_| None).unwrap().is_none());
        assert!(read_from(&[("OTEL_SDK_DISABLED", "true")]).unwrap().is_none());
        assert!(read_from(&[("OTEL_TRACES_EXPORTER", "none")]).unwrap().is_none());
    }

    #[test]
    fn the_endpoint_of_all_gets_the_path_and_that_of_traces_is_taken_as_it_is() {
        let endpoint = |pairs: &[_]| read_from(pairs).unwrap().unwrap().endpoint.reveal().to_owned();
        assert_eq!(endpoint(&[]), "http://collector:4318/v1/traces");
        assert_eq!(endpoint(&[(ENDPOINT, "https://other/in")]), "https://other/in");
    }

    #[test]
    fn a_sampler_decides_by_the_publisher_where_it_is_parent_based_and_else_by_the_trace() {
        let half = ("OTEL_TRACES_SAMPLER_ARG", "0.5");
        assert_eq!(samples(&[]), [true, true, true, false]);
        assert_eq!(samples(&[("OTEL_TRACES_SAMPLER", "always_on")]), [true; 4]);
        assert_eq!(samples(&[("OTEL_TRACES_SAMPLER", "always_off")]), [false; 4]);
        assert_eq!(samples(&[("OTEL_TRACES_SAMPLER", "traceidratio"), half]), [true, false, false, true]);
        assert_eq!(samples(&[("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), half]), [true, false, true, false]);
        assert_eq!(samples(&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]), [false, false, true, false]);
    }

    #[test]
    fn a_wrong_value_is_named_and_no_secret_repeated() {
        let wrong = [
            (ENDPOINT, "grpc://u:sw0rdfish@h"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=sw0rdfish"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nonexistent/ca.pem"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ];
        for (name, value) in wrong {
            let said = read_from(&[(name, value)]).expect_err(name).to_string();
            assert!(said.starts_with(&format!("{name}: ")) && !said.contains("sw0rdfish"), "{said}");
        }
        let right =
            [("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x,x-scope=1"), ("OTEL_BSP_SCHEDULE_DELAY", "100")];
        assert!(read_from(&right).unwrap().is_some());
    }
}
