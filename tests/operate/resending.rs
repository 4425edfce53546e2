//! Events once more: an event's page, resending one, recovering a span; and test events.

use std::time::Duration;

use recadero::decide::attempt::{Answer, Outcome, Reason};
use recadero::decide::retry::Next;
use recadero::deliver::sign::Secret;
use serde_json::{Value, json};

use crate::ENDPOINTS;
use crate::service::{Kind, Service, Told};

promises! {
    an_event_shows_its_payload_its_headers_as_sent_and_its_attempts,
    a_delivered_event_is_resent_while_its_payload_is_kept,
    a_dropped_event_is_resent_once,
    a_span_of_dropped_events_is_recovered_in_the_old_order,
    nothing_is_resent_without_a_plan_or_an_endpoint,
    statistics_are_24_hours_with_the_quiet_ones,
    a_test_event_goes_out_now_signed_like_any_other_and_counts_nowhere,
    a_test_event_that_fails_says_why_in_words,
    a_page_of_attempts_stays_put_while_new_rows_arrive,
}

fn events(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|row| row["event_id"].as_str().unwrap().to_owned()).collect()
}

/// Delivers what waits, and answers with it in its order.
async fn deliver_all(service: &Service, path: &str) -> Vec<String> {
    let mut ids = Vec::new();
    while service.get(path).await.body["backlog"]["events"] != 0 {
        service.attempt(path, Outcome::Delivered, Next::Drop).await;
        let last = service.get(path).await.body["last_attempt"].clone();
        ids.push(last["event_id"].as_str().unwrap().to_owned());
    }
    ids
}

async fn an_event_shows_its_payload_its_headers_as_sent_and_its_attempts(kind: Kind) {
    let service = Service::start(kind).await;
    let body = r#"{"url":"https://r.example/","events":["*"],"headers":{"X-Api-Key":"s3cret"}}"#;
    let made = service.post(ENDPOINTS, body).await.body;
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    let payload = r#"{"n":1.50,"event_type":"message.sent","event_id":"e1"}"#;
    service.append_body(&path, "e1", payload).await;
    let waits = service.get(&format!("{path}/events/e1")).await;
    assert!(waits.text.contains(&format!("\"payload\":{payload},")), "{waits:?}");
    assert_eq!((&waits.body["headers"], &waits.body["attempts"]), (&Value::Null, &json!([])));
    let again = service.post(&format!("{path}/events/e1/resend"), "").await;
    assert!(again.problem().starts_with("409 conflict "), "{again:?}");
    service.attempt(&path, Outcome::Failed(Reason::Timeout), Next::RetryAfter(Duration::ZERO)).await;
    service.attempt(&path, Outcome::Delivered, Next::Drop).await;

    let shown = service.get(&format!("{path}/events/e1")).await;
    assert_eq!((shown.status, &shown.body["event_type"]), (200, &json!("message.sent")), "{shown:?}");
    assert_eq!(shown.body["received_at"], "2026-01-01T00:00:00.000Z");
    assert!(shown.text.contains(&format!("\"payload\":{payload},")), "byte for byte: {}", shown.text);
    let attempts = shown.body["attempts"].as_array().unwrap();
    assert_eq!(attempts.iter().map(|row| &row["attempt"]).collect::<Vec<_>>(), [&json!(2), &json!(1)]);
    let secret = Secret::parse(made["secret"].as_str().unwrap()).unwrap();
    let seconds = "1767225600";
    let standard = secret.sign_standard("e1", seconds, payload.as_bytes()).unwrap();
    let agent = format!("Recadero/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        shown.body["headers"],
        json!({
            "accept": "*/*", "content-type": "application/json", "user-agent": agent, "webhook-id": "e1",
            "webhook-timestamp": seconds,
            "webhook-signature": format!("v1,{}", standard.as_str()), "x-api-key": "(hidden)",
            "x-webhook-signature": secret.sign_body(payload.as_bytes()).as_str(), "x-webhook-attempt": "2",
            "x-webhook-event": "message.sent",
        })
    );
    assert!(!shown.text.contains("s3cret"));

    // The next one's attempts, with nothing left of its payload.
    for number in 0..51 {
        service.append(&path, &format!("later-{number}")).await;
    }
    deliver_all(&service, &path).await;
    let gone = service.get(&format!("{path}/events/e1")).await.body;
    assert_eq!((&gone["payload"], &gone["received_at"]), (&Value::Null, &Value::Null));
    assert_eq!(gone["attempts"].as_array().unwrap().len(), 2);
    assert_eq!((&gone["headers"]["webhook-id"], gone["headers"].get("webhook-signature")), (&json!("e1"), None));
    for unknown in ["nothing", "a.b", "%20"] {
        let answer = service.get(&format!("{path}/events/{unknown}")).await;
        assert!(answer.problem().starts_with("404 not_found "), "{unknown}: {answer:?}");
    }
}

async fn a_delivered_event_is_resent_while_its_payload_is_kept(kind: Kind) {
    let limits = recadero::decide::policy::Limits { log_payloads: 1, ..Default::default() };
    let service = Service::with_limits(kind, limits).await;
    let path = service.endpoint().await;
    for event in ["e1", "e2"] {
        service.append(&path, event).await;
    }
    assert_eq!(deliver_all(&service, &path).await, ["e1", "e2"]);
    let resend = async |event: &str| service.post(&format!("{path}/events/{event}/resend"), "").await;
    for _ in 0..2 {
        assert_eq!(resend("e2").await.body, json!({"resent": 1}));
        assert_eq!(deliver_all(&service, &path).await, ["e2"], "as often as it is asked for");
    }
    for gone in ["e1", "never"] {
        assert!(resend(gone).await.problem().starts_with("409 payload_gone "), "{gone}");
    }
    service.append(&path, "e3").await;
    service.attempt(&path, Outcome::Failed(Reason::Status), Next::RetryAfter(Duration::from_secs(1))).await;
    assert!(resend("e3").await.problem().starts_with("409 conflict the event is on its way"));
}

async fn a_dropped_event_is_resent_once(kind: Kind) {
    let service = Service::start(kind).await;
    let path = service.endpoint().await;
    for event in ["e1", "e2", "e3"] {
        service.drop_event(&path, event).await;
    }
    let dropped = async |event: &str| service.post(&format!("{path}/dropped/{event}/resend"), "").await;
    assert_eq!(dropped("e2").await.body, json!({"resent": 1}));
    assert!(dropped("e2").await.problem().starts_with("404 not_found "), "it moved already");
    assert!(dropped("e9").await.problem().starts_with("404 not_found "));
    assert_eq!(service.post(&format!("{path}/events/e3/resend"), "").await.body, json!({"resent": 1}));
    assert_eq!(events(&service.get(&format!("{path}/dropped")).await.body), ["e1"]);
    assert_eq!(service.get(&path).await.body["backlog"]["events"], 2);
    assert_eq!(deliver_all(&service, &path).await, ["e2", "e3"]);
    // The quota counts what is resent like anything else.
    service.post(&format!("{path}/dropped/e1/resend"), "").await;
    let used = service.get("/v1/workspaces/acme/quota").await.body["used"].as_u64().unwrap();
    service.attempt(&path, Outcome::Failed(Reason::Status), Next::Drop).await;
    assert_eq!(service.get("/v1/workspaces/acme/quota").await.body["used"], used + 1);
}

async fn a_span_of_dropped_events_is_recovered_in_the_old_order(kind: Kind) {
    let service = Service::start(kind).await;
    let path = service.endpoint().await;
    // More than one step of a recovery, a tenth of a second each.
    let ids: Vec<_> = (0..250).map(|number| format!("e{number}")).collect();
    service.post(&format!("{path}/disable"), "").await;
    for id in &ids {
        service.append(&path, id).await;
    }
    service.post(&format!("{path}/enable"), r#"{"backlog":"discard"}"#).await;
    service.pass(Duration::from_secs(10));
    for id in ["late-1", "late-2"] {
        service.drop_event(&path, id).await;
        service.pass(Duration::from_secs(10));
    }
    let recover = async |body: Value| service.post(&format!("{path}/recover"), &body.to_string()).await;
    let at = |seconds: u64| format!("2026-01-01T00:00:{seconds:02}Z");
    assert_eq!(recover(json!({"since": at(11), "until": at(20)})).await.body, json!({"resent": 0}));
    assert_eq!(recover(json!({"since": at(10), "until": at(20)})).await.body, json!({"resent": 1}));
    assert_eq!(deliver_all(&service, &path).await, ["late-1"]);
    assert_eq!(recover(json!({"since": "2026-01-01T01:00:00+01:00"})).await.body, json!({"resent": 251}));
    let expected: Vec<_> = ids.into_iter().chain(["late-2".to_owned()]).collect();
    assert_eq!(deliver_all(&service, &path).await, expected);
    assert_eq!(recover(json!({"since": at(0)})).await.body, json!({"resent": 0}), "asked twice, they move once");
    service.drop_event(&path, "last").await;
    service.pass(Duration::from_secs(10));
    assert_eq!(recover(json!({"until": at(30)})).await.body, json!({"resent": 0}), "open at its beginning");
    assert_eq!(recover(json!({"until": at(40), "since": null})).await.body, json!({"resent": 1}));
    assert_eq!(deliver_all(&service, &path).await, ["last"]);
    assert_eq!(service.seen.all().iter().filter(|seen| seen.starts_with("resent")).count(), 4, "a step, two, and one");
    for (body, expected) in [
        (json!({}), "422 invalid_body since: is missing, and so is until"),
        (json!({"since": null, "until": null}), "422 invalid_body since: is missing, and so is until"),
        (json!({"since": "yesterday"}), "422 invalid_body since: \"yesterday\" is not a time"),
        (json!({"since": 5}), "422 invalid_body since: "),
        (json!({"since": at(0), "until": "later"}), "422 invalid_body until: "),
        (json!({"since": at(0), "all": true}), "422 invalid_body all: unknown field"),
    ] {
        let answer = recover(body.clone()).await;
        assert!(answer.problem().starts_with(expected), "{body}: {answer:?}");
    }
}

async fn nothing_is_resent_without_a_plan_or_an_endpoint(kind: Kind) {
    let service = Service::start(kind).await;
    let path = service.endpoint().await;
    service.drop_event(&path, "e1").await;
    service.put("/v1/workspaces/acme", r#"{"plan":"free"}"#).await;
    let asked = [
        ("events/e1/resend", ""),
        ("dropped/e1/resend", ""),
        ("recover", r#"{"since":"2020-01-01T00:00:00Z"}"#),
        ("test", r#"{"event_type":"message.sent"}"#),
    ];
    for (what, body) in asked {
        let answer = service.post(&format!("{path}/{what}"), body).await;
        assert!(answer.problem().starts_with("403 plan_required "), "{what}: {answer:?}");
        let nowhere = service.post(&format!("{ENDPOINTS}/ep_none/{what}"), body).await;
        assert!(nowhere.problem().starts_with("404 not_found "), "{what}: {nowhere:?}");
    }
    assert_eq!(events(&service.get(&format!("{path}/dropped")).await.body), ["e1"]);
    for nowhere in ["stats", "events/e1", "attempts", "dropped"] {
        assert_eq!(service.get(&format!("{ENDPOINTS}/ep_none/{nowhere}")).await.status, 404, "{nowhere}");
    }
}

async fn statistics_are_24_hours_with_the_quiet_ones(kind: Kind) {
    let service = Service::start(kind).await;
    let path = service.endpoint().await;
    service.append(&path, "e1").await;
    service.attempt(&path, Outcome::Delivered, Next::Drop).await;
    service.pass(Duration::from_secs(2 * 3600));
    service.drop_event(&path, "e2").await;
    let stats = service.get(&format!("{path}/stats")).await.body;
    let hours = stats["data"].as_array().unwrap();
    assert_eq!((hours.len(), &stats["next_cursor"]), (24, &Value::Null));
    assert_eq!(
        (&hours[0]["hour"], &hours[23]["hour"]),
        (&json!("2025-12-31T03:00:00.000Z"), &json!("2026-01-01T02:00:00.000Z"))
    );
    let counts = |hour: &Value| ["delivered", "failed", "dropped"].map(|of| hour[of].as_u64().unwrap());
    assert_eq!((counts(&hours[21]), counts(&hours[22]), counts(&hours[23])), ([1, 0, 0], [0, 0, 0], [0, 1, 1]));
    let buckets = hours[21]["duration_buckets"].as_array().unwrap();
    assert_eq!((buckets.len(), &buckets[0]), (8, &json!({"le_ms": 50, "count": 1})));
    assert_eq!(buckets[7], json!({"le_ms": null, "count": 0}));
}

async fn test(service: &Service, path: &str, event_type: &str) -> Told {
    service.post(&format!("{path}/test"), &json!({"event_type": event_type}).to_string()).await
}

async fn a_test_event_goes_out_now_signed_like_any_other_and_counts_nowhere(kind: Kind) {
    let service = Service::start(kind).await;
    let body = r#"{"url":"https://r.example/hook","events":["comment.created"],"headers":{"X-Api-Key":"s3cret"}}"#;
    let made = service.post(ENDPOINTS, body).await.body;
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    service.append(&path, "waits").await;
    let types = service.get("/v1/event-types").await.body;
    for known in types["data"].as_array().unwrap().iter().take(9) {
        let event_type = known["event_type"].as_str().unwrap();
        let row = test(&service, &path, event_type).await;
        let request = service.receivers.requests.lock().unwrap().pop().unwrap();
        let header = |name: &str| request.headers[name].to_str().unwrap();
        assert_eq!(request.url.as_str(), "https://r.example/hook");
        assert_eq!(
            (header("x-api-key"), header("x-webhook-event"), header("x-webhook-attempt")),
            ("s3cret", event_type, "1")
        );
        let secret = Secret::parse(made["secret"].as_str().unwrap()).unwrap();
        assert_eq!(header("x-webhook-signature"), secret.sign_body(&request.body).as_str());
        let id = header("webhook-id");
        let mut expected = known["sample"].clone();
        expected["event_id"] = json!(id);
        assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), expected);
        let shown = json!({
            "event_id": id, "event_type": event_type, "attempt": 1, "at": "2026-01-01T00:00:00.000Z", "duration_ms": 12,
            "outcome": "delivered", "status": 200, "reason": null, "response_excerpt": "thanks",
            "next_attempt_at": null, "resend": false,
        });
        assert_eq!((row.status, row.body), (200, shown));
    }
    for (wrong, expected) in [
        (
            r#"{"event_type":"message.read"}"#,
            "422 invalid_event_type event_type: there is no sample of \"message.read\"",
        ),
        (r#"{"event_type":"order.placed"}"#, "422 invalid_event_type event_type: there is no sample"),
        (r#"{"event_type":null}"#, "422 invalid_body event_type: "),
        ("{}", "422 invalid_body event_type: is missing"),
        (r#"{"event_type":"message.sent","url":"https://x.example"}"#, "422 invalid_body url: unknown field"),
    ] {
        let answer = service.post(&format!("{path}/test"), wrong).await;
        assert!(answer.problem().starts_with(expected), "{wrong}: {answer:?}");
    }
    let shown = service.get(&path).await.body;
    assert_eq!((&shown["backlog"]["events"], &shown["last_attempt"]), (&json!(1), &Value::Null));
}

async fn a_test_event_that_fails_says_why_in_words(kind: Kind) {
    let service = Service::start(kind).await;
    let path = service.endpoint().await;
    service.post(&format!("{path}/disable"), "").await;
    let detail = "connected, but no status line within 5s".to_owned();
    for (answer, expected) in [
        (
            Answer::Failed { reason: Reason::Timeout, detail: detail.clone() },
            json!(["failed", null, "timeout", detail]),
        ),
        (
            Answer::Status { status: 404, excerpt: "no such hook".to_owned() },
            json!(["failed", 404, "status", "no such hook"]),
        ),
    ] {
        *service.receivers.answer.lock().unwrap() = answer;
        let row = test(&service, &path, "message.sent").await.body;
        let got = json!([row["outcome"], row["status"], row["reason"], row["response_excerpt"]]);
        assert_eq!(got, expected, "also while it is disabled");
    }
    assert_eq!(service.get("/v1/workspaces/acme/quota").await.body["used"], 0);
}

async fn a_page_of_attempts_stays_put_while_new_rows_arrive(kind: Kind) {
    let limits = recadero::decide::policy::Limits { log_attempts: 6, ..Default::default() };
    let service = Service::with_limits(kind, limits).await;
    let path = service.endpoint().await;
    let deliver = async |event: &str| {
        service.append(&path, event).await;
        service.attempt(&path, Outcome::Delivered, Next::Drop).await;
    };
    for event in ["e1", "e2", "e3", "e4"] {
        deliver(event).await;
    }
    for (new, filter) in [("new-1", ""), ("new-2", "&outcome=delivered")] {
        let first = service.get(&format!("{path}/attempts?limit=2{filter}")).await.body;
        let shown = events(&first);
        deliver(new).await;
        let cursor = first["next_cursor"].as_str().unwrap();
        let second = service.get(&format!("{path}/attempts?limit=2&cursor={cursor}{filter}")).await.body;
        let all = [shown, events(&second)].concat();
        let expected = if filter.is_empty() { ["e4", "e3", "e2", "e1"] } else { ["new-1", "e4", "e3", "e2"] };
        assert_eq!(all, expected, "{filter}");
    }
    // What is too old has left, and the page ends there.
    for event in ["e5", "e6", "e7"] {
        deliver(event).await;
    }
    let first = service.get(&format!("{path}/attempts?limit=5&event_type=message.sent")).await.body;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = service.get(&format!("{path}/attempts?limit=5&cursor={cursor}")).await.body;
    assert_eq!((events(&rest), &rest["next_cursor"]), (vec!["e4".to_owned()], &Value::Null));
}
