//! Signing in, by a one-time code of the API's `console_url` or by a token; and out again.
//!
//! Neither stays in a URL: the code is good once and redirected away, and the token is posted.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};

use super::page::{Page, show_as};
use super::posted::Posted;
use super::session::Opened;
use super::visit::{SESSION, Visit};
use super::words::words;
use super::{gate, home};
use crate::operate::auth::{Gate, refused};
use crate::operate::page::Params;
use crate::operate::{Api, Caller, Code, Problem};

words! {
    struct Words;

    title: "Sign in" | "Iniciar sesión";
    how: "Open the console from your platform's settings, or sign in with a token." |
         "Abra la consola desde los ajustes de su plataforma o inicie sesión con un token.";
    token: "Token" | "Token";
    token_hint: "A workspace token begins with rwt_. It goes to this server alone and is not shown again." |
                "Un token de espacio de trabajo empieza por rwt_. Solo se envía a este servidor y no se vuelve a mostrar.";
    enter: "Sign in" | "Entrar";
    wrong_token: "This token is not known, or its time is over." | "Este token no se conoce o ha caducado.";
    too_many: "Too many wrong tokens from this address. Wait a minute." |
              "Demasiados tokens incorrectos desde esta dirección. Espere un minuto.";
    wrong_code: "This link was used already, or is older than 10 minutes. Open the console anew from where you had it." |
                "Este enlace ya se usó o tiene más de 10 minutos. Abra la consola de nuevo desde donde lo obtuvo.";
}

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct SignIn {
    page: Page,
    words: Words,
    next: String,
    error: Option<&'static str>,
    /// What is wrong is the field's.
    wrong_field: bool,
}

pub(in crate::operate) fn routes(gate: Gate) -> Router<Arc<Api>> {
    let by_token = Router::new().route("/console/sign-in", post(by_token)).with_state(gate);
    let out =
        Router::new().route("/console/sign-out", post(sign_out)).route_layer(middleware::from_fn(super::gate::admit));
    let open = Router::new().route("/console/enter", get(by_code)).route("/console/sign-in", get(ask));
    open.merge(by_token).merge(out)
}

/// Sends somebody who is not signed in to do that first, and then to where they wanted to go.
pub fn first(visit: &Visit) -> Response {
    let next: String = url::form_urlencoded::byte_serialize(visit.path.as_bytes()).collect();
    visit.go(&format!("/sign-in?next={next}"))
}

async fn ask(page: Page, params: Params) -> Response {
    let next = params.get("next").unwrap_or_default().to_owned();
    refuse(page, StatusCode::OK, next, None, false)
}

fn refuse(page: Page, status: StatusCode, next: String, error: Option<&'static str>, wrong_field: bool) -> Response {
    show_as(status, &SignIn { words: Words(page.locale()), page, next, error, wrong_field })
}

async fn by_token(
    page: Page,
    State(Gate { api, tries }): State<Gate>,
    mut request: Request,
) -> Result<Response, Problem> {
    gate::from_here(request.headers())?;
    let body = std::mem::take(request.body_mut());
    let posted = Posted::read(body).await?;
    let (token, next) = (posted.get("token"), posted.get("next").to_owned());
    let Some(opened) = Opened::by_token(&api, token) else {
        let problem = refused(&tries, &request, &api);
        let words = Words(page.locale());
        let error = if problem.code() == Code::RateLimited { words.too_many() } else { words.wrong_token() };
        return Ok(refuse(page, problem.status(), next, Some(error), true));
    };
    let mut response = page.visit.go_back(&next);
    page.visit.set_cookie(&mut response, SESSION, &opened.value, Some(opened.lasts));
    Ok(response)
}

async fn by_code(page: Page, State(api): State<Arc<Api>>, method: Method, params: Params) -> Result<Response, Problem> {
    // Whoever only looks where a link leads does not use it up.
    if method == Method::HEAD {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let grant = match params.get("code") {
        Some(code) => api.redeem_code(code).await?,
        None => None,
    };
    let token = grant.as_ref().and_then(|grant| api.tokens.sign(grant));
    let (Some(grant), Some(token)) = (grant, token) else {
        let error = Some(Words(page.locale()).wrong_code());
        return Ok(refuse(page, StatusCode::UNAUTHORIZED, String::new(), error, false));
    };
    let Some(opened) = Opened::by_token(&api, token.reveal()) else {
        return Err(Problem::new(Code::Unauthorized, "the sign-in has ended").spanish("La sesión ha terminado."));
    };
    let mut response = page.visit.go(&home::below(&Caller::Workspace(grant)));
    page.visit.set_cookie(&mut response, SESSION, &opened.value, Some(opened.lasts));
    Ok(response)
}

async fn sign_out(page: Page) -> Response {
    let mut response = page.visit.go("/sign-in");
    page.visit.set_cookie(&mut response, SESSION, "", Some(Duration::ZERO));
    response
}
