//! The AsyncAPI document: judged by the public parser, and kept in step with the contract and with what is committed.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::rig::node;
use crate::rig::recadero::run;

/// The parser would have the newest version of the format; 3.0 is what generators read.
const NOT_NEEDED: &str = "asyncapi-latest-version";

async fn document() -> Value {
    let (status, printed) = run(&["asyncapi"], &[]).await;
    assert_eq!(status, 0, "{printed}");
    serde_json::from_str(&printed).unwrap()
}

/// What the public parser says of a document, one line each.
async fn judged(document: &Value) -> Vec<String> {
    let mut command = Command::new("node");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/rig/asyncapi.js"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let text = document.to_string();
    let judge = move || {
        let mut judge = command.env("NODE_PATH", node::packages()).spawn().unwrap();
        judge.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        String::from_utf8(judge.wait_with_output().unwrap().stdout).unwrap()
    };
    let said = tokio::task::spawn_blocking(judge).await.unwrap();
    said.lines().filter(|line| !line.starts_with(NOT_NEEDED)).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_document_is_valid_and_has_the_nine_events_the_four_outcomes_and_what_is_rejected() {
    let document = document().await;
    let expected = [
        "channel events 9",
        "channel outcomes 4",
        "channel rejected 1",
        "receive receiveEvent 9",
        "send sendOutcome 4",
        "send sendRejected 1",
    ];
    assert_eq!(judged(&document).await, expected);

    // The judge judges: a sample that its own schema refuses is found, and so is a reference to nothing.
    let mut wrong = document.clone();
    wrong["components"]["messages"]["message.sent"]["examples"][0]["payload"]["event_type"] = "message.lost".into();
    let said = judged(&wrong).await;
    assert!(said[0].starts_with("example of message.sent: payload"), "{said:?}");
    let mut wrong = document;
    wrong["channels"]["events"]["messages"]["message.sent"]["$ref"] = "#/components/messages/none".into();
    let said = judged(&wrong).await;
    assert!(said[0].starts_with("invalid-ref"), "{said:?}");
}

#[tokio::test]
async fn it_says_what_the_contract_says() {
    let document = document().await;
    let contract = include_str!("../../../docs/contract.md");
    let section = contract.split("\n## 2.").nth(1).unwrap().split("\n## 3.").next().unwrap();
    let words = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };

    // Exchanges and the queue, by what RabbitMQ calls them.
    let name = |channel: &str| {
        let amqp = &document["channels"][channel]["bindings"]["amqp"];
        amqp["exchange"]["name"].as_str().or(amqp["queue"]["name"].as_str()).unwrap().to_owned()
    };
    assert_eq!(
        ["events", "rejected", "outcomes"].map(name),
        ["recadero.events", "recadero.rejected", "recadero.outcomes"]
    );

    // Event types in the contract's order; outcomes; reasons, in theirs.
    let event_types = words(&document["channels"]["events"]["parameters"]["event_type"]["enum"]);
    assert_eq!(event_types.len(), 9);
    let kinds = words(&document["channels"]["outcomes"]["parameters"]["type"]["enum"]);
    let reasons = words(&document["components"]["schemas"]["RejectedHeaders"]["properties"]["recadero-reason"]["enum"]);
    let mut at = 0;
    for word in &reasons {
        at += section[at..].find(&format!("`{word}`")).unwrap_or_else(|| panic!("{word} is not there, in this order"));
    }
    assert!(kinds.iter().all(|kind| section.contains(&format!("`{kind}`"))), "{kinds:?}");

    // An outcome has the contract's fields; those it marks with ? need not be there.
    let (_, fields) = section.split_once("`{type, ").unwrap();
    let fields = format!("type, {}", fields.split_once('}').unwrap().0);
    let outcome = &document["components"]["schemas"]["Outcome"];
    for field in fields.split(", ") {
        let name = field.trim_end_matches('?');
        assert!(outcome["properties"][name].is_object(), "{name}: {outcome}");
        assert_eq!(outcome["required"].as_array().unwrap().contains(&json!(name)), name == field, "{field}");
    }
    assert_eq!(outcome["properties"].as_object().unwrap().len(), fields.split(", ").count());
}

#[tokio::test]
async fn what_is_committed_is_what_the_binary_prints() {
    let committed: Value = serde_json::from_str(include_str!("../../../docs/asyncapi.json")).unwrap();
    assert!(committed == document().await, "write it anew: recadero asyncapi >docs/asyncapi.json");
}
