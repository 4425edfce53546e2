use std::collections::BTreeMap;
use std::fs;

use clap::{Args, FromArgMatches};

use super::*;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "sw0rdfish";

/// The flags, with an admin token, since the api role needs one.
fn with(pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    ServeOptions::of([("admin-tokens", TOKEN)].into_iter().chain(pairs.iter().copied())).check()
}

fn parse(arguments: &[&str]) -> Result<ServeOptions, clap::Error> {
    let command = ServeOptions::augment_args(clap::Command::new("serve").no_binary_name(true));
    ServeOptions::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

/// For every option: values that are taken, and values that are refused.
const VALUES: &[(&str, &[&str], &[&str])] = &[
    ("roles", &["router", "api,notifier", " deliverer , router "], &["routers", "router;api", ","]),
    ("shutdown-grace", &["0s", "20s"], &["20", "2h"]),
    ("log", &["debug", "info,recadero=trace"], &["recadero=loud", "a=b=c"]),
    ("log-format", &["json", "text"], &["xml", "JSON"]),
    ("otel-exporter-otlp-endpoint", &["http://otel:4318"], &["otel:4318", "http://"]),
    (
        "amqp-url",
        &["amqp://h", "amqps://u:p@h:5671/%2f?heartbeat=5", "amqp://[::1]:5672/%2f"],
        &["http://h", "h:5672", "amqp://h:99999"],
    ),
    ("amqp-exchange", &["events"], &["amq.topic", "a b", "é"]),
    ("amqp-queues", &["1", "256"], &["0", "257", "-1", "two"]),
    ("declare", &["true", "false"], &["yes", "1"]),
    ("amqp-prefetch", &["1", "65535"], &["0", "65536"]),
    (
        "redis-url",
        &["redis://h", "rediss://u:p@h:6380/1", "redis://a:1,redis://b:2", "redis-sentinel://h1:26379;h2:26379/main/0"],
        &[
            "http://h",
            "h:6379",
            "redis://",
            "redis-sentinel://h1:1/m,redis-sentinel://h2:1/m",
            "rediss-sentinel://h1:1/m",
            "redis://h/nan",
        ],
    ),
    ("redis-prefix", &["recadero:eu"], &["a{b}", "a b"]),
    ("partitions", &["1", "1024"], &["0", "1025", "64.0"]),
    ("durability", &["memory", "disk", "replica"], &["aof"]),
    ("http-addr", &["127.0.0.1:0", "[::1]:8080"], &["8080", "localhost:8080", "0.0.0.0:99999"]),
    ("ops-addr", &["127.0.0.1:0"], &["0.0.0.0:8080", "x"]),
    ("admin-tokens", &[TOKEN], &["short", "0123456789abcdef0123456789abcdeé", "0123456789abcdef 0123456789abcdef"]),
    ("token-keys", &[TOKEN], &["short", "0123456789abcdef0123456789abcdef,short"]),
    (
        "public-url",
        &["https://hooks.example.com", "http://127.0.0.1:8080/base"],
        &["hooks.example.com", "ftp://h", "https://h?x=1", "https://u:p@h"],
    ),
    ("timeout", &["1ms", "5s", "5m"], &["5", "0s", "6m", "5 s", "1h30m", "-5s"]),
    (
        "retry-delays",
        &["1s", "30s,60s,90s"],
        &["30", "30s;60s", "0s", "25h", ",", "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s"],
    ),
    ("success", &["200", "2xx"], &["201", "2XX"]),
    ("quota-limit", &["0", "30"], &["-1", "many"]),
    ("quota-window", &["250ms", "30m"], &["0s", "0ms", "8d"]),
    ("quota-scope", &["workspace", "endpoint"], &["global"]),
    ("entitled-plans", &["advanced", "a,b"], &["a b", ","]),
    ("default-plan", &["none", "advanced"], &["a b", "a,b"]),
    ("extra-event-types", &["order.placed", "a,b"], &["*", "order placed"]),
    ("max-event-bytes", &["1", "256KiB", "16MiB"], &["0", "17MiB", "256KB"]),
    ("dedupe-window", &["1h"], &["0s", "1"]),
    ("max-endpoints", &["1"], &["0"]),
    ("max-inflight", &["1"], &["0", "1000001"]),
    ("max-slow", &["0"], &["1000001"]),
    ("backlog-max-events", &["1"], &["0"]),
    ("backlog-max-bytes", &["64MiB", "1"], &["0", "-1", "64MB"]),
    ("backlog-max-age", &["72h"], &["0s", "400d"]),
    ("dropped-max-events", &["0"], &["-1"]),
    ("dropped-retention", &["72h"], &["0s"]),
    ("log-attempts", &["500"], &["0"]),
    ("log-max-age", &["168h"], &["0s"]),
    ("log-payloads", &["0"], &["100001"]),
    ("allow-http", &["true", "false"], &["maybe"]),
    ("allow-nets", &["10.0.0.0/8,fd12::/16", "127.0.0.1"], &["10.0.0.0/33", "intranet"]),
    ("allow-ports", &["all", "443,8443"], &["0", "65536", "https"]),
    ("ca-file", &[], &["/nonexistent/ca.pem", "Cargo.toml"]),
    ("egress-proxy", &["http://u:p@proxy:3128"], &["https://proxy:3128", "proxy:3128"]),
    ("smtp-url", &[], &["http://h", "mail.example.com:25", "smtp://h?tls=yes", "smtp://u@h", "smtps://h?tls=required"]),
    ("mail-from", &["a@b.example", "Webhooks <a@b.example>"], &["a", "a@b.example, c@d.example", "<a@b.example"]),
];

#[test]
fn every_option_takes_good_values_and_refuses_wrong_ones_in_one_line_that_names_it() {
    let named: Vec<_> = VALUES.iter().map(|(name, ..)| *name).collect();
    let all = table::SERVE.iter().flat_map(|section| section.options);
    assert_eq!(named, all.clone().map(|option| option.name).collect::<Vec<_>>(), "a row for every option");
    for (option, (name, good, wrong)) in all.zip(VALUES) {
        for value in *good {
            assert!(with(&[(name, value)]).is_ok(), "--{name} {value}: {:?}", with(&[(name, value)]).err());
        }
        assert!(!wrong.is_empty(), "{name}");
        for value in *wrong {
            let error = with(&[(name, value)]).expect_err(value).to_string();
            assert!(error.starts_with(&format!("--{name} ({}): ", option.env())), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}

#[test]
fn names_and_defaults_are_those_of_the_contract() {
    let contract = include_str!("../../docs/contract.md");
    let mut told = BTreeMap::new();
    let mut last = String::new();
    for row in contract.lines().filter(|row| row.starts_with("| `RECADERO_") || row.starts_with("| `OTEL_")) {
        let mut cells = row.split(" | ");
        let names: Vec<_> = cells.next().expect("names").trim_start_matches("| ").split(" / ").collect();
        let mut defaults = cells.next().expect("defaults").split(" / ");
        for name in names {
            let name = name.trim_matches('`');
            // `_MAX_BYTES` after `RECADERO_BACKLOG_MAX_EVENTS` is `RECADERO_BACKLOG_MAX_BYTES`.
            let name = match name.strip_prefix('_') {
                Some(rest) => format!("{}_{rest}", last.split("_MAX").next().expect("a first part")),
                None => name.to_owned(),
            };
            let default = defaults.next().unwrap_or("none");
            told.insert(name.clone(), (default != "none").then(|| default.trim_matches('`').to_owned()));
            last = name;
        }
    }
    let options = table::SERVE.iter().flat_map(|section| section.options);
    let ours: BTreeMap<_, _> = options.map(|option| (option.env(), option.default.map(str::to_owned))).collect();
    assert_eq!(ours, told);
}

#[test]
fn the_defaults_are_the_rules() {
    let settings = with(&[]).expect("valid");
    assert_eq!(settings.policy, Policy::default());
    assert_eq!(settings.roles, Roles { router: true, deliverer: true, api: true, notifier: true });
    assert_eq!((settings.store.partitions, settings.store.durability), (64, Durability::Memory));
    assert_eq!((settings.egress.guard.allow_http, settings.egress.guard.allow_ports), (false, None));
    assert!(settings.mail.is_none());
}

#[test]
fn an_empty_value_is_as_good_as_none() {
    for section in table::SERVE {
        for option in section.options.iter().filter(|option| option.name != "admin-tokens") {
            assert!(with(&[(option.name, "")]).is_ok(), "{}", option.name);
        }
    }
    assert_eq!(with(&[("timeout", " ")]).expect("valid").policy.timeout, Duration::from_secs(5));
}

#[test]
fn the_api_role_refuses_to_start_without_an_admin_token() {
    let error = ServeOptions::default().check().expect_err("no token").to_string();
    assert!(error.starts_with("--admin-tokens (RECADERO_ADMIN_TOKENS): is missing"), "{error}");
    assert!(ServeOptions::of([("roles", "router,deliverer,notifier")]).check().is_ok());
}

#[test]
fn values_are_checked_against_each_other() {
    let at = |pairs: &[(&str, &str)]| with(pairs).expect_err("contradiction").option;
    assert_eq!(at(&[("smtp-url", "smtp://mail:25")]), "--mail-from (RECADERO_MAIL_FROM)");
    assert_eq!(at(&[("http-addr", "0.0.0.0:9464")]), "--ops-addr (RECADERO_OPS_ADDR)");
    let mail = with(&[("smtp-url", "smtp://u:p@mail:25"), ("mail-from", "a@b.example")]).expect("valid").mail;
    assert_eq!(mail.expect("mail").from.to_string(), "a@b.example");
}

#[test]
fn urls_tokens_and_keys_can_be_read_from_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("tokens");
    fs::write(&path, format!("{TOKEN}\nfedcba9876543210fedcba9876543210\n")).expect("written");
    let path = path.to_str().expect("UTF-8");
    let settings = ServeOptions::of([("admin-tokens-file", path)]).check().expect("valid");
    assert_eq!(settings.admin_tokens.len(), 2);
    assert_eq!(settings.admin_tokens[0].reveal(), TOKEN);

    let both = ServeOptions::of([("admin-tokens-file", path), ("admin-tokens", TOKEN)]).check();
    let both = both.expect_err("both are set").to_string();
    let expected =
        "--admin-tokens (RECADERO_ADMIN_TOKENS): RECADERO_ADMIN_TOKENS and RECADERO_ADMIN_TOKENS_FILE are both set";
    assert!(both.starts_with(expected), "{both}");

    let missing = ServeOptions::of([("admin-tokens-file", "/nonexistent")]).check().expect_err("missing").to_string();
    assert!(missing.contains("\"/nonexistent\" cannot be read"), "{missing}");
    fs::write(path, "x".repeat(100_000)).expect("written");
    assert!(ServeOptions::of([("admin-tokens-file", path)]).check().is_err());
}

#[test]
fn a_file_of_certificates_is_read_and_checked() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ca.pem");
    let root = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).expect("a certificate").cert.pem();
    fs::write(&path, &root).expect("written");
    let settings = with(&[("ca-file", path.to_str().expect("UTF-8"))]).expect("valid");
    assert_eq!(settings.egress.extra_roots, Some(root.into_bytes()));
    fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
    assert!(with(&[("ca-file", path.to_str().expect("UTF-8"))]).is_err());
}

#[test]
fn no_secret_is_in_an_error_or_in_debug() {
    let wrong = [
        ("amqp-url", format!("amq://u:{PASSWORD}@h")),
        ("amqp-url", format!("amqp://u:{PASSWORD}@h?heartbeat={PASSWORD}")),
        ("redis-url", format!("redis://u:{PASSWORD}@h/x")),
        ("redis-url", format!("http://u:{PASSWORD}@h")),
        ("redis-url", format!("redis-sentinel://u:{PASSWORD}@h/x")),
        ("admin-tokens", PASSWORD.to_owned()),
        ("token-keys", PASSWORD.to_owned()),
        ("egress-proxy", format!("socks5://u:{PASSWORD}@h")),
        ("smtp-url", format!("mail://u:{PASSWORD}@h")),
        ("public-url", format!("https://u:{PASSWORD}@h")),
        ("otel-exporter-otlp-endpoint", format!("grpc://u:{PASSWORD}@h")),
    ];
    for (name, value) in wrong {
        let error = with(&[(name, &value)]).expect_err(name).to_string();
        assert!(!error.contains(PASSWORD), "{error}");
    }
    let settings = with(&[
        ("amqp-url", &format!("amqp://u:{PASSWORD}@h")),
        ("redis-url", &format!("redis://u:{PASSWORD}@h")),
        ("egress-proxy", &format!("http://u:{PASSWORD}@h")),
        ("smtp-url", &format!("smtp://u:{PASSWORD}@h")),
        ("mail-from", "a@b.example"),
    ]);
    let shown = format!("{:?}", settings.expect("valid"));
    assert!(!shown.contains(PASSWORD) && !shown.contains(TOKEN), "{shown}");
}

#[test]
fn flags_are_read_and_unknown_ones_are_wrong_usage() {
    let options =
        parse(&["--admin-tokens", TOKEN, "--timeout=250ms", "--allow-http", "--declare", "false", "--log", ""]);
    let settings = options.expect("known flags").check().expect("valid");
    assert_eq!(settings.policy.timeout, Duration::from_millis(250));
    assert!(settings.egress.guard.allow_http && !settings.declare);
    assert_eq!(settings.log.filter, "info");
    let error = parse(&["--time-out", "5s"]).err().expect("unknown");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn the_help_lists_every_option_with_its_variable_and_default_and_no_value_of_the_environment() {
    let mut command = ServeOptions::augment_args(clap::Command::new("serve"));
    let help = command.render_long_help().to_string();
    for option in table::SERVE.iter().flat_map(|section| section.options) {
        assert!(help.contains(&format!("--{}", option.name)), "{}", option.name);
        assert!(help.contains(&format!("[env: {}]", option.env())), "{}", option.name);
        let default = option.default.map(|default| format!("[default: {default}]"));
        assert!(default.is_none_or(|default| help.contains(&default)), "{}", option.name);
    }
    command.debug_assert();
}

#[test]
fn what_is_set_goes_before_what_was_given_and_can_be_handed_to_another_process() {
    let given = ServeOptions::of([("redis-url-file", "/nonexistent"), ("timeout", "1s")]);
    let options = given.with([("redis-url", "redis://127.0.0.1:1"), ("timeout", "2s")]);
    let environment: Vec<_> = options.environment().collect();
    let expected = [("RECADERO_REDIS_URL", "redis://127.0.0.1:1"), ("RECADERO_TIMEOUT", "2s")];
    assert_eq!(environment, expected.map(|(name, value)| (name.to_owned(), OsStr::new(value))));
}
