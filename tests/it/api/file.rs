//! `recadero endpoints` and `recadero health`, as an operator uses them.

use std::fs;

use serde_json::{Value, json};

use crate::rig::recadero::{ADMIN_TOKEN, run};
use crate::service::Service;

/// Everything that is set, as the API shows it.
async fn everything(service: &Service) -> Value {
    let mut workspaces = service.ask("GET", "/v1/workspaces?limit=200", Value::Null).await["data"].take();
    for workspace in workspaces.as_array_mut().unwrap() {
        let path = format!("/v1/workspaces/{}/endpoints?limit=200", workspace["id"].as_str().unwrap());
        workspace["endpoints"] = service.ask("GET", &path, Value::Null).await["data"].take();
    }
    json!({"workspaces": workspaces})
}

async fn apply(service: &Service, file: &str, more: &[&str]) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("endpoints.yaml");
    fs::write(&path, file).unwrap();
    let url = service.process.http();
    let variables = [("RECADERO_API_URL", url.as_str()), ("RECADERO_API_TOKEN", ADMIN_TOKEN)];
    run(&[&["endpoints", "apply", "-f", path.to_str().unwrap()][..], more].concat(), &variables).await
}

#[tokio::test]
async fn everything_that_the_api_shows_applied_as_yaml_changes_nothing() {
    let service = Service::start(&[]).await;
    service.ask("PUT", "/v1/workspaces/007", json!({"plan": "null", "name": "yes: [no] #\u{e9}\n".trim()})).await;
    let odd = json!({
        "url": "https://r.example/a?b=c&d=%7B%7D", "events": ["message.sent", "contact.created"], "lanes": 3,
        "description": "- 'quoted': \"twice\", {true} \u{1f980}", "headers": {"X-Key": "s3cret", "x-other": "1"},
    });
    service.connect_with("acme", odd).await;
    service.connect("acme", "https://r.example/a").await;
    let disabled = service.connect("1e3", "https://r.example/b").await;
    service.of(&disabled, "POST", "/disable", Value::Null).await;

    let before = everything(&service).await;
    let url = service.process.http();
    let variables = [("RECADERO_API_URL", url.as_str()), ("RECADERO_API_TOKEN", ADMIN_TOKEN)];
    let (status, exported) = run(&["endpoints", "export"], &variables).await;
    assert!(status == 0 && !exported.contains("s3cret"), "{exported}");
    // JSON is YAML: what the API answers is a file, too, read-only fields and all.
    for file in [exported.as_str(), &before.to_string(), &serde_json::to_string_pretty(&before).unwrap()] {
        for more in [&["--dry-run"][..], &[]] {
            let (status, printed) = apply(&service, file, more).await;
            assert_eq!((status, printed.trim()), (0, "nothing to change"), "{file}");
        }
        assert_eq!(everything(&service).await, before, "{file}");
    }
}

#[tokio::test]
async fn apply_makes_what_is_there_match_the_file_and_a_dry_run_shows_it() {
    let service = Service::start(&[]).await;
    let kept = service.connect("acme", "https://r.example/kept").await;
    service.connect("acme", "https://r.example/gone").await;
    service.connect("other", "https://r.example/other").await;
    let file = "
workspaces:
  - id: acme
    plan: enterprise
    notify: [ops@acme.example]
    endpoints:
      - url: https://r.example/kept
        events: [message.sent]
        lanes: 4
        headers: {X-Key: s3cret}
      - url: https://r.example/new
        events: ['*']
  - id: fresh
    plan: advanced
";
    let before = everything(&service).await;
    let (status, shown) = apply(&service, file, &["--dry-run"]).await;
    let expected = [
        "~ acme: notify: [] → [\"ops@acme.example\"]; plan: \"advanced\" → \"enterprise\"".to_owned(),
        format!("~ acme/{}: events: [\"*\"] → [\"message.sent\"]; lanes: 1 → 4; header x-key: set", kept.id),
        "+ acme https://r.example/new".to_owned(),
        "- acme/ep_… https://r.example/gone".to_owned(),
        "~ fresh: locale: \"en\"; name: \"\"; notify: []; plan: \"advanced\"".to_owned(),
        "5 to do; nothing was changed".to_owned(),
    ];
    let gone = before["workspaces"][0]["endpoints"][1]["id"].as_str().unwrap();
    assert_eq!(
        (status, shown.replace(gone, "ep_…").lines().collect::<Vec<_>>()),
        (0, expected.iter().map(String::as_str).collect())
    );
    assert_eq!(everything(&service).await, before);

    let (status, done) = apply(&service, file, &[]).await;
    assert!(status == 0 && done.ends_with("5 done\n") && !done.contains("s3cret"), "{done}");
    assert!(done.contains("+ acme https://r.example/new id ep_") && done.contains(" secret whsec_"), "{done}");
    let after = everything(&service).await;
    let [acme, fresh, other] = [0, 1, 2].map(|at| &after["workspaces"][at]);
    assert_eq!(
        (&acme["plan"], &acme["notify"], &fresh["plan"]),
        (&json!("enterprise"), &json!(["ops@acme.example"]), &json!("advanced"))
    );
    let urls: Vec<_> =
        acme["endpoints"].as_array().unwrap().iter().map(|endpoint| endpoint["url"].as_str().unwrap()).collect();
    assert_eq!(urls, ["https://r.example/kept", "https://r.example/new"]);
    let changed = &acme["endpoints"][0];
    assert_eq!(
        (&changed["id"], &changed["lanes"], &changed["headers"]),
        (&json!(kept.id), &json!(4), &json!(["x-key"]))
    );
    assert_eq!(other, &before["workspaces"][1], "a workspace that is not named stays as it is");

    assert_eq!(apply(&service, file, &[]).await.1, "nothing to change\n", "the header has that value already");
    let blank = file.replace("plan: advanced", "plan: advanced\n    name:\n    notify:");
    assert_eq!(apply(&service, &blank, &[]).await.1, "nothing to change\n", "a field without a value is none");
    let wrong = "workspaces: [{id: acme, plan: advanced, endpoints: [{url: 'http://10.0.0.1/', events: ['*']}]}]";
    let (status, printed) = apply(&service, wrong, &[]).await;
    assert!(status == 1 && printed.contains("url: "), "{printed}");
    let refused = everything(&service).await;
    let endpoints = |all: &Value| all["workspaces"][0]["endpoints"].clone();
    assert_eq!(endpoints(&refused), endpoints(&after), "nothing is deleted before the rest is done");
    let (status, printed) = apply(&service, "workspaces: [{id: acme, plan: free, endpoint: []}]", &[]).await;
    assert!(status == 1 && printed.contains("endpoint") && printed.matches('\n').count() == 1, "{printed}");
    assert!(printed.contains("line 1 column"), "{printed}");
    let twice = "workspaces: [{id: acme, plan: free}, {id: other, plan: free}, {id: acme, plan: advanced}]";
    let (status, printed) = apply(&service, twice, &[]).await;
    assert!(status == 1 && printed.contains("the workspace acme is there twice"), "{printed}");
    assert_eq!(everything(&service).await, refused, "nothing was changed by what is wrong");
}

#[tokio::test]
async fn health_says_whether_a_process_is_ready_and_what_is_missing() {
    let service = Service::start(&[]).await;
    let ops = service.process.ops().trim_start_matches("http://").to_owned();
    for arguments in
        [&["health", "--ops-addr", &ops][..], &["health", "--ops-addr", &ops.replace("127.0.0.1", "0.0.0.0")]]
    {
        let (status, printed) = run(arguments, &[]).await;
        assert_eq!((status, printed.trim()), (0, "ready"));
    }
    let by_variable = run(&["health"], &[("RECADERO_OPS_ADDR", ops.as_str())]).await;
    assert_eq!(by_variable.0, 0, "{by_variable:?}");
    let mut waiting =
        crate::rig::recadero::Process::start(&["serve"], &[("RECADERO_REDIS_URL", "redis://127.0.0.1:1")]);
    let ops = waiting.ops().trim_start_matches("http://").to_owned();
    crate::rig::until("it listens", crate::service::SOON, async || waiting.probe("/healthz").await.is_some()).await;
    let (status, printed) = run(&["health", "--ops-addr", &ops], &[]).await;
    assert!(status == 1 && printed.starts_with("recadero: not ready; store: "), "{printed}");
    waiting.kill9();
}
