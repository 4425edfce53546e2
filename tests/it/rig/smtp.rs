//! A private SMTP server (`smtp.py`, on aiosmtpd), which keeps what it takes and misbehaves as a test tells it.

use std::fs;

use mail_parser::{Message, MessageParser};
use serde::Deserialize;
use tempfile::TempDir;

use super::PATIENCE;
use super::guard::{self, Guarded};
use super::ports::Port;
use super::python::python;

/// How the server wants to be spoken to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// TLS: `starttls` (required then) or `wrapped`.
    pub tls: Option<&'static str>,
    /// The user and the password without which it takes nothing.
    pub auth: Option<[&'static str; 2]>,
}

/// A private SMTP server on 127.0.0.1; it ends with this value, or with the test process.
pub struct Smtp {
    server: Guarded,
    port: Port,
    directory: TempDir,
}

/// One message as it was taken.
#[derive(Clone, Debug, Deserialize)]
pub struct Mail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// What came with `MAIL FROM`.
    pub options: Vec<String>,
    /// Whether it came by TLS.
    pub tls: bool,
    /// Who had authenticated.
    pub user: Option<String>,
    /// Headers and body.
    pub message: String,
}

impl Mail {
    /// The message, parsed.
    pub fn parsed(&self) -> Message<'_> {
        MessageParser::default().parse(self.message.as_bytes()).expect("a message")
    }
}

impl Smtp {
    /// Starts a server and waits until it listens.
    pub async fn start(options: Options) -> Self {
        let directory = tempfile::Builder::new().prefix("recadero-smtp-").tempdir().unwrap();
        let port = Port::take();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(directory.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let mut command = guard::command(directory.path(), python().await);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/rig/smtp.py"));
        command.arg(directory.path()).arg(port.number().to_string());
        command.args(options.tls.iter().flat_map(|tls| ["--tls", tls]));
        command.args(options.auth.iter().flat_map(|[user, password]| ["--auth", user, password]));
        let mut server = Guarded::start("smtp.py", command, &directory.path().join("log"));
        server.ready(PATIENCE, async |log| log.contains("ready")).await;
        Self { server, port, directory }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// `smtp://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address())
    }

    /// The file of its certificate, for `SSL_CERT_FILE`.
    pub fn certificate(&self) -> String {
        self.directory.path().join("cert.pem").to_str().unwrap().to_owned()
    }

    /// From now on misbehaves so: lines as `smtp.py` says; none is none.
    pub fn behave(&self, lines: &[&str]) {
        let writing = self.directory.path().join("behaving");
        fs::write(&writing, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        fs::rename(writing, self.directory.path().join("behaviour")).unwrap();
    }

    /// What it has taken, the oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        let names = fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<_> =
            names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("mail-")).collect();
        names.sort();
        names.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
    }

    /// SIGSTOP: connections are made, nothing is answered.
    pub fn pause(&mut self) {
        self.server.signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.server.signal("CONT");
    }
}
