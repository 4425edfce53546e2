use std::time::Duration;

use super::*;
use crate::decide::attempt::{Outcome, Reason};
use crate::decide::ids::{EndpointId, EventId, EventType, WorkspaceId};
use crate::store::records::{Attempt, AttemptRow, Config, Disabled, SigningSecret, Workspace};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn notice(kind: NoticeKind, reason: &str) -> Notice {
    Notice {
        id: "disabled-ep_a-1".to_owned(),
        kind,
        at_ms: 1_800_000_000_000,
        workspace: WorkspaceId::trusted("acme"),
        endpoint: EndpointId::trusted("ep_a"),
        event: None,
        reason: reason.to_owned(),
        count: (kind == NoticeKind::Warning).then_some(16),
    }
}

fn facts(locale: &str, name: &str, excerpt: &str) -> Facts {
    let row = AttemptRow {
        event_id: EventId::trusted("1"),
        event_type: EventType::trusted("message.sent"),
        attempt: 1,
        duration_ms: 10,
        outcome: Outcome::Failed(Reason::Status),
        status: Some(503),
        excerpt: excerpt.to_owned(),
        signed_ms: 1_800_000_000_000,
        resend: false,
    };
    let last = Attempt { number: 31, at_ms: 1_799_999_999_000, next_attempt_ms: None, row };
    let config = Config {
        version: 1,
        url: "https://hooks.example.com/in?token=sw0rdfish".to_owned(),
        events: vec![EventType::trusted("*")],
        description: "to the CRM".to_owned(),
        lanes: 1,
        headers: vec![("x-key".to_owned(), "sw0rdfish".to_owned())],
        secrets: vec![SigningSecret { text: SECRET.to_owned(), until_ms: None }],
        created_ms: 0,
        updated_ms: 0,
    };
    let timeout = Cause { reason: Reason::Timeout, status: None };
    Facts {
        workspace: Some(Workspace {
            plan: "advanced".to_owned(),
            name: name.to_owned(),
            notify: vec!["ana@acme.example".to_owned()],
            locale: locale.to_owned(),
        }),
        endpoint: Some(Endpoint {
            id: EndpointId::trusted("ep_a"),
            config,
            paused: false,
            disabled: Some(Disabled { reason: DisableReason::Quota, at_ms: 1_800_000_000_000 }),
            generation: 1,
            backlog_events: 12,
            oldest_ms: Some(1_800_000_000_000),
            last_attempt: Some(last.clone()),
        }),
        causes: vec![(Cause::of(&last).expect("a failure"), 25), (timeout, 6)],
        last: Some(last),
        others: Vec::new(),
    }
}

fn letter(notice: &Notice, facts: &Facts) -> Letter {
    let base = "https://hooks.acme.example/base/".parse().expect("a URL");
    Letter::of(notice, facts, &Policy::default(), Some(&base))
}

#[test]
fn a_disabling_in_english() {
    let letter = letter(&notice(NoticeKind::Disabled, "quota"), &facts("en", "Acme", "try later"));
    assert_eq!(letter.subject, "Webhook disabled: hooks.example.com (Acme)");
    insta::assert_snapshot!(letter.text, @r#"
    This endpoint of Acme was disabled on 2027-01-15 08:00 UTC, because more than 30 deliveries of the workspace failed within 30 minutes. Nothing is sent to it until somebody enables it.

      https://hooks.example.com/in
      to the CRM

    What went wrong in that time (30 minutes):

      25 x  it answered 503
      6 x  no answer within 5 seconds

    The last failure, on 2027-01-15 07:59 UTC: it answered 503

      try later

    Waiting for this endpoint: 12 events, kept in order for at most 72 hours.

    What to do: see that the receiver answers 200 within 5 seconds, then enable the endpoint. What waits is sent in order.

      https://hooks.acme.example/base/console/workspaces/acme/endpoints/ep_a

    --
    Workspace acme, endpoint ep_a, notice disabled-ep_a-1
    "#);
}

#[test]
fn a_disabling_in_spanish() {
    let letter = letter(&notice(NoticeKind::Disabled, "quota"), &facts("es", "Acme", "try later"));
    assert_eq!(letter.subject, "Webhook deshabilitado: hooks.example.com (Acme)");
    insta::assert_snapshot!(letter.text, @r#"
    Este endpoint de Acme se deshabilitó el 2027-01-15 08:00 UTC, porque más de 30 entregas del espacio de trabajo fallaron en 30 minutos. No se le envía nada hasta que alguien lo habilite.

      https://hooks.example.com/in
      to the CRM

    Qué falló en ese tiempo (30 minutos):

      25 x  respondió 503
      6 x  no respondió en 5 segundos

    El último fallo, el 2027-01-15 07:59 UTC: respondió 503

      try later

    En espera para este endpoint: 12 eventos; se conservan en orden como máximo 72 horas.

    Qué hacer: compruebe que el receptor responda 200 en menos de 5 segundos y después habilite el endpoint. Lo que espera se envía en orden.

      https://hooks.acme.example/base/console/workspaces/acme/endpoints/ep_a

    --
    Espacio de trabajo acme, endpoint ep_a, aviso disabled-ep_a-1
    "#);
}

#[test]
fn a_warning_in_english_names_the_others() {
    let mut facts = facts("en", "Acme", "");
    facts.endpoint.as_mut().expect("an endpoint").disabled = None;
    facts.others = vec![(EndpointId::trusted("ep_b"), 3)];
    insta::assert_snapshot!(letter(&notice(NoticeKind::Warning, "quota"), &facts).text, @r#"
    Too many deliveries to the webhooks of Acme fail: 16 attempts within 30 minutes, as of 2027-01-15 08:00 UTC. When there are more than 30, the endpoint that fails then is disabled, and its events wait until somebody enables it.

    This endpoint failed last:
      https://hooks.example.com/in
      to the CRM

    What went wrong in that time (30 minutes):

      25 x  it answered 503
      6 x  no answer within 5 seconds

    The last failure, on 2027-01-15 07:59 UTC: it answered 503

    Other endpoints that failed:

      3 x  ep_b

    Waiting for this endpoint: 12 events, kept in order for at most 72 hours.

    What to do: see that the receiver answers 200 within 5 seconds.

      https://hooks.acme.example/base/console/workspaces/acme/endpoints/ep_a

    --
    Workspace acme, endpoint ep_a, notice disabled-ep_a-1
    "#);
}

#[test]
fn a_disabling_by_hand_of_an_endpoint_that_is_gone() {
    let mut facts = facts("es", "", "");
    (facts.endpoint, facts.causes, facts.last) = (None, Vec::new(), None);
    let letter = letter(&notice(NoticeKind::Disabled, "manual"), &facts);
    assert_eq!(letter.subject, "Webhook deshabilitado manualmente: ep_a (acme)");
    insta::assert_snapshot!(letter.text, @r#"
    Alguien deshabilitó este endpoint de acme el 2027-01-15 08:00 UTC. No se le envía nada hasta que alguien lo habilite.

      ep_a (se eliminó después)

    --
    Espacio de trabajo acme, endpoint ep_a, aviso disabled-ep_a-1
    "#);
}

#[test]
fn what_was_enabled_again_meanwhile_asks_for_nothing() {
    let mut facts = facts("en", "Acme", "");
    facts.endpoint.as_mut().expect("an endpoint").disabled = None;
    let letter = letter(&notice(NoticeKind::Disabled, "quota"), &facts);
    assert!(letter.text.contains("enabled again by now") && letter.html.contains("Open the endpoint"), "{letter:?}");
}

#[test]
fn nothing_that_people_or_receivers_wrote_becomes_markup_or_another_line() {
    const NASTY: &str = "<script>alert(1)</script>\r\nBcc: evil@x.example\r\n\u{1b}[2J\" onload=\"";
    for (locale, kind) in [("en", NoticeKind::Disabled), ("es", NoticeKind::Disabled), ("en", NoticeKind::Warning)] {
        let mut facts = facts(locale, NASTY, NASTY);
        facts.endpoint.as_mut().expect("an endpoint").config.description = NASTY.to_owned();
        let letter = letter(&notice(kind, "quota"), &facts);
        assert!(!letter.subject.contains(char::is_control), "{:?}", letter.subject);
        assert!(!letter.html.contains("<script") && !letter.html.contains("\" onload=\""), "{}", letter.html);
        assert!(letter.text.lines().all(|line| !line.starts_with("Bcc:")), "{}", letter.text);
        assert!(!letter.text.contains(|c: char| c.is_control() && c != '\n'), "{:?}", letter.text);
    }
}

#[test]
fn no_secret_is_in_a_letter() {
    let letter = format!("{:?}", letter(&notice(NoticeKind::Disabled, "quota"), &facts("en", "Acme", "")));
    assert!(!letter.contains("sw0rdfish") && !letter.contains("whsec_"), "{letter}");
    assert!(letter.contains("https://hooks.example.com/in"), "{letter}");
}

#[test]
fn without_a_public_url_there_is_no_link() {
    let facts = facts("en", "Acme", "");
    let letter = Letter::of(&notice(NoticeKind::Disabled, "quota"), &facts, &Policy::default(), None);
    assert!(!letter.html.contains("href") && !letter.text.contains("/console/"), "{letter:?}");
}

#[test]
fn another_quota_is_told_as_it_is() {
    let mut policy = Policy { timeout: Duration::from_millis(2500), ..Policy::default() };
    (policy.quota.limit, policy.quota.window, policy.quota.scope) =
        (4, Duration::from_secs(3600), QuotaScope::Endpoint);
    let letter = Letter::of(&notice(NoticeKind::Disabled, "quota"), &facts("en", "Acme", ""), &policy, None);
    for told in ["more than 4 deliveries failed within 1 hour", "answers 200 within 2500 ms"] {
        assert!(letter.text.contains(told), "{told}: {}", letter.text);
    }
}
