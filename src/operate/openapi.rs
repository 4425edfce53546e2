//! The API's document (OpenAPI 3.1), at `/openapi.json`, and a page to try it, at `/docs`.
//!
//! The document is made of the handlers' annotations. What is true of every operation (who may ask, and how what goes
//! wrong is answered) is added here, once. The page is Swagger UI, in the binary: nothing is loaded from elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder, Schema};
use utoipa_swagger_ui::SwaggerUi;

use super::{Api, routes};

/// Where the document is.
pub const DOCUMENT: &str = "/openapi.json";

const SCHEME: &str = "token";

const DESCRIPTION: &str = "Webhooks in order: workspaces, endpoints, logs, resending.

Send `Authorization: Bearer …` with an admin token, or with a workspace token for that workspace alone. Lists take `limit` \
and `cursor` and answer `{data, next_cursor}`. What goes wrong is a problem (RFC 9457) with a stable `code`.";

/// What the page may load: itself. Swagger UI sets styles from its code.
const PAGE_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The document.
pub fn document() -> OpenApi {
    let mut document = routes(usize::MAX).into_openapi();
    document.info = InfoBuilder::new()
        .title("Recadero")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    document.security = Some(vec![SecurityRequirement::new(SCHEME, [] as [String; 0])]);
    let optional = optional_bodies(&document);
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten();
        operations.for_each(|operation| complete(operation, &optional));
    }
    document
}

/// The shapes whose every field may be left out. Such a body may be left out itself.
fn optional_bodies(document: &OpenApi) -> BTreeSet<String> {
    let schemas = document.components.iter().flat_map(|components| &components.schemas);
    let optional =
        schemas.filter(|(_, schema)| matches!(schema, RefOr::T(Schema::Object(object)) if object.required.is_empty()));
    optional.map(|(name, _)| Ref::from_schema_name(name).ref_location).collect()
}

/// What every operation may answer besides its own, and whether it needs a body.
fn complete(operation: &mut Operation, optional: &BTreeSet<String>) {
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        let is_optional = |content: &RefOr<Content>| {
            let RefOr::T(Content { schema: Some(RefOr::Ref(shape)), .. }) = content else { return false };
            optional.contains(&shape.ref_location)
        };
        let may_be_left_out = body.content.values().all(is_optional);
        body.required = Some(if may_be_left_out { Required::False } else { Required::True });
    }
    let takes = |place: ParameterIn| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == place))
    };
    let (in_path, in_query, body) =
        (takes(ParameterIn::Path), takes(ParameterIn::Query), operation.request_body.is_some());
    let mut answers = vec![
        ("401", "`unauthorized`: no token, or a wrong one"),
        (
            "403",
            "`forbidden`: the token is not for this; `plan_required`: the workspace's plan does not include webhooks",
        ),
        ("429", "`rate_limited`: too many wrong tokens"),
        ("503", "`store_unavailable`, `broker_unavailable`, `overloaded`, `timed_out`: try again"),
    ];
    if in_path {
        answers.push(("404", "`not_found`: there is no such thing"));
    }
    if in_path || in_query || body {
        answers
            .push(("422", "`invalid_body`, `invalid_query`, `invalid_url`, `invalid_event_type`: `field` says what"));
    }
    if body {
        answers.push(("413", "`too_large`: the body has too many bytes"));
    }
    for answer in operation.responses.responses.values_mut() {
        if let RefOr::T(answer) = answer
            && answer.description.is_empty()
        {
            answer.description = "done".to_owned();
        }
    }
    for (status, description) in answers {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        let answer = ResponseBuilder::new().description(description).content("application/problem+json", content);
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| answer.build().into());
    }
}

/// The document and the page.
pub(super) fn pages() -> Router<Arc<Api>> {
    let page = Router::from(SwaggerUi::new("/docs").url(DOCUMENT, document()));
    page.layer(axum::middleware::map_response(async |mut response: Response| {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }))
}
