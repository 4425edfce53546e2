//! What goes wrong, told in the page's language.

use std::time::Duration;

use recadero::decide::attempt::Outcome;
use recadero::decide::retry::Next;

use crate::console::{Browser, location};
use crate::service::{Kind, Service, TOKEN};

promises!(
    what_goes_wrong_is_told_in_spanish,
    forms_say_what_is_wrong_in_spanish,
    what_came_of_a_form_is_told_in_spanish,
    an_address_that_takes_forms_is_a_page_too,
    the_switch_of_languages_goes_back_to_the_form_that_was_refused,
);

const WEBHOOKS: &str = "/console/workspaces/acme";
const SPANISH: &str = "Accept-Language: es\r\n";

async fn what_goes_wrong_is_told_in_spanish(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    service.append(&endpoint, "waits").await;
    service.append(&endpoint, "done").await;
    let place = endpoint.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "acme", false).await;
    let mut reader = Browser::of(&service, "acme", true).await;
    let own = reader.get(WEBHOOKS).await;
    let page = browser.get(&place).await;
    let version = page.text.split("name=\"version\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    browser.send(&page, &format!("{place}/rotate-secret"), &[("version", version)]).await;
    browser.headers = SPANISH.to_owned();
    reader.headers = SPANISH.to_owned();
    let mut told = Vec::new();
    for (path, status, words) in [
        ("/console/no/such/page".to_owned(), 404, "No existe esa página."),
        (format!("{WEBHOOKS}/endpoints/ep_none"), 404, "No existe ese endpoint en este espacio de trabajo."),
        (format!("{place}/events/none"), 404, "No se sabe nada de ese evento en este endpoint."),
        (format!("{place}?cursor=x"), 422, "La dirección no es una que haya dado esta lista."),
        (format!("{place}?a=1&a=2"), 422, "dos veces."),
        ("/console/workspaces/other".to_owned(), 403, "Este acceso no es para este espacio de trabajo."),
        ("/console/workspaces/%20".to_owned(), 422, "El nombre de un espacio de trabajo"),
        ("/console/workspaces".to_owned(), 403, "Para esto hace falta un token de administración."),
        (format!("{place}/disable"), 405, "Esta dirección recibe formularios"),
        ("/console/enter?code=x".to_owned(), 401, "Este enlace ya se usó"),
    ] {
        told.push((browser.get(&path).await, status, words));
    }
    for (path, fields, status, words) in [
        ("rotate-secret", vec![("version", version)], 412, "Alguien lo cambió mientras tanto"),
        ("test", vec![("event_type", "no.such")], 422, "No hay ninguna muestra de"),
        ("events/waits/resend", vec![], 409, "El evento ya está en camino"),
        ("events/none/resend", vec![], 409, "El cuerpo del evento ya no se conserva"),
        ("recover", vec![("since", "ayer")], 422, "No es una fecha y hora; escríbala así"),
    ] {
        told.push((browser.send(&page, &format!("{place}/{path}"), &fields).await, status, words));
    }
    told.push((browser.post(&format!("{place}/disable"), &[]).await, 403, "El formulario no es de esta sesión"));
    told.push((reader.send(&own, &format!("{place}/disable"), &[]).await, 403, "Este acceso es solo de lectura."));
    let large = "x".repeat(70 << 10);
    told.push((
        browser.send(&page, &format!("{place}/disable"), &[("x", &large)]).await,
        413,
        "El formulario tiene más de",
    ));
    browser.headers = format!("{SPANISH}Sec-Fetch-Site: cross-site\r\n");
    told.push((browser.send(&page, &format!("{place}/disable"), &[]).await, 403, "una página de otro sitio"));
    browser.headers = SPANISH.to_owned();
    service.put("/v1/workspaces/acme", r#"{"plan": "starter"}"#).await;
    told.push((
        browser.get(&format!("{WEBHOOKS}/endpoints/new")).await,
        403,
        "no incluye webhooks; son para: advanced, enterprise.",
    ));
    let mut nobody = Browser::new(&service);
    nobody.headers = SPANISH.to_owned();
    told.push((
        nobody.post("/console/sign-in", &[("token", "x")]).await,
        401,
        "Este token no se conoce o ha caducado.",
    ));
    for (told, status, words) in told {
        assert_eq!(told.status, status, "{words}: {told:?}");
        assert!(told.text.contains(words) && told.text.contains("<html lang=\"es\">"), "{words}: {told:?}");
        assert!(!told.text.contains("lang=\"en\" role=\"alert\""), "{told:?}");
        assert!(told.head.contains("content-security-policy") && told.head.contains("no-store"), "{told:?}");
    }
}

async fn forms_say_what_is_wrong_in_spanish(kind: Kind) {
    let service = Service::start(kind).await;
    let mut browser = Browser::of(&service, "acme", false).await;
    browser.headers = SPANISH.to_owned();
    let new = format!("{WEBHOOKS}/endpoints/new");
    let form = browser.get(&new).await;
    let good = ("url", "https://r.example/");
    let description = "x".repeat(501);
    for (fields, words) in [
        (vec![("url", "http://r.example/"), ("events", "*")], "La URL debe empezar por https://."),
        (vec![("url", "https://10.0.0.1/"), ("events", "*")], "las entregas no pueden ir a esa dirección"),
        (vec![("url", "https://r.example/#a"), ("events", "*")], "no puede llevar un fragmento"),
        (vec![("url", "https://r.\u{1}example/"), ("events", "*")], "La URL tiene caracteres de control"),
        (vec![("url", ""), ("events", "*")], "Esto no es una URL."),
        (vec![good], "Elija al menos un evento."),
        (vec![good, ("events", "no.such")], "no es un tipo de evento de aquí."),
        (vec![good, ("events", "*"), ("lanes", "65")], "Debe ser de 1 a 64."),
        (vec![good, ("events", "*"), ("description", &description)], "Tiene 501 caracteres; como máximo 500."),
        (vec![good, ("events", "*"), ("headers", "no colon")], "Cada línea es un nombre, dos puntos y un valor."),
        (vec![good, ("events", "*"), ("headers", "user-agent: me")], "La cabecera «user-agent» la pone Recadero."),
    ] {
        let refused = browser.send(&form, &new, &fields).await;
        assert!(refused.status == 422 && refused.text.contains(words), "{words}: {refused:?}");
    }
    let checked =
        browser.send(&form, &format!("{WEBHOOKS}/endpoints/check"), &[("url", "https://a:b@r.example/")]).await;
    assert!(checked.text.contains("La URL no puede llevar usuario ni contraseña"), "{checked:?}");
}

async fn what_came_of_a_form_is_told_in_spanish(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await;
    let place = endpoint.replace("/v1", "/console");
    service.append(&endpoint, "1").await;
    service.attempt(&endpoint, Outcome::Delivered, Next::Drop).await;
    service.append(&endpoint, "2").await;
    let mut browser = Browser::of(&service, "acme", false).await;
    browser.headers = SPANISH.to_owned();
    let page = browser.get(&place).await;
    service.pass(Duration::from_secs(150));
    for (path, fields, words) in [
        ("disable", vec![], "El webhook está deshabilitado."),
        (
            "enable",
            vec![("backlog", "discard")],
            "El webhook está habilitado. Descartados: 1 evento. Un evento de prueba se entregó en 12 ms.",
        ),
        ("test", vec![("event_type", "comment.created")], "La respuesta empezaba así: thanks"),
        ("events/1/resend", vec![], "El evento va de nuevo en camino."),
        ("recover", vec![("since", "2026-01-01T00:00:00")], "Eventos que van de nuevo en camino: 1."),
        ("delete", vec![], "El webhook se eliminó, con 2 eventos en espera."),
    ] {
        let done = browser.send(&page, &format!("{place}/{path}"), &fields).await;
        let told = browser.get(location(&done)).await.text;
        assert!(told.contains(words), "{words}: {told}");
        if path == "recover" {
            service.pass(Duration::from_secs(150));
            let told = browser.get(&place).await.text;
            assert!(
                told.contains("El más antiguo espera desde hace <time") && told.contains(">2 minutos</time>"),
                "{told}"
            );
        }
    }
}

async fn an_address_that_takes_forms_is_a_page_too(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await.replace("/v1", "/console");
    let mut browser = Browser::of(&service, "acme", false).await;
    let told = browser.get(&format!("{endpoint}/enable")).await;
    assert!(told.status == 405 && told.text.contains("This address takes forms and shows no page."), "{told:?}");
    let api = service.put("/v1/event-types", "{}").await;
    assert_eq!(api.status, 405);
    assert!(api.head.contains("application/problem+json"), "{api:?}");
}

async fn the_switch_of_languages_goes_back_to_the_form_that_was_refused(kind: Kind) {
    let service = Service::start(kind).await;
    let endpoint = service.endpoint().await.replace("/v1", "/console");
    let mut browser = Browser::new(&service);
    browser.post("/console/sign-in", &[("token", TOKEN)]).await;
    let page = browser.get(&endpoint).await;
    for (referer, back) in [
        (format!("Referer: https://hooks.example{endpoint}?still=1\r\n"), format!("{endpoint}?still=1")),
        (String::new(), format!("{endpoint}/rotate-secret")),
    ] {
        browser.headers = referer;
        let refused = browser.send(&page, &format!("{endpoint}/rotate-secret"), &[("version", "7")]).await;
        assert_eq!(refused.status, 412, "{refused:?}");
        assert!(refused.text.contains(&format!("name=\"back\" value=\"{back}\"")), "{back}: {refused:?}");
    }
}
