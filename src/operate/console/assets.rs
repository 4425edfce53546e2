//! The console's own files, in the binary.
//!
//! A page names each with a tag of its content, by which a browser may keep it for ever. Another tag, as while two
//! releases run side by side, is answered with what there is, and not kept.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::operate::Api;

/// Characters of a tag.
const TAG_CHARS: usize = 16;

struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

macro_rules! asset {
    ($name:literal, $file:literal, $media_type:literal) => {
        Asset {
            name: $name,
            media_type: $media_type,
            text: include_str!(concat!("../../../templates/console/assets/", $file)),
        }
    };
}

const ASSETS: [Asset; 4] = [
    asset!("console.css", "console.css", "text/css; charset=utf-8"),
    asset!("console.js", "console.js", "text/javascript; charset=utf-8"),
    asset!("htmx.js", "htmx-2.0.11.min.js", "text/javascript; charset=utf-8"),
    asset!("icon.svg", "icon.svg", "image/svg+xml"),
];

static TAGS: LazyLock<[String; ASSETS.len()]> = LazyLock::new(|| {
    ASSETS.map(|asset| {
        let digest: String = Sha256::digest(asset.text).iter().map(|byte| format!("{byte:02x}")).collect();
        digest[..TAG_CHARS].to_owned()
    })
});

pub fn routes() -> Router<Arc<Api>> {
    Router::new().route("/console/assets/{name}", get(asset))
}

/// A file's name with its tag, as a page asks for it.
pub fn tagged(name: &str) -> String {
    let at = ASSETS.iter().position(|asset| asset.name == name);
    at.map_or_else(|| name.to_owned(), |at| format!("{name}?{}", TAGS[at]))
}

async fn asset(Path(name): Path<String>, uri: Uri) -> Response {
    let Some(at) = ASSETS.iter().position(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let keep = if uri.query() == Some(&TAGS[at]) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(ASSETS[at].media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, ASSETS[at].text).into_response()
}
