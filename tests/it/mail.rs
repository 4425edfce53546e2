//! Notices by e-mail (contract, section 4), taken by a real SMTP server and read as a person's program would.

mod on_virtual_time;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use mail_parser::Addr;
use serde_json::{Value, json};

use crate::rig::ports::Port;
use crate::rig::recadero::Process;
use crate::rig::receiver::{Answer, Receiver};
use crate::rig::smtp::{Mail, Options, Smtp};
use crate::rig::until;
use crate::service::{Endpoint, SOON, Service, metric};

const PUBLIC_URL: &str = "https://hooks.acme.test/base";
const NO_NOTIFIER: (&str, &str) = ("RECADERO_ROLES", "router,deliverer,api");
const NOTIFIER: (&str, &str) = ("RECADERO_ROLES", "notifier");

/// A lease on a notice is a minute; who died with one is succeeded after it.
const LEASE: Duration = Duration::from_secs(60);

/// A URL that nobody listens at.
fn nowhere() -> String {
    static NOBODY: LazyLock<Port> = LazyLock::new(Port::take);
    format!("http://127.0.0.1:{}/", NOBODY.number())
}

/// An SMTP server, and what a process is told of it: two attempts an event, and five failures disable.
struct Post {
    smtp: Smtp,
    url: String,
    certificate: String,
}

impl Post {
    async fn start() -> Self {
        let smtp = Smtp::start(Options::default()).await;
        let url = smtp.url();
        Self { certificate: smtp.certificate(), smtp, url }
    }

    async fn with(options: Options, url: impl Fn(&str) -> String) -> Self {
        let smtp = Smtp::start(options).await;
        let url = url(&smtp.address());
        Self { certificate: smtp.certificate(), smtp, url }
    }

    fn variables<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mine = [
            ("RECADERO_SMTP_URL", self.url.as_str()),
            ("RECADERO_MAIL_FROM", "Webhooks <hooks@platform.test>"),
            ("RECADERO_PUBLIC_URL", PUBLIC_URL),
            ("RECADERO_RETRY_DELAYS", "5ms"),
            ("RECADERO_QUOTA_LIMIT", "4"),
            ("SSL_CERT_FILE", &self.certificate),
        ];
        mine.into_iter().chain(more.iter().copied()).collect()
    }

    async fn until_taken(&self, count: usize) -> Vec<Mail> {
        until(&format!("{count} e-mails"), SOON, async || self.smtp.mails().len() >= count).await;
        self.smtp.mails()
    }
}

impl Service {
    /// A workspace with people, and an endpoint of it.
    async fn connect_with_people(&self, name: &str, url: &str, record: Value) -> Endpoint {
        let endpoint = self.connect(name, url).await;
        self.ask("PUT", &format!("/v1/workspaces/{name}"), record).await;
        endpoint
    }

    async fn disable(&self, endpoint: &Endpoint) {
        self.of(endpoint, "POST", "/disable", Value::Null).await;
    }

    async fn fail(&self, endpoint: &Endpoint, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            self.publisher.event("message.sent", &endpoint.workspace, &id.to_string(), b"{}").await;
        }
    }
}

fn people(notify: &[&str]) -> Value {
    json!({"plan": "advanced", "name": "Acme", "notify": notify, "locale": "en"})
}

async fn outcomes(process: &Process, outcome: &str) -> f64 {
    metric(process, &format!("recadero_notices_total{{channel=\"mail\",outcome=\"{outcome}\"}}")).await
}

fn subjects(mails: &[Mail]) -> Vec<String> {
    mails.iter().map(|mail| mail.parsed().subject().unwrap().to_owned()).collect()
}

fn text(mail: &Mail) -> String {
    mail.parsed().body_text(0).unwrap().replace("\r\n", "\n")
}

#[tokio::test]
async fn a_disabling_is_told_in_the_language_of_the_workspace() {
    let post = Post::start().await;
    let service = Service::start(&post.variables(&[NO_NOTIFIER])).await;
    let receiver = Receiver::start(|_| Answer::status(503).body("<b>try later</b>")).await;
    let name = "Añadir «Café» <i>& Söhne</i>";
    let english = json!({"plan": "advanced", "name": name, "notify": ["ana@acme.test", "bo@acme.test"]});
    let url = format!("{}/in?token=sw0rdfish", receiver.url());
    let acme = service.connect_with_people("acme", &url, english).await;
    let spanish = json!({"plan": "advanced", "name": "Globex", "notify": ["eva@globex.test"], "locale": "es"});
    let globex = service.connect_with_people("globex", &receiver.url(), spanish).await;
    for endpoint in [&acme, &globex] {
        service.fail(endpoint, 1..=7).await;
        service.until_shown(endpoint, "five waiting", |shown| shown["backlog"]["events"] == 5).await;
    }

    let notifier = service.another(&post.variables(&[NOTIFIER])).await;
    let mails = post.until_taken(4).await;
    let of = |to: &str, subject: &str| {
        let found = mails.iter().find(|mail| mail.to[0] == to && mail.parsed().subject().unwrap().starts_with(subject));
        found.unwrap_or_else(|| panic!("{subject} to {to}: {:?}", subjects(&mails)))
    };

    let mail = of("ana@acme.test", "Webhook disabled:");
    let parsed = mail.parsed();
    assert_eq!(
        (mail.from.as_str(), &mail.to),
        ("hooks@platform.test", &vec!["ana@acme.test".into(), "bo@acme.test".into()])
    );
    let from = parsed.from().unwrap().first().map(|Addr { name, address }| (name.as_deref(), address.as_deref()));
    assert_eq!(from, Some((Some("Webhooks"), Some("hooks@platform.test"))));
    assert_eq!(parsed.to().unwrap().iter().count(), 2);
    assert_eq!(parsed.subject().unwrap(), format!("Webhook disabled: 127.0.0.1 ({name})"));
    assert_eq!(parsed.message_id().unwrap(), format!("disabled-{}-1@platform.test", acme.id));
    let disabled_at = service.shown(&acme).await["disabled"]["at"].as_str().unwrap().to_owned();
    let date = parsed.date().unwrap().to_rfc3339();
    assert_eq!(date[..19], disabled_at[..19], "the date is the notice's");
    assert_eq!(parsed.header("Auto-Submitted").unwrap().as_text(), Some("auto-generated"));
    let (body, html) = (text(mail), parsed.body_html(0).unwrap().into_owned());
    let link = format!("{PUBLIC_URL}/console/workspaces/acme/endpoints/{}", acme.id);
    for told in [
        "more than 4 deliveries of the workspace failed within 30 minutes",
        "5 x  it answered 503",
        "<b>try later</b>",
        "Waiting for this endpoint: 5 events",
        &link,
        &format!("{}/in\n", receiver.url()),
    ] {
        assert!(body.contains(told), "{told:?} in {body}");
    }
    for told in [
        "<b>5</b> &times; it answered 503",
        "&#60;b&#62;try later&#60;/b&#62;",
        "Añadir «Café» &#60;i&#62;&#38; Söhne",
        &format!("href=\"{link}\""),
    ] {
        assert!(html.contains(told), "{told:?} in {html}");
    }
    assert!(!mail.message.contains("sw0rdfish") && !mail.message.contains(&acme.secret), "{}", mail.message);

    let warning = of("ana@acme.test", "Webhook about to be disabled: 127.0.0.1");
    assert!(warning.parsed().message_id().unwrap().starts_with("warning-acme-"));
    assert!(text(warning).contains("3 attempts within 30 minutes"), "{}", text(warning));

    let mail = of("eva@globex.test", "Webhook deshabilitado: 127.0.0.1 (Globex)");
    let html = mail.parsed().body_html(0).unwrap().into_owned();
    let link = format!("{PUBLIC_URL}/console/workspaces/globex/endpoints/{}", globex.id);
    for told in ["más de 4 entregas", "5 x  respondió 503", "En espera para este endpoint: 5 eventos", &link] {
        assert!(text(mail).contains(told), "{told:?} in {}", text(mail));
    }
    assert!(html.contains("lang=\"es\"") && html.contains("Habilitar el endpoint"), "{html}");
    of("eva@globex.test", "Webhook a punto de ser deshabilitado: 127.0.0.1");

    until("all settled", SOON, async || outcomes(&notifier, "sent").await == 4.0).await;
    assert_eq!(post.smtp.mails().len(), 4, "each is sent once");
}

#[tokio::test]
async fn half_of_the_quota_is_warned_of_once_a_window_by_whoever_looks() {
    let post = Post::start().await;
    let limit = ("RECADERO_QUOTA_LIMIT", "6");
    let mut service = Service::start(&post.variables(&[limit])).await;
    let receiver = Receiver::start(|_| Answer::status(500)).await;
    let endpoint = service.connect_with_people("acme", &receiver.url(), people(&["ana@acme.test"])).await;
    service.fail(&endpoint, 1..=2).await;
    post.until_taken(1).await;
    service.until_idle(&endpoint).await;
    // A clean count, in another process: what was told is remembered in the store.
    service.disable(&endpoint).await;
    service.of(&endpoint, "POST", "/enable", Value::Null).await;
    service.process.restart().await;
    service.fail(&endpoint, 3..=6).await;
    let mails = post.until_taken(3).await;
    let expected = ["about to be disabled", "disabled by hand", "disabled"];
    let expected = expected.map(|what| format!("Webhook {what}: 127.0.0.1 (Acme)"));
    assert_eq!(subjects(&mails), expected);
}

#[tokio::test]
async fn a_notice_whose_process_died_before_the_sending_is_sent_once_by_the_next() {
    let post = Post::start().await;
    let mut service = Service::start(&post.variables(&[NO_NOTIFIER])).await;
    let endpoint = service.connect_with_people("acme", &nowhere(), people(&["ana@acme.test"])).await;
    service.fail(&endpoint, 1..=3).await;
    service.until_shown(&endpoint, "disabled", |shown| shown["status"] == "disabled").await;
    service.process.kill9();
    assert_eq!(post.smtp.mails().len(), 0);

    let process = service.another(&post.variables(&[])).await;
    until("all settled", SOON, async || outcomes(&process, "sent").await == 2.0).await;
    let mails = post.smtp.mails();
    assert_eq!(mails.len(), 2, "a warning and a disabling: {:?}", subjects(&mails));
    assert!(text(&mails[1]).contains("no connection could be made"), "{}", text(&mails[1]));
}

#[tokio::test]
async fn a_notice_whose_sender_died_is_repeated_under_the_same_message_id() {
    let post = Post::start().await;
    let mut service = Service::start(&post.variables(&[])).await;
    let endpoint = service.connect_with_people("acme", &nowhere(), people(&["ana@acme.test"])).await;
    post.smtp.behave(&["TAKEN hang"]);
    service.disable(&endpoint).await;
    post.until_taken(1).await;
    service.process.kill9();
    post.smtp.behave(&[]);
    service.process.restart().await;
    until("the repeat", LEASE + SOON, async || post.smtp.mails().len() == 2).await;
    until("it is settled", SOON, async || outcomes(&service.process, "sent").await == 1.0).await;
    let mails = post.smtp.mails();
    let (first, second) = (mails[0].parsed(), mails[1].parsed());
    assert_eq!(first.message_id(), second.message_id());
    assert_eq!(first.date(), second.date());
    assert_eq!(mails.len(), 2);
}

#[tokio::test]
async fn a_server_that_refuses_or_hangs_up_is_tried_again_until_it_takes_the_message() {
    let post = Post::start().await;
    let service = Service::start(&post.variables(&[])).await;
    let cases = ["MAIL 451 4.7.1 later", "RCPT 550 5.1.1 nobody", "DATA 554 5.7.1 no", "MAIL drop", "DATA drop"];
    for (number, case) in cases.into_iter().enumerate() {
        let url = format!("{}{number}", nowhere());
        let endpoint = service.connect_with_people("acme", &url, people(&["ana@acme.test"])).await;
        let failed = outcomes(&service.process, "failed").await;
        post.smtp.behave(&[case]);
        service.disable(&endpoint).await;
        until(case, SOON, async || outcomes(&service.process, "failed").await >= failed + 2.0).await;
        assert_eq!(post.smtp.mails().len(), number, "{case}");
        post.smtp.behave(&[]);
        until(case, SOON, async || outcomes(&service.process, "sent").await == (number + 1) as f64).await;
    }
    let mails = post.smtp.mails();
    let ids: BTreeSet<_> = mails.iter().map(|mail| mail.parsed().message_id().unwrap().to_owned()).collect();
    assert_eq!((mails.len(), ids.len()), (cases.len(), cases.len()), "each is taken once");
    let log = service.process.log();
    assert!(log.contains("451") && log.contains("later") && log.contains("550"), "{log}");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_on_in_time_and_tried_again() {
    let mut post = Post::start().await;
    let service = Service::start(&post.variables(&[])).await;
    let endpoint = service.connect_with_people("acme", &nowhere(), people(&["ana@acme.test"])).await;
    post.smtp.pause();
    service.disable(&endpoint).await;
    until("a failure", SOON, async || outcomes(&service.process, "failed").await == 1.0).await;
    post.smtp.behave(&["DATA hang"]);
    post.smtp.resume();
    until("another", SOON, async || outcomes(&service.process, "failed").await == 2.0).await;
    post.smtp.behave(&[]);
    until("it is sent", SOON, async || outcomes(&service.process, "sent").await == 1.0).await;
    assert_eq!(post.smtp.mails().len(), 1);
}

#[tokio::test]
async fn a_recipient_who_is_refused_keeps_it_from_nobody_else() {
    let post = Post::start().await;
    let service = Service::start(&post.variables(&[])).await;
    let all = people(&["gone@acme.test", "josé@acme.test", "ana@müller.test"]);
    let endpoint = service.connect_with_people("acme", &nowhere(), all).await;
    post.smtp.behave(&["RCPT:gone@acme.test 550 5.1.1 gone"]);
    service.disable(&endpoint).await;
    until("it is sent", SOON, async || outcomes(&service.process, "sent").await == 1.0).await;
    let mails = post.smtp.mails();
    assert_eq!(mails[0].to, ["ana@xn--mller-kva.test", "josé@acme.test"]);
    assert!(mails[0].options.contains(&"SMTPUTF8".to_owned()), "{:?}", mails[0].options);
    assert!(!mails[0].message.contains("gone@"), "{}", mails[0].message);
    let log = service.process.log();
    assert!(log.contains("a recipient was refused") && log.contains("5.1.1 gone"), "{log}");
}

#[tokio::test]
async fn tls_and_authentication_are_what_the_url_says() {
    let auth = Some(["hooks@corp", "sw0rd/fish"]);
    let starttls = Options { tls: Some("starttls"), auth };
    let wrapped = Options { tls: Some("wrapped"), auth };
    for (options, url) in [
        (starttls, "smtp://hooks%40corp:sw0rd%2Ffish@{}/hooks.platform.test?tls=required"),
        (starttls, "smtp://hooks%40corp:sw0rd%2Ffish@{}?tls=opportunistic"),
        (wrapped, "smtps://hooks%40corp:sw0rd%2Ffish@{}"),
    ] {
        let post = Post::with(options, |address| url.replace("{}", address)).await;
        let service = Service::start(&post.variables(&[])).await;
        let endpoint = service.connect_with_people("acme", &nowhere(), people(&["ana@acme.test"])).await;
        service.disable(&endpoint).await;
        let mails = post.until_taken(1).await;
        assert_eq!((mails[0].tls, mails[0].user.as_deref()), (true, Some("hooks@corp")), "{url}");
    }
}

#[tokio::test]
async fn what_the_url_asks_for_and_the_server_has_not_keeps_the_message_back() {
    let auth = Some(["hooks", "sw0rdfish"]);
    let cases = [
        // No STARTTLS there: nothing goes in the clear.
        (Options::default(), "smtp://{}?tls=required", true, "STARTTLS"),
        // A certificate that nobody vouches for.
        (Options { tls: Some("wrapped"), auth: None }, "smtps://{}", false, "ertificate"),
        // A wrong password.
        (Options { tls: Some("starttls"), auth }, "smtp://hooks:l0bster@{}?tls=required", true, "535"),
    ];
    for (options, url, trusted, said) in cases {
        let post = Post::with(options, |address| url.replace("{}", address)).await;
        let certificates = if trusted { post.certificate.clone() } else { own_certificate() };
        let service = Service::start(&post.variables(&[("SSL_CERT_FILE", &certificates)])).await;
        let endpoint = service.connect_with_people("acme", &nowhere(), people(&["ana@acme.test"])).await;
        service.disable(&endpoint).await;
        until(url, SOON, async || outcomes(&service.process, "failed").await >= 1.0).await;
        let log = service.process.log();
        assert!(log.contains(said), "{said} in {log}");
        assert!(!log.contains("l0bster") && !log.contains("sw0rdfish"), "{log}");
        assert_eq!(post.smtp.mails().len(), 0, "{url}");
    }
}

/// Somebody else's, for a machine that believes in it alone.
fn own_certificate() -> String {
    let made = rcgen::generate_simple_self_signed(["elsewhere.test".to_owned()]).unwrap();
    let file = tempfile::Builder::new().suffix(".pem").tempfile().unwrap();
    std::fs::write(file.path(), made.cert.pem()).unwrap();
    file.keep().unwrap().1.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn without_recipients_or_a_server_the_log_has_it() {
    let post = Post::start().await;
    let (with, without) = (post.variables(&[]), [("RECADERO_RETRY_DELAYS", "5ms")]);
    for variables in [with.as_slice(), &without] {
        let service = Service::start(variables).await;
        let endpoint = service.connect_with_people("acme", &nowhere(), people(&[])).await;
        service.disable(&endpoint).await;
        let id = format!("disabled-{}-1", endpoint.id);
        let told = async || {
            let log = service.process.log();
            log.lines().any(|line| line.contains("nobody is to be told this by mail") && line.contains(&id))
        };
        until("a line in the log", SOON, told).await;
        assert_eq!(outcomes(&service.process, "sent").await, 0.0);
    }
    assert_eq!(post.smtp.mails().len(), 0);
}
