//! What an endpoint's page says of its state: lanes that wait for a retry, the quota by webhook, its own headers.

use std::time::Duration;

use recadero::decide::attempt::{Outcome, Reason};
use recadero::decide::retry::Next;

use crate::console::{Browser, location};
use crate::service::{Kind, Service};

promises!(
    lanes_that_wait_for_a_retry_are_told_each,
    of_many_lanes_the_fullest_are_told,
    the_quota_names_webhooks_by_their_urls_and_says_when_it_will_be_less,
    own_headers_are_set_kept_and_removed_and_their_values_not_shown,
);

const WEBHOOKS: &str = "/console/workspaces/acme";
const RETRY: Next = Next::RetryAfter(Duration::from_secs(30));
const FAILED: Outcome = Outcome::Failed(Reason::Status);

/// Creates an endpoint with so many lanes.
async fn endpoint(service: &Service, url: &str, lanes: u16) -> String {
    let asked = serde_json::json!({"url": url, "events": ["*"], "lanes": lanes}).to_string();
    let created = service.post(crate::ENDPOINTS, &asked).await;
    assert_eq!(created.status, 201, "{created:?}");
    format!("{}/{}", crate::ENDPOINTS, created.body["id"].as_str().unwrap())
}

async fn lanes_that_wait_for_a_retry_are_told_each(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = endpoint(&service, "https://r.example/", 4).await;
    let place = endpoint.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "acme", false).await;
    for (index, event) in [(0, "a1"), (0, "a2"), (2, "c1"), (3, "d1"), (3, "d2"), (3, "d3")] {
        service.append_to(&endpoint, index, event, "{}").await;
    }
    for index in [0, 2, 3] {
        service.attempt_in(&endpoint, index, FAILED, RETRY).await;
        service.pass(Duration::from_secs(1));
    }
    let page = browser.get(&place).await.text;
    for words in [
        "Lanes that wait for a retry: 3 of 4. The others go on.",
        "<b>Lane 4:</b> Event 1 of 3, d1, is tried for the 2nd time at <time datetime=\"2026-01-01T00:00:32.000Z\">",
        "<b>Lane 1:</b> Event 1 of 2, a1, is tried for the 2nd time at <time datetime=\"2026-01-01T00:00:30.000Z\">",
        "<b>Lane 3:</b> Event c1 is tried for the 2nd time at <time datetime=\"2026-01-01T00:00:31.000Z\">",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(page.matches("; later events wait for it.").count(), 2, "{page}");
    assert!(page.find("Lane 4:") < page.find("Lane 1:"), "the fullest first");

    service.pass(Duration::from_secs(30));
    let page = browser.get(&place).await.text;
    assert!(page.contains("Event 1 of 3, d1, is being tried for the 2nd time; later events wait for it."), "{page}");
    browser.headers = "Accept-Language: es\r\n".to_owned();
    let page = browser.get(&place).await.text;
    for words in [
        "Carriles que esperan un reintento: 3 de 4.",
        "<b>Carril 4:</b> El evento 1 de 3, d1, se está intentando por 2.ª vez",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    service.post(&format!("{endpoint}/disable"), "{}").await;
    assert!(!browser.get(&place).await.text.contains("Carril 4"), "nothing is tried");
}

async fn of_many_lanes_the_fullest_are_told(kind: Kind) {
    const LANES: u16 = 22;
    let service = Service::start(kind).await;
    let endpoint = endpoint(&service, "https://r.example/", LANES).await;
    for index in 0..LANES {
        service.append_to(&endpoint, index, &format!("e{index}"), "{}").await;
        service.attempt_in(&endpoint, index, FAILED, RETRY).await;
    }
    service.append_to(&endpoint, LANES - 1, "more", "{}").await;
    let mut browser = Browser::of(&service, "acme", false).await;
    let page = browser.get(&endpoint.replace("/v1", "/console")).await.text;
    assert!(page.contains("More than 20 lanes wait for a retry; these have most events:"), "{page}");
    assert_eq!(page.matches("is tried for the 2nd time").count(), 20, "{page}");
    assert!(page.contains("<b>Lane 22:</b> Event 1 of 2") && !page.contains("<b>Lane 20:</b>"), "{page}");
}

async fn the_quota_names_webhooks_by_their_urls_and_says_when_it_will_be_less(kind: Kind) {
    let service = Service::start(kind).await;
    let (one, other) =
        (endpoint(&service, "https://one.example/a", 1).await, endpoint(&service, "https://other.example/b", 1).await);
    let mut browser = Browser::of(&service, "acme", false).await;
    let page = browser.get(&one.replace("/v1", "/console")).await.text;
    assert!(!page.contains("The next failure leaves"), "{page}");
    for (endpoint, event) in [(&one, "e1"), (&other, "e2"), (&other, "e3")] {
        service.drop_event(endpoint, event).await;
        service.pass(Duration::from_secs(60));
    }
    let page = browser.get(&one.replace("/v1", "/console")).await.text;
    let link = format!("<b>2</b> × <a href=\"{}\">https://other.example/b</a>", other.replace("/v1", "/console"));
    for words in [
        link.as_str(),
        "<b>1</b> × this webhook",
        "3 of 30 failed attempts in 30 minutes are used.",
        "The next failure leaves the window at <time datetime=\"2026-01-01T00:30:00.000Z\">",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let live = browser.get(&format!("{}/live?status=enabled", one.replace("/v1", "/console"))).await.text;
    assert!(live.contains(&link), "{live}");
    service.pass(Duration::from_secs(27 * 60));
    let page = browser.get(&one.replace("/v1", "/console")).await.text;
    let next = "The next failure leaves the window at <time datetime=\"2026-01-01T00:31:00.000Z\">";
    assert!(page.contains("2 of 30 failed attempts") && page.contains(next), "{page}");
}

async fn own_headers_are_set_kept_and_removed_and_their_values_not_shown(kind: Kind) {
    let service = Service::start(kind).await;
    let mut browser = Browser::of(&service, "acme", false).await;
    let new = format!("{WEBHOOKS}/endpoints/new");
    let form = browser.get(&new).await;
    let fields = |headers| [("url", "https://r.example/"), ("events", "*"), ("lanes", "1"), ("headers", headers)];
    for (headers, told) in [
        ("no colon", "Each line is a name, a colon and a value."),
        ("a: 1\nA: 2", "A header is named twice."),
        ("host: x", "The header `host` belongs to the HTTP connection and cannot be set."),
        ("x y: z", "is not a header name"),
    ] {
        let refused = browser.send(&form, &new, &fields(headers)).await;
        assert!(refused.status == 422 && refused.text.contains(told), "{told}: {refused:?}");
        assert!(refused.text.contains("<details open>") && refused.text.contains(headers), "{refused:?}");
    }
    let added = browser.send(&form, &new, &fields("X-Api-Key: s3cret-one\r\n\r\n Authorization:Bearer a:b \n")).await;
    assert_eq!(added.status, 201, "{added:?}");
    let all = service.get(crate::ENDPOINTS).await.body;
    let endpoint = format!("{}/{}", crate::ENDPOINTS, all["data"][0]["id"].as_str().unwrap());
    let place = endpoint.replace("/v1", "/console");
    let edit = format!("{place}/edit");
    let sent = async |browser: &mut Browser| {
        let page = browser.get(&place).await;
        browser.send(&page, &format!("{place}/test"), &[("event_type", "comment.created")]).await;
        let requests = service.receivers.requests.lock().unwrap();
        let own =
            requests.last().unwrap().headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        own.filter(|line| line.starts_with("x-api-key") || line.starts_with("authorization")).collect::<Vec<_>>()
    };
    let both = ["authorization: Bearer a:b", "x-api-key: s3cret-one"];
    let mut found = sent(&mut browser).await;
    found.sort();
    assert_eq!(found, both);

    let form = browser.get(&edit).await;
    for path in [&place, &edit] {
        let page = browser.get(path).await.text;
        assert!(
            page.contains("x-api-key") && !page.contains("s3cret") && !page.contains("Bearer a:b"),
            "{path}: {page}"
        );
    }
    let version =
        |form: &str| form.split("name=\"key\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let key = version(&form.text);
    let change = [("key", key.as_str()), ("remove", "authorization"), ("headers", "X-API-KEY: s3cret-two")];
    let fields = [("url", "https://r.example/"), ("events", "*"), ("lanes", "1")];
    let refused =
        browser.send(&form, &edit, &[&[("url", "http://r.example/"), ("events", "*")], &change[..]].concat()).await;
    assert!(refused.status == 422 && refused.text.contains("value=\"authorization\" checked"), "{refused:?}");
    assert_eq!(location(&browser.send(&form, &edit, &[&fields[..], &change[..]].concat()).await), place);
    assert_eq!(sent(&mut browser).await, ["x-api-key: s3cret-two"]);

    let form = browser.get(&edit).await;
    let key = version(&form.text);
    let kept = [&fields[..], &[("key", key.as_str()), ("description", "kept")]].concat();
    assert_eq!(location(&browser.send(&form, &edit, &kept).await), place);
    assert_eq!(sent(&mut browser).await, ["x-api-key: s3cret-two"], "what is not named stays");
}
