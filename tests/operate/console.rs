//! The console's pages over real HTTP: who may see and do what, and what every page keeps to.

use std::time::Duration;

use crate::service::{self, Kind, Service, TOKEN, Told};

promises!(
    a_code_opens_the_console_once_and_leaves_the_url,
    a_token_signs_in_and_out_again,
    nobody_comes_in_without_a_session,
    a_form_of_another_site_or_session_is_refused,
    who_may_only_read_sees_no_buttons_and_changes_nothing,
    another_workspaces_pages_are_refused,
    every_answer_carries_the_policy,
    the_browsers_language_decides_and_the_switch_overrules_it,
    an_endpoint_is_disabled_and_enabled_without_a_script,
);

/// Somebody's browser, without scripts: it keeps cookies and reads forms.
pub struct Browser<'a> {
    service: &'a Service,
    cookies: Vec<(String, String)>,
    /// More headers of every request, each ended by a line break.
    pub headers: String,
}

impl<'a> Browser<'a> {
    pub fn new(service: &'a Service) -> Self {
        Self { service, cookies: Vec::new(), headers: String::new() }
    }

    /// Signed in with a workspace's token.
    pub async fn of(service: &'a Service, workspace: &str, read_only: bool) -> Self {
        let token = service.token(workspace, read_only).await;
        let mut browser = Self::new(service);
        let told = browser.post("/console/sign-in", &[("token", &token)]).await;
        assert_eq!(told.status, 303, "{told:?}");
        browser
    }

    pub async fn get(&mut self, path: &str) -> Told {
        self.ask("GET", path, "").await
    }

    /// Posts a form with these fields and nothing else.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Told {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.ask("POST", path, &body).await
    }

    /// Posts a form as its page has it: with the page's seal.
    pub async fn send(&mut self, page: &Told, path: &str, fields: &[(&str, &str)]) -> Told {
        let csrf = csrf(page);
        let fields: Vec<_> = [("csrf", csrf.as_str())].into_iter().chain(fields.iter().copied()).collect();
        self.post(path, &fields).await
    }

    async fn ask(&mut self, method: &str, path: &str, body: &str) -> Told {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers = match cookies.is_empty() {
            true => self.headers.clone(),
            false => format!("Cookie: {}\r\n{}", cookies.join("; "), self.headers),
        };
        let told = service::ask(self.service.address, method, path, &headers, body).await;
        for line in told.head.lines().filter_map(|line| line.strip_prefix("set-cookie: ")) {
            let (name, rest) = line.split_once('=').unwrap();
            assert!(rest.contains("HttpOnly") && rest.contains("SameSite=Lax"), "{line}");
            assert!(rest.contains("Secure") && rest.contains("Path=/console"), "{line}");
            self.cookies.retain(|(kept, _)| kept != name);
            if !rest.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
            }
        }
        told
    }
}

/// Where an answer sends the browser.
pub fn location(told: &Told) -> &str {
    assert_eq!(told.status, 303, "{told:?}");
    told.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap()
}

fn csrf(page: &Told) -> String {
    let rest = page.text.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("no form: {page:?}"));
    rest.split('"').next().unwrap().to_owned()
}

const WEBHOOKS: &str = "/console/workspaces/acme";

async fn a_code_opens_the_console_once_and_leaves_the_url(kind: Kind) {
    let service = Service::start(kind).await;
    let made = service.post("/v1/workspaces/acme/tokens", "{}").await;
    let url = made.body["console_url"].as_str().unwrap();
    let path = url.strip_prefix("https://hooks.example").unwrap();

    let mut browser = Browser::new(&service);
    let looked = browser.ask("HEAD", path, "").await;
    assert_eq!(looked.status, 204, "who only looks does not use it up");
    assert_eq!(location(&browser.get(path).await), WEBHOOKS);
    assert_eq!(browser.get(WEBHOOKS).await.status, 200);

    let mut other = Browser::new(&service);
    let again = other.get(path).await;
    assert_eq!(again.status, 401, "{again:?}");
    assert!(again.text.contains("This link was used already"), "{}", again.text);
    assert_eq!(other.get("/console/enter").await.status, 401);

    service.pass(Duration::from_secs(60 * 60));
    assert_eq!(browser.get(WEBHOOKS).await.status, 303, "the grant is over");
}

async fn a_token_signs_in_and_out_again(kind: Kind) {
    let service = Service::start(kind).await;
    let mut browser = Browser::new(&service);
    let wrong = browser.post("/console/sign-in", &[("token", "wrong")]).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text.contains("This token is not known"), "{}", wrong.text);

    let signed = browser.post("/console/sign-in", &[("token", TOKEN), ("next", WEBHOOKS)]).await;
    assert_eq!(location(&signed), WEBHOOKS);
    assert!(!signed.head.contains(TOKEN), "the admin token does not lie about in browsers");
    let page = browser.get(WEBHOOKS).await;
    assert_eq!(page.status, 200, "{page:?}");

    assert_eq!(location(&browser.send(&page, "/console/sign-out", &[]).await), "/console/sign-in");
    assert_eq!(browser.get(WEBHOOKS).await.status, 303);

    for elsewhere in ["https://elsewhere.example/", "//elsewhere.example", "/consoles", "/v1/workspaces"] {
        let signed = browser.post("/console/sign-in", &[("token", TOKEN), ("next", elsewhere)]).await;
        assert_eq!(location(&signed), "/console", "{elsewhere}");
    }
    service.pass(Duration::from_secs(12 * 60 * 60));
    assert_eq!(browser.get(WEBHOOKS).await.status, 303, "an administrator's session ends after 12 hours");
}

async fn nobody_comes_in_without_a_session(kind: Kind) {
    let service = Service::start(kind).await;
    let mut browser = Browser::new(&service);
    let refused = browser.get("/console/workspaces/acme?x=1").await;
    assert_eq!(location(&refused), "/console/sign-in?next=%2Fconsole%2Fworkspaces%2Facme%3Fx%3D1");
    for cookie in ["rwt_AAAA", "ras_AAAA", TOKEN, ""] {
        browser.headers = format!("Cookie: recadero_session={cookie}\r\n");
        assert_eq!(browser.get(WEBHOOKS).await.status, 303, "{cookie}");
    }
}

async fn a_form_of_another_site_or_session_is_refused(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    let disable = format!("{}/disable", endpoint.replace("/v1", "/console"));
    let mut browser = Browser::of(&service, "acme", false).await;
    let page = browser.get(WEBHOOKS).await;
    let mut other = Browser::of(&service, "elsewhere", false).await;
    let others_page = other.get("/console/workspaces/elsewhere").await;

    for fields in [vec![], vec![("csrf", "")], vec![("csrf", "AAAA")]] {
        assert_eq!(browser.post(&disable, &fields).await.status, 403, "{fields:?}");
    }
    assert_eq!(browser.send(&others_page, &disable, &[]).await.status, 403, "another session's form");
    for header in
        ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example", "Origin: null"]
    {
        browser.headers = format!("{header}\r\n");
        assert_eq!(browser.send(&page, &disable, &[]).await.status, 403, "{header}");
        assert_eq!(browser.post("/console/sign-in", &[("token", TOKEN)]).await.status, 403, "{header}");
    }
    assert_eq!(service.get(&endpoint).await.body["status"], "enabled");
    for header in ["Sec-Fetch-Site: same-origin", "Origin: http://t"] {
        browser.headers = format!("{header}\r\n");
        assert_eq!(browser.send(&page, &disable, &[]).await.status, 303, "{header}");
    }
    assert_eq!(service.get(&endpoint).await.body["status"], "disabled");
}

async fn who_may_only_read_sees_no_buttons_and_changes_nothing(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    let mut browser = Browser::of(&service, "acme", true).await;
    let page = browser.get(WEBHOOKS).await;
    assert!(page.text.contains("https://r.example/") && !page.text.contains("/disable"), "{}", page.text);
    let place = endpoint.replace("/v1", "/console");
    for path in [&place, &format!("{place}/dropped")] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{page:?}");
        let forms: Vec<_> = page.text.split("<form").skip(1).filter(|form| form.contains("method=\"post\"")).collect();
        assert_eq!(forms.len(), 2, "only language and sign-out: {path} {forms:?}");
    }
    for path in [&format!("{WEBHOOKS}/endpoints/new"), &format!("{place}/edit"), &format!("{place}/delete")] {
        assert_eq!(browser.get(path).await.status, 403, "{path}");
    }
    let disable = format!("{place}/disable");
    let refused = browser.send(&page, &disable, &[]).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("This sign-in may only look."), "{}", refused.text);
    assert_eq!(service.get(&endpoint).await.body["status"], "enabled");
    assert_eq!(browser.send(&page, "/console/sign-out", &[]).await.status, 303);
}

async fn another_workspaces_pages_are_refused(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "elsewhere", false).await;
    let own = browser.get("/console/workspaces/elsewhere").await;
    for path in [WEBHOOKS, "/console/workspaces"] {
        assert!([403, 404].contains(&browser.get(path).await.status), "{path}");
    }
    let refused = browser.send(&own, &format!("{endpoint}/disable"), &[]).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(!browser.get(WEBHOOKS).await.text.contains("r.example"));
}

async fn every_answer_carries_the_policy(kind: Kind) {
    let service = Service::start(kind).await;
    let mut browser = Browser::of(&service, "acme", false).await;
    let endpoint = service.endpoint().await.replace("/v1", "/console");
    let edit = format!("{endpoint}/edit");
    let dropped = format!("{endpoint}/dropped");
    let outside = ["/console", "/console/sign-in", "/console/enter?code=x", "/console/no/such/page"];
    for path in [WEBHOOKS, &endpoint, &edit, &dropped].into_iter().chain(outside) {
        let told = browser.get(path).await;
        let policy = told.head.lines().find(|line| line.starts_with("content-security-policy: ")).unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(told.head.contains("x-content-type-options: nosniff"), "{told:?}");
        assert!(told.head.contains("cache-control: no-store"), "{told:?}");
        for inline in ["<style", " style=", " onclick=", "javascript:", "<script>"] {
            assert!(!told.text.contains(inline), "{path}: {inline}");
        }
        // Nothing is loaded from elsewhere, and what is named is there.
        for (kind, after) in [("src", " src=\""), ("href", "<link rel=\"stylesheet\" href=\"")] {
            for file in told.text.split(after).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(file.starts_with("/console/assets/"), "{kind} {file}");
                let file = browser.get(file).await;
                assert!(file.status == 200 && file.head.contains("immutable"), "{}", file.head);
            }
        }
    }
}

async fn the_browsers_language_decides_and_the_switch_overrules_it(kind: Kind) {
    let service = Service::start(kind).await;
    service.endpoint().await;
    let mut browser = Browser::of(&service, "acme", false).await;
    assert!(browser.get(WEBHOOKS).await.text.contains("<html lang=\"en\">"));
    browser.headers = "Accept-Language: es-MX,es;q=0.9,en;q=0.8\r\n".to_owned();
    let spanish = browser.get(WEBHOOKS).await.text;
    for words in ["<html lang=\"es\">", "Acción", "Deshabilitar", "Cerrar sesión"] {
        assert!(spanish.contains(words), "{words}: {spanish}");
    }
    let switched = browser.post("/console/language", &[("to", "en"), ("back", WEBHOOKS)]).await;
    assert_eq!(location(&switched), WEBHOOKS);
    assert!(browser.get(WEBHOOKS).await.text.contains("<html lang=\"en\">"));
    let away = browser.post("/console/language", &[("to", "es"), ("back", "https://elsewhere.example")]).await;
    assert_eq!(location(&away), "/console");
}

async fn an_endpoint_is_disabled_and_enabled_without_a_script(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    let place = endpoint.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "acme", false).await;
    let page = browser.get(WEBHOOKS).await;
    let done = browser.send(&page, &format!("{place}/disable"), &[("from", "table")]).await;
    assert_eq!(location(&done), WEBHOOKS);
    let page = browser.get(WEBHOOKS).await;
    assert!(page.text.contains("The webhook is disabled."), "{}", page.text);
    assert!(!browser.get(WEBHOOKS).await.text.contains("The webhook is disabled."), "told once");
    assert_eq!(service.get(&endpoint).await.body["status"], "disabled");

    service.append(&endpoint, "1").await;
    let done = browser.send(&page, &format!("{place}/enable"), &[("from", "table"), ("backlog", "discard")]).await;
    assert_eq!(location(&done), WEBHOOKS);
    assert!(browser.get(WEBHOOKS).await.text.contains("Discarded: 1 event."));
    assert_eq!(service.get(&endpoint).await.body["status"], "enabled");
    assert_eq!(service.get(&endpoint).await.body["backlog"]["events"], 0);

    let gone = browser.send(&page, &format!("{WEBHOOKS}/endpoints/ep_none/enable"), &[]).await;
    assert!(gone.status == 404 && gone.text.contains("There is no such endpoint in this workspace."), "{gone:?}");
}
