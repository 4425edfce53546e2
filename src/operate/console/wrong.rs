//! What is wrong with a form, in the page's language: the API's own sentence in English; in Spanish its translation, and
//! where there is none, the sentence as it is, since an English one helps more than none.

use axum::http::StatusCode;

use super::words::{Locale, words};
use crate::deliver::guard::{Guard, URL_BYTES_MAX, UrlProblem};
use crate::operate::fields::LANES_MAX;
use crate::operate::{Code, Problem};

words! {
    struct Words;

    control: "" | "La URL tiene caracteres de control; quítelos.";
    too_long(max): "" | "La URL tiene más de {max} bytes.";
    not_a_url: "" | "Esto no es una URL.";
    not_https: "" | "La URL debe empezar por https://.";
    not_http: "" | "La URL debe empezar por https:// o http://.";
    no_host: "" | "La URL no indica ningún host.";
    not_a_host: "" | "El host de la URL no es un nombre de host.";
    credentials: "" | "La URL no puede llevar usuario ni contraseña; ponga las credenciales en una cabecera del endpoint.";
    fragment: "" | "La URL no puede llevar un fragmento (#…), que nunca se envía a un servidor.";
    port(port): "" | "El puerto {port} no está permitido para endpoints.";
    address: "" | "No se puede usar el host de la URL: las entregas no pueden ir a esa dirección.";
    events: "" | "Elija al menos un evento.";
    lanes(max): "" | "Debe ser de 1 a {max}.";
    limit: "" | "Este espacio de trabajo ya tiene todos los webhooks que puede tener.";
    conflict: "" | "Alguien lo cambió mientras tanto. Vuelva a abrir el formulario e inténtelo de nuevo.";
    plan: "" | "El plan del espacio de trabajo no incluye webhooks.";
}

/// The sentence about a problem with a form in which `url` was typed.
pub fn sentence(locale: Locale, guard: &Guard, url: &str, problem: &Problem) -> String {
    let spanish = match locale {
        Locale::En => None,
        Locale::Es => spanish(guard, url, problem),
    };
    spanish.unwrap_or_else(|| problem.sentence().to_owned())
}

fn spanish(guard: &Guard, url: &str, problem: &Problem) -> Option<String> {
    let words = Words(Locale::Es);
    match (problem.code(), problem.field()) {
        (_, Some("url")) if url.contains(char::is_control) => Some(words.control().to_owned()),
        (_, Some("url")) => Some(about_url(words, &guard.check_url(url).err()?)),
        (_, Some("events")) => Some(words.events().to_owned()),
        (Code::InvalidBody, Some("lanes")) => Some(words.lanes(LANES_MAX)),
        (Code::LimitReached, _) => Some(words.limit().to_owned()),
        _ if problem.status() == StatusCode::PRECONDITION_FAILED => Some(words.conflict().to_owned()),
        (Code::PlanRequired, _) => Some(words.plan().to_owned()),
        _ => None,
    }
}

fn about_url(words: Words, problem: &UrlProblem) -> String {
    match problem {
        UrlProblem::TooLong => return words.too_long(URL_BYTES_MAX),
        UrlProblem::Port(port) => return words.port(port),
        UrlProblem::NotAUrl(_) => words.not_a_url(),
        UrlProblem::NotHttps => words.not_https(),
        UrlProblem::NotHttp => words.not_http(),
        UrlProblem::NoHost => words.no_host(),
        UrlProblem::NotAHost => words.not_a_host(),
        UrlProblem::Credentials => words.credentials(),
        UrlProblem::Fragment => words.fragment(),
        UrlProblem::Address(_) => words.address(),
    }
    .to_owned()
}
