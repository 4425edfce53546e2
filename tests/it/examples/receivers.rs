//! `docs/receiving.md`: each receiver takes what Recadero has signed, once, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use recadero::deliver::sign::Secret;
use tempfile::TempDir;

use super::{example, go, has, rust};
use crate::rig::guard::{self, Guarded};
use crate::rig::ports::Port;
use crate::rig::python::python;
use crate::rig::receiver::Receiver;
use crate::rig::{PATIENCE, until};
use crate::service::{SOON, Service};

/// One request to a receiver.
#[derive(Clone)]
struct Delivery {
    id: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Delivery {
    fn get(&self, name: &str) -> &str {
        &self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).expect(name).1
    }

    fn set(&self, name: &str, value: &str) -> Self {
        let mut set = self.clone();
        set.headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
        set.headers.extend((!value.is_empty()).then(|| (name.to_owned(), value.to_owned())));
        set
    }

    fn with_body(&self, body: &[u8]) -> Self {
        Self { body: body.to_owned(), ..self.clone() }
    }

    /// Rightly signed, so many seconds from now.
    fn signed_at(&self, secret: &str, from_now: i64) -> Self {
        let now = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let timestamp = (now + from_now).to_string();
        let signature = Secret::parse(secret).unwrap().sign_standard(&self.id, &timestamp, &self.body).unwrap();
        self.set("webhook-timestamp", &timestamp).set("webhook-signature", &format!("v1,{}", signature.as_str()))
    }
}

/// A delivery of the real service: what it signed, with which secret.
async fn delivery() -> (Delivery, String) {
    let service = Service::start(&[]).await;
    let receiver = Receiver::ok().await;
    let endpoint = service.connect("acme", &receiver.url()).await;
    let body = r#"{"contact":{"id":1},"message":{"text":"¡Hola! 你好 \"<&>\""}}"#;
    service.publisher.event("message.sent", "acme", "greeting-1", body.as_bytes()).await;
    receiver.wait_for(1, SOON).await;
    let request = receiver.requests().remove(0);
    let mut headers = request.headers.clone();
    headers.retain(|(name, _)| !["host", "content-length"].contains(&name.to_ascii_lowercase().as_str()));
    (Delivery { id: "greeting-1".to_owned(), headers, body: request.body.clone() }, endpoint.secret)
}

/// A program to be run, and its arguments.
struct Language {
    program: PathBuf,
    arguments: Vec<String>,
}

async fn languages(directory: &Path) -> Vec<Language> {
    let of = |program: PathBuf, arguments: &[&str]| {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Language { program, arguments }
    };
    let mut languages = vec![
        of(python().await, &[&example("receiver.py")]),
        of("node".into(), &[&example("receiver.js")]),
        of(rust("receiver"), &[]),
    ];
    if has("php") {
        languages.push(of("php".into(), &["-S", "127.0.0.1:PORT", &example("receiver.php")]));
    }
    if has("go") {
        languages.push(of(go("receiver", directory), &[]));
    }
    languages
}

/// A running receiver.
struct Running {
    server: Guarded,
    port: Port,
    _directory: TempDir,
    http: reqwest::Client,
}

impl Running {
    async fn start(language: &Language, secret: &str, scheme: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("recadero-example-").tempdir().unwrap();
        let port = Port::take();
        let number = port.number().to_string();
        let mut command: Command = guard::command(directory.path(), &language.program);
        command.args(language.arguments.iter().map(|argument| argument.replace("PORT", &number)));
        command.envs([("PORT", number.as_str()), ("WEBHOOK_SECRET", secret), ("WEBHOOK_SCHEME", scheme)]);
        command.env("WEBHOOK_INBOX", directory.path().join("inbox"));
        let name = language.program.file_name().unwrap().to_string_lossy().into_owned();
        let mut server = Guarded::start(&name, command, &directory.path().join("log"));
        let address = ("127.0.0.1", port.number());
        server.ready(PATIENCE, async |_| tokio::net::TcpStream::connect(address).await.is_ok()).await;
        recadero::deliver::send::install_crypto();
        Self { server, port, _directory: directory, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn expect(&self, status: u16, what: &str, delivery: &Delivery) {
        let url = format!("http://127.0.0.1:{}/hooks", self.port.number());
        let mut request = self.http.post(url).body(delivery.body.clone());
        for (name, value) in &delivery.headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{what}: {error:?}\n{}", self.server.tail()));
        assert_eq!(answer.status(), status, "{what}\n{}", self.server.tail());
    }

    /// The work was done, and once.
    async fn handled_once(&self, delivery: &Delivery) {
        let line = format!("handled {} {}", delivery.id, delivery.body.len());
        until(&line, SOON, async || self.server.log().contains(&line)).await;
        let log = self.server.log();
        assert_eq!(log.matches("handled ").count(), 1, "{log}");
    }
}

#[tokio::test]
async fn every_receiver_takes_what_is_signed_once_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    // First, since it may take its time, and what is signed is good for five minutes.
    let languages = languages(directory.path()).await;
    let (real, secret) = delivery().await;
    let forged = format!("v1,{}", "A".repeat(43) + "=");
    let signature = real.get("webhook-signature").to_owned();
    let later = (real.get("webhook-timestamp").parse::<u64>().unwrap() + 1).to_string();
    let cases = [
        (200, "as it came", real.clone()),
        (200, "the same again", real.clone()),
        (200, "signed a while ago", real.signed_at(&secret, -60)),
        (200, "two signatures, the right one last", real.set("webhook-signature", &format!("{forged} {signature}"))),
        (200, "two signatures, the right one first", real.set("webhook-signature", &format!("{signature} {forged}"))),
        (401, "another body", real.with_body(b"{}")),
        (401, "one byte more", real.with_body(&[&real.body[..], b" "].concat())),
        (401, "another id", real.set("webhook-id", "greeting-2")),
        (401, "another time", real.set("webhook-timestamp", &later)),
        (401, "no number for a time", real.set("webhook-timestamp", "now")),
        (401, "too long ago", real.signed_at(&secret, -400)),
        (401, "too far ahead", real.signed_at(&secret, 900)),
        (401, "a wrong signature", real.set("webhook-signature", &forged)),
        (401, "half a signature", real.set("webhook-signature", &signature[..20])),
        (401, "another version", real.set("webhook-signature", &signature.replace("v1,", "v2,"))),
        (401, "no signature", real.set("webhook-signature", "")),
    ];
    for language in languages {
        let receiver = Running::start(&language, &secret, "standard").await;
        for (status, what, delivery) in &cases {
            receiver.expect(*status, what, delivery).await;
        }
        receiver.handled_once(&real).await;
    }
}

#[tokio::test]
async fn every_receiver_can_check_the_signature_of_the_body_alone() {
    let (real, secret) = delivery().await;
    // The contract's vector.
    let vector = Delivery {
        id: "vector".to_owned(),
        headers: vec![
            ("webhook-id".to_owned(), "vector".to_owned()),
            ("X-Webhook-Signature".to_owned(), "UtAE5LaeNjrL33PUEQfh69YKw7UhrrkOL9tQN0+xIrI=".to_owned()),
        ],
        body: br#"{"event":"message","data":"test"}"#.to_vec(),
    };
    let directory = tempfile::tempdir().unwrap();
    for language in languages(directory.path()).await {
        for (secret, right) in [(secret.as_str(), &real), ("secret", &vector)] {
            let receiver = Running::start(&language, secret, "body").await;
            let forged = format!("{}=", "A".repeat(43));
            receiver.expect(200, "as it came", right).await;
            receiver.expect(200, "the same again", right).await;
            receiver.expect(401, "another body", &right.with_body(b"{}")).await;
            receiver.expect(401, "a wrong signature", &right.set("X-Webhook-Signature", &forged)).await;
            receiver.expect(401, "half a signature", &right.set("X-Webhook-Signature", &forged[..20])).await;
            receiver.expect(401, "no signature", &right.set("X-Webhook-Signature", "")).await;
            receiver.handled_once(right).await;
        }
    }
}
