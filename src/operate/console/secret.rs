//! A signing secret, shown once, with what verifies a signature in the reader's programming language.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::page::{Page, Step, show_as};
use super::words::words;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::store::records::Endpoint;

words! {
    pub struct Words;

    added: "The webhook is added" | "El webhook se añadió";
    rotated: "The webhook has a new secret" | "El webhook tiene un secreto nuevo";
    secret: "Signing secret" | "Secreto de firma";
    once: "It is shown now and never again. Keep it where your receiver can read it." |
          "Se muestra ahora y nunca más. Guárdelo donde su receptor pueda leerlo.";
    both: "For 24 hours deliveries are signed with the old one as well, in webhook-signature." |
          "Durante 24 horas las entregas se firman también con el anterior, en webhook-signature.";
    copy: "Copy" | "Copiar";
    copied: "Copied" | "Copiado";
    verify: "Verify a delivery" | "Verificar una entrega";
    verify_how: "X-Webhook-Signature is the base64 of an HMAC-SHA256 over the body as it came, keyed with the secret." |
                "X-Webhook-Signature es el base64 de un HMAC-SHA256 sobre el cuerpo tal como llegó, con el secreto como clave.";
    go_on: "To the webhook" | "Al webhook";
}

/// Why there is a new secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The endpoint is new.
    Added,
    /// Somebody asked for it.
    Rotated,
}

/// A few lines that verify a signature.
struct Snippet {
    language: &'static str,
    code: &'static str,
}

const SNIPPETS: [Snippet; 4] = [
    Snippet {
        language: "JavaScript (Node)",
        code: "const { createHmac, timingSafeEqual } = require('node:crypto');

function isGenuine(rawBody, signature, secret) {
  const expected = createHmac('sha256', secret).update(rawBody).digest();
  const given = Buffer.from(signature ?? '', 'base64');
  return given.length === expected.length && timingSafeEqual(given, expected);
}",
    },
    Snippet {
        language: "Python",
        code: "import base64, hashlib, hmac

def is_genuine(raw_body: bytes, signature: str, secret: str) -> bool:
    digest = hmac.new(secret.encode(), raw_body, hashlib.sha256).digest()
    return hmac.compare_digest(base64.b64encode(digest).decode(), signature)",
    },
    Snippet {
        language: "PHP",
        code: "function is_genuine(string $rawBody, string $signature, string $secret): bool {
    $expected = base64_encode(hash_hmac('sha256', $rawBody, $secret, true));
    return hash_equals($expected, $signature);
}",
    },
    Snippet {
        language: "Go",
        code: "func isGenuine(rawBody []byte, signature, secret string) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(rawBody)
	given, err := base64.StdEncoding.DecodeString(signature)
	return err == nil && hmac.Equal(given, mac.Sum(nil))
}",
    },
];

#[derive(Template)]
#[template(path = "console/secret.html")]
struct Secret<'a> {
    page: Page,
    way: Vec<Step>,
    words: Words,
    title: &'static str,
    rotated: bool,
    secret: &'a str,
    workspace: &'a WorkspaceId,
    endpoint: &'a EndpointId,
    snippets: &'static [Snippet],
}

/// The page that answers the form.
pub fn page(page: Page, workspace: &WorkspaceId, endpoint: &Endpoint, why: Why) -> Response {
    let words = Words(page.locale());
    let (title, status) = match why {
        Why::Added => (words.added(), StatusCode::CREATED),
        Why::Rotated => (words.rotated(), StatusCode::OK),
    };
    let secret = endpoint.config.secrets.first().map_or("", |secret| &secret.text);
    let way = page.way(workspace, vec![Step { name: title.to_owned(), path: None }]);
    let rotated = why == Why::Rotated;
    let endpoint = &endpoint.id;
    show_as(status, &Secret { page, way, words, title, rotated, secret, workspace, endpoint, snippets: &SNIPPETS })
}
