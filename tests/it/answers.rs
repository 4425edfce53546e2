//! What counts as delivered, what as a failed attempt and why, and what follows (contract, section 3).

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::delivery::assert_signed;
use crate::rig::ports::Port;
use crate::rig::receiver::{Answer, Receiver, Request};
use crate::service::{SOON, Service, metric};

/// The store counts in whole milliseconds, and so may round twice.
const ROUNDING: Duration = Duration::from_millis(3);

#[tokio::test]
async fn a_failed_event_is_tried_again_after_each_wait_then_dropped_and_the_next_goes_on() {
    let waits = [300, 600, 900].map(Duration::from_millis);
    let service = Service::start(&[("RECADERO_RETRY_DELAYS", "300ms,600ms,900ms")]).await;
    // The failures take a while themselves: the waits begin at their ends.
    let takes = Duration::from_millis(150);
    let receiver = Receiver::start(move |request| match request.header("webhook-id") {
        Some("one") => Answer::status(500).after(takes),
        _ => Answer::ok(),
    })
    .await;
    let endpoint = service.connect("acme", &receiver.url()).await;
    for id in ["one", "two", "three"] {
        service.publisher.event("message.sent", "acme", id, b"{}").await;
    }

    let requests = receiver.wait_for(6, SOON).await;
    let sent = |request: &Request| {
        let value = |name: &str| request.header(name).unwrap().to_owned();
        (value("webhook-id"), value("x-webhook-attempt"))
    };
    let expected = [("one", "1"), ("one", "2"), ("one", "3"), ("one", "4"), ("two", "1"), ("three", "1")];
    let expected = expected.map(|(id, attempt)| (id.to_owned(), attempt.to_owned()));
    assert_eq!(requests.iter().map(|request| sent(request)).collect::<Vec<_>>(), expected);
    for (pair, wait) in requests.windows(2).zip(waits) {
        let between = pair[1].at - pair[0].at;
        assert!(between + ROUNDING >= takes + wait, "{between:?} after a failure of {takes:?} and {wait:?}");
    }
    for request in &requests {
        assert_signed(request, &endpoint.secret);
    }
    let (first, last) = (&requests[0], &requests[3]);
    assert_eq!(first.body, last.body);
    assert_ne!(first.header("webhook-signature"), last.header("webhook-signature"), "each attempt has its own time");

    service.until_idle(&endpoint).await;
    let told: Vec<_> = service.attempts(&endpoint).await;
    let told: Vec<_> =
        told.iter().map(|row| (&row["event_id"], &row["attempt"], &row["outcome"], &row["status"])).collect();
    let (failed, delivered) = (&json!("failed"), &json!("delivered"));
    let (one, bad, good) = (&json!("one"), &json!(500), &json!(200));
    let expected = [
        (one, &json!(1), failed, bad),
        (one, &json!(2), failed, bad),
        (one, &json!(3), failed, bad),
        (one, &json!(4), failed, bad),
        (&json!("two"), &json!(1), delivered, good),
        (&json!("three"), &json!(1), delivered, good),
    ];
    assert_eq!(told, expected);
    let dropped = service.of(&endpoint, "GET", "/dropped", Value::Null).await;
    assert_eq!(dropped["data"].as_array().unwrap().len(), 1, "{dropped}");
    let dropped = &dropped["data"][0];
    assert_eq!((&dropped["event_id"], &dropped["reason"]), (one, &json!("retries")), "{dropped}");
    assert_eq!(metric(&service.process, "recadero_events_dropped_total{reason=\"retries\"}").await, 1.0);
}

#[tokio::test]
async fn every_end_but_a_timely_200_is_a_failed_attempt_with_its_reason() {
    let limit = Duration::from_secs(4);
    let service = Service::start(&[("RECADERO_TIMEOUT", "4s"), ("RECADERO_RETRY_DELAYS", "1h")]).await;
    let elsewhere = Receiver::ok().await;
    let nobody = Port::take();
    let (delivered, failed) = ("delivered", "failed");
    let raw = |text: &str| Answer::raw(text);
    let cases = [
        ("ok", Answer::ok(), delivered, Some(200), None),
        ("in-time", Answer::ok().after(limit / 2), delivered, Some(200), None),
        // What happens to the body changes nothing.
        ("slow-body", Answer::ok().slow_body("0123456789", limit / 4), delivered, Some(200), None),
        ("long-body", Answer::ok().body("x".repeat(1 << 20)), delivered, Some(200), None),
        ("cut-body", raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc"), delivered, Some(200), None),
        (
            "hint",
            raw("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            delivered,
            Some(200),
            None,
        ),
        ("201", Answer::status(201), failed, Some(201), Some("status")),
        ("204", Answer::status(204), failed, Some(204), Some("status")),
        ("302", Answer::redirect(&elsewhere.url()), failed, Some(302), Some("status")),
        ("308", Answer::status(308).header("location", &elsewhere.url()), failed, Some(308), Some("status")),
        ("410", Answer::status(410), failed, Some(410), Some("status")),
        ("500", Answer::status(500).body("broken\u{1b}[31m"), failed, Some(500), Some("status")),
        ("late", Answer::ok().after(limit * 2), failed, None, Some("timeout")),
        ("hang", Answer::hang(), failed, None, Some("timeout")),
        ("close", Answer::close(), failed, None, Some("protocol")),
        ("cut-line", raw("HTTP/1.1 2"), failed, None, Some("protocol")),
        ("garbage", raw("220 mail.test ESMTP\r\n\r\n"), failed, None, Some("protocol")),
    ];
    let answers: Vec<_> = cases.iter().map(|(name, answer, ..)| (format!("/{name}"), answer.clone())).collect();
    let receiver = Receiver::start(move |request| {
        answers.iter().find(|(path, _)| *path == request.path).expect("a case's path").1.clone()
    })
    .await;
    let mut endpoints = Vec::new();
    for (name, _, outcome, status, reason) in &cases {
        let url = format!("{}/{name}", receiver.url());
        endpoints.push((*name, service.connect("acme", &url).await, *outcome, *status, *reason));
    }
    let refused = format!("http://127.0.0.1:{}", nobody.number());
    endpoints.push(("refused", service.connect("acme", &refused).await, failed, None, Some("connect")));
    let plain = format!("https://127.0.0.1:{}", speaks_no_tls().await);
    endpoints.push(("plain", service.connect("acme", &plain).await, failed, None, Some("tls")));

    service.publisher.event("message.sent", "acme", "1", b"{}").await;
    service.publisher.event("message.sent", "acme", "2", b"{}").await;
    for (name, endpoint, outcome, status, reason) in &endpoints {
        let attempts = if *outcome == delivered { 2 } else { 1 };
        service
            .until_shown(endpoint, &format!("{attempts} attempts of {name}"), |shown| {
                let last = &shown["last_attempt"];
                shown["backlog"]["events"] == (2 - attempts) * 2
                    && last["event_id"].as_str() == Some(attempts.to_string().as_str())
            })
            .await;
        let rows = service.attempts(endpoint).await;
        assert_eq!(rows.len(), attempts, "{name}: {rows:?}");
        for row in rows {
            assert_eq!((&row["outcome"], &row["status"]), (&json!(outcome), &json!(status)), "{name}: {row}");
            assert_eq!(row["reason"], json!(reason), "{name}: {row}");
            assert_eq!(row["next_attempt_at"].is_null(), *outcome == delivered, "{name}: {row}");
            let excerpt = row["response_excerpt"].as_str().unwrap();
            assert!(excerpt.len() <= 16 << 10 && !excerpt.contains('\u{1b}'), "{name}: {excerpt:?}");
            if reason == &Some("timeout") {
                assert!(row["duration_ms"].as_u64().unwrap() + 3 >= 4_000, "{name}: {row}");
            }
        }
    }
    assert_eq!(elsewhere.connections(), 0, "redirects are not followed");
    let count =
        async |labels: &str| metric(&service.process, &format!("recadero_delivery_attempts_total{{{labels}}}")).await;
    assert_eq!(count("outcome=\"delivered\",reason=\"\"").await, 12.0);
    let counts = [("status", 6.0), ("timeout", 2.0), ("protocol", 3.0), ("connect", 1.0), ("tls", 1.0)];
    for (reason, times) in counts {
        assert_eq!(count(&format!("outcome=\"failed\",reason=\"{reason}\"")).await, times, "{reason}");
    }
}

/// Answers whoever connects in plain HTTP: the port.
async fn speaks_no_tls() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            open.push(stream);
        }
    });
    port
}
