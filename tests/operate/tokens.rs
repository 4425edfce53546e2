//! Workspace tokens: what they open, and what they never open.

use std::time::Duration;

use recadero::operate::{CODE_KEPT_FOR, TRIES_MAX, openapi};
use serde_json::{Value, json};

use crate::ENDPOINTS;
use crate::service::{Kind, Service, TOKEN};

promises! {
    a_workspace_token_opens_its_workspace_until_it_ends,
    no_token_sees_another_workspace_on_any_route,
    a_read_only_token_changes_nothing_on_any_route,
    only_administrators_set_plans_make_tokens_and_see_what_is_all_workspaces,
    the_consoles_code_is_good_once_and_for_ten_minutes,
    too_many_wrong_tokens_are_rate_limited,
    a_token_is_asked_for_strictly,
}

/// Every operation of the document: its method and its path, with these for what stands in braces.
fn operations(workspace: &str, endpoint: &str) -> Vec<(String, String, Value)> {
    let document = serde_json::to_value(openapi::document()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path =
            path.replace("{workspace}", workspace).replace("{endpoint}", endpoint).replace("{event}", "some-event");
        assert!(!path.contains('{'), "{path}: say what stands there");
        for (method, operation) in item.as_object().unwrap() {
            operations.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    assert!(operations.len() >= 26, "{}", operations.len());
    operations
}

async fn a_workspace_token_opens_its_workspace_until_it_ends(kind: Kind) {
    let service = Service::start(kind).await;
    let body = json!({"ttl_seconds": 60}).to_string();
    let made = service.post("/v1/workspaces/acme/tokens", &body).await;
    assert_eq!((made.status, &made.body["expires_at"]), (201, &json!("2026-01-01T00:01:00.000Z")), "{made:?}");
    let token = made.body["token"].as_str().unwrap();
    assert!(made.head.contains("cache-control: no-store"), "{}", made.head);
    let create = r#"{"url":"https://r.example/","events":["*"]}"#;
    assert_eq!(service.ask_as(token, "POST", ENDPOINTS, create).await.status, 201);
    assert_eq!(service.ask_as(token, "GET", "/v1/workspaces/acme", "").await.body["plan"], "advanced");
    assert_eq!(service.ask_as(token, "GET", "/v1/event-types", "").await.status, 200);
    service.pass(Duration::from_secs(59));
    assert_eq!(service.ask_as(token, "GET", ENDPOINTS, "").await.status, 200);
    service.pass(Duration::from_secs(1));
    assert!(service.ask_as(token, "GET", ENDPOINTS, "").await.problem().starts_with("401 unauthorized "));
}

async fn no_token_sees_another_workspace_on_any_route(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    service.drop_event(&endpoint, "some-event").await;
    let id = endpoint.rsplit('/').next().unwrap();
    service.put("/v1/workspaces/other", r#"{"plan":"advanced"}"#).await;
    let token = service.token("other", false).await;
    let before = service.get(&endpoint).await.body;
    for (method, path, _) in operations("acme", id) {
        let mine = path == "/v1/event-types";
        for body in ["", "{}", r#"{"plan":"advanced"}"#, r#"{"event_type":"message.sent"}"#] {
            let answer = service.ask_as(&token, &method, &path, body).await;
            let refused = answer.status == 403 || answer.status == 404;
            assert!(mine || refused, "{method} {path}: {answer:?}");
            assert!(mine || !answer.body.to_string().contains("r.example"), "{answer:?}");
        }
    }
    // An id guessed right does not help below one's own workspace either.
    for (method, path, _) in operations("other", id).iter().filter(|(_, path, _)| path.contains(id)) {
        let answer = service.ask_as(&token, method, path, r#"{"since":"2020-01-01T00:00:00Z"}"#).await;
        assert!([404, 422].contains(&answer.status), "{method} {path}: {answer:?}");
    }
    assert_eq!(service.get(&endpoint).await.body, before);
    assert_eq!((service.broker.depth(), service.receivers.requests.lock().unwrap().len()), ((0, 0), 0));
}

async fn a_read_only_token_changes_nothing_on_any_route(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    service.drop_event(&endpoint, "some-event").await;
    let id = endpoint.rsplit('/').next().unwrap();
    let token = service.token("acme", true).await;
    let before = service.get(&endpoint).await.body;
    for (method, path, _) in operations("acme", id) {
        let answer = service.ask_as(&token, &method, &path, r#"{"event_type":"message.sent"}"#).await;
        let for_admins = path == "/v1/workspaces" || path.starts_with("/v1/rejected");
        let expected = if method != "GET" || for_admins { 403 } else { 200 };
        assert_eq!(answer.status, expected, "{method} {path}: {answer:?}");
        assert!(expected == 200 || answer.problem().starts_with("403 forbidden "), "{answer:?}");
    }
    assert_eq!(service.get(&endpoint).await.body, before);
    assert_eq!(service.broker.depth(), (0, 0));
}

async fn only_administrators_set_plans_make_tokens_and_see_what_is_all_workspaces(kind: Kind) {
    let service = Service::start(kind).await;
    let token = service.token("acme", false).await;
    for (method, path, body) in [
        ("GET", "/v1/workspaces", ""),
        ("PUT", "/v1/workspaces/acme", r#"{"plan":"enterprise"}"#),
        ("DELETE", "/v1/workspaces/acme", ""),
        ("POST", "/v1/workspaces/acme/tokens", "{}"),
        ("GET", "/v1/rejected", ""),
        ("POST", "/v1/rejected/replay", "{}"),
    ] {
        let answer = service.ask_as(&token, method, path, body).await;
        assert!(answer.problem().starts_with("403 forbidden this needs an admin token"), "{method} {path}: {answer:?}");
    }
    assert_eq!(service.get("/v1/workspaces/acme").await.body["plan"], "advanced");
}

async fn the_consoles_code_is_good_once_and_for_ten_minutes(kind: Kind) {
    let service = Service::start(kind).await;
    let code = async |service: &Service| {
        let made = service.post("/v1/workspaces/acme/tokens", r#"{"read_only":true}"#).await.body;
        let url = made["console_url"].as_str().unwrap().to_owned();
        let code = url.strip_prefix("https://hooks.example/console/enter?code=").unwrap().to_owned();
        assert!(code.len() >= 32 && !url.contains(made["token"].as_str().unwrap()), "{url}");
        code
    };
    let first = code(&service).await;
    let grant = service.api.redeem_code(&first).await.unwrap().expect("the first time");
    assert_eq!((grant.workspace.as_str(), grant.read_only), ("acme", true));
    assert_eq!(service.api.redeem_code(&first).await.unwrap(), None, "once");
    assert_eq!(service.api.redeem_code("guessed").await.unwrap(), None);
    let late = code(&service).await;
    service.pass(CODE_KEPT_FOR);
    assert_eq!(service.api.redeem_code(&late).await.unwrap(), None, "too late");
}

async fn too_many_wrong_tokens_are_rate_limited(kind: Kind) {
    let service = Service::start(kind).await;
    for number in 0..TRIES_MAX {
        let answer = service.ask_as(&format!("wrong-{number}"), "GET", ENDPOINTS, "").await;
        assert!(answer.problem().starts_with("401 unauthorized "), "{answer:?}");
    }
    let limited = service.ask_as("wrong", "GET", ENDPOINTS, "").await;
    assert!(limited.problem().starts_with("429 rate_limited "), "{limited:?}");
    assert!(limited.head.contains("retry-after: 60"), "{}", limited.head);
    assert_eq!(service.ask_as(TOKEN, "GET", ENDPOINTS, "").await.status, 200, "others behind the same proxy go on");
    service.pass(Duration::from_secs(60));
    assert_eq!(service.ask_as("wrong", "GET", ENDPOINTS, "").await.status, 401);
}

async fn a_token_is_asked_for_strictly(kind: Kind) {
    let service = Service::start(kind).await;
    for (body, expected) in [
        (r#"{"ttl_seconds":0}"#, "422 invalid_body ttl_seconds: must be 1 to "),
        (r#"{"ttl_seconds":31536001}"#, "422 invalid_body ttl_seconds: must be 1 to "),
        (r#"{"ttl_seconds":-1}"#, "422 invalid_body ttl_seconds: "),
        (r#"{"ttl_seconds":"1"}"#, "422 invalid_body ttl_seconds: "),
        (r#"{"ttl_seconds":[]}"#, "422 invalid_body ttl_seconds: "),
        (r#"{"read_only":1}"#, "422 invalid_body read_only: "),
        (r#"{"admin":true}"#, "422 invalid_body admin: unknown field"),
    ] {
        let answer = service.post("/v1/workspaces/acme/tokens", body).await;
        assert!(answer.problem().starts_with(expected), "{body}: {answer:?}");
    }
    let (short, long) = (r#"{"ttl_seconds":1}"#, r#"{"ttl_seconds":31536000}"#);
    for body in ["", "{}", short, long] {
        assert_eq!(service.post("/v1/workspaces/acme/tokens", body).await.status, 201, "{body}");
    }
}
