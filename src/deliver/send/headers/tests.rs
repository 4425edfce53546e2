use super::*;
use crate::decide::ids::EndpointId;
use crate::deliver::sign::Received;

const BODY: &[u8] = br#"{"event_type":"message.sent"}"#;
const AT: Duration = Duration::new(1_649_367_553, 999_999_999);

fn secrets() -> Vec<Secret> {
    vec![Secret::parse("whsec_AAAA").unwrap(), Secret::parse("whsec_BBBB").unwrap()]
}

fn built(change: impl for<'a> FnOnce(&mut Outgoing<'a>)) -> Vec<(String, String)> {
    let (event, event_type) = (EventId::trusted("evt_1"), EventType::trusted("message.sent"));
    let (secrets, own) = (secrets(), OwnHeaders::default());
    let mut outgoing = Outgoing {
        event: &event,
        event_type: &event_type,
        attempt: 1,
        at: AT,
        body: BODY,
        secrets: &secrets[..1],
        traceparent: None,
        own: &own,
        resend: false,
    };
    change(&mut outgoing);
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    build(&outgoing).iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn value<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_headers_are_those_of_the_contract_and_accept() {
    let headers = built(|_| {});
    let mut names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "accept",
        "content-type",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
        "x-webhook-attempt",
        "x-webhook-event",
        "x-webhook-signature",
    ];
    assert_eq!(names, expected);
    assert_eq!(value(&headers, "content-type"), Some("application/json"));
    assert_eq!(value(&headers, "user-agent"), Some(concat!("Recadero/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(value(&headers, "webhook-id"), Some("evt_1"));
    assert_eq!(value(&headers, "webhook-timestamp"), Some("1649367553"));
    assert_eq!(value(&headers, "x-webhook-event"), Some("message.sent"));
    assert_eq!(value(&headers, "x-webhook-attempt"), Some("1"));
}

#[test]
fn both_signatures_verify() {
    let headers = built(|_| {});
    let secret = &secrets()[0];
    assert!(secret.verify_body(BODY, value(&headers, "x-webhook-signature").unwrap()));
    let received = Received { id: "evt_1", timestamp: "1649367553", body: BODY };
    let signatures = value(&headers, "webhook-signature").unwrap();
    assert_eq!(secret.verify_standard(received, signatures, AT, Duration::ZERO), Ok(()));
}

#[test]
fn after_a_rotation_both_secrets_sign_the_new_one_first() {
    let all = secrets();
    let (event, event_type, own) = (EventId::trusted("e"), EventType::trusted("t"), OwnHeaders::default());
    let headers = build(&Outgoing {
        event: &event,
        event_type: &event_type,
        attempt: 1,
        at: AT,
        body: BODY,
        secrets: &all,
        traceparent: None,
        own: &own,
        resend: false,
    });
    let sign = |secret: &Secret| secret.sign_standard("e", "1649367553", BODY).unwrap().as_str().to_owned();
    assert_eq!(headers[WEBHOOK_SIGNATURE], format!("v1,{} v1,{}", sign(&all[0]), sign(&all[1])));
    assert!(all[0].verify_body(BODY, headers[X_WEBHOOK_SIGNATURE].to_str().unwrap()), "the newest alone");
}

#[test]
fn later_attempts_and_resent_events_say_so() {
    let headers = built(|outgoing| {
        outgoing.attempt = 4;
        outgoing.resend = true;
    });
    assert_eq!(value(&headers, "x-webhook-attempt"), Some("4"));
    assert_eq!(value(&headers, "x-webhook-resend"), Some("true"));
}

#[test]
fn the_publishers_trace_is_continued_in_a_span_of_its_own() {
    let publisher = Traceparent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let span = |endpoint: &str, event: &str, attempt, at| {
        publisher.attempt(&EndpointId::trusted(endpoint), &EventId::trusted(event), attempt, at)
    };
    let first = span("ep_a", "evt_1", 1, AT);
    let headers = built(|outgoing| outgoing.traceparent = Some(first));
    // Frozen: what another release sent is told by this one.
    assert_eq!(value(&headers, "traceparent"), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-84a4c9142383a001-01"));
    assert_eq!(first, span("ep_a", "evt_1", 1, Duration::from_secs(AT.as_secs())), "whole seconds count");
    let second = AT + Duration::from_secs(1);
    for other in [span("ep_b", "evt_1", 1, AT), span("ep_a", "evt_2", 1, AT), span("ep_a", "evt_1", 2, AT)] {
        assert_ne!(first, other);
    }
    assert_ne!(first, span("ep_a", "evt_1", 1, second));
}

#[test]
fn the_endpoints_own_headers_are_sent_as_they_are() {
    let own = OwnHeaders::check([("X-Api-Key".to_owned(), "s3cret".to_owned())]).unwrap();
    let (event, event_type) = (EventId::trusted("e"), EventType::trusted("t"));
    let headers = build(&Outgoing {
        event: &event,
        event_type: &event_type,
        attempt: 1,
        at: AT,
        body: BODY,
        secrets: &[],
        traceparent: None,
        own: &own,
        resend: false,
    });
    assert_eq!(headers["x-api-key"], "s3cret");
    assert!(!format!("{headers:?}").contains("s3cret"), "nor shown by debug");
}
