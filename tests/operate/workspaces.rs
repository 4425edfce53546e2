//! Workspaces, their plan and their quota, and the event types.

use std::time::Duration;

use recadero::decide::attempt::{Outcome, Reason};
use recadero::decide::policy::{Limits, Policy};
use recadero::decide::retry::Next;
use serde_json::{Value, json};

use crate::ENDPOINTS;
use crate::service::{Kind, Service};

promises! {
    a_workspace_is_set_shown_and_deleted,
    workspaces_are_listed_in_pages_and_found_by_name,
    the_quota_shows_what_counts_and_whose_it_is,
    the_nine_event_types_have_names_and_samples_and_the_installations_own_follow,
    webhooks_are_for_entitled_plans_but_reading_and_deleting_are_for_all,
    a_workspace_never_set_is_one_on_the_default_plan,
    a_workspace_has_no_more_endpoints_than_it_may,
}

async fn a_workspace_is_set_shown_and_deleted(kind: Kind) {
    let service = Service::start(kind).await;
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

async fn workspaces_are_listed_in_pages_and_found_by_name(kind: Kind) {
    let service = Service::start(kind).await;
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
    for more in ["501", "99999999999999999999"] {
        assert_eq!(ids(&service.get(&format!("/v1/workspaces?limit={more}")).await.body).len(), 4, "{more}");
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("cursor=%21", "cursor"),
        ("page=2", "page"),
        ("limit=1&limit=2", "limit"),
    ] {
        let problem = service.get(&format!("/v1/workspaces?{query}")).await.problem();
        assert!(problem.starts_with(&format!("422 invalid_query {field}: ")), "{problem}");
    }
}

async fn the_quota_shows_what_counts_and_whose_it_is(kind: Kind) {
    let service = Service::start(kind).await;
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

async fn the_nine_event_types_have_names_and_samples_and_the_installations_own_follow(kind: Kind) {
    let service = Service::start(kind).await;
    let page = service.get("/v1/event-types").await.body;
    let rows = page["data"].as_array().unwrap();
    assert_eq!(rows.len(), 10);
    assert_eq!(rows[0]["names"], json!({"en": "Conversation Closed", "es": "Conversación Cerrada"}));
    for row in &rows[..9] {
        assert_eq!(row["sample"]["event_type"], row["event_type"]);
    }
    assert_eq!((&rows[9]["event_type"], &rows[9]["sample"]), (&json!("order.placed"), &Value::Null));
}

async fn webhooks_are_for_entitled_plans_but_reading_and_deleting_are_for_all(kind: Kind) {
    let service = Service::start(kind).await;
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

async fn a_workspace_never_set_is_one_on_the_default_plan(kind: Kind) {
    let mut policy = Policy::default();
    policy.plans.default = "advanced".to_owned();
    let service = Service::with_policy(kind, policy).await;
    assert_eq!(service.get("/v1/workspaces/new").await.status, 404);
    let created = service.post("/v1/workspaces/new/endpoints", r#"{"url":"https://r.example/","events":["*"]}"#).await;
    assert_eq!((created.status, &created.body["status"]), (201, &json!("enabled")));
    let shown = service.get("/v1/workspaces/new").await.body;
    assert_eq!(
        (&shown["plan"], &shown["entitled"], &shown["locale"]),
        (&json!("advanced"), &json!(true), &json!("en"))
    );
}

async fn a_workspace_has_no_more_endpoints_than_it_may(kind: Kind) {
    let service = Service::with_limits(kind, Limits { endpoints: 1, ..Limits::default() }).await;
    let path = service.endpoint().await;
    let body = r#"{"url":"https://r.example/","events":["*"]}"#;
    assert!(service.post(ENDPOINTS, body).await.problem().starts_with("409 limit_reached "));
    service.delete(&path).await;
    assert_eq!(service.post(ENDPOINTS, body).await.status, 201);
}
