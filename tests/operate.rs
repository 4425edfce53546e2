//! The API over real HTTP (contract, section 5), and metrics and health beside it (section 6).

#![allow(clippy::unwrap_used)]

#[path = "operate/service.rs"]
mod service;

use std::sync::Arc;
use std::time::Duration;

use recadero::config::Roles;
use recadero::decide::attempt::{Outcome, Reason};
use recadero::decide::event_types::EventTypes;
use recadero::decide::policy::{Limits, Policy};
use recadero::decide::retry::Next;
use recadero::observe::health::{Health, ops};
use recadero::observe::metrics::Metrics;
use recadero::observe::signal::{Signal, Tap};
use recadero::operate::serve;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use service::{OTHER_TOKEN, Service, TOKEN, ask};

const ENDPOINTS: &str = "/v1/workspaces/acme/endpoints";

#[tokio::test]
async fn only_an_admin_token_opens_the_api() {
    let service = Service::start().await;
    for headers in [
        String::new(),
        "Authorization: Bearer wrong\r\n".to_owned(),
        format!("Authorization: Bearer {TOKEN}x\r\n"),
        format!("Authorization: Bearer {}\r\n", &TOKEN[..32]),
        format!("Authorization: Basic {TOKEN}\r\n"),
        "Authorization: Bearer\r\n".to_owned(),
    ] {
        let answer = ask(service.address, "GET", "/v1/workspaces", &headers, "").await;
        assert!(answer.problem().starts_with("401 unauthorized "), "{headers:?} {answer:?}");
        assert!(answer.head.contains("www-authenticate: Bearer"), "{}", answer.head);
    }
    for token in [format!("Bearer {TOKEN}"), format!("bearer {TOKEN}"), format!("Bearer {OTHER_TOKEN}")] {
        let headers = format!("Authorization: {token}\r\n");
        assert_eq!(ask(service.address, "GET", "/v1/workspaces", &headers, "").await.status, 200);
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_possible_are_problems_too() {
    let service = Service::start().await;
    for path in ["/", "/v2", "/v1/workspaces/acme/nothing", "/v1/workspaces/acme/endpoints/ep_1/nothing"] {
        assert!(service.get(path).await.problem().starts_with("404 not_found "), "{path}");
    }
    let answer = service.delete("/v1/workspaces").await;
    assert!(answer.problem().starts_with("405 method_not_allowed "), "{answer:?}");
    assert!(answer.head.to_lowercase().contains("allow: get"), "{}", answer.head);
    for path in ["/v1/workspaces/unset", "/v1/workspaces/acme/endpoints/ep_none", "/v1/workspaces/acme/endpoints/x%2Fy"]
    {
        assert!(service.get(path).await.problem().starts_with("404 not_found "), "{path}");
    }
    let odd = service.get("/v1/workspaces/a%20b").await;
    assert!(odd.problem().starts_with("422 invalid_body workspace: "), "{odd:?}");
}

#[tokio::test]
async fn a_body_is_read_strictly_and_the_answer_names_the_field() {
    let service = Service::start().await;
    for (body, expected) in [
        ("", "422 invalid_body the body is not what it should be: missing field `plan`"),
        ("{", "422 invalid_body the body is not what it should be: "),
        ("[]", "422 invalid_body "),
        ("null", "422 invalid_body "),
        (r#"{"plan":"advanced"} x"#, "422 invalid_body the body goes on after its end"),
        (
            r#"{"plan":"advanced","plan":"free"}"#,
            "422 invalid_body the body is not what it should be: duplicate field `plan`",
        ),
        (r#"{"plan":"advanced","locals":"en"}"#, "422 invalid_body locals: unknown field `locals`, expected one of"),
        (r#"{"plan":7}"#, "422 invalid_body plan: invalid type: integer `7`, expected a string"),
        (r#"{"plan":""}"#, "422 invalid_body plan: "),
        (r#"{"plan":"a b"}"#, "422 invalid_body plan: "),
        (r#"{"plan":"advanced","locale":"de"}"#, "422 invalid_body locale: must be en or es"),
        (
            r#"{"plan":"advanced","notify":["a@b.example","nobody"]}"#,
            "422 invalid_body notify: \"nobody\" is not an e-mail address",
        ),
        (r#"{"plan":"advanced","notify":["a@b.example\r\nBcc: c@d.example"]}"#, "422 invalid_body notify: "),
        (r#"{"plan":"advanced","notify":"a@b.example"}"#, "422 invalid_body notify: invalid type"),
        (r#"{"plan":"advanced","name":"a\u0000b"}"#, "422 invalid_body name: has control characters"),
    ] {
        let answer = service.put("/v1/workspaces/w", body).await;
        assert!(answer.problem().starts_with(expected), "{body}: {answer:?}");
    }
    let long = json!({"plan": "advanced", "name": "x".repeat(201)}).to_string();
    assert!(service.put("/v1/workspaces/w", &long).await.problem().contains("name: has 201 characters; at most 200"));
    let many = json!({"plan": "advanced", "notify": vec!["a@b.example"; 21]}).to_string();
    assert!(service.put("/v1/workspaces/w", &many).await.problem().contains("notify: has 21 addresses; at most 20"));
    let huge = json!({"plan": "advanced", "name": "x".repeat(65 << 10)}).to_string();
    assert!(service.put("/v1/workspaces/w", &huge).await.problem().starts_with("413 too_large "));
    assert_eq!(service.get("/v1/workspaces/w").await.status, 404, "nothing wrong was set");
}

#[tokio::test]
async fn a_workspace_is_set_shown_and_deleted() {
    let service = Service::start().await;
    let set = r#"{"plan":"free","name":"Acmé","notify":["a@b.example","a@b.example"],"locale":"es"}"#;
    let shown = json!({
        "id": "w.1", "plan": "free", "name": "Acmé", "notify": ["a@b.example"], "locale": "es", "entitled": false,
    });
    assert_eq!(service.put("/v1/workspaces/w.1", set).await.body, shown);
    assert_eq!(service.get("/v1/workspaces/w.1").await.body, shown);
    let again = service.put("/v1/workspaces/w.1", r#"{"plan":"enterprise"}"#).await.body;
    assert_eq!((&again["entitled"], &again["name"], &again["locale"]), (&json!(true), &json!(""), &json!("en")));
    let deleted = service.delete("/v1/workspaces/w.1").await;
    assert_eq!((deleted.status, deleted.body), (204, json!("")));
    assert!(service.delete("/v1/workspaces/w.1").await.problem().starts_with("404 not_found "));
}

#[tokio::test]
async fn workspaces_are_listed_in_pages_and_found_by_name() {
    let service = Service::start().await;
    for name in ["beta", "alpha", "gamma"] {
        service.put(&format!("/v1/workspaces/{name}"), r#"{"plan":"advanced"}"#).await;
    }
    let ids = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = service.get("/v1/workspaces?limit=2").await.body;
    assert_eq!(ids(&first), ["acme", "alpha"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = service.get(&format!("/v1/workspaces?limit=2&cursor={cursor}")).await.body;
    assert_eq!((ids(&second), &second["next_cursor"]), (vec!["beta".to_owned(), "gamma".to_owned()], &Value::Null));
    assert_eq!(ids(&service.get("/v1/workspaces?query=ph").await.body), ["alpha"]);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=%21", "cursor"),
        ("page=2", "page"),
        ("limit=1&limit=2", "limit"),
    ] {
        let problem = service.get(&format!("/v1/workspaces?{query}")).await.problem();
        assert!(problem.starts_with(&format!("422 invalid_query {field}: ")), "{problem}");
    }
}

#[tokio::test]
async fn a_new_endpoint_answers_201_with_its_id_and_secret_which_is_shown_once() {
    let service = Service::start().await;
    let body = r#"{"url":"https://r.example/hook?x=1","events":["message.sent","order.placed","message.sent"],
                   "description":"CRM","lanes":8,"headers":{"X-Api-Key":"s3cret"}}"#;
    let created = service.post(ENDPOINTS, body).await;
    assert_eq!(created.status, 201, "{created:?}");
    let (id, secret) = (created.body["id"].as_str().unwrap(), created.body["secret"].as_str().unwrap());
    assert!(id.starts_with("ep_") && id.len() >= 23 && id[3..].bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert!(created.head.contains(&format!("location: {ENDPOINTS}/{id}")), "{}", created.head);
    assert!(created.head.contains("cache-control: no-store"), "{}", created.head);

    let shown = service.get(&format!("{ENDPOINTS}/{id}")).await;
    let expected = json!({
        "id": id, "url": "https://r.example/hook?x=1", "events": ["message.sent", "order.placed"],
        "description": "CRM", "lanes": 8, "headers": ["x-api-key"], "status": "enabled", "disabled": null,
        "backlog": {"events": 0, "oldest_at": null}, "last_attempt": null,
        "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z",
    });
    assert_eq!(shown.body, expected);
    let all = format!("{:?}{:?}", shown.body, service.get(ENDPOINTS).await.body);
    assert!(!all.contains(secret) && !all.contains("s3cret"), "{all}");
}

#[tokio::test]
async fn an_endpoint_is_checked_field_by_field() {
    let service = Service::start().await;
    let with = |field: &str, value: Value| {
        let mut body = json!({"url": "https://r.example/", "events": ["*"]});
        body[field] = value;
        body.to_string()
    };
    let path = service.endpoint().await;
    for (field, value, expected) in [
        ("url", json!("http://r.example/"), "422 invalid_url url: "),
        ("url", json!("https://127.0.0.1/"), "422 invalid_url url: "),
        ("url", json!("https://[::ffff:10.0.0.1]/"), "422 invalid_url url: "),
        ("url", json!("https://169.254.169.254/latest"), "422 invalid_url url: "),
        ("url", json!("r.example"), "422 invalid_url url: "),
        ("url", json!("https://r.exa\tmple/"), "422 invalid_url url: has control characters"),
        ("url", json!(7), "422 invalid_body url: "),
        ("events", json!([]), "422 invalid_body events: is empty"),
        ("events", json!(["message.read"]), "422 invalid_event_type events: \"message.read\""),
        ("events", json!(["*", "message.sent"]), "422 invalid_body events: \"*\" means all"),
        ("events", json!("*"), "422 invalid_body events: "),
        ("events", json!([1]), "422 invalid_body events[0]: "),
        ("lanes", json!(0), "422 invalid_body lanes: must be 1 to 64"),
        ("lanes", json!(65), "422 invalid_body lanes: must be 1 to 64"),
        ("lanes", json!(70_000), "422 invalid_body lanes: "),
        ("description", json!("x".repeat(501)), "422 invalid_body description: has 501 characters"),
        ("headers", json!({"Host": "x"}), "422 invalid_body headers: "),
        ("headers", json!({"X-Webhook-Signature": "x"}), "422 invalid_body headers: "),
        ("headers", json!({"X-A": "a\r\nX-B: b"}), "422 invalid_body headers: "),
        ("secret", json!("whsec_mine"), "422 invalid_body secret: unknown field"),
    ] {
        let body = with(field, value.clone());
        let created = service.post(ENDPOINTS, &body).await;
        assert!(created.problem().starts_with(expected), "{body}: {created:?}");
        assert_eq!(created.body["field"].as_str().unwrap().split('[').next().unwrap(), field);
        let patched = service.patch(&path, &json!({field: value}).to_string()).await;
        assert!(patched.problem().starts_with(expected), "{field}: {patched:?}");
    }
    let missing = service.post(ENDPOINTS, r#"{"url":"https://r.example/"}"#).await;
    assert!(missing.problem().contains("missing field `events`"), "{missing:?}");
    assert_eq!(service.get(ENDPOINTS).await.body["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let service = Service::start().await;
    let body = r#"{"url":"https://r.example/","events":["*"],"headers":{"X-A":"1","X-B":"2"}}"#;
    let created = service.post(ENDPOINTS, body).await.body;
    let path = format!("{ENDPOINTS}/{}", created["id"].as_str().unwrap());
    service.pass(Duration::from_secs(1));
    let patched = service.patch(&path, r#"{"description":"new","lanes":2,"headers":{"x-b":null,"X-C":"3"}}"#).await;
    let mut expected = created.clone();
    expected.as_object_mut().unwrap().remove("secret");
    expected["description"] = json!("new");
    expected["lanes"] = json!(2);
    expected["headers"] = json!(["x-a", "x-c"]);
    expected["updated_at"] = json!("2026-01-01T00:00:01.000Z");
    assert_eq!(patched.body, expected);
    service.pass(Duration::from_secs(1));
    assert_eq!(service.patch(&path, r#"{"description":"new"}"#).await.body, expected, "no change, no new time");
    for body in [r#"{"url":null}"#, r#"{"status":"enabled"}"#, r#"{"headers":{"X-A":"1","x-a":"2"}}"#] {
        assert!(service.patch(&path, body).await.problem().starts_with("422 invalid_body "), "{body}");
    }
}

#[tokio::test]
async fn endpoints_are_listed_in_pages_that_survive_a_deletion() {
    let service = Service::start().await;
    let mut paths = Vec::new();
    for _ in 0..5 {
        paths.push(service.endpoint().await);
        service.pass(Duration::from_secs(1));
    }
    let ids = |page: &Value| -> Vec<String> {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| format!("{ENDPOINTS}/{}", row["id"].as_str().unwrap())).collect()
    };
    let first = service.get(&format!("{ENDPOINTS}?limit=2")).await.body;
    assert_eq!(ids(&first), paths[..2]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = service.get(&format!("{ENDPOINTS}?limit=2&cursor={cursor}")).await.body;
    assert_eq!(ids(&second), paths[2..4]);
    assert_eq!(service.delete(&paths[1]).await.status, 204);
    let rest = service.get(&format!("{ENDPOINTS}?cursor={cursor}")).await.body;
    assert_eq!((ids(&rest), &rest["next_cursor"]), (paths[2..].to_vec(), &Value::Null));
}

#[tokio::test]
async fn webhooks_are_for_entitled_plans_but_reading_and_deleting_are_for_all() {
    let service = Service::start().await;
    let path = service.endpoint().await;
    service.put("/v1/workspaces/acme", r#"{"plan":"free"}"#).await;
    assert_eq!(service.get(&path).await.body["status"], "paused");
    let body = r#"{"url":"https://r.example/","events":["*"]}"#;
    for (method, path) in [("create", ENDPOINTS), ("enable", &format!("{path}/enable"))] {
        let answer = service.post(path, if method == "create" { body } else { "" }).await;
        assert!(answer.problem().starts_with("403 plan_required the workspace's plan, free, "), "{method}: {answer:?}");
    }
    let unset = service.post("/v1/workspaces/unset/endpoints", body).await;
    assert!(unset.problem().starts_with("403 plan_required the workspace's plan, none, "), "{unset:?}");
    assert_eq!(service.delete(&path).await.status, 204);
}

#[tokio::test]
async fn a_workspace_never_set_is_one_on_the_default_plan() {
    let mut policy = Policy::default();
    policy.plans.default = "advanced".to_owned();
    let service = Service::with_policy(policy).await;
    assert_eq!(service.get("/v1/workspaces/new").await.status, 404);
    let created = service.post("/v1/workspaces/new/endpoints", r#"{"url":"https://r.example/","events":["*"]}"#).await;
    assert_eq!((created.status, &created.body["status"]), (201, &json!("enabled")));
    let shown = service.get("/v1/workspaces/new").await.body;
    assert_eq!(
        (&shown["plan"], &shown["entitled"], &shown["locale"]),
        (&json!("advanced"), &json!(true), &json!("en"))
    );
}

#[tokio::test]
async fn a_workspace_has_no_more_endpoints_than_it_may() {
    let service = Service::with_limits(Limits { endpoints: 1, ..Limits::default() }).await;
    let path = service.endpoint().await;
    let body = r#"{"url":"https://r.example/","events":["*"]}"#;
    assert!(service.post(ENDPOINTS, body).await.problem().starts_with("409 limit_reached "));
    service.delete(&path).await;
    assert_eq!(service.post(ENDPOINTS, body).await.status, 201);
}

#[tokio::test]
async fn disabling_holds_events_and_enabling_delivers_or_discards_them() {
    let service = Service::start().await;
    let path = service.endpoint().await;
    service.pass(Duration::from_secs(5));
    let disabled = service.post(&format!("{path}/disable"), "").await.body;
    assert_eq!(disabled["status"], "disabled");
    assert_eq!(disabled["disabled"], json!({"reason": "manual", "at": "2026-01-01T00:00:05.000Z"}));
    service.append(&path, "e1").await;
    service.append(&path, "e2").await;
    let backlog = service.get(&path).await.body["backlog"].clone();
    assert_eq!(backlog, json!({"events": 2, "oldest_at": "2026-01-01T00:00:05.000Z"}));

    let wrong = service.post(&format!("{path}/enable"), r#"{"backlog":"keep"}"#).await;
    assert!(wrong.problem().starts_with("422 invalid_body backlog: unknown variant `keep`"), "{wrong:?}");
    let enabled = service.post(&format!("{path}/enable"), "").await.body;
    assert_eq!(
        (&enabled["status"], &enabled["disabled"], &enabled["backlog"]["events"]),
        (&json!("enabled"), &json!(null), &json!(2))
    );
    service.post(&format!("{path}/enable"), "{}").await;
    service.post(&format!("{path}/disable"), "").await;
    service.post(&format!("{path}/disable"), "").await;
    let discarded = service.post(&format!("{path}/enable"), r#"{"backlog":"discard"}"#).await.body;
    assert_eq!(discarded["backlog"], json!({"events": 0, "oldest_at": null}));
    let told = ["disabled manual", "enabled", "disabled manual", "enabled", "dropped discarded 2"];
    assert_eq!(service.seen.all(), told, "told once each, and only where something changed");

    service.append(&path, "e3").await;
    assert_eq!(service.delete(&path).await.status, 204);
    assert_eq!(service.seen.all().last().unwrap(), "dropped endpoint_deleted 1");
    for gone in [service.post(&format!("{path}/enable"), "").await, service.post(&format!("{path}/disable"), "").await]
    {
        assert!(gone.problem().starts_with("404 not_found "), "{gone:?}");
    }
}

#[tokio::test]
async fn the_quota_shows_what_counts_and_whose_it_is() {
    let service = Service::start().await;
    let path = service.endpoint().await;
    let empty = service.get("/v1/workspaces/acme/quota").await.body;
    assert_eq!(
        empty,
        json!({"used": 0, "limit": 30, "window_seconds": 1800, "by_endpoint": {}, "next_leaves_at": null})
    );
    service.append(&path, "e1").await;
    service.attempt(&path, Outcome::Failed(Reason::Status), Next::RetryAfter(Duration::from_secs(30))).await;
    let quota = service.get("/v1/workspaces/acme/quota").await.body;
    let id = path.rsplit('/').next().unwrap();
    assert_eq!((&quota["used"], &quota["by_endpoint"]), (&json!(1), &json!({id: 1})));
    assert_eq!(quota["next_leaves_at"], "2026-01-01T00:30:00.000Z");
}

#[tokio::test]
async fn attempts_are_listed_newest_first_and_filtered() {
    let service = Service::start().await;
    let path = service.endpoint().await;
    for event in ["e1", "e2", "e3"] {
        service.append(&path, event).await;
    }
    service.attempt(&path, Outcome::Delivered, Next::Drop).await;
    service.attempt(&path, Outcome::Delivered, Next::Drop).await;
    service.attempt(&path, Outcome::Failed(Reason::Status), Next::RetryAfter(Duration::from_secs(30))).await;

    let first = service.get(&format!("{path}/attempts?limit=1")).await.body;
    let failed = json!({
        "event_id": "e3", "event_type": "message.sent", "attempt": 1, "at": "2026-01-01T00:00:00.000Z",
        "duration_ms": 12, "outcome": "failed", "status": 500, "reason": "status", "response_excerpt": "oh",
        "next_attempt_at": "2026-01-01T00:00:30.000Z", "resend": false,
    });
    assert_eq!(first["data"], json!([failed]));
    assert_eq!(service.get(&path).await.body["last_attempt"], failed);
    let cursor = first["next_cursor"].as_str().unwrap();
    let events = |page: Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|row| row["event_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(events(service.get(&format!("{path}/attempts?cursor={cursor}")).await.body), ["e2", "e1"]);
    for (filter, expected) in [
        ("outcome=delivered", vec!["e2", "e1"]),
        ("outcome=failed", vec!["e3"]),
        ("event_id=e1", vec!["e1"]),
        ("event_type=contact.created", vec![]),
        ("event_type=message.sent&outcome=delivered&event_id=e2", vec!["e2"]),
    ] {
        assert_eq!(events(service.get(&format!("{path}/attempts?{filter}")).await.body), expected, "{filter}");
    }
    let wrong = service.get(&format!("{path}/attempts?outcome=lost")).await;
    assert!(wrong.problem().starts_with("422 invalid_query outcome: "), "{wrong:?}");
    assert_eq!(service.get(&format!("{ENDPOINTS}/ep_none/attempts")).await.status, 404);
}

#[tokio::test]
async fn dropped_events_are_listed_in_their_old_order() {
    let service = Service::start().await;
    let path = service.endpoint().await;
    for event in ["e1", "e2", "e3"] {
        service.drop_event(&path, event).await;
    }
    let first = service.get(&format!("{path}/dropped?limit=2")).await.body;
    let at = "2026-01-01T00:00:00.000Z";
    let row = |event| json!({"event_id": event, "event_type": "message.sent", "reason": "retries", "received_at": at, "dropped_at": at});
    assert_eq!(first["data"], json!([row("e1"), row("e2")]));
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = service.get(&format!("{path}/dropped?cursor={cursor}")).await.body;
    assert_eq!(rest, json!({"data": [row("e3")], "next_cursor": null}));
}

#[tokio::test]
async fn the_nine_event_types_have_names_and_samples_and_the_installations_own_follow() {
    let service = Service::start().await;
    let page = service.get("/v1/event-types").await.body;
    let rows = page["data"].as_array().unwrap();
    assert_eq!(rows.len(), 10);
    assert_eq!(rows[0]["names"], json!({"en": "Conversation Closed", "es": "Conversación Cerrada"}));
    for row in &rows[..9] {
        assert_eq!(row["sample"]["event_type"], row["event_type"]);
    }
    assert_eq!((&rows[9]["event_type"], &rows[9]["sample"]), (&json!("order.placed"), &Value::Null));
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_lets_what_is_under_way_finish() {
    let service = Service::start().await;
    let mut idle = TcpStream::connect(service.address).await.unwrap();
    let mut busy = TcpStream::connect(service.address).await.unwrap();
    let body = r#"{"plan":"advanced"}"#;
    let head = format!(
        "PUT /v1/workspaces/late HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    busy.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    service.stop.cancel();
    let mut nothing = Vec::new();
    tokio::time::timeout(Duration::from_secs(2), idle.read_to_end(&mut nothing)).await.expect("closed").unwrap();
    assert!(!service.serving.is_finished());
    busy.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    tokio::time::timeout(Duration::from_secs(2), service.serving).await.expect("ended").unwrap();
    assert!(TcpStream::connect(service.address).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn an_address_that_is_taken_is_one_line_that_names_the_option() {
    let service = Service::start().await;
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
