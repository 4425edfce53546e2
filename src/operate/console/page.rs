//! What every page is given and shows around its content: a handler takes a [`Page`], puts it into its template, and
//! answers with [`show`].

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::session::Session;
use super::visit::Visit;
use super::words::{Locale, Shell};
use super::{assets, gate};
use crate::decide::ids::WorkspaceId;
use crate::operate::{Caller, Problem};

/// A page before its content; templates know it as `page`.
#[derive(Clone)]
pub struct Page {
    /// The request.
    pub visit: Visit,
    /// The texts around the content.
    pub shell: Shell,
}

/// A step of the way to a page: its name, and its path below the console's, if it is another page.
pub struct Step {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub path: Option<String>,
}

impl Page {
    /// The page of a request.
    pub fn of(visit: Visit) -> Self {
        Self { shell: Shell(visit.locale), visit }
    }

    /// The language of its texts.
    pub fn locale(&self) -> Locale {
        self.visit.locale
    }

    /// For the attribute `lang`.
    pub fn language(&self) -> &'static str {
        tag(self.visit.locale)
    }

    /// The other language's.
    pub fn other_language(&self) -> &'static str {
        match self.visit.locale {
            Locale::En => "es",
            Locale::Es => "en",
        }
    }

    /// Where the console is; links begin with it.
    pub fn base(&self) -> &str {
        &self.visit.base
    }

    /// What every form sends along, in its field `csrf`.
    pub fn csrf(&self) -> String {
        self.visit.session.as_ref().map(Session::csrf).unwrap_or_default()
    }

    /// Whether anybody is signed in.
    pub fn is_inside(&self) -> bool {
        self.visit.session.is_some()
    }

    /// Whether to show what changes something.
    pub fn may_write(&self) -> bool {
        self.visit.session.as_ref().is_some_and(|session| session.caller.may_write())
    }

    /// Refuses a page that is for changing something.
    pub fn need_write(&self) -> Result<(), Problem> {
        if self.may_write() { Ok(()) } else { Err(gate::only_looks()) }
    }

    /// Whether this is one of the platform's own people.
    pub fn is_admin(&self) -> bool {
        self.visit.session.as_ref().is_some_and(|session| session.caller == Caller::Admin)
    }

    /// A file of the console's.
    pub fn asset(&self, name: &str) -> String {
        format!("{}/assets/{}", self.visit.base, assets::tagged(name))
    }

    /// Settings → Integrations → Webhooks of a workspace, and what is below; without further steps it is that page.
    pub fn way(&self, workspace: &WorkspaceId, further: Vec<Step>) -> Vec<Step> {
        let plain = |name: &str| Step { name: name.to_owned(), path: None };
        let webhooks = (!further.is_empty()).then(|| format!("/workspaces/{workspace}"));
        let mut way = vec![plain(self.shell.settings()), plain(self.shell.integrations())];
        way.push(Step { name: self.shell.webhooks().to_owned(), path: webhooks });
        way.extend(further);
        way
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let visit = parts.extensions.get::<Visit>().cloned();
        visit.map(Self::of).ok_or_else(super::no_page)
    }
}

/// A language's tag, for the attribute `lang`.
pub fn tag(locale: Locale) -> &'static str {
    match locale {
        Locale::En => "en",
        Locale::Es => "es",
    }
}

/// An answer of a template.
pub fn show(template: &impl Template) -> Response {
    show_as(StatusCode::OK, template)
}

/// The same with another status than 200.
pub fn show_as(status: StatusCode, template: &impl Template) -> Response {
    let html = template.render().expect("a template of texts and numbers is always rendered");
    let html_type = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, html_type), (header::VARY, HeaderValue::from_static("Cookie"))], html)
        .into_response()
}
