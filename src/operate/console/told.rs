//! What went wrong, as a page. The sentence is the [`Problem`]'s, in the page's language where it has it.

use askama::Template;
use axum::response::Response;

use super::page::{self, Page, show_as};
use super::visit::Visit;
use super::words::words;
use crate::operate::{Code, Problem};

words! {
    struct Words;

    not_found: "There is nothing here" | "Aquí no hay nada";
    forbidden: "This is not allowed" | "Esto no está permitido";
    unavailable: "Not now" | "Ahora no es posible";
    wrong: "This did not work" | "Esto no funcionó";
    again: "Go back and try again." | "Vuelva atrás e inténtelo de nuevo.";
    home: "To the first page" | "A la primera página";
}

#[derive(Template)]
#[template(path = "console/told.html")]
struct Told {
    page: Page,
    words: Words,
    title: &'static str,
    sentence: String,
    /// The sentence's language.
    language: &'static str,
}

/// The page of a problem.
pub fn page(visit: &Visit, problem: &Problem) -> Response {
    let words = Words(visit.locale);
    let title = match problem.code() {
        Code::NotFound => words.not_found(),
        Code::Forbidden | Code::PlanRequired | Code::Unauthorized => words.forbidden(),
        Code::StoreUnavailable | Code::BrokerUnavailable | Code::Overloaded | Code::TimedOut => words.unavailable(),
        _ => words.wrong(),
    };
    let (sentence, language) = problem.sentence(visit.locale);
    let language = page::tag(language);
    show_as(problem.status(), &Told { page: Page::of(visit.clone()), words, title, sentence, language })
}
