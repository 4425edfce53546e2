//! Endpoints: created, shown, changed, enabled, disabled.

use std::time::Duration;

use serde_json::{Value, json};

use crate::ENDPOINTS;
use crate::service::{Kind, Service};

promises! {
    a_new_endpoint_answers_201_with_its_id_and_secret_which_is_shown_once,
    an_endpoint_is_checked_field_by_field,
    a_patch_changes_what_it_names_and_nothing_else,
    endpoints_are_listed_in_pages_that_survive_a_deletion,
    disabling_holds_events_and_enabling_delivers_or_discards_them,
    what_may_be_left_out_may_be_null,
}

async fn a_new_endpoint_answers_201_with_its_id_and_secret_which_is_shown_once(kind: Kind) {
    let service = Service::start(kind).await;
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

async fn an_endpoint_is_checked_field_by_field(kind: Kind) {
    let service = Service::start(kind).await;
    let with = |field: &str, value: Value| {
        let mut body = json!({"url": "https://r.example/", "events": ["*"]});
        body[field] = value;
        body.to_string()
    };
    let path = service.endpoint().await;
    let before = service.get(&path).await.body;
    for (field, value, expected) in [
        ("url", json!("http://r.example/"), "422 invalid_url url: "),
        ("url", json!("https://127.0.0.1/"), "422 invalid_url url: "),
        ("url", json!("https://[::ffff:10.0.0.1]/"), "422 invalid_url url: "),
        ("url", json!("https://169.254.169.254/latest"), "422 invalid_url url: "),
        ("url", json!("r.example"), "422 invalid_url url: "),
        ("url", json!("javascript:alert(1)"), "422 invalid_url url: "),
        ("url", json!("file:///etc/passwd"), "422 invalid_url url: "),
        ("url", json!("https://user:pass@r.example/"), "422 invalid_url url: "),
        ("url", json!("https://r.example/#fragment"), "422 invalid_url url: "),
        ("url", json!("https://xn--a/"), "422 invalid_url url: "),
        ("url", json!("https://0x7f.1/"), "422 invalid_url url: "),
        ("url", json!(format!("https://r.example/{}", "x".repeat(10_000))), "422 invalid_url url: "),
        ("url", json!(""), "422 invalid_url url: "),
        ("url", json!("https://r.exa\tmple/"), "422 invalid_url url: has control characters"),
        ("url", json!(7), "422 invalid_body url: "),
        ("events", json!([]), "422 invalid_body events: is empty"),
        ("events", json!(["message.read"]), "422 invalid_event_type events: \"message.read\""),
        ("events", json!(["*", "message.sent"]), "422 invalid_body events: \"*\" means all"),
        ("events", json!("*"), "422 invalid_body events: "),
        ("events", json!([1]), "422 invalid_body events[0]: "),
        ("events", json!(vec!["contact.assignee.updated"; 10_000]), "422 invalid_body events: names 10000 event types"),
        ("events", json!(["message.sent\0"]), "422 invalid_event_type events: "),
        ("description", json!("a\x1bb"), "422 invalid_body description: has control characters"),
        ("description", json!({}), "422 invalid_body description: "),
        ("lanes", json!(-1), "422 invalid_body lanes: "),
        ("lanes", json!(1.5), "422 invalid_body lanes: "),
        ("headers", json!([]), "422 invalid_body headers: "),
        ("headers", json!({"X-A": 1}), "422 invalid_body headers.X-A: "),
        ("headers", json!({"Connection": "x"}), "422 invalid_body headers: "),
        ("headers", json!({"X-A": "x".repeat(100_000)}), "422 invalid_body headers: "),
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
        assert_eq!(created.body["field"].as_str().unwrap().split(['[', '.']).next().unwrap(), field);
        let patched = service.patch(&path, &json!({field: value}).to_string()).await;
        assert!(patched.problem().starts_with(expected), "{field}: {patched:?}");
    }
    let missing = service.post(ENDPOINTS, r#"{"url":"https://r.example/"}"#).await;
    assert!(missing.problem().starts_with("422 invalid_body events: is missing"), "{missing:?}");
    assert_eq!(missing.body["field"], "events");
    assert_eq!(service.get(ENDPOINTS).await.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(service.get(&path).await.body, before, "nothing wrong was set");
    let international = service.post(ENDPOINTS, &with("url", json!("https://m\u{fc}nchen.example/\u{e1}"))).await;
    assert_eq!(international.body["url"], "https://xn--mnchen-3ya.example/%C3%A1");
    let written = service.post(ENDPOINTS, &with("url", json!("https://r.example"))).await;
    assert_eq!(written.body["url"], "https://r.example", "as it was written, where that is no other URL");
}

async fn what_may_be_left_out_may_be_null(kind: Kind) {
    let service = Service::start(kind).await;
    let set =
        service.put("/v1/workspaces/acme", r#"{"plan":"advanced","name":null,"notify":null,"locale":null}"#).await;
    assert_eq!((&set.body["name"], &set.body["notify"], &set.body["locale"]), (&json!(""), &json!([]), &json!("en")));
    let body = r#"{"url":"https://r.example/","events":["*"],"description":null,"lanes":null,"headers":null}"#;
    let made = service.post(ENDPOINTS, body).await.body;
    assert_eq!((&made["description"], &made["lanes"], &made["headers"]), (&json!(""), &json!(1), &json!([])));
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    let enabled = service.post(&format!("{path}/enable"), r#"{"backlog":null}"#).await;
    assert_eq!(enabled.status, 200, "{enabled:?}");
    let token = service.post("/v1/workspaces/acme/tokens", r#"{"ttl_seconds":null,"read_only":null}"#).await;
    assert_eq!((token.status, &token.body["expires_at"]), (201, &json!("2026-01-01T01:00:00.000Z")));
}

async fn a_patch_changes_what_it_names_and_nothing_else(kind: Kind) {
    let service = Service::start(kind).await;
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
    let removed = service.patch(&path, r#"{"description":null,"headers":null}"#).await.body;
    assert_eq!((&removed["description"], &removed["headers"]), (&json!(""), &json!([])));
    for body in [
        r#"{"url":null}"#,
        r#"{"events":null}"#,
        r#"{"lanes":null}"#,
        r#"{"status":"enabled"}"#,
        r#"{"headers":{"X-A":"1","x-a":"2"}}"#,
    ] {
        assert!(service.patch(&path, body).await.problem().starts_with("422 invalid_body "), "{body}");
    }
}

async fn endpoints_are_listed_in_pages_that_survive_a_deletion(kind: Kind) {
    let service = Service::start(kind).await;
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

async fn disabling_holds_events_and_enabling_delivers_or_discards_them(kind: Kind) {
    let service = Service::start(kind).await;
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
    assert_eq!(service.post(&format!("{path}/enable"), "[]").await.status, 422);
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
