//! The commands as a person uses them (contract, section 7).

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::rig::guard::{self, Guarded};
use crate::rig::ports::Port;
use crate::rig::rabbit::Rabbit;
use crate::rig::recadero::{Process, run};
use crate::rig::receiver::Receiver;
use crate::rig::until;
use crate::service::{SOON, Service};

const COMMANDS: [&str; 12] = [
    "serve",
    "dev",
    "publish",
    "listen",
    "topology",
    "rejected",
    "health",
    "endpoints",
    "openapi",
    "asyncapi",
    "completions",
    "man",
];

#[tokio::test]
async fn every_command_has_help_and_tells_wrong_usage_from_failure() {
    for command in COMMANDS {
        let (status, help) = run(&[command, "--help"], &[]).await;
        assert_eq!(status, 0, "{help}");
        assert!(help.contains(&format!("Usage: recadero {command}")), "{help}");
        assert_eq!(run(&[command, "--no-such-flag"], &[]).await.0, 2, "{command}");
    }
    let (status, help) = run(&["--help"], &[]).await;
    assert!(status == 0 && COMMANDS.iter().all(|command| help.contains(command)), "{help}");
    let (status, version) = run(&["--version"], &[]).await;
    assert_eq!((status, version.trim()), (0, concat!("recadero ", env!("CARGO_PKG_VERSION"))));

    let nobody = Port::take();
    let url = format!("amqp://u:sw0rdfish@127.0.0.1:{}", nobody.number());
    let nobody_at = format!("127.0.0.1:{}", nobody.number());
    let nobodys = format!("http://{nobody_at}");
    let taken = Receiver::ok().await;
    let taken = format!("127.0.0.1:{}", taken.port());
    let cases: &[(i32, &[&str])] = &[
        (1, &["topology", "--amqp-url", &url]),
        (1, &["topology", "--check", "--amqp-url", &url]),
        (1, &["publish", "--amqp-url", &url]),
        (1, &["publish", "--amqp-url", &url, "--file", "/nonexistent/events.ndjson"]),
        (2, &["publish", "--type", "no.such"]),
        (2, &["publish", "--rate", "0"]),
        (2, &["publish", "--workspace", "a b"]),
        (2, &["publish", "--amqp-url", "http://u:sw0rdfish@h"]),
        (2, &["publish", "--amqp-exchange", "amq.topic"]),
        (2, &["topology", "--amqp-queues", "0"]),
        (1, &["listen", "--addr", &taken]),
        (2, &["listen", "--addr", "nowhere"]),
        (2, &["listen", "--status", "99"]),
        (2, &["listen", "--delay", "soon"]),
        (2, &["dev", "--http-addr", "0.0.0.0:0"]),
        (1, &["rejected", "list", "--amqp-url", &url]),
        (1, &["rejected", "replay", "--amqp-url", &url]),
        (2, &["rejected", "list", "--limit", "0"]),
        (2, &["rejected"]),
        (1, &["health", "--ops-addr", &nobody_at]),
        (2, &["health", "--ops-addr", "nowhere"]),
        (2, &["endpoints", "export"]),
        (1, &["endpoints", "export", "--api-url", &nobodys, "--api-token", "sw0rdfish"]),
        (1, &["endpoints", "apply", "--api-token", "sw0rdfish", "-f", "/nonexistent/endpoints.yaml"]),
        (2, &["endpoints", "apply", "--api-token", "sw0rdfish"]),
        (2, &["completions", "cobol"]),
        (2, &["man", "nothing"]),
    ];
    for (expected, arguments) in cases {
        let (status, printed) = run(arguments, &[]).await;
        assert_eq!(status, *expected, "{arguments:?}: {printed}");
        assert!(!printed.is_empty(), "{arguments:?}");
        assert!(!printed.contains("sw0rdfish"), "a secret: {printed}");
        assert!(
            *expected == 2 || printed.lines().filter(|line| line.starts_with("recadero: ")).count() == 1,
            "{printed}"
        );
    }
}

#[tokio::test]
async fn topology_declares_what_serve_needs_and_check_only_compares() {
    let rabbit = Rabbit::shared().await;
    let amqp = ("RECADERO_AMQP_URL", rabbit.url());
    for _ in 0..2 {
        let (status, printed) = run(&["topology", "--check"], &[amqp]).await;
        assert_eq!(status, 1, "{printed}");
        assert!(printed.contains("does not exist"), "{printed}");
    }
    for _ in 0..2 {
        let (status, printed) = run(&["topology"], &[amqp]).await;
        assert_eq!(status, 0, "{printed}");
        for part in ["exchange recadero.events", "queue recadero.events.0", "recadero.rejected", "recadero.outcomes"] {
            assert!(printed.contains(part), "{part} in {printed}");
        }
    }
    assert_eq!(run(&["topology", "--check"], &[amqp]).await.0, 0);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    fs::write(&file, format!("{}\n", rabbit.url())).unwrap();
    let from_file = ("RECADERO_AMQP_URL_FILE", file.to_str().unwrap());
    assert_eq!(run(&["topology", "--check"], &[from_file]).await.0, 0);
    assert_eq!(run(&["publish"], &[from_file]).await.0, 0);
    assert_eq!(run(&["topology", "--check"], &[from_file, amqp]).await.0, 2, "both are set");
    let (status, printed) = run(&["topology", "--check", "--amqp-queues", "2"], &[amqp]).await;
    assert!(status == 1 && printed.contains("recadero.events.0"), "{status}: {printed}");
}

/// `recadero listen` at a port of its own.
async fn listen(port: &Port, more: &[&str]) -> Process {
    let addr = format!("127.0.0.1:{}", port.number());
    let process = Process::start(&[&["listen", "--addr", &addr], more].concat(), &[]);
    until("a listener", SOON, async || process.log().contains("listening on")).await;
    process
}

/// The lines that tell of an event, not those of bodies.
fn told(process: &Process) -> Vec<String> {
    process.log().lines().filter(|line| line.contains("  attempt ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn what_publish_sends_listen_prints_with_verified_signatures() {
    let service = Service::start(&[("RECADERO_TIMEOUT", "600ms"), ("RECADERO_RETRY_DELAYS", "1h")]).await;
    let ports = [Port::take(), Port::take(), Port::take(), Port::take()];
    let mut endpoints = Vec::new();
    for (port, workspace) in ports.iter().zip(["demo", "forged", "broken", "slow"]) {
        endpoints.push(service.connect(workspace, &format!("http://127.0.0.1:{}/", port.number())).await);
    }
    let mut good = listen(&ports[0], &["--secret", &endpoints[0].secret]).await;
    let forged = listen(&ports[1], &["--secret", &endpoints[0].secret]).await;
    let broken = listen(&ports[2], &["--status", "500"]).await;
    let _slow = listen(&ports[3], &["--delay", "2s"]).await;
    let amqp = [("RECADERO_AMQP_URL", service.rabbit.url())];
    let publish = async |arguments: &[&str]| -> String {
        let (status, printed) = run(&[&["publish"], arguments].concat(), &amqp).await;
        assert_eq!(status, 0, "{arguments:?}: {printed}");
        printed
    };

    let printed = publish(&[]).await;
    assert!(printed.contains("9 events published and confirmed"), "{printed}");
    until("the nine samples", SOON, async || told(&good).len() == 9).await;
    let lines = told(&good);
    for line in &lines {
        assert!(line.ends_with("attempt 1  X-Webhook-Signature ok, webhook-signature ok"), "{line}");
    }
    let sample = |name: &str| lines.iter().filter(|line| line.contains(&format!("  {name}  "))).count();
    let names = ["conversation.closed", "contact.created", "message.sent", "message.received", "contact.updated"];
    let more = ["conversation.opened", "contact.assignee.updated", "contact.tag.updated", "comment.created"];
    assert!(names.iter().chain(&more).all(|name| sample(name) == 1), "{lines:#?}");
    assert!(good.log().contains("\"event_type\":\"message.sent\""), "bodies are printed too");

    // --rate: twenty at fifty a second take a third of a second at least.
    let start = std::time::Instant::now();
    publish(&["--type", "message.sent", "--count", "20", "--rate", "50"]).await;
    assert!(start.elapsed() > Duration::from_millis(300), "{:?}", start.elapsed());
    until("twenty more", SOON, async || told(&good).len() == 29).await;
    assert!(told(&good)[9..].iter().all(|line| line.contains("  message.sent  ")));

    // From a file and from stdin, in order and with the ids of the lines.
    let directory = tempfile::Builder::new().prefix("recadero-publish-").tempdir().unwrap();
    let lines = |from: u32| -> String {
        (from..from + 50).map(|n| format!("{{\"event_type\":\"comment.created\",\"event_id\":\"n{n}\"}}\n")).collect()
    };
    let file = directory.path().join("events.ndjson");
    fs::write(&file, lines(0)).unwrap();
    publish(&["--file", file.to_str().unwrap(), "--count", "40"]).await;
    fs::write(&file, lines(40)).unwrap();
    let here = tempfile::Builder::new().prefix("recadero-publish-").tempdir().unwrap();
    let mut command = guard::command(here.path(), "sh");
    command.args(["-c", "exec \"$0\" publish --file - < \"$1\"", env!("CARGO_BIN_EXE_recadero")]).arg(&file);
    command.env("RECADERO_AMQP_URL", service.rabbit.url());
    let mut piped = Guarded::start("publish", command, &here.path().join("log"));
    assert_eq!(piped.wait(SOON).await, 0, "{}", piped.log());
    until("all lines", SOON, async || told(&good).len() == 29 + 90).await;
    let ids: Vec<_> = told(&good)[29..].iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(ids, (0..90).map(|n| format!("n{n}")).collect::<Vec<_>>());
    let bad = directory.path().join("bad.ndjson");
    fs::write(&bad, "{\"event_type\":\"comment.created\",\"event_id\":\"good\"}\n{\"no\":1}\n").unwrap();
    let (status, printed) = run(&["publish", "--file", bad.to_str().unwrap()], &amqp).await;
    assert!(status == 1 && printed.contains("1 events published and confirmed before the failure"), "{printed}");
    assert!(printed.contains("line 2: missing field `event_type` at column"), "{printed}");
    until("the line before", SOON, async || told(&good).len() == 29 + 91).await;

    // Lines that somebody writes as things happen: each goes out while stdin stays open, and a bad one ends it all the same.
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_recadero"));
    command.args(["publish", "--file", "-"]).envs(amqp).kill_on_drop(true);
    let mut writing = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = writing.stdin.take().unwrap();
    stdin.write_all(lines(100).as_bytes()).await.unwrap();
    until("lines of an open stdin", SOON, async || told(&good).len() == 29 + 141).await;
    stdin.write_all(b"{}\n").await.unwrap();
    let ended = tokio::time::timeout(SOON, writing.wait()).await.expect("it ends by the bad line").unwrap();
    assert_eq!(ended.code(), Some(1));
    drop(stdin);

    for workspace in ["forged", "broken", "slow"] {
        publish(&["--workspace", workspace, "--type", "message.sent"]).await;
    }
    until("the forged one", SOON, async || told(&forged).len() == 1).await;
    let line = &told(&forged)[0];
    assert!(line.contains("X-Webhook-Signature WRONG, webhook-signature WRONG"), "{line}");
    until("the broken one", SOON, async || told(&broken).len() == 1).await;
    assert!(told(&broken)[0].ends_with("not verified"), "{:?}", told(&broken));
    for (endpoint, reason, status) in [(&endpoints[2], "status", json!(500)), (&endpoints[3], "timeout", Value::Null)] {
        service.until_shown(endpoint, "an attempt", |shown| !shown["last_attempt"].is_null()).await;
        let last = &service.attempts(endpoint).await[0];
        assert_eq!((&last["reason"], &last["status"]), (&json!(reason), &status), "{last}");
    }
    assert_eq!(good.interrupt(SOON).await, 0, "Ctrl-C ends it");
}

/// Runs a line as a person would who pastes it: its exit status, and what it printed.
async fn paste(line: &str) -> (bool, String) {
    let line = line.to_owned();
    let run = move || Command::new("sh").args(["-c", &line]).env("no_proxy", "127.0.0.1").output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The `curl` line behind these words, where it was printed last.
fn printed(process: &Process, words: &str) -> String {
    let log = process.log();
    let line = log.lines().rev().find(|line| line.contains(words)).unwrap_or_else(|| panic!("no {words:?} in {log}"));
    line[line.find("curl ").expect("a curl line")..].to_owned()
}

#[tokio::test]
async fn dev_shows_deliveries_and_a_disabling_within_a_minute_and_its_curl_lines_work() {
    let port = Port::take();
    let address = format!("127.0.0.1:{}", port.number());
    // None of the rig's variables is for it: it needs no server and no setting.
    let mut dev = Process::start(&["dev", "--fast", "--http-addr", &address], &[]);
    let minute = Duration::from_secs(60);
    let started = std::time::Instant::now();
    until("a delivery", SOON, async || dev.log().contains("  delivered after ")).await;

    let (ok, endpoints) = paste(&printed(&dev, "see the endpoints:")).await;
    let endpoints: Value = serde_json::from_str(&endpoints).unwrap();
    assert!(ok && endpoints["data"].as_array().unwrap().len() == 5, "{endpoints}");
    let (ok, quota) = paste(&printed(&dev, "see the error quota:")).await;
    let quota: Value = serde_json::from_str(&quota).unwrap();
    assert!(ok && quota["limit"] == 30, "{quota}");
    let (ok, answer) = paste(&printed(&dev, "break a receiver:")).await;
    assert_eq!((ok, answer.as_str()), (true, "fine now behaves like failing\n"));
    let (ok, answer) = paste(&printed(&dev, "mend it:")).await;
    assert_eq!((ok, answer.as_str()), (true, "fine now behaves like fine\n"));

    until("a disabling", minute, async || dev.log().contains("enable it again:")).await;
    assert!(dev.log().contains("DISABLED") && dev.log().contains("; again in 1 s") && dev.log().contains("of 30]"));
    let (mend, enable) = (printed(&dev, "mend the receiver:"), printed(&dev, "enable it again:"));
    let (ok, answer) = paste(&mend).await;
    assert!(ok && answer.contains("now behaves like fine"), "{mend}: {answer}");
    let (ok, enabled) = paste(&enable).await;
    let enabled: Value = serde_json::from_str(&enabled).unwrap();
    assert!(ok && enabled["status"] == "enabled", "{enable}: {enabled}");
    let name = mend.rsplit('/').nth(1).unwrap().to_owned();
    until("the enabled one's deliveries", SOON, async || {
        let log = dev.log();
        let after = log.split("ENABLED again").nth(1).unwrap_or_default();
        after.lines().any(|line| line.trim_start().starts_with(&name) && line.contains("delivered after"))
    })
    .await;
    assert!(started.elapsed() < minute, "{:?}", started.elapsed());
    assert_eq!(dev.interrupt(SOON).await, 0, "Ctrl-C ends it");
}

#[tokio::test]
async fn shells_and_man_know_every_command_and_option() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (status, script) = run(&["completions", shell], &[]).await;
        assert_eq!(status, 0, "{script}");
        for word in COMMANDS.iter().copied().chain(["retry-delays", "dry-run"]) {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    // The one shell that is everywhere reads its own.
    let (_, script) = run(&["completions", "bash"], &[]).await;
    let check = "eval \"$SCRIPT\"; COMP_WORDS=(recadero se); COMP_CWORD=1; _recadero recadero se recadero; echo ${COMPREPLY[@]}";
    let completed = Command::new("bash").args(["-c", check]).env("SCRIPT", &script).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "serve", "{completed:?}");

    let (status, page) = run(&["man"], &[]).await;
    assert!(status == 0 && page.contains(".TH recadero 1"), "{page}");
    assert!(COMMANDS.iter().all(|command| page.contains(&format!("recadero\\-{command}(1)"))), "{page}");
    for command in COMMANDS {
        let (status, page) = run(&["man", command], &[]).await;
        assert!(status == 0 && page.contains(&format!(".TH recadero-{command} 1")), "{page}");
    }
    let (status, page) = run(&["man", "endpoints", "apply"], &[]).await;
    assert!(status == 0 && page.contains(".TH recadero-endpoints-apply 1") && page.contains("dry\\-run"), "{page}");
    let (_, page) = run(&["man", "serve"], &[]).await;
    assert!(page.contains("retry\\-delays") && page.contains("RECADERO_RETRY_DELAYS"), "{page}");
}
