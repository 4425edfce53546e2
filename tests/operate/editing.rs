//! Two editors, a request that is repeated, and a new secret.

use std::time::Duration;

use recadero::deliver::sign::Secret;
use serde_json::{Value, json};

use crate::ENDPOINTS;
use crate::service::{Kind, Service, Told};

promises! {
    of_two_editors_the_second_is_told,
    a_creation_repeated_with_its_key_creates_once_and_answers_alike,
    a_key_is_of_one_workspace_and_one_body,
    a_key_does_not_bring_back_what_was_deleted,
    a_creation_that_was_refused_can_be_tried_again_with_its_key,
    a_new_secret_is_shown_once_and_both_sign_for_24_hours,
}

fn tag(answer: &Told) -> String {
    answer.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

async fn of_two_editors_the_second_is_told(kind: Kind) {
    let service = Service::start(kind).await;
    let path = service.endpoint().await;
    let first = tag(&service.get(&path).await);
    assert_eq!(first, "\"1\"");
    let known = |tag: &str| format!("If-Match: {tag}\r\n");
    let patched = service.ask_with("PATCH", &path, &known(&first), r#"{"description":"mine"}"#).await;
    assert_eq!((patched.status, tag(&patched)), (200, "\"2\"".to_owned()));
    let rotate = format!("{path}/rotate-secret");
    for (method, path, body) in [
        ("PATCH", &path, r#"{"description":"theirs"}"#),
        ("PATCH", &path, r#"{"description":"mine"}"#),
        ("POST", &rotate, ""),
        ("DELETE", &path, ""),
    ] {
        for stale in [first.as_str(), "\"3\"", "W/\"2\"", "2", "\"1\", \"3\"", ""] {
            let answer = service.ask_with(method, path, &known(stale), body).await;
            assert!(answer.problem().starts_with("412 conflict "), "{method} {stale}: {answer:?}");
        }
    }
    assert_eq!(service.get(&path).await.body["description"], "mine");
    let several = service.ask_with("PATCH", &path, &known("\"1\", \"2\""), r#"{"description":"ours"}"#).await;
    assert_eq!(tag(&several), "\"3\"");
    // What changes by itself is nobody's edit.
    service.append(&path, "e1").await;
    service.post(&format!("{path}/disable"), "").await;
    assert_eq!(tag(&service.get(&path).await), "\"3\"");
    assert_eq!(service.ask_with("PATCH", &path, &known("*"), r#"{"lanes":2}"#).await.status, 200);
    assert_eq!(service.ask_with("DELETE", &path, &known("\"4\""), "").await.status, 204);
}

async fn create(service: &Service, path: &str, key: &str, url: &str) -> Told {
    let body = json!({"url": url, "events": ["*"]}).to_string();
    service.ask_with("POST", path, &format!("Idempotency-Key: {key}\r\n"), &body).await
}

const URL: &str = "https://r.example/";

async fn count(service: &Service) -> usize {
    service.get(ENDPOINTS).await.body["data"].as_array().unwrap().len()
}

async fn a_creation_repeated_with_its_key_creates_once_and_answers_alike(kind: Kind) {
    let service = Service::start(kind).await;
    let first = create(&service, ENDPOINTS, "k1", URL).await;
    assert_eq!(first.status, 201, "{first:?}");
    service.pass(Duration::from_secs(3600));
    let again = create(&service, ENDPOINTS, "k1", URL).await;
    assert_eq!((again.status, &again.body, count(&service).await), (201, &first.body, 1), "the secret too");
    assert!(create(&service, ENDPOINTS, "k2", URL).await.body["id"] != first.body["id"]);
    let both = tokio::join!(create(&service, ENDPOINTS, "k3", URL), create(&service, ENDPOINTS, "k3", URL));
    assert_eq!(both.0.body, both.1.body, "at the same time");
    assert_eq!(count(&service).await, 3);
    service.pass(Duration::from_secs(24 * 3600));
    assert!(create(&service, ENDPOINTS, "k1", URL).await.body["id"] != first.body["id"], "a day later it is another");
}

async fn a_key_is_of_one_workspace_and_one_body(kind: Kind) {
    let service = Service::start(kind).await;
    service.put("/v1/workspaces/other", r#"{"plan":"advanced"}"#).await;
    let first = create(&service, ENDPOINTS, "k1", URL).await;
    let elsewhere = create(&service, "/v1/workspaces/other/endpoints", "k1", URL).await;
    assert!(elsewhere.status == 201 && elsewhere.body["id"] != first.body["id"], "{elsewhere:?}");
    let other = create(&service, ENDPOINTS, "k1", "https://r.example/other").await;
    assert!(other.problem().starts_with("409 conflict Idempotency-Key: came with another body"), "{other:?}");
    for wrong in ["a b", "é", &"k".repeat(256)] {
        let answer = create(&service, ENDPOINTS, wrong, URL).await;
        assert!(answer.problem().starts_with("422 invalid_body Idempotency-Key: "), "{wrong}: {answer:?}");
    }
    assert_eq!(count(&service).await, 1);
}

async fn a_key_does_not_bring_back_what_was_deleted(kind: Kind) {
    let service = Service::start(kind).await;
    let first = create(&service, ENDPOINTS, "k1", URL).await;
    service.delete(&format!("{ENDPOINTS}/{}", first.body["id"].as_str().unwrap())).await;
    service.pass(Duration::from_secs(60));
    let again = create(&service, ENDPOINTS, "k1", URL).await;
    assert!(
        again.problem().starts_with("409 conflict Idempotency-Key: created an endpoint that was deleted"),
        "{again:?}"
    );
    assert_eq!(count(&service).await, 0);
}

async fn a_creation_that_was_refused_can_be_tried_again_with_its_key(kind: Kind) {
    let limits = recadero::decide::policy::Limits { endpoints: 1, ..Default::default() };
    let service = Service::with_limits(kind, limits).await;
    let path = service.endpoint().await;
    assert!(create(&service, ENDPOINTS, "k1", URL).await.problem().starts_with("409 limit_reached "));
    service.delete(&path).await;
    service.pass(Duration::from_secs(3600));
    assert_eq!(create(&service, ENDPOINTS, "k1", URL).await.status, 201);
}

async fn a_new_secret_is_shown_once_and_both_sign_for_24_hours(kind: Kind) {
    let service = Service::start(kind).await;
    let made = service.post(ENDPOINTS, &json!({"url": URL, "events": ["*"]}).to_string()).await.body;
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    service.pass(Duration::from_secs(1));
    let rotated = service.post(&format!("{path}/rotate-secret"), "").await;
    let mut expected = made.clone();
    expected["secret"] = rotated.body["secret"].clone();
    expected["updated_at"] = json!("2026-01-01T00:00:01.000Z");
    assert_eq!((rotated.status, &rotated.body), (200, &expected));
    assert!(made["secret"] != rotated.body["secret"] && tag(&rotated) == "\"2\"");
    assert_eq!(service.get(&path).await.body.get("secret"), None);

    let signed_by = async |secrets: &[&Value]| {
        service.post(&format!("{path}/test"), r#"{"event_type":"message.sent"}"#).await;
        let request = service.receivers.requests.lock().unwrap().pop().unwrap();
        let header = |name: &str| request.headers[name].to_str().unwrap();
        let sign = |secret: &&Value| {
            let secret = Secret::parse(secret.as_str().unwrap()).unwrap();
            let signature = secret.sign_standard(header("webhook-id"), header("webhook-timestamp"), &request.body);
            format!("v1,{}", signature.unwrap().as_str())
        };
        let expected: Vec<_> = secrets.iter().map(sign).collect();
        assert_eq!(header("webhook-signature"), expected.join(" "));
        let newest = Secret::parse(secrets[0].as_str().unwrap()).unwrap();
        assert_eq!(header("x-webhook-signature"), newest.sign_body(&request.body).as_str());
    };
    let (old, new) = (&made["secret"], &rotated.body["secret"]);
    signed_by(&[new, old]).await;
    service.pass(Duration::from_secs(24 * 3600) - Duration::from_millis(1));
    signed_by(&[new, old]).await;
    service.pass(Duration::from_millis(1));
    signed_by(&[new]).await;
}
