//! A notice in words, as text and as HTML, in English and Spanish.
//!
//! Templates have the sentences, so that a translator can read them; everything they are given is prepared here: one line
//! each, without control characters, bounded. The HTML ones escape by themselves. The first line of the text is the
//! subject. Endpoints' secrets and headers, and the query of their URLs, never come this far.

use askama::Template;
use url::Url;

use super::facts::{Cause, Facts};
use super::one_line;
use super::words::{Locale, at};
use crate::decide::attempt::Success;
use crate::decide::notice::{DisableReason, Notice, NoticeKind};
use crate::decide::policy::{Policy, QuotaScope};
use crate::store::records::Endpoint;

/// The longest piece of a response that is shown, in characters.
const EXCERPT_CHARS_MAX: usize = 300;

/// The longest name, description or URL that is shown, in characters.
const NAME_CHARS_MAX: usize = 120;

/// A notice in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

impl Letter {
    /// Writes a notice in a workspace's language. Links begin with `public_url`; without one there are none.
    pub fn of(notice: &Notice, facts: &Facts, policy: &Policy, public_url: Option<&Url>) -> Self {
        let locale = Locale::of(facts.workspace.as_ref().map_or("", |workspace| &workspace.locale));
        let view = &View::of(locale, notice, facts, policy, public_url);
        let (text, html) = match locale {
            Locale::En => (TextEn { view }.render(), HtmlEn { view }.render()),
            Locale::Es => (TextEs { view }.render(), HtmlEs { view }.render()),
        };
        const WHY: &str = "a template of texts and numbers is always rendered";
        let (text, html) = (text.expect(WHY), html.expect(WHY));
        let (subject, text) = text.split_once("\n\n").expect("the text's first line is the subject");
        Self { subject: one_line(subject, usize::MAX), text: text.to_owned(), html }
    }
}

#[derive(Template)]
#[template(path = "mail/en.txt")]
struct TextEn<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "mail/es.txt")]
struct TextEs<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "mail/en.html")]
struct HtmlEn<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "mail/es.html")]
struct HtmlEs<'a> {
    view: &'a View,
}

/// What the templates may show.
struct View {
    /// `true`: nothing is disabled yet.
    warning: bool,
    by_hand: bool,
    /// Whether all webhooks of the workspace share the quota.
    shared: bool,
    workspace: String,
    workspace_id: String,
    endpoint_id: String,
    /// What a person calls the endpoint: its host, or its id when it is gone.
    name: String,
    /// Its URL without what may be secret in it.
    url: Option<String>,
    description: String,
    at: String,
    used: u64,
    limit: u32,
    window: String,
    timeout: String,
    success: &'static str,
    causes: Vec<Counted>,
    last: Option<Last>,
    waiting: String,
    kept_for: String,
    others: Vec<Counted>,
    /// It was enabled again before this was written.
    enabled_again: bool,
    link: Option<String>,
    notice_id: String,
}

struct Counted {
    count: u32,
    what: String,
}

/// The last failure.
struct Last {
    at: String,
    cause: String,
    excerpt: String,
}

impl View {
    fn of(locale: Locale, notice: &Notice, facts: &Facts, policy: &Policy, public_url: Option<&Url>) -> Self {
        let short = |text: &str| one_line(text, NAME_CHARS_MAX);
        let endpoint = facts.endpoint.as_ref();
        let url = endpoint.and_then(|endpoint| Url::parse(&endpoint.config.url).ok());
        let warning = notice.kind == NoticeKind::Warning;
        let name = facts.workspace.as_ref().map(|workspace| short(&workspace.name)).filter(|name| !name.is_empty());
        let cause = |cause| locale.cause(cause, policy.timeout);
        Self {
            warning,
            by_hand: notice.reason == DisableReason::Manual.as_str(),
            shared: policy.quota.scope == QuotaScope::Workspace,
            workspace: name.unwrap_or_else(|| notice.workspace.to_string()),
            workspace_id: notice.workspace.to_string(),
            endpoint_id: notice.endpoint.to_string(),
            name: url.as_ref().and_then(Url::host_str).map_or_else(|| notice.endpoint.to_string(), short),
            url: url.map(|url| short(&without_query(url))),
            description: endpoint.map(|endpoint| short(&endpoint.config.description)).unwrap_or_default(),
            at: at(notice.at_ms),
            used: notice.count.unwrap_or_default(),
            limit: policy.quota.limit,
            window: locale.time(policy.quota.window),
            timeout: locale.time(policy.timeout),
            success: match policy.success {
                Success::Exactly200 => "200",
                Success::Any2xx => "2xx",
            },
            causes: facts.causes.iter().map(|(it, count)| Counted { count: *count, what: cause(*it) }).collect(),
            last: facts.last.as_ref().and_then(|attempt| {
                let excerpt = one_line(&attempt.row.excerpt, EXCERPT_CHARS_MAX);
                Cause::of(attempt).map(|it| Last { at: at(attempt.at_ms), cause: cause(it), excerpt })
            }),
            waiting: locale.events(endpoint.map_or(0, |endpoint| endpoint.backlog_events)),
            kept_for: locale.time(policy.limits.backlog_age),
            others: facts.others.iter().map(|(id, count)| Counted { count: *count, what: id.to_string() }).collect(),
            enabled_again: !warning && endpoint.is_some_and(is_enabled),
            link: public_url.filter(|_| endpoint.is_some()).map(|base| link(base, notice)),
            notice_id: notice.id.clone(),
        }
    }
}

fn is_enabled(endpoint: &Endpoint) -> bool {
    endpoint.disabled.is_none()
}

/// A receiver may keep a token in its query, and an e-mail passes through many hands.
fn without_query(mut url: Url) -> String {
    url.set_query(None);
    url.to_string()
}

/// The endpoint's page in the console. Ids are of characters that a path can carry.
fn link(base: &Url, notice: &Notice) -> String {
    let base = base.as_str().trim_end_matches('/');
    format!("{base}/console/workspaces/{}/endpoints/{}", notice.workspace, notice.endpoint)
}

#[cfg(test)]
mod tests;
