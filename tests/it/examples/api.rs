//! `docs/api.md`: its command lines, run one after the other as a reader would.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::rig::recadero::ADMIN_TOKEN;
use crate::rig::receiver::Receiver;
use crate::service::Service;

/// The shell lines of the guide, by section.
fn script(guide: &str) -> String {
    let mut script = "set -euo pipefail\n".to_owned();
    for section in guide.split("\n## ") {
        let title = section.lines().next().unwrap();
        let blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
        script.push_str(&format!("echo '# {title}'\n"));
        script.extend(blocks);
    }
    script
}

#[tokio::test]
async fn the_command_lines_of_the_api_guide_do_what_it_says() {
    let service = Service::start(&[("RECADERO_TOKEN_KEYS", "a-key-for-tokens-of-tests-0123456789")]).await;
    let receiver = Receiver::ok().await;
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md")).unwrap();
    // The guide's receiver is not there.
    let script = script(&guide).replace("https://hooks.acme.example", &receiver.url());
    let directory = tempfile::tempdir().unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(directory.path()).stderr(Stdio::inherit());
    bash.env("RECADERO_API", service.process.http()).env("RECADERO_ADMIN_TOKENS", ADMIN_TOKEN);
    let ran = tokio::task::spawn_blocking(move || bash.output().unwrap()).await.unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{}\n{said}", ran.status);
    assert!(said.contains("\"description\":\"to the CRM\"") && said.contains("\"status\":\"enabled\""), "{said}");
    let (status, gone) = service.process.api("GET", "/v1/workspaces/acme", None).await;
    assert_eq!((status, &gone["code"]), (404, &json!("not_found")), "what the guide made, it removed");
}
