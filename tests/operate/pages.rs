//! The console's pages for a workspace's people, without a script: what they show, and what their forms do.

use recadero::decide::attempt::{Answer, Outcome, Reason};
use recadero::decide::retry::Next;
use std::time::Duration;

use crate::console::{Browser, location};
use crate::service::{Kind, Service};

promises!(
    a_first_webhook_is_connected_and_its_secret_shown_once,
    a_form_says_what_is_wrong_in_the_servers_words_and_keeps_what_was_filled_in,
    a_webhook_is_edited_unless_somebody_else_did,
    below_the_plan_the_page_explains_it,
    a_retry_and_the_quota_are_told_in_words,
    a_disabled_endpoint_says_why_and_enabling_says_whether_it_still_fails,
    a_test_event_a_new_secret_and_a_deletion,
    what_others_wrote_is_shown_harmlessly_and_cut,
    the_log_is_filtered_and_paged,
    dropped_events_are_resent_and_recovered,
    both_languages_have_all_of_it,
);

const WEBHOOKS: &str = "/console/workspaces/acme";

async fn a_first_webhook_is_connected_and_its_secret_shown_once(kind: Kind) {
    let service = Service::start(kind).await;
    let mut browser = Browser::of(&service, "acme", false).await;
    let page = browser.get(WEBHOOKS).await;
    assert!(page.text.contains("Webhooks are for workspaces on: advanced, enterprise."), "{}", page.text);
    assert!(page.text.contains(">Connect</a>") && page.text.contains("Contact Tag Updated"), "{}", page.text);
    let form = browser.get(&format!("{WEBHOOKS}/endpoints/new")).await;
    assert!(form.text.contains("People use it to: scores, mailing lists, campaigns"), "{}", form.text);

    let key = between(&form.text, "name=\"key\" value=\"", "\"").to_owned();
    let fields = [
        ("key", key.as_str()),
        ("url", " https://r.example/hook "),
        ("events", "contact.created"),
        ("events", "order.placed"),
        ("description", "CRM"),
        ("lanes", "4"),
    ];
    let added = browser.send(&form, &format!("{WEBHOOKS}/endpoints/new"), &fields).await;
    assert_eq!(added.status, 201, "{added:?}");
    let secret = between(&added.text, "<code id=\"secret\">", "<").to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    for language in ["JavaScript (Node)", "Python", "PHP", "Go"] {
        assert!(added.text.contains(language), "{language}");
    }

    let all = service.get(crate::ENDPOINTS).await.body;
    let endpoint = &all["data"][0];
    assert_eq!(endpoint["url"], "https://r.example/hook");
    assert_eq!(endpoint["events"], serde_json::json!(["contact.created", "order.placed"]));
    assert_eq!((&endpoint["description"], &endpoint["lanes"]), (&"CRM".into(), &4.into()));
    let place = format!("{WEBHOOKS}/endpoints/{}", endpoint["id"].as_str().unwrap());
    for path in [WEBHOOKS, &place, &format!("{place}/edit")] {
        let page = browser.get(path).await;
        assert!(page.text.contains("https://r.example/hook") && !page.text.contains(&secret), "{path}");
    }

    let again = browser.send(&form, &format!("{WEBHOOKS}/endpoints/new"), &fields).await;
    assert_eq!(again.status, 201, "the same form sent twice");
    assert_eq!(service.get(crate::ENDPOINTS).await.body["data"].as_array().unwrap().len(), 1, "adds one");
    let other = [("key", key.as_str()), ("url", "https://other.example/"), ("events", "*")];
    let changed = browser.send(&form, &format!("{WEBHOOKS}/endpoints/new"), &other).await;
    assert!(changed.status == 409 && changed.text.contains("has added a webhook already"), "{changed:?}");
    assert!(!changed.text.contains(&key), "the next one has a key of its own");
}

async fn a_form_says_what_is_wrong_in_the_servers_words_and_keeps_what_was_filled_in(kind: Kind) {
    let service = Service::start(kind).await;
    let mut browser = Browser::of(&service, "acme", false).await;
    let new = format!("{WEBHOOKS}/endpoints/new");
    let form = browser.get(&new).await;
    for (url, events, lanes, field) in [
        ("http://r.example/", "*", "1", "url"),
        ("https://10.0.0.1/", "*", "1", "url"),
        ("", "*", "1", "url"),
        ("https://r.example/", "no.such", "1", "events"),
        ("https://r.example/", "", "1", "events"),
        ("https://r.example/", "*", "65", "lanes"),
        ("https://r.example/", "*", "many", "lanes"),
    ] {
        let mut fields = vec![("url", url), ("lanes", lanes), ("description", "<b>\"mine\"</b>")];
        fields.extend((!events.is_empty()).then_some(("events", events)));
        let refused = browser.send(&form, &new, &fields).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        let value = serde_json::json!({
            "url": url, "lanes": lanes.parse::<u16>().unwrap_or(0),
            "events": if events.is_empty() { vec![] } else { vec![events] },
        });
        let told = service.post(crate::ENDPOINTS, &value.to_string()).await;
        let detail = told.body["detail"].as_str().unwrap().split_once(": ").unwrap().1;
        let detail = if events.is_empty() { "choose at least one event" } else { detail };
        let detail = format!("{}{}", detail[..1].to_uppercase(), &detail[1..]);
        let detail = detail.split("; GET ").next().unwrap();
        let sentence = detail.replace('"', "&#34;").replace('\'', "&#39;");
        assert!(refused.text.contains(&sentence), "{sentence}: {}", refused.text);
        let input = between(&refused.text, &format!("id=\"{field}"), "</");
        assert!(field == "events" || input.contains("aria-invalid"), "{input}");
        assert!(refused.text.contains("&#60;b&#62;&#34;mine&#34;&#60;/b&#62;"), "{}", refused.text);

        let checked = browser.send(&form, &format!("{WEBHOOKS}/endpoints/check"), &[("url", url)]).await;
        assert_eq!(checked.text.contains(&sentence), field == "url" && !url.is_empty(), "{checked:?}");
    }
    assert_eq!(service.get(crate::ENDPOINTS).await.body["data"], serde_json::json!([]));
}

async fn a_webhook_is_edited_unless_somebody_else_did(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    let place = endpoint.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "acme", false).await;
    let edit = format!("{place}/edit");
    let form = browser.get(&edit).await;
    let version = between(&form.text, "name=\"key\" value=\"", "\"").to_owned();
    let fields = |url| [("key", version.as_str()), ("url", url), ("events", "message.sent"), ("lanes", "1")];
    let saved = browser.send(&form, &edit, &fields("https://new.example/")).await;
    assert_eq!(location(&saved), place);
    assert!(browser.get(&place).await.text.contains("The webhook is saved."));
    let shown = service.get(&endpoint).await.body;
    assert_eq!((&shown["url"], &shown["events"][0]), (&"https://new.example/".into(), &"message.sent".into()));

    let stale = browser.send(&form, &edit, &fields("https://stale.example/")).await;
    assert!(stale.status == 412 && stale.text.contains("Somebody else changed it"), "{stale:?}");
    assert_eq!(service.get(&endpoint).await.body["url"], "https://new.example/");
}

async fn below_the_plan_the_page_explains_it(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    service.put("/v1/workspaces/acme", r#"{"plan": "starter"}"#).await;
    let mut browser = Browser::of(&service, "acme", false).await;
    let page = browser.get(WEBHOOKS).await;
    for words in ["Webhooks are not part of this plan", "“starter”", "advanced, enterprise", "Paused"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    assert!(!page.text.contains("Add Webhook") && !page.text.contains("Connect"), "{}", page.text);
    assert_eq!(browser.get(&format!("{WEBHOOKS}/endpoints/new")).await.status, 403);
    let shown = browser.get(&endpoint.replace("/v1", "/console")).await;
    assert!(shown.text.contains("the plan does not include webhooks"), "{}", shown.text);
}

async fn a_retry_and_the_quota_are_told_in_words(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    let place = endpoint.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "acme", false).await;
    let quiet = browser.get(&place).await;
    assert!(quiet.text.contains("Nothing waits.") && quiet.text.contains("No attempts yet."), "{}", quiet.text);
    for event in ["first", "second", "third"] {
        service.append(&endpoint, event).await;
    }
    service.attempt(&endpoint, Outcome::Failed(Reason::Status), Next::RetryAfter(Duration::from_secs(30))).await;
    let page = browser.get(&place).await;
    for words in [
        "3 events wait, in order.",
        "Event 1 of 3, first, is tried for the 2nd time at <time datetime=\"2026-01-01T00:00:30.000Z\">",
        "; later events wait for it.",
        "1 of 30 failed attempts in 30 minutes are used.",
        "<b>1</b> × this webhook",
        "The next failure leaves the window at <time datetime=\"2026-01-01T00:30:00.000Z\">",
        "it answered 500",
    ] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let live = browser.get(&format!("{place}/live?status=enabled")).await;
    assert!(live.text.starts_with("<div id=\"live\"") && !live.head.contains("hx-refresh"), "{live:?}");
    assert!(live.text.contains("0 % of 1 attempt delivered in 24 hours"), "the charts are part of it: {live:?}");
    service.post(&format!("{endpoint}/disable"), "{}").await;
    let live = browser.get(&format!("{place}/live?status=enabled")).await;
    assert!(live.head.contains("hx-refresh: true"), "{live:?}");
}

async fn a_disabled_endpoint_says_why_and_enabling_says_whether_it_still_fails(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    let place = endpoint.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "acme", false).await;
    service.append(&endpoint, "1").await;
    for _ in 0..31 {
        service.attempt(&endpoint, Outcome::Failed(Reason::Status), Next::RetryAfter(Duration::ZERO)).await;
    }
    assert_eq!(service.get(&endpoint).await.body["disabled"]["reason"], "quota");
    let page = browser.get(&place).await;
    for words in [
        "Disabled since <time datetime=\"2026-01-01T00:00:00.000Z\">",
        "Too many attempts failed",
        "<b>31</b> × it answered 500",
        "Events that wait: 1",
        "Nothing is sent, since the webhook is disabled.",
    ] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    *service.receivers.answer.lock().unwrap() = Answer::Status { status: 503, excerpt: String::new() };
    assert_eq!(location(&browser.send(&page, &format!("{place}/enable"), &[("backlog", "deliver")]).await), place);
    let page = browser.get(&place).await;
    let told = "But a test event failed just now, after 12 ms: it answered 503.";
    assert!(page.text.contains(told) && page.text.contains("class=\"note bad\""), "{}", page.text);
    let shown = service.get(&endpoint).await.body;
    assert_eq!((&shown["status"], &shown["backlog"]["events"]), (&"enabled".into(), &1.into()));

    service.post(&format!("{endpoint}/disable"), "{}").await;
    assert!(browser.get(&place).await.text.contains("Somebody disabled it by hand."));
    *service.receivers.answer.lock().unwrap() = Answer::Status { status: 200, excerpt: String::new() };
    browser.send(&page, &format!("{place}/enable"), &[("backlog", "discard")]).await;
    let page = browser.get(&place).await;
    assert!(page.text.contains("Discarded: 1 event. A test event was delivered in 12 ms."));
}

async fn a_test_event_a_new_secret_and_a_deletion(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    let place = endpoint.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "acme", false).await;
    let page = browser.get(&place).await;
    let sent = browser.send(&page, &format!("{place}/test"), &[("event_type", "comment.created")]).await;
    assert_eq!(location(&sent), place);
    let told = browser.get(&place).await.text;
    assert!(told.contains("A test event was delivered in 12 ms. The answer began: thanks"), "{told}");

    let version = between(&page.text, "name=\"version\" value=\"", "\"").to_owned();
    let rotated = browser.send(&page, &format!("{place}/rotate-secret"), &[("version", &version)]).await;
    assert!(rotated.status == 200 && rotated.text.contains("whsec_"), "{rotated:?}");
    let again = browser.send(&page, &format!("{place}/rotate-secret"), &[("version", &version)]).await;
    assert!(again.status == 412 && !again.text.contains("whsec_"), "sent twice, it rotates once: {again:?}");

    let ask = browser.get(&format!("{place}/delete")).await;
    assert!(ask.text.contains("Delete the webhook to https://r.example/?"), "{}", ask.text);
    service.append(&endpoint, "1").await;
    assert_eq!(location(&browser.send(&ask, &format!("{place}/delete"), &[]).await), WEBHOOKS);
    assert!(browser.get(WEBHOOKS).await.text.contains("The webhook is deleted, with 1 event that waited."));
    assert_eq!(browser.get(&place).await.status, 404);
}

async fn what_others_wrote_is_shown_harmlessly_and_cut(kind: Kind) {
    const BODY_MAX: usize = 256 << 10;
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    let place = endpoint.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "acme", false).await;
    let script = "<script>alert(1)</script>";
    service.patch(&endpoint, &serde_json::json!({"description": script}).to_string()).await;
    let hostile = serde_json::json!({"text": format!("{script}\u{202e}👩‍💻"), "n": 1.0}).to_string();
    let filled = "<".repeat(BODY_MAX - 8);
    let bodies = [
        ("1/%3F#<b>", hostile),
        ("deep", "[".repeat(100) + &"]".repeat(100)),
        ("long", format!("{{\"a\":\"{filled}\"}}")),
    ];
    for (event, body) in &bodies {
        service.append_body(&endpoint, event, body).await;
        service.attempt(&endpoint, Outcome::Delivered, Next::Drop).await;
    }
    let page = browser.get(&place).await;
    for (event, body) in &bodies {
        let encoded: String = event
            .bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect();
        let path = format!("{place}/events/{encoded}");
        assert!(page.text.contains(&path), "{path}: {}", page.text);
        let shown = browser.get(&path).await;
        assert_eq!(shown.status, 200, "{shown:?}");
        assert!(shown.text.len() < 200_000, "{event}: {}", shown.text.len());
        assert!(!shown.text.contains("<script>") && !shown.text.contains('\u{202e}'), "{event}");
        assert!(shown.text.contains("X-Webhook-Attempt: 1") || shown.text.contains("x-webhook-attempt: 1"), "{event}");
        let file = browser.get(&format!("{path}/body")).await;
        assert_eq!(&file.text, body, "byte for byte");
        assert!(file.head.contains("attachment"), "{}", file.head);
        let resent = browser.send(&shown, &format!("{path}/resend"), &[]).await;
        assert_eq!(location(&resent), path);
    }
    let text = browser.get(&format!("{place}/events/1%2F%253F%23%3Cb%3E")).await.text;
    assert!(text.contains("&#60;script&#62;alert(1)&#60;/script&#62;\\u202e👩‍💻"), "{text}");
    assert!(browser.get(&format!("{place}/events/long")).await.text.contains("the whole body has 262144 bytes"));
    assert_eq!(service.get(&endpoint).await.body["backlog"]["events"], 3);
    assert!(!browser.get(WEBHOOKS).await.text.contains("<script>alert"));
    assert_eq!(browser.get(&format!("{place}/events/none")).await.status, 404);
}

async fn the_log_is_filtered_and_paged(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    let place = endpoint.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "acme", false).await;
    for number in 0..30 {
        service.append(&endpoint, &format!("e{number:02}")).await;
        let failed = number == 7;
        let outcome = if failed { Outcome::Failed(Reason::Timeout) } else { Outcome::Delivered };
        service.attempt(&endpoint, outcome, Next::Drop).await;
    }
    let page = browser.get(&place).await.text;
    assert!(page.contains("hx-trigger=\"every 2s\"") && page.contains(">e29<") && !page.contains(">e04<"), "{page}");
    let older = between(&page, "<p><a href=\"", "#log\">Older").rsplit("href=\"").next().unwrap().replace("&#38;", "&");
    let page = browser.get(&older.replace("&amp;", "&")).await.text;
    assert!(page.contains(">e04<") && !page.contains(">e05<") && !page.contains("every 2s"), "{older}: {page}");
    let page = browser.get(&format!("{place}?outcome=failed")).await.text;
    assert!(page.contains(">e07<") && !page.contains(">e08<") && page.contains("no answer within 5 seconds"), "{page}");
    let page = browser.get(&format!("{place}?event_id=e11&event_type=contact.created")).await.text;
    assert!(page.contains("No attempts like these."), "{page}");
    assert!(browser.get(&format!("{place}?event_id=e11")).await.text.contains(">e11<"));
    assert_eq!(browser.get(&format!("{place}?cursor=x")).await.status, 422);
}

async fn dropped_events_are_resent_and_recovered(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    let place = endpoint.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "acme", false).await;
    let dropped = format!("{place}/dropped");
    assert!(browser.get(&dropped).await.text.contains("There are none."));
    for event in ["1", "2", "3"] {
        service.drop_event(&endpoint, event).await;
        service.pass(Duration::from_secs(60));
    }
    let page = browser.get(&dropped).await;
    assert!(page.text.contains("all attempts failed"), "{}", page.text);
    assert!(page.text.contains("value=\"2026-01-01T00:00:00\""), "{}", page.text);
    assert_eq!(location(&browser.send(&page, &format!("{dropped}/1/resend"), &[]).await), dropped);
    assert!(browser.get(&dropped).await.text.contains("The event is on its way again."));
    browser.send(&page, &format!("{dropped}/1/resend"), &[]).await;
    assert!(browser.get(&dropped).await.text.contains("not among the dropped ones"));

    for wrong in ["", "yesterday", "2026-13-01T00:00"] {
        let refused = browser.send(&page, &format!("{place}/recover"), &[("since", wrong)]).await;
        assert!(
            refused.status == 422 && refused.text.contains("This is not a time; write it like"),
            "{wrong}: {refused:?}"
        );
    }
    let done = browser.send(&page, &format!("{place}/recover"), &[("since", "2026-01-01T00:02")]).await;
    assert_eq!(location(&done), place);
    assert!(browser.get(&place).await.text.contains("Events that are on their way again: 1."));
    let done = browser.send(&page, &format!("{place}/recover"), &[("since", "2026-01-01T00:00:00")]).await;
    assert_eq!(location(&done), place);
    assert_eq!(service.get(&endpoint).await.body["backlog"]["events"], 3);
}

async fn both_languages_have_all_of_it(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    service.drop_event(&endpoint, "1").await;
    let place = endpoint.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "acme", false).await;
    browser.headers = "Accept-Language: es\r\n".to_owned();
    for (path, words) in [
        (WEBHOOKS.to_owned(), vec!["Añadir Webhook", "Acción", "Deshabilitar", "Editar", "Probar", "Eliminar"]),
        (
            format!("{WEBHOOKS}/endpoints/new"),
            vec!["Asignación de Contacto Actualizada", "avisar a la persona asignada"],
        ),
        (place.clone(), vec!["Cuota de errores", "respondió 500", "Enviar evento de prueba", "Renovar el secreto"]),
        (format!("{place}/events/1"), vec!["Nuevo Mensaje Saliente", "Reenviar", "Solicitud"]),
        (format!("{place}/dropped"), vec!["Recuperar todos desde", "fallaron todos los intentos"]),
    ] {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        for words in words {
            assert!(page.text.contains(words), "{path}: {words}: {}", page.text);
        }
    }
    service.post(&format!("{endpoint}/disable"), "{}").await;
    assert!(browser.get(WEBHOOKS).await.text.contains(">Habilitar<"));
    service.delete(&endpoint).await;
    assert!(browser.get(WEBHOOKS).await.text.contains(">Conectar</a>"));
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from}: {text}"));
    rest.split(to).next().unwrap()
}
