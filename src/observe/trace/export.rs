//! The way of spans to a collector: OTLP over HTTP, as protobuf.
//!
//! The SDK's batch processor has a thread of its own and a bounded queue; requests are sent by a task of the process's
//! runtime, since the client needs one. The collector's answers are told once when they begin to be bad and once when they are good
//! again, not by the SDK's own lines, one for each batch.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanProcessor};
use tokio::runtime::Handle;

use crate::config::Tracing;

/// The most of a collector's answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Why spans cannot be exported at all: a root certificate or an address that only the client itself finds wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ExportError(String);

/// The processor that takes spans.
pub(super) fn processor(tracing: &Tracing, instance: &str) -> Result<BatchSpanProcessor, ExportError> {
    let failed = |error: &dyn fmt::Display| ExportError(error.to_string());
    let mut client = reqwest::Client::builder().timeout(tracing.timeout).redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = &tracing.roots {
        let roots = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| failed(&error))?;
        client = client.tls_certs_merge(roots);
    }
    let client = client.build().map_err(|error| failed(&error))?;
    let client = Client { client, runtime: Handle::current(), well: AtomicBool::new(true) };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(tracing.endpoint.reveal())
        .with_timeout(tracing.timeout)
        .with_headers(HashMap::from([(
            "user-agent".to_owned(),
            concat!("Recadero/", env!("CARGO_PKG_VERSION")).to_owned(),
        )]))
        .build()
        .map_err(|error| failed(&error))?;
    let batches = BatchConfigBuilder::default().build();
    let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    processor.set_resource(&resource(tracing, instance));
    Ok(processor)
}

/// What this process is called: by OpenTelemetry's variables, else `recadero`.
fn resource(tracing: &Tracing, instance: &str) -> Resource {
    let ours = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance.to_owned()),
    ];
    let resource = Resource::builder().with_attributes(ours);
    if tracing.is_named { resource.build() } else { resource.with_service_name("recadero").build() }
}

/// Sends a request by a task of the runtime.
struct Client {
    client: reqwest::Client,
    runtime: Handle,
    /// Whether the last one went well.
    well: AtomicBool,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.spawn(send(self.client.clone(), request)).await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(ended) => return Err(ended.into()),
        };
        match &answer {
            Ok(answer) if answer.status().is_success() => {
                if !self.well.swap(true, Ordering::Relaxed) {
                    tracing::info!("spans are exported again");
                }
            }
            Ok(answer) => self.trouble(&format!("the collector answers {}", answer.status())),
            Err(error) => self.trouble(&chain(&**error)),
        }
        answer
    }
}

impl Client {
    fn trouble(&self, detail: &str) {
        if self.well.swap(false, Ordering::Relaxed) {
            tracing::warn!(detail, "spans are not exported; deliveries go on");
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

async fn send(client: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut answer = client.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
    let mut body = BytesMut::new();
    while let Some(part) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err("the collector's answer is too large".into());
        }
        body.extend_from_slice(&part);
    }
    let mut response = Response::new(body.freeze());
    (*response.status_mut(), *response.headers_mut()) = (answer.status(), answer.headers().clone());
    Ok(response)
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
