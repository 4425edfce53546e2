//! Who may ask, and how a request is read.

use serde_json::json;

use crate::service::{Kind, OTHER_TOKEN, Service, TOKEN, ask};

promises! {
    only_an_admin_token_opens_the_api,
    what_is_not_there_and_what_is_not_possible_are_problems_too,
    a_body_is_read_strictly_and_the_answer_names_the_field,
}

async fn only_an_admin_token_opens_the_api(kind: Kind) {
    let service = Service::start(kind).await;
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

async fn what_is_not_there_and_what_is_not_possible_are_problems_too(kind: Kind) {
    let service = Service::start(kind).await;
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

async fn a_body_is_read_strictly_and_the_answer_names_the_field(kind: Kind) {
    let service = Service::start(kind).await;
    for (body, expected) in [
        ("", "422 invalid_body plan: is missing"),
        ("{", "422 invalid_body the body is not what it should be: "),
        ("[]", "422 invalid_body the body is not what it should be: a JSON object"),
        (r#"["advanced","name",[],"en"]"#, "422 invalid_body the body is not what it should be: a JSON object"),
        ("null", "422 invalid_body the body is not what it should be: a JSON object"),
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
    let huge = json!({"plan": "advanced", "name": "x".repeat(513 << 10)}).to_string();
    assert!(service.put("/v1/workspaces/w", &huge).await.problem().starts_with("413 too_large "));
    assert_eq!(service.get("/v1/workspaces/w").await.status, 404, "nothing wrong was set");
}
