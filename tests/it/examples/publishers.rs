//! `docs/publishing.md`: what each publisher says is confirmed arrives, in order and traced.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use super::{example, rust};
use crate::rig::node;
use crate::rig::python::python;
use crate::rig::receiver::Receiver;
use crate::service::{SOON, Service};

async fn run(mut command: Command) -> String {
    let ran = tokio::task::spawn_blocking(move || command.stderr(Stdio::inherit()).output().unwrap()).await.unwrap();
    assert!(ran.status.success(), "{}", ran.status);
    String::from_utf8(ran.stdout).unwrap()
}

#[tokio::test]
async fn what_the_publishers_confirm_arrives_in_order() {
    let service = Service::start(&[]).await;
    let receiver = Receiver::ok().await;
    service.connect("acme", &receiver.url()).await;

    let mut python = Command::new(python().await);
    python.arg(example("publisher.py"));
    let mut node = Command::new("node");
    node.arg(example("publisher.js")).env("NODE_PATH", node::packages());
    let rust = Command::new(rust("publisher"));

    let mut confirmed = Vec::new();
    for mut command in [python, node, rust] {
        command.env("AMQP_URL", service.rabbit.url()).env("WORKSPACE", "acme");
        let told = run(command).await;
        confirmed.extend(told.lines().map(|line| line.strip_prefix("confirmed ").expect(line).to_owned()));
    }
    assert_eq!(confirmed.len(), 9, "{confirmed:?}");
    receiver.wait_for(9, SOON).await;
    let requests = receiver.requests();
    let ids: Vec<_> = requests.iter().map(|request| request.header("webhook-id").unwrap()).collect();
    assert_eq!(ids, confirmed);
    let texts: BTreeSet<_> = requests.iter().map(|r| r.json()["message"]["message"]["text"].to_string()).collect();
    assert_eq!(texts, BTreeSet::from(["\"¡Hola!\"".to_owned()]));
    // A trace each, and the publisher's: the delivery continues it.
    let traces: BTreeSet<_> =
        requests.iter().map(|request| request.header("traceparent").unwrap()[3..35].to_owned()).collect();
    assert_eq!(traces.len(), 9, "{traces:?}");
}
