//! The API, as these commands ask it.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::file::{Endpoint, Workspace};

/// How long an answer may take, a little more than the API gives itself.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// Rows of a page.
const PAGE_ROWS: usize = 200;

/// A way to the API.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: String,
}

/// An answer: the body, `null` where there is none, and the version of what it shows.
pub struct Answer {
    /// The body.
    pub body: Value,
    /// Its `ETag`.
    pub tag: Option<String>,
}

impl Client {
    /// To the API at this address, as the bearer of this token.
    pub fn new(base: Url, token: String) -> anyhow::Result<Self> {
        Ok(Self { http: reqwest::Client::builder().timeout(ANSWER_WAIT_MAX).build()?, base, token })
    }

    /// Asks for what must succeed.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        match self.ask_for(method.clone(), path, body).await? {
            Some(answer) => Ok(answer),
            None => bail!("{method} {path}: there is no such thing"),
        }
    }

    /// Asks for what may not be there.
    async fn ask_for(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Option<Answer>> {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let mut request = self.http.request(method.clone(), url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = answer.status();
        let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let bytes = answer.bytes().await.with_context(|| format!("{method} {path}"))?;
        let body: Value =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or_default() };
        match status.as_u16() {
            200..300 => Ok(Some(Answer { body, tag })),
            404 => Ok(None),
            _ => bail!("{method} {path}: {status}: {}", body["detail"].as_str().unwrap_or("no detail")),
        }
    }

    /// A workspace as it is, with its endpoints; `None` when it was never set and has none.
    pub async fn workspace(&self, id: &str) -> anyhow::Result<Option<Workspace>> {
        let path = format!("/v1/workspaces/{id}");
        let Some(answer) = self.ask_for(Method::GET, &path, None).await? else { return Ok(None) };
        self.with_endpoints(answer.body).await.map(Some)
    }

    /// All workspaces as they are, with their endpoints.
    pub async fn workspaces(&self) -> anyhow::Result<Vec<Workspace>> {
        let mut workspaces = Vec::new();
        for row in self.list("/v1/workspaces").await? {
            workspaces.push(self.with_endpoints(row).await?);
        }
        Ok(workspaces)
    }

    async fn with_endpoints(&self, row: Value) -> anyhow::Result<Workspace> {
        let mut workspace: Workspace = serde_json::from_value(row).context("a workspace of another release")?;
        let rows = self.list(&format!("/v1/workspaces/{}/endpoints", workspace.id)).await?;
        let endpoints: Result<Vec<Endpoint>, _> = rows.into_iter().map(serde_json::from_value).collect();
        workspace.endpoints = Some(endpoints.context("an endpoint of another release")?);
        Ok(workspace)
    }

    /// All rows of a list.
    async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = format!("{path}?limit={PAGE_ROWS}&cursor={cursor}");
            let Value::Object(mut page) = self.ask(Method::GET, &page, None).await?.body else {
                bail!("GET {path}: not a list");
            };
            if let Some(Value::Array(data)) = page.remove("data") {
                rows.extend(data);
            }
            match page.remove("next_cursor") {
                Some(Value::String(next)) => cursor = next,
                _ => return Ok(rows),
            }
        }
    }
}
