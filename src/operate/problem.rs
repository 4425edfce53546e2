//! Everything that goes wrong, as RFC 9457 `application/problem+json` with a stable code (contract, section 5).

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::tries;
use crate::consume::BrokerError;
use crate::notify::mail::Locale;
use crate::store::StoreError;

/// A stable word for a program, with its status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// No token, or a wrong one.
    Unauthorized,
    /// The token is good, but not for this.
    Forbidden,
    /// The workspace's plan does not include webhooks.
    PlanRequired,
    /// There is no such thing.
    NotFound,
    /// The route has other methods.
    MethodNotAllowed,
    /// Somebody else changed it meanwhile, or it is not in a state for this.
    Conflict,
    /// There are as many as there may be.
    LimitReached,
    /// The event's payload is no longer kept.
    PayloadGone,
    /// The body, or a field of it, or of the path or the head.
    InvalidBody,
    /// A parameter of the query.
    InvalidQuery,
    /// The endpoint's URL.
    InvalidUrl,
    /// One of the event types.
    InvalidEventType,
    /// The body is larger than is read.
    TooLarge,
    /// Too many wrong tokens.
    RateLimited,
    /// More requests at once than are worked on.
    Overloaded,
    /// The request took longer than it may.
    TimedOut,
    /// The store does not answer, or cannot take it now.
    StoreUnavailable,
    /// RabbitMQ does not answer, or did not confirm.
    BrokerUnavailable,
}

impl Code {
    /// The word.
    pub fn as_str(self) -> &'static str {
        self.word_and_status().0
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.word_and_status().1
    }

    fn word_and_status(self) -> (&'static str, StatusCode) {
        match self {
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
            Self::PlanRequired => ("plan_required", StatusCode::FORBIDDEN),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::Conflict => ("conflict", StatusCode::CONFLICT),
            Self::LimitReached => ("limit_reached", StatusCode::CONFLICT),
            Self::PayloadGone => ("payload_gone", StatusCode::CONFLICT),
            Self::InvalidBody => ("invalid_body", StatusCode::UNPROCESSABLE_ENTITY),
            Self::InvalidQuery => ("invalid_query", StatusCode::UNPROCESSABLE_ENTITY),
            Self::InvalidUrl => ("invalid_url", StatusCode::UNPROCESSABLE_ENTITY),
            Self::InvalidEventType => ("invalid_event_type", StatusCode::UNPROCESSABLE_ENTITY),
            Self::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::RateLimited => ("rate_limited", StatusCode::TOO_MANY_REQUESTS),
            Self::Overloaded => ("overloaded", StatusCode::SERVICE_UNAVAILABLE),
            Self::TimedOut => ("timed_out", StatusCode::SERVICE_UNAVAILABLE),
            Self::StoreUnavailable => ("store_unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::BrokerUnavailable => ("broker_unavailable", StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

/// An answer that is not what was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    code: Code,
    status: StatusCode,
    detail: String,
    field: Option<String>,
    told: Told,
}

/// What people are told of it in the console, where that is not the API's own sentence.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Told {
    english: Option<String>,
    spanish: Option<String>,
}

impl Problem {
    /// A problem, in a sentence that says what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, status: code.status(), detail: detail.into(), field: None, told: Told::default() }
    }

    /// A problem with one field, which the sentence is about.
    pub fn with_field(code: Code, field: &str, sentence: impl std::fmt::Display) -> Self {
        let detail = format!("{field}: {sentence}");
        Self { code, status: code.status(), detail, field: Some(field.to_owned()), told: Told::default() }
    }

    /// The same code by another status, where HTTP has a more exact one.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with its sentence in Spanish, which the console tells to those who read that.
    #[must_use]
    pub fn spanish(mut self, sentence: impl Into<String>) -> Self {
        self.told.spanish = Some(sentence.into());
        self
    }

    /// The same with a sentence for the console, where the API's own speaks of what only programs do.
    #[must_use]
    pub fn in_console(mut self, sentence: impl Into<String>) -> Self {
        self.told.english = Some(sentence.into());
        self
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What goes wrong, in its stable word.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What the sentence is about, if it is about one field.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// What a person is told, as a sentence without a field's name before it, and the language of that: English where
    /// nobody has put it into Spanish, since an English sentence helps more than none.
    pub fn sentence(&self, locale: Locale) -> (String, Locale) {
        if let (Locale::Es, Some(spanish)) = (locale, &self.told.spanish) {
            return (spanish.clone(), Locale::Es);
        }
        let field = self.field.as_deref();
        let rest = field.and_then(|field| self.detail.strip_prefix(field)?.strip_prefix(": "));
        let text = self.told.english.as_deref().or(rest).unwrap_or(&self.detail);
        let mut letters = text.chars();
        let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
        let end = if text.ends_with('.') { "" } else { "." };
        (format!("{first}{}{end}", letters.as_str()), Locale::En)
    }

    /// Nothing is known of such an event at the endpoint.
    pub fn no_event() -> Self {
        Self::new(Code::NotFound, "nothing is known of such an event at this endpoint")
            .spanish("No se sabe nada de ese evento en este endpoint.")
    }

    /// There is no such endpoint in the workspace.
    pub fn no_endpoint() -> Self {
        Self::new(Code::NotFound, "there is no such endpoint in this workspace")
            .spanish("No existe ese endpoint en este espacio de trabajo.")
    }
}

impl From<StoreError> for Problem {
    /// The cause stays in the log: it may name servers, and the caller can only try again.
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store did not do what the API asked");
        let (detail, spanish) = match error {
            StoreError::Unavailable(_) => {
                ("the store cannot be reached; try again", "No se puede acceder al almacén; inténtelo de nuevo.")
            }
            StoreError::Full(_) => {
                ("the store is full; try again later", "El almacén está lleno; inténtelo de nuevo más tarde.")
            }
            StoreError::NotDurable(_) => (
                "the store lacks what keeps its data; try again later",
                "Al almacén le falta lo que conserva sus datos; inténtelo de nuevo más tarde.",
            ),
            StoreError::Refused(_) => {
                ("the store refused it; try again later", "El almacén lo rechazó; inténtelo de nuevo más tarde.")
            }
        };
        Self::new(Code::StoreUnavailable, detail).spanish(spanish)
    }
}

impl From<BrokerError> for Problem {
    /// As for the store.
    fn from(error: BrokerError) -> Self {
        tracing::warn!(%error, "the broker did not do what the API asked");
        let (detail, spanish) = match error {
            BrokerError::Unavailable(_) => (
                "RabbitMQ cannot be reached, or did not confirm; try again",
                "No se puede acceder a RabbitMQ, o no confirmó; inténtelo de nuevo.",
            ),
            BrokerError::Refused(_) | BrokerError::Unroutable(_) => {
                ("RabbitMQ refused it; try again later", "RabbitMQ lo rechazó; inténtelo de nuevo más tarde.")
            }
        };
        Self::new(Code::BrokerUnavailable, detail).spanish(spanish)
    }
}

/// What goes wrong, as RFC 9457 has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Body<'a> {
    /// Always `about:blank`: `code` tells the kinds apart.
    r#type: &'a str,
    /// The status in words.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// A stable word for a program.
    code: Code,
    /// What went wrong and what to do, in a sentence.
    detail: &'a str,
    /// What the sentence is about: a field of the body, a parameter, a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let body = Body {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code: self.code,
            detail: &self.detail,
            field: self.field.as_deref(),
        };
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(tries::WINDOW.as_secs()));
        }
        // The console tells it to people, in a page.
        response.extensions_mut().insert(self);
        response
    }
}

/// Answers where there is no route.
pub(super) async fn no_such_route(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("there is nothing at {}; GET /v1/workspaces is a beginning", uri.path()))
        .in_console("there is no such page")
        .spanish("No existe esa página.")
}

/// Answers where a route has other methods; the `Allow` header lists them.
pub(super) async fn no_such_method(method: Method) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("{method} is not possible here; the Allow header lists what is"))
        .in_console("this address takes forms and shows no page")
        .spanish("Esta dirección recibe formularios y no muestra ninguna página.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_fails_is_503_and_its_own_words_stay_inside() {
        let own = || "connection to 10.1.2.3 refused".to_owned();
        for error in [StoreError::Unavailable(own()), StoreError::Full(own()), StoreError::Refused(own())] {
            let problem = Problem::from(error);
            assert_eq!(problem.code.as_str(), "store_unavailable");
            assert!(!problem.detail.contains("10.1.2.3"), "{problem:?}");
            let response = problem.into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        }
    }

    #[test]
    fn codes_and_statuses_are_those_of_the_contract() {
        let contract = include_str!("../../docs/contract.md");
        let codes = contract.split("\nCodes: ").nth(1).expect("the codes").split("\n\n").next().expect("their end");
        for code in [
            Code::Unauthorized,
            Code::Forbidden,
            Code::PlanRequired,
            Code::NotFound,
            Code::Conflict,
            Code::LimitReached,
            Code::InvalidBody,
            Code::InvalidUrl,
            Code::InvalidEventType,
            Code::PayloadGone,
            Code::TooLarge,
            Code::RateLimited,
            Code::StoreUnavailable,
            Code::BrokerUnavailable,
        ] {
            assert_eq!(serde_json::to_value(code).expect("a word"), code.as_str());
            let told = codes.split(',').find(|told| told.contains(&format!("`{}`", code.as_str())));
            let told = told.unwrap_or_else(|| panic!("{code:?} is not in {codes}"));
            assert!(told.contains(code.status().as_str()), "{code:?}: {told}");
        }
    }
}
