//! What a form came to, told on the page that it redirects to: one text in a cookie, taken away once it is shown.
//!
//! Sealed for the session, so that nobody but the service speaks in the service's voice.

use std::time::Duration;

use axum::response::Response;

use super::page::Page;
use super::session::Session;

/// The cookie.
pub const COOKIE: &str = "recadero_flash";

/// How long it waits to be shown.
const LASTS: Duration = Duration::from_secs(60);

/// The longest text, in characters: a cookie has 4 KiB.
const CHARS_MAX: usize = 300;

/// 32 bytes in base64.
const SEAL_CHARS: usize = 43;

/// A text for the next page.
#[derive(Clone)]
pub struct Flash {
    /// Whether it worked.
    pub good: bool,
    /// What is to be said.
    pub text: String,
}

impl Flash {
    /// It worked.
    pub fn good(text: impl Into<String>) -> Self {
        Self { good: true, text: text.into() }
    }

    /// Goes to another page, which says this.
    pub fn go(self, page: &Page, path: &str) -> Response {
        let mut response = page.visit.go(path);
        let text: String = self.text.chars().take(CHARS_MAX).collect();
        let plain = format!("{}{text}", if self.good { '+' } else { '-' });
        if let Some(session) = &page.visit.session {
            let value = format!("{}{plain}", session.seal(plain.as_bytes()));
            page.visit.set_cookie(&mut response, COOKIE, &value, Some(LASTS));
        }
        response
    }

    /// What a cookie holds, if this session's service wrote it.
    pub fn read(session: &Session, value: &str) -> Option<Self> {
        let (seal, plain) = value.split_at_checked(SEAL_CHARS)?;
        let good = plain.starts_with('+');
        let text = plain.get(1..)?.to_owned();
        session.is_seal(plain.as_bytes(), seal).then_some(Self { good, text })
    }
}
