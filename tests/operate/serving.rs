//! How HTTP is served, and metrics and health beside the API (section 6).

use std::time::Duration;

use std::sync::Arc;

use recadero::config::Roles;
use recadero::decide::event_types::EventTypes;
use recadero::observe::health::{Health, ops};
use recadero::observe::metrics::Metrics;
use recadero::observe::signal::{Signal, Tap};
use recadero::operate::serve;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::service::{Kind, Service, TOKEN, ask};

/// Less than a stop waits for connections that do not end.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_stop_ends_idle_connections_and_lets_what_is_under_way_finish() {
    let service = Service::start(Kind::Memory).await;
    let mut idle = TcpStream::connect(service.address).await.unwrap();
    let mut busy = TcpStream::connect(service.address).await.unwrap();
    let body = r#"{"plan":"advanced"}"#;
    let head = format!(
        "PUT /v1/workspaces/late HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        body.len()
    );
    busy.write_all(head.as_bytes()).await.unwrap();
    let mut continues = [0; 25];
    busy.read_exact(&mut continues).await.unwrap();
    assert_eq!(&continues, b"HTTP/1.1 100 Continue\r\n\r\n", "it is under way: the body is waited for");
    service.stop.cancel();
    let mut nothing = Vec::new();
    tokio::time::timeout(SOON, idle.read_to_end(&mut nothing)).await.expect("closed").unwrap();
    assert!(!service.serving.is_finished());
    busy.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    tokio::time::timeout(SOON, service.serving).await.expect("ended").unwrap();
    assert!(TcpStream::connect(service.address).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn an_address_that_is_taken_is_one_line_that_names_the_option() {
    let service = Service::start(Kind::Memory).await;
    let error = serve::listen(service.address, "http-addr").await.unwrap_err().to_string();
    let expected = format!("--http-addr (RECADERO_HTTP_ADDR): cannot listen at {}: ", service.address);
    assert!(error.starts_with(&expected) && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn metrics_and_health_are_served_without_authentication() {
    let metrics = Arc::new(Metrics::new(&EventTypes::new([])));
    let health = Arc::new(Health::new(Roles { router: true, deliverer: true, api: true, notifier: true }));
    let listener = serve::listen("127.0.0.1:0".parse().unwrap(), "ops-addr").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = ops(metrics, Arc::clone(&health));
    tokio::spawn(serve::serve(listener, routes, CancellationToken::new(), Duration::ZERO));

    assert_eq!(ask(address, "GET", "/healthz", "", "").await.status, 200, "whatever is missing");
    let unready = ask(address, "GET", "/readyz", "", "").await;
    assert_eq!((unready.status, &unready.body["missing"][1]["what"]), (503, &json!("broker")));
    health.see(&Signal::Store { connected: true, detail: None });
    health.see(&Signal::Broker { connected: true, detail: None });
    let ready = ask(address, "GET", "/readyz", "", "").await;
    assert_eq!((ready.status, ready.body), (200, json!({"ready": true, "missing": []})));
    let scraped = ask(address, "GET", "/metrics", "", "").await;
    assert!(scraped.head.contains("content-type: text/plain; version=0.0.4"), "{}", scraped.head);
    assert!(scraped.body.as_str().unwrap().contains("\nrecadero_backlog_events 0\n"), "{:?}", scraped.body);
}
