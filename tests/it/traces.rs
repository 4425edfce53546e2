//! Traces (contract, sections 1 to 3): one event's way as spans, received by a collector of the test's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use lapin::types::AMQPValue;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;

use crate::rig::publish::headers;
use crate::rig::recadero::{ADMIN_TOKEN, run};
use crate::rig::receiver::{Answer, Receiver, Request};
use crate::rig::until;
use crate::service::{SOON, Service};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const EXCHANGE: &str = "recadero.events";

/// The variables of a service that is traced to a collector, soon and with quick retries.
fn traced(collector: &str) -> Vec<(&'static str, String)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ("RECADERO_RETRY_DELAYS", "100ms,100ms".to_owned()),
    ]
}

async fn service(variables: &[(&'static str, String)]) -> Service {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Service::start(&variables).await
}

/// A value of an attribute, as text.
fn text(pair: &KeyValue) -> String {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<&str, String> {
    pairs.iter().map(|pair| (pair.key.as_str(), text(pair))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a collector was sent.
fn exports(collector: &Receiver) -> Vec<ExportTraceServiceRequest> {
    let decode = |request: &Arc<Request>| {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/traces"));
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        ExportTraceServiceRequest::decode(request.body.as_slice()).expect("protobuf")
    };
    collector.requests().iter().map(decode).collect()
}

fn spans(collector: &Receiver) -> Vec<Span> {
    let resources = exports(collector).into_iter().flat_map(|export| export.resource_spans);
    resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}

async fn spans_until(collector: &Receiver, count: usize) -> Vec<Span> {
    until("the spans", SOON, async || spans(collector).len() >= count).await;
    spans(collector)
}

/// Posts an event, as a publisher that is traced.
async fn publish(service: &Service, traceparent: &str) {
    let url = format!("{}/v1/workspaces/acme/events", service.process.http());
    let request = reqwest::Client::new().post(url).bearer_auth(ADMIN_TOKEN).header("traceparent", traceparent);
    let body = r#"{"event_type":"message.sent","event_id":"e1"}"#;
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
}

#[tokio::test]
async fn one_event_is_one_trace_from_its_publishing_to_the_second_attempt() {
    let collector = Receiver::ok().await;
    let service = service(&traced(&collector.url())).await;
    let receiver = Receiver::in_turn(vec![Answer::status(503), Answer::ok()]).await;
    let url = format!("{}/hook?key=sw0rdfish", receiver.url());
    let endpoint = service.connect_with("acme", serde_json::json!({"url": url, "events": ["*"]})).await;

    publish(&service, &format!("00-{TRACE}-{SPAN}-01")).await;
    let requests = receiver.wait_for(2, SOON).await;
    let mut spans = spans_until(&collector, 4).await;
    spans.sort_by_key(|span| span.start_time_unix_nano);
    let [published, appended, first, second] = spans.as_slice() else { panic!("{spans:#?}") };

    // One trace: the publisher's. Each step is the child of the one before; attempts are the append's, side by side.
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:#?}");
    let parents = spans.iter().map(|span| hex(&span.parent_span_id));
    let (publishing, appending) = (hex(&published.span_id), hex(&appended.span_id));
    assert!(parents.eq([SPAN.to_owned(), publishing, appending.clone(), appending]), "{spans:#?}");
    assert!(spans.iter().all(|span| span.start_time_unix_nano <= span.end_time_unix_nano));

    // What a receiver is told is the attempt's own span.
    for (span, request) in [first, second].into_iter().zip(&requests) {
        assert_eq!(request.header("traceparent").unwrap(), format!("00-{TRACE}-{}-01", hex(&span.span_id)));
    }

    let told = |span: &Span| {
        let status = span.status.as_ref().map_or(0, |status| status.code);
        (span.name.clone(), span.kind, status == StatusCode::Error as i32)
    };
    let expected = [
        ("publish recadero.events", SpanKind::Producer, false),
        ("append recadero.events.0", SpanKind::Consumer, false),
        ("POST", SpanKind::Client, true),
        ("POST", SpanKind::Client, false),
    ];
    let expected = expected.map(|(name, kind, failed)| (name.to_owned(), kind as i32, failed));
    assert_eq!(spans.iter().map(told).collect::<Vec<_>>(), expected);

    // The conventions' names.
    let of = |span: &'_ Span, names: &[&str]| -> Vec<String> {
        let all = attributes(&span.attributes);
        names.iter().map(|name| all.get(name).cloned().unwrap_or_else(|| panic!("no {name} in {all:?}"))).collect()
    };
    let names = ["messaging.system", "messaging.operation.type", "messaging.destination.name", "messaging.message.id"];
    assert_eq!(of(published, &names), ["rabbitmq", "send", "recadero.events:message.sent", "e1"]);
    let queue = "recadero.events:message.sent:recadero.events.0";
    assert_eq!(of(appended, &names), ["rabbitmq", "process", queue, "e1"]);
    assert_eq!(of(appended, &["recadero.workspace", "recadero.lanes"]), ["acme", "1"]);
    let names =
        ["http.request.method", "server.address", "url.scheme", "http.response.status_code", "recadero.endpoint"];
    assert_eq!(of(first, &names), ["POST", "127.0.0.1", "http", "503", &endpoint.id]);
    assert_eq!(of(first, &["error.type", "server.port"]), ["503".to_owned(), receiver.port().to_string()]);
    assert_eq!(of(second, &["http.request.resend_count", "recadero.attempt"]), ["1", "2"]);

    let export = exports(&collector).remove(0);
    let resource = export.resource_spans[0].resource.as_ref().unwrap();
    let resource = attributes(&resource.attributes);
    assert_eq!(
        (resource["service.name"].as_str(), resource["service.version"].as_str()),
        ("recadero", env!("CARGO_PKG_VERSION"))
    );
    let all = format!("{:?}", exports(&collector));
    assert!(!all.contains("sw0rdfish") && !all.contains("/hook"), "an endpoint's path is the customer's");
}

#[tokio::test]
async fn a_publisher_that_records_nothing_is_followed_and_one_without_a_trace_begins_one() {
    let collector = Receiver::ok().await;
    let service = service(&traced(&collector.url())).await;
    let receiver = Receiver::ok().await;
    service.connect("acme", &receiver.url()).await;
    let workspace = ("workspace_id", AMQPValue::LongString("acme".into()));
    let unrecorded = ("traceparent", AMQPValue::LongString(format!("00-{TRACE}-{SPAN}-00").into()));
    let silent = headers(&[workspace.clone(), unrecorded]).with_message_id("e1".into());
    service.publisher.message(EXCHANGE, "message.sent", silent, b"{}").await;
    service.publisher.event("message.sent", "acme", "e2", b"{}").await;

    let requests = receiver.wait_for(2, SOON).await;
    let spans = spans_until(&collector, 2).await;
    let of = |request: &Request| request.header("traceparent").unwrap().to_owned();
    assert_eq!(of(&requests[0]).split('-').nth(1), Some(TRACE));
    assert!(of(&requests[0]).ends_with("-00"), "the header is continued all the same");
    let trace = of(&requests[1]).split('-').nth(1).unwrap().to_owned();
    assert!(of(&requests[1]).ends_with("-01") && trace != TRACE);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == trace), "{spans:#?}");
    let append = spans.iter().find(|span| span.kind == SpanKind::Consumer as i32).unwrap();
    assert!(append.parent_span_id.is_empty(), "the trace begins with it");
    assert_eq!(spans.len(), 2);
}

#[tokio::test]
async fn a_collector_in_trouble_disturbs_no_delivery_and_holds_no_shutdown() {
    for (answer, told) in
        [(Answer::status(500), "the collector answers 500"), (Answer::close(), "error"), (Answer::hang(), "")]
    {
        let collector = Receiver::in_turn(vec![answer]).await;
        let mut variables = traced(&collector.url());
        // No timeout of a request ends what hangs; only the bound on the last spans does.
        variables.push(("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000".to_owned()));
        variables.push(("OTEL_BSP_MAX_QUEUE_SIZE", "10".to_owned()));
        let mut service = service(&variables).await;
        let receiver = Receiver::ok().await;
        service.connect("acme", &receiver.url()).await;
        let ids: Vec<_> = (0..200).map(|n| format!("e{n}")).collect();
        service.publisher.events(ids.iter().map(|id| ("message.sent", "acme", id.as_str(), b"{}".as_slice()))).await;
        let requests = receiver.wait_for(200, SOON).await;
        assert!(requests.iter().map(|request| request.header("webhook-id").unwrap()).eq(&ids), "each once, in order");
        until("an export", SOON, async || collector.count() > 0).await;
        assert_eq!(service.process.term(SOON).await, 0);
        let log = service.process.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("spans are not exported")).collect();
        assert!(lines.len() == usize::from(!told.is_empty()) && lines.iter().all(|line| line.contains(told)), "{log}");
    }
}

#[tokio::test]
async fn a_wrong_variable_of_opentelemetry_s_is_one_clear_line_and_exit_status_2() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    for wrong in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=sw0rdfish"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
    ] {
        let (status, printed) = run(&["serve"], &[("RECADERO_ADMIN_TOKENS", ADMIN_TOKEN), endpoint, wrong]).await;
        assert_eq!((status, printed.lines().count()), (2, 1), "{printed}");
        assert!(printed.contains(wrong.0) && !printed.contains("sw0rdfish"), "{printed}");
    }
}
