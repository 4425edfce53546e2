//! What went wrong, as a page. The sentence is the API's own, in English; around it is the page's language.

use askama::Template;
use axum::response::Response;

use super::page::{Page, show_as};
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
struct Told<'a> {
    page: Page,
    words: Words,
    title: &'static str,
    sentence: &'a str,
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
    show_as(problem.status(), &Told { page: Page::of(visit.clone()), words, title, sentence: problem.sentence() })
}
