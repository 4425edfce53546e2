//! Cursors as anybody may write them, over the API itself. Whatever a cursor says, a list shows one stretch of what its
//! owner sees without one, or refuses it; and the `next_cursor` that it gives goes on just there.
//!
//! An input is three lines: which list, a limit, and the cursor, raw; behind a `=` as what is inside.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use recadero::decide::attempt::{Outcome, Reason};
use recadero::decide::retry::Next;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::service::{Kind, Service, TOKEN, Told};

/// Endpoints of a workspace, and events of each that were dropped.
const EACH: usize = 5;

pub const VERDICTS: &[&str] = &[
    "endpoints: whole",
    "endpoints: a part",
    "endpoints: invalid_query",
    "attempts: a part",
    "attempts: invalid_query",
    "dropped: a part",
    "dropped: invalid_query",
    "workspaces: a part",
    "workspaces: invalid_query",
    "rejected: whole",
    "rejected: invalid_query",
];

pub struct World {
    runtime: Runtime,
    service: Service,
    lists: Vec<List>,
}

struct List {
    name: &'static str,
    path: String,
    /// Who may see it, and no more.
    token: String,
    whole: Vec<Value>,
}

impl World {
    /// Two workspaces that have the same things; whoever asks may see one of them.
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (service, lists) = runtime.block_on(async {
            let service = Service::start(Kind::Memory).await;
            let mut endpoint = String::new();
            for workspace in ["acme", "other"] {
                service.put(&format!("/v1/workspaces/{workspace}"), r#"{"plan":"advanced"}"#).await;
                endpoint = String::new();
                for number in 0..EACH {
                    let url = format!("https://{workspace}.example/{number}");
                    let body = format!(r#"{{"url":"{url}","events":["*"]}}"#);
                    let path = format!("/v1/workspaces/{workspace}/endpoints");
                    let id = service.post(&path, &body).await.body["id"].as_str().unwrap().to_owned();
                    endpoint = format!("{path}/{id}");
                    for event in 0..EACH {
                        service.append(&endpoint, &format!("{workspace}-{number}-{event}")).await;
                        service.attempt(&endpoint, Outcome::Failed(Reason::Status), Next::Drop).await;
                    }
                }
            }
            let own = service.token("other", true).await;
            let (own, admin) = (own.as_str(), TOKEN);
            let mut lists = Vec::new();
            for (name, path, token) in [
                ("endpoints", "/v1/workspaces/other/endpoints".to_owned(), own),
                ("attempts", format!("{endpoint}/attempts"), own),
                ("dropped", format!("{endpoint}/dropped"), own),
                ("workspaces", "/v1/workspaces".to_owned(), admin),
                ("rejected", "/v1/rejected".to_owned(), admin),
            ] {
                let told = service.ask_as(token, "GET", &path, "").await;
                let whole = told.body["data"].as_array().unwrap().clone();
                lists.push(List { name, path, token: token.to_owned(), whole });
            }
            (service, lists)
        });
        Self { runtime, service, lists }
    }

    pub fn judge(&self, input: &[u8]) -> String {
        let mut parts = input.splitn(3, |byte| *byte == b'\n');
        let mut part = || parts.next().unwrap_or_default();
        let (name, limit, cursor) = (part(), part(), part());
        let Some(list) = self.lists.iter().find(|list| list.name.as_bytes() == name) else {
            return "no list".to_owned();
        };
        let cursor = match cursor.split_first() {
            Some((b'=', inside)) => URL_SAFE_NO_PAD.encode(inside).into_bytes(),
            _ => cursor.to_vec(),
        };
        self.runtime.block_on(async {
            let told = self.ask(list, limit, &cursor).await;
            if told.status != 200 {
                assert!(told.problem().starts_with("422 invalid_query "), "{told:?}");
                return format!("{}: invalid_query", list.name);
            }
            let shown = rows(&told);
            let begin = list.whole.windows(shown.len().max(1)).position(|rows| *rows == shown[..]);
            let begin = if shown.is_empty() { list.whole.len() } else { begin.expect("one stretch of the list") };
            let rest = &list.whole[begin + shown.len()..];
            match told.body["next_cursor"].as_str() {
                None => assert!(rest.is_empty(), "no next page, and {} rows are left", rest.len()),
                Some(next) => {
                    assert!(!rest.is_empty(), "a next page of nothing");
                    let following = rows(&self.ask(list, b"200", next.as_bytes()).await);
                    assert_eq!(following, rest, "the next page begins where this one ends");
                }
            }
            let verdict = if shown.len() == list.whole.len() { "whole" } else { "a part" };
            format!("{}: {verdict}", list.name)
        })
    }

    async fn ask(&self, list: &List, limit: &[u8], cursor: &[u8]) -> Told {
        let written = |bytes| percent_encode(bytes, NON_ALPHANUMERIC);
        let path = format!("{}?limit={}&cursor={}", list.path, written(limit), written(cursor));
        self.service.ask_as(&list.token, "GET", &path, "").await
    }
}

fn rows(told: &Told) -> Vec<Value> {
    told.body["data"].as_array().unwrap().clone()
}
