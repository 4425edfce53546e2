//! What is known of each request before anything else: language, session, what was done just before; and the headers
//! that every answer carries.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cookie::{Cookie, SameSite};
use url::Url;

use super::flash::{self, Flash};
use super::session::{Opened, Session};
use super::words::{Locale, preferred};
use super::{PLACE, language, told};
use crate::operate::{Api, Problem};

/// The session's cookie.
pub const SESSION: &str = "recadero_session";

/// What a page may load: the console's own files. No inline script or style, no frame, no form that goes elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A request, as every page needs to know it.
#[derive(Clone)]
pub struct Visit {
    /// The language to answer in.
    pub locale: Locale,
    /// Where the console is: `/console`, below the path of `RECADERO_PUBLIC_URL`.
    pub base: Arc<str>,
    /// The path and query that were asked for, as a browser knows them; of a form, those of the page that it stood on.
    pub path: String,
    /// Who is signed in.
    pub session: Option<Session>,
    /// What the last form came to.
    pub flash: Option<Flash>,
    /// Whether this is a demo, which has a page of its own.
    pub is_demo: bool,
    /// htmx asks, for a piece of a page.
    pub for_piece: bool,
    secure: bool,
    /// A session that a demo gives to whoever has none.
    given: Option<Opened>,
}

/// Gives each request its [`Visit`], and each answer its headers; a [`Problem`] becomes a page.
pub async fn receive(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    if !is_page(request.uri().path()) {
        return next.run(request).await;
    }
    let visit = Visit::of(&api, &request);
    request.extensions_mut().insert(visit.clone());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = told::page(&visit, &problem);
    }
    if let Some(given) = visit.given.as_ref().filter(|_| !sets(&response, SESSION)) {
        visit.set_cookie(&mut response, SESSION, &given.value, Some(given.lasts));
    }
    // Told once: a whole page has shown it.
    if visit.flash.is_some() && !visit.for_piece && !sets(&response, flash::COOKIE) {
        visit.set_cookie(&mut response, flash::COOKIE, "", Some(Duration::ZERO));
    }
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not `no-referrer`: with it, a form's Origin would be "null".
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    let name = HeaderName::from_static("cross-origin-opener-policy");
    headers.insert(name, HeaderValue::from_static("same-origin"));
    response
}

/// Whether a path is the console's, and not one of its files'.
fn is_page(path: &str) -> bool {
    let below = path.strip_prefix(PLACE);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') && !rest.starts_with("/assets/"))
}

/// The path of the page that a form stood on, as the browser says.
fn stood(request: &Request) -> Option<String> {
    let referer = Url::parse(request.headers().get(header::REFERER)?.to_str().ok()?).ok()?;
    let query = referer.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{}{query}", referer.path()))
}

impl Visit {
    fn of(api: &Api, request: &Request) -> Self {
        let headers = request.headers();
        let public = api.public_url.as_ref();
        let below = public.map_or("", |url| url.path().trim_end_matches('/'));
        let session = cookie(headers, SESSION).and_then(|value| Session::of(api, &value));
        let demo = api.demo.as_ref().filter(|_| session.is_none());
        let given = demo.and_then(|demo| Opened::by_token(api, demo.token()));
        let session = session.or_else(|| Session::of(api, &given.as_ref()?.value));
        let flash = session.as_ref().zip(cookie(headers, flash::COOKIE));
        let chosen = cookie(headers, language::COOKIE).map(|text| Locale::of(&text));
        let accepted = || headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).map(preferred);
        Self {
            locale: chosen.or_else(accepted).unwrap_or(Locale::En),
            base: format!("{below}{PLACE}").into(),
            path: match stood(request).filter(|_| !request.method().is_safe()) {
                Some(path) => path,
                None => format!("{below}{}", request.uri().path_and_query().map_or(PLACE, |path| path.as_str())),
            },
            flash: flash.and_then(|(session, text)| Flash::read(session, &text)),
            session,
            is_demo: api.demo.is_some(),
            given,
            for_piece: headers.contains_key("hx-request"),
            secure: public.is_some_and(|url| url.scheme() == "https"),
        }
    }

    /// Sets a cookie that no script can read and that no form of another site sends; with a span of zero it is taken away.
    pub fn set_cookie(&self, response: &mut Response, name: &str, value: &str, lasts: Option<Duration>) {
        let mut cookie = Cookie::build((name, value)).path(&*self.base).http_only(true).same_site(SameSite::Lax);
        cookie = cookie.secure(self.secure);
        if let Some(lasts) = lasts {
            cookie = cookie.max_age(lasts.try_into().unwrap_or(time::Duration::MAX));
        }
        // A name and values of ours are of characters that a header can carry.
        if let Ok(value) = HeaderValue::try_from(cookie.build().encoded().to_string()) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }

    /// Sends the browser to another page of the console, its path given below the console's.
    pub fn go(&self, path: &str) -> Response {
        self.go_back(&format!("{}{path}", self.base))
    }

    /// Sends the browser to a path of the console that a form has brought along, if it is one.
    pub fn go_back(&self, path: &str) -> Response {
        let rest = path.strip_prefix(&*self.base);
        let is_ours = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
        let path = if is_ours { path } else { &self.base };
        let Ok(location) = HeaderValue::try_from(path) else { return self.go("") };
        // htmx would follow a redirect by itself and put a whole page into a piece of one.
        if self.for_piece {
            return [(HeaderName::from_static("hx-redirect"), location)].into_response();
        }
        (axum::http::StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
    }
}

/// Whether an answer sets this cookie.
fn sets(response: &Response, name: &str) -> bool {
    let set = response.headers().get_all(header::SET_COOKIE).iter();
    set.into_iter()
        .any(|value| value.as_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")))
}

/// A cookie's value.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = texts.flat_map(Cookie::split_parse_encoded).filter_map(Result::ok);
    cookies.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}
