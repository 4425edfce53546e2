//! Configuration (contract, section 1): wrong values, values in files, what the servers must be, and health meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::rig::ports::Port;
use crate::rig::rabbit::Rabbit;
use crate::rig::recadero::{ADMIN_TOKEN, Process, run};
use crate::rig::redis::{Aof, Options, Redis};
use crate::rig::redis_cluster::RedisCluster;
use crate::rig::until;
use crate::service::{SOON, Service, metric};

/// In every wrong value of an option that may hold a secret.
const SECRET: &str = "sw0rdfish";

/// For every option of `recadero serve`, a wrong value or more.
const WRONG: &[(&str, &[&str])] = &[
    ("roles", &["routers", "router;api", ","]),
    ("amqp-url", &["http://u:sw0rdfish@h", "u:sw0rdfish@h:5672", "amqp://u:sw0rdfish@h:99999"]),
    ("amqp-exchange", &["amq.topic", "a b"]),
    ("amqp-queues", &["0", "257", "two"]),
    ("declare", &["yes"]),
    ("amqp-prefetch", &["0", "65536"]),
    ("redis-url", &["http://u:sw0rdfish@h", "redis://u:sw0rdfish@", "redis-sentinel://u:sw0rdfish@h:1"]),
    ("redis-prefix", &["a{b}"]),
    ("partitions", &["0", "1025", "64.0"]),
    ("durability", &["aof"]),
    ("token-keys", &["sw0rdfish"]),
    ("http-addr", &["8080", "localhost:8080"]),
    ("ops-addr", &["9464", "0.0.0.0:99999"]),
    ("admin-tokens", &["sw0rdfish", "0123456789abcdef0123456789sw0rdfishé"]),
    ("timeout", &["5", "0s", "1h30m", "-5s"]),
    ("retry-delays", &["30", "30s;60s", "0s", ","]),
    ("success", &["201", "2XX"]),
    ("quota-limit", &["-1", "many"]),
    ("quota-window", &["0s", "8d"]),
    ("quota-scope", &["global"]),
    ("entitled-plans", &["a b", ","]),
    ("default-plan", &["a b"]),
    ("extra-event-types", &["*", "order placed"]),
    ("max-event-bytes", &["0", "17MiB", "256KB"]),
    ("max-endpoints", &["0"]),
    ("max-inflight", &["0", "1000001"]),
    ("max-slow", &["-1"]),
    ("backlog-max-events", &["0"]),
    ("backlog-max-bytes", &["0", "64MB"]),
    ("backlog-max-age", &["0s", "72"]),
    ("dropped-max-events", &["-1"]),
    ("dropped-retention", &["0s"]),
    ("log-attempts", &["0"]),
    ("log-max-age", &["0s"]),
    ("log-payloads", &["100001"]),
    ("dedupe-window", &["0s", "1"]),
    ("allow-http", &["maybe"]),
    ("allow-nets", &["10.0.0.0/33", "intranet"]),
    ("allow-ports", &["0", "https"]),
    ("ca-file", &["/nonexistent/ca.pem"]),
    ("egress-proxy", &["https://u:sw0rdfish@proxy:3128", "sw0rdfish"]),
    ("smtp-url", &["http://u:sw0rdfish@h", "sw0rdfish", "smtp://u:sw0rdfish@h?tls=always", "smtp://sw0rdfish@h"]),
    ("mail-from", &["a", "a@b.example, c@d.example"]),
    ("public-url", &["hooks.example.com", "https://u:sw0rdfish@h"]),
    ("shutdown-grace", &["20", "2h"]),
    ("log", &["recadero=loud"]),
    ("log-format", &["xml"]),
    ("otel-exporter-otlp-endpoint", &["sw0rdfish:4318"]),
];

/// How many processes are started at once.
const AT_ONCE: usize = 4;

fn variable(option: &str) -> String {
    let name = option.to_uppercase().replace('-', "_");
    if option.starts_with("otel-") { name } else { format!("RECADERO_{name}") }
}

fn assert_one_line(printed: &str, case: &str, option: &str) {
    assert_eq!(printed.lines().count(), 1, "{case}: {printed}");
    assert!(printed.contains(&format!("--{option} ({})", variable(option))), "{case}: {printed}");
    assert!(!printed.contains(SECRET), "{case}: a secret in {printed}");
    assert!(printed.len() > format!("recadero: --{option} ({}): ", variable(option)).len(), "{case}: {printed}");
}

#[tokio::test]
async fn every_wrong_value_is_one_line_that_names_the_option_and_exit_status_2() {
    let (status, help) = run(&["serve", "--help"], &[]).await;
    assert_eq!(status, 0);
    let flags: BTreeSet<_> = help
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .map(|flag| flag.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()))
        .filter(|flag| !["help", "version"].contains(flag) && !flag.is_empty())
        .collect();
    assert_eq!(flags, WRONG.iter().map(|(option, _)| *option).collect(), "a row for every option of the help");

    let cases = WRONG.iter().flat_map(|(option, values)| values.iter().map(|value| (*option, *value)));
    let mut runs = stream::iter(cases)
        .map(async |(option, value)| {
            // An environment in which all else is right.
            let token = ("RECADERO_ADMIN_TOKENS", if option == "admin-tokens" { "" } else { ADMIN_TOKEN });
            let (name, flag) = (variable(option), format!("--{option}={value}"));
            let by_variable = run(&["serve"], &[token, (&name, value)]).await;
            let by_flag = run(&["serve", &flag], &[token]).await;
            (option, value, by_variable, by_flag)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((option, value, by_variable, by_flag)) = runs.next().await {
        for (status, printed) in [by_variable, by_flag] {
            assert_eq!(status, 2, "{option} {value}: {printed}");
            assert_one_line(&printed, value, option);
        }
    }
}

#[tokio::test]
async fn what_is_wrong_together_is_one_line_and_exit_status_2_too() {
    let token = ("RECADERO_ADMIN_TOKENS", ADMIN_TOKEN);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    fs::write(&file, format!("http://u:{SECRET}@h")).unwrap();
    let (file, gone) = (file.to_str().unwrap(), "/nonexistent/secret");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("admin-tokens", &[("RECADERO_ROLES", "router,api")]),
        ("admin-tokens", &[("RECADERO_ADMIN_TOKENS", "")]),
        ("redis-url", &[token, ("RECADERO_REDIS_URL", "redis://h"), ("RECADERO_REDIS_URL_FILE", file)]),
        ("redis-url", &[token, ("RECADERO_REDIS_URL_FILE", file)]),
        ("amqp-url", &[token, ("RECADERO_AMQP_URL_FILE", gone)]),
        ("smtp-url", &[token, ("RECADERO_SMTP_URL_FILE", file), ("RECADERO_MAIL_FROM", "a@b.example")]),
        ("mail-from", &[token, ("RECADERO_SMTP_URL", "smtp://u:sw0rdfish@h")]),
        ("ops-addr", &[token, ("RECADERO_OPS_ADDR", "0.0.0.0:8080")]),
        ("ops-addr", &[token, ("RECADERO_OPS_ADDR", &taken)]),
    ];
    for (option, variables) in cases {
        let (status, printed) = run(&["serve"], variables).await;
        assert_eq!(status, 2, "{variables:?}: {printed}");
        assert_one_line(&printed, &format!("{variables:?}"), option);
    }
    for arguments in
        [&["serve", "--no-such-flag"][..], &["serve", "word"], &["--no-such-flag"], &["no-such-command"], &[]]
    {
        let (status, printed) = run(arguments, &[token]).await;
        assert_eq!(status, 2, "{arguments:?}: {printed}");
    }
}

#[tokio::test]
async fn secrets_are_read_from_files_and_stay_out_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut service = Service::start(&[]).await;
    service.redis.cli(&["CONFIG", "SET", "requirepass", SECRET]).await;
    assert_eq!(service.process.term(SOON).await, 0);
    let tokens = write("tokens", &format!("{}\n{ADMIN_TOKEN}\n", "x".repeat(32)));
    let redis = write("redis", &format!("redis://:{SECRET}@127.0.0.1:{}\n", service.redis.port()));
    service.process = service
        .another(&[
            ("RECADERO_ADMIN_TOKENS", ""),
            ("RECADERO_ADMIN_TOKENS_FILE", &tokens),
            ("RECADERO_REDIS_URL", ""),
            ("RECADERO_REDIS_URL_FILE", &redis),
            ("RECADERO_LOG", "debug"),
        ])
        .await;
    service.entitle("acme").await;
    let log = service.process.log();
    assert!(!log.contains(SECRET) && !log.contains(ADMIN_TOKEN) && !log.contains("guest:guest"), "{log}");
    assert_eq!(log.matches("store connected").count(), 1, "{log}");
}

#[tokio::test]
async fn a_store_that_would_break_promises_is_refused() {
    let token = ("RECADERO_ADMIN_TOKENS", ADMIN_TOKEN);
    let addresses = [("RECADERO_OPS_ADDR", "127.0.0.1:0"), ("RECADERO_HTTP_ADDR", "127.0.0.1:0")];
    let refused = async |redis: &Redis, variables: &[(&str, &str)]| -> String {
        let url = redis.url();
        let given = [&[token, ("RECADERO_REDIS_URL", &url)], &addresses[..], variables].concat();
        let (status, printed) = run(&["serve"], &given).await;
        assert_eq!(status, 2, "{variables:?}: {printed}");
        let line = printed.lines().last().unwrap();
        assert!(line.starts_with("recadero: --"), "{printed}");
        line.to_owned()
    };
    let evicting = Options { extra: vec!["--maxmemory-policy".into(), "allkeys-lru".into()], ..Options::default() };
    let evicting = Redis::start(evicting).await;
    let line = refused(&evicting, &[]).await;
    assert!(line.contains("maxmemory-policy") && line.contains("noeviction"), "{line}");

    let service = Service::start(&[("RECADERO_PARTITIONS", "8")]).await;
    let line = refused(&service.redis, &[("RECADERO_PARTITIONS", "16")]).await;
    assert!(line.contains("RECADERO_PARTITIONS") && line.contains('8') && line.contains("16"), "{line}");
    service.another(&[("RECADERO_PARTITIONS", "8")]).await;
    // Under another prefix it is another store.
    service.another(&[("RECADERO_PARTITIONS", "16"), ("RECADERO_REDIS_PREFIX", "second")]).await;

    let line = refused(&service.redis, &[("RECADERO_PARTITIONS", "8"), ("RECADERO_DURABILITY", "disk")]).await;
    assert!(line.contains("RECADERO_DURABILITY") && line.contains("appendonly"), "{line}");
    let always = Redis::start(Options { aof: Aof::Always, ..Options::default() }).await;
    let (url, rabbit) = (always.url(), service.rabbit.url());
    Process::serve(&[("RECADERO_REDIS_URL", &url), ("RECADERO_AMQP_URL", rabbit), ("RECADERO_DURABILITY", "disk")])
        .await;
}

#[tokio::test]
async fn a_wrong_or_missing_password_of_redis_is_one_line_and_exit_status_2() {
    let (redis, cluster) = tokio::join!(Redis::start(Options::default()), RedisCluster::start());
    let nodes: Vec<_> = cluster.primaries.iter().chain(&cluster.replicas).collect();
    for server in nodes.iter().chain([&&redis]) {
        server.cli(&["CONFIG", "SET", "requirepass", SECRET]).await;
    }
    let with = |login: &str| {
        let of = |server: &Redis| server.url().replace("redis://", &format!("redis://{login}"));
        [of(&redis), nodes.iter().map(|node| of(node)).collect::<Vec<_>>().join(",")]
    };
    for url in [with(":wrong-and-not-to-be-shown@"), with("")].concat() {
        let variables = [
            ("RECADERO_REDIS_URL", url.as_str()),
            ("RECADERO_ADMIN_TOKENS", ADMIN_TOKEN),
            ("RECADERO_OPS_ADDR", "127.0.0.1:0"),
            ("RECADERO_HTTP_ADDR", "127.0.0.1:0"),
            ("RECADERO_LOG", "error"),
        ];
        let (status, printed) = run(&["serve"], &variables).await;
        assert_eq!(status, 2, "{url}: {printed}");
        assert_eq!(printed.trim_end().lines().count(), 1, "{url}: {printed}");
        assert!(
            printed.starts_with("recadero: --redis-url ") && printed.contains("the server does not allow it: "),
            "{url}: {printed}"
        );
        assert!(!printed.contains("not-to-be-shown"), "{printed}");
    }
}

/// Hands every connection on to a server: RabbitMQ, away until this begins.
async fn forward(from: u16, to: u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, from)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut there = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await.unwrap();
                tokio::io::copy_bidirectional(&mut here, &mut there).await
            });
        }
    });
}

#[tokio::test]
async fn it_lives_without_servers_and_says_what_is_missing_until_they_come() {
    let (mut redis, rabbit) = tokio::join!(Redis::start(Options::default()), Rabbit::shared());
    redis.stop().await;
    let behind = Port::take();
    let real = url::Url::parse(rabbit.url()).unwrap().port().unwrap();
    let amqp = rabbit.url().replace(&format!(":{real}/"), &format!(":{}/", behind.number()));
    let mut process = Process::start(&["serve"], &[("RECADERO_REDIS_URL", &redis.url()), ("RECADERO_AMQP_URL", &amqp)]);
    until("an answer of /healthz", SOON, async || process.probe("/healthz").await.is_some()).await;
    let missing = async || -> Option<Vec<String>> {
        let (status, text) = process.probe("/readyz").await?;
        let answer: Value = serde_json::from_str(&text).unwrap();
        let missing = answer["missing"].as_array().unwrap();
        assert_eq!((status == 200, answer["ready"] == true), (missing.is_empty(), missing.is_empty()), "{answer}");
        assert!(missing.iter().all(|what| !what["detail"].as_str().unwrap().is_empty()), "{answer}");
        Some(missing.iter().map(|what| what["what"].as_str().unwrap().to_owned()).collect())
    };
    assert_eq!(missing().await.unwrap(), ["store", "broker"]);
    assert_eq!(process.log().matches("store connected").count(), 0);
    assert_eq!(process.probe("/healthz").await.unwrap().0, 200);
    assert_eq!(metric(&process, "recadero_store_connected").await, 0.0);

    redis.restart().await;
    until("the store alone there", SOON, async || missing().await.unwrap() == ["broker"]).await;
    assert_eq!(process.probe("/healthz").await.unwrap().0, 200);
    forward(behind.number(), real).await;
    until("ready", SOON, async || missing().await.unwrap().is_empty()).await;
    assert_eq!(metric(&process, "recadero_store_connected").await, 1.0);
    assert_eq!(metric(&process, "recadero_broker_connected").await, 1.0);

    assert_eq!(process.log().matches("store connected").count(), 1, "{}", process.log());

    // Gone again, and back.
    redis.kill();
    until("the store missing", SOON, async || missing().await.unwrap().contains(&"store".to_owned())).await;
    assert_eq!(process.probe("/healthz").await.unwrap().0, 200);
    redis.restart().await;
    until("ready again", SOON, async || missing().await.unwrap().is_empty()).await;
    let (status, _) = process.api("PUT", "/v1/workspaces/acme", Some(&json!({"plan": "advanced"}))).await;
    assert_eq!(status, 200);
    assert_eq!(process.term(SOON).await, 0);
}
