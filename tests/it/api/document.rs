//! The OpenAPI document: judged by a validator, and a running service judged by it.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::rig::python::python;
use crate::rig::recadero::{ADMIN_TOKEN, run};
use crate::service::Service;

/// What the fuzzer is not asked about: whether all that fits the document is accepted. JSON Schema cannot say which event
/// types an installation has, which hosts may be reached, or what a cursor is.
const NOT_CHECKED: &str = "positive_data_acceptance";

/// Runs a program of the tests' Python; panics with what it printed when it fails.
async fn judge(program: &str, arguments: &[&str], directory: &std::path::Path) -> String {
    let path = python().await.with_file_name(program);
    let mut command = Command::new(path);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    let judged = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&judged.stdout), String::from_utf8_lossy(&judged.stderr));
    assert!(judged.status.success(), "{program} {arguments:?}:\n{text}");
    text
}

#[tokio::test]
async fn the_document_is_valid_and_names_every_row_of_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let (status, document) = run(&["openapi"], &[]).await;
    assert_eq!(status, 0, "{document}");
    fs::write(directory.path().join("openapi.json"), &document).unwrap();
    judge("python", &["-m", "openapi_spec_validator", "openapi.json"], directory.path()).await;

    let document: Value = serde_json::from_str(&document).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let contract = include_str!("../../../docs/contract.md");
    let section = contract.split("\n## 5.").nth(1).unwrap().split("\n## 6.").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let mut named = 0;
    for cell in cells {
        for row in cell.split('`').filter(|text| text.contains('/')) {
            let (methods, path) = row.split_once(" /").or_else(|| row.split_once(" …/")).unwrap();
            let path = path.split(' ').next().unwrap();
            for method in methods.split(", ") {
                let is_it = |known: &String| known[1..] == *path || known.ends_with(&format!("/{path}"));
                let found = paths.iter().any(|(known, item)| is_it(known) && item.get(method.to_lowercase()).is_some());
                assert!(found, "{method} {path} is not in the document");
                named += 1;
            }
        }
    }
    assert!(named >= 25, "{named}");
    let operations = paths.values().flat_map(|item| item.as_object().unwrap().values());
    let mut ids: Vec<_> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "an operation is called by one name");
}

#[tokio::test]
async fn a_fuzzer_finds_no_breach_of_the_document() {
    let service = Service::start(&[
        ("RECADERO_TIMEOUT", "250ms"),
        ("RECADERO_TOKEN_KEYS", "a-key-for-workspace-tokens-0123456789"),
        ("RECADERO_QUOTA_LIMIT", "100000"),
        ("RECADERO_RETRY_DELAYS", "1s"),
    ])
    .await;
    let dead = json!({"url": "http://127.0.0.1:1/", "events": ["*"]});
    let endpoint = service.connect_with("fuzz", dead).await;
    service.publisher.event("message.sent", "fuzz", "fuzzed", b"{}").await;
    service.until_idle(&endpoint).await;
    let directory = tempfile::tempdir().unwrap();
    let header = format!("Authorization: Bearer {ADMIN_TOKEN}");
    let document = format!("{}/openapi.json", service.process.http());
    let fuzz = async |config: &str, more: &[&str]| {
        fs::write(directory.path().join("schemathesis.toml"), config).unwrap();
        let common = ["run", &document, "-H", &header, "--checks", "all", "--exclude-checks", NOT_CHECKED];
        let bounds = ["--max-examples", "40", "--seed", "7", "--no-color", "--warnings", "off"];
        judge("schemathesis", &[&common[..], &bounds[..], more].concat(), directory.path()).await
    };
    // Everything anywhere; then what is below one endpoint, without what would take it or its plan away.
    fuzz("", &[]).await;
    let known = format!(
        "[parameters]\n\"path.workspace\" = \"fuzz\"\n\"path.endpoint\" = \"{}\"\n\"path.event\" = \"fuzzed\"\n",
        endpoint.id
    );
    fuzz(&known, &["--exclude-operation-id-regex", "^(set|delete)_", "--phases", "coverage,fuzzing"]).await;
    let log = service.process.log();
    assert!(!log.contains("panicked"), "{log}");
    for secret in [ADMIN_TOKEN, "rwt_", "whsec_"] {
        assert!(!log.contains(secret), "the log holds {secret}");
    }
}

#[tokio::test]
async fn the_page_to_try_it_loads_nothing_from_elsewhere() {
    let service = Service::start(&[]).await;
    let get = async |path: &str| {
        let answer = reqwest::get(format!("{}{path}", service.process.http())).await.unwrap();
        let policy = answer.headers().get("content-security-policy").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), policy, answer.text().await.unwrap())
    };
    let (status, policy, page) = get("/docs").await;
    assert!(status == 200 && policy.unwrap().starts_with("default-src 'self'"), "{page}");
    assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
    let sources = page.split(['"']).filter(|text| text.ends_with(".js") || text.ends_with(".css"));
    let sources: Vec<_> = sources.map(|source| source.trim_start_matches("./").to_owned()).collect();
    assert!(sources.len() >= 4, "{page}");
    for source in sources {
        let (status, _, text) = get(&format!("/docs/{source}")).await;
        assert!(status == 200 && !text.is_empty(), "{source}");
    }
    assert!(get("/docs/swagger-initializer.js").await.2.contains("\"/openapi.json\""));
}
