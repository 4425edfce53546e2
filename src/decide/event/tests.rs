use proptest::prelude::*;

use super::*;
use crate::decide::event_types::KNOWN_EVENT_TYPES;

const MAX_BYTES: usize = 262_144;

/// A good message; each test spoils what it is about.
const GOOD: Published<'static> = Published {
    routing_key: "contact.created",
    body: br#"{"contact":{"id":1}}"#,
    message_id: Some("e1"),
    workspace_id: Header::Text("w-1"),
    contact_id: Header::Absent,
    traceparent: None,
};

fn decoded(published: Published<'_>) -> Result<Event, Rejection> {
    decode(&published, &EventTypes::new([]), MAX_BYTES)
}

fn accepted(published: Published<'_>) -> Event {
    decoded(published).expect("accepted")
}

fn delivered(published: Published<'_>) -> String {
    String::from_utf8(accepted(published).body.to_vec()).expect("UTF-8")
}

fn refused(published: Published<'_>) -> RejectReason {
    decoded(published).expect_err("refused").reason
}

#[test]
fn the_nine_samples_are_events_and_come_out_byte_for_byte() {
    for known in KNOWN_EVENT_TYPES {
        let published = Published { routing_key: known.event_type, body: known.sample.as_bytes(), ..GOOD };
        let event = accepted(Published { message_id: None, ..published });
        assert_eq!(event.body, known.sample);
        assert_eq!(event.event_type.as_str(), known.event_type);
        assert!(event.id.as_str().starts_with("0198f1d2-0000-7000-8000-"));
        assert_eq!(event.workspace.as_str(), "w-1");
        assert_eq!(event.contact, Some(ContactHash::of("1")));
    }
}

#[test]
fn event_type_and_event_id_are_added_last_where_they_are_absent() {
    assert_eq!(delivered(Published { body: b" { } ", ..GOOD }), r#"{"event_type":"contact.created","event_id":"e1"}"#);
    assert_eq!(
        delivered(Published { body: r#"{"event_id": "e1", "é": 1.0}"#.as_bytes(), ..GOOD }),
        r#"{"event_id":"e1","é":1.0,"event_type":"contact.created"}"#
    );
    assert_eq!(
        delivered(Published { body: br#"{"event_type":"contact.created","a":1e2}"#, ..GOOD }),
        r#"{"event_type":"contact.created","a":1e2,"event_id":"e1"}"#
    );
    assert_eq!(
        delivered(Published { body: br#"{"event_id":null,"a":1}"#, ..GOOD }),
        r#"{"event_id":"e1","a":1,"event_type":"contact.created"}"#
    );
    let id = r#"a"b\c"#;
    assert_eq!(
        delivered(Published { body: b"{}", message_id: Some(id), ..GOOD }),
        r#"{"event_type":"contact.created","event_id":"a\"b\\c"}"#
    );
}

#[test]
fn a_larger_event_is_refused_before_it_is_read() {
    let limit = |body, limit| decode(&Published { body, ..GOOD }, &EventTypes::new([]), limit);
    assert!(limit(b"{}", 2).is_ok());
    let rejection = limit(b"{}}", 2).expect_err("refused");
    assert_eq!(rejection.reason, RejectReason::TooLarge);
    assert_eq!(rejection.to_string(), "too_large: the body has 3 bytes, the limit is 2");
}

#[test]
fn a_body_that_is_not_strict_json_is_refused() {
    let deep = format!("{}{}", "{\"a\":".repeat(129), "}".repeat(129));
    let bodies: [&[u8]; 8] = [
        b"",
        b"{",
        b"{}x",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":1,\"\\u0061\":2}",
        b"{\"a\":\"\0\"}",
        b"NaN",
        deep.as_bytes(),
    ];
    for body in bodies {
        assert_eq!(refused(Published { body, ..GOOD }), RejectReason::NotJson);
    }
    let rejection = decoded(Published { body: b"{\"a\" 1}", ..GOOD }).expect_err("refused");
    assert_eq!(rejection.detail, "the body is not accepted as JSON: expected ':' at byte 5");
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    for body in ["null", "1", "\"{}\"", "[{}]", "true"] {
        assert_eq!(refused(Published { body: body.as_bytes(), ..GOOD }), RejectReason::NotAnObject);
    }
}

#[test]
fn the_workspace_is_the_header_s_text_or_decimal_string() {
    let workspace = |workspace_id| accepted(Published { workspace_id, ..GOOD }).workspace;
    let longest = "w".repeat(128);
    assert_eq!(workspace(Header::Text("A.b_c-9")).as_str(), "A.b_c-9");
    assert_eq!(workspace(Header::Text(&longest)).as_str(), longest);
    assert_eq!(workspace(Header::Integer(42)), workspace(Header::Text("42")));
    assert_eq!(workspace(Header::Integer(i64::MIN)).as_str(), "-9223372036854775808");

    let reason = |workspace_id| refused(Published { workspace_id, ..GOOD });
    assert_eq!(reason(Header::Absent), RejectReason::MissingWorkspaceId);
    let too_long = "w".repeat(129);
    for text in ["", " ", "a b", "wörk", "a/b", "{w}", "w\n", &too_long] {
        assert_eq!(reason(Header::Text(text)), RejectReason::InvalidWorkspaceId, "{text:?}");
    }
    assert_eq!(reason(Header::Other), RejectReason::InvalidWorkspaceId);
}

#[test]
fn the_id_is_the_property_s_or_the_body_s_and_both_agree() {
    let decoded = |message_id, body: &'static str| decoded(Published { message_id, body: body.as_bytes(), ..GOOD });
    for (message_id, body) in [
        (Some("e"), r#"{}"#),
        (Some("e"), r#"{"event_id":null}"#),
        (Some("e"), r#"{"event_id":"\u0065"}"#),
        (Some(""), r#"{"event_id":"e"}"#),
        (None, r#"{"event_id":"e"}"#),
    ] {
        assert_eq!(decoded(message_id, body).expect("accepted").id.as_str(), "e", "{message_id:?} {body}");
    }
    for (message_id, body, reason) in [
        (None, r#"{}"#, RejectReason::MissingEventId),
        (Some(""), r#"{}"#, RejectReason::MissingEventId),
        (None, r#"{"event_id":null}"#, RejectReason::MissingEventId),
        (None, r#"{"a":{"event_id":"e"}}"#, RejectReason::MissingEventId),
        (Some("e"), r#"{"event_id":"E"}"#, RejectReason::EventIdMismatch),
        (Some("e"), r#"{"event_id":""}"#, RejectReason::EventIdMismatch),
        (None, r#"{"event_id":""}"#, RejectReason::InvalidEventId),
        (None, r#"{"event_id":"a.b"}"#, RejectReason::InvalidEventId),
        (None, r#"{"event_id":"a b"}"#, RejectReason::InvalidEventId),
        (None, r#"{"event_id":"é"}"#, RejectReason::InvalidEventId),
        (None, r#"{"event_id":"a\u0000"}"#, RejectReason::InvalidEventId),
        (None, r#"{"event_id":7}"#, RejectReason::InvalidEventId),
        (Some("7"), r#"{"event_id":7}"#, RejectReason::InvalidEventId),
        (Some("e"), r#"{"event_id":["e"]}"#, RejectReason::InvalidEventId),
        (Some("a.b"), r#"{"event_id":"a.b"}"#, RejectReason::InvalidEventId),
    ] {
        assert_eq!(decoded(message_id, body).expect_err("refused").reason, reason, "{message_id:?} {body}");
    }
    let too_long = "~".repeat(129);
    assert_eq!(accepted(Published { message_id: Some(&too_long[1..]), ..GOOD }).id.as_str(), &too_long[1..]);
    assert_eq!(refused(Published { message_id: Some(&too_long), ..GOOD }), RejectReason::InvalidEventId);
}

#[test]
fn the_type_is_the_routing_key_and_the_body_agrees() {
    for event_type in
        [r#""contact.updated""#, r#""Contact.created""#, r#""""#, "null", "1", "{}", "[\"contact.created\"]"]
    {
        let body = format!(r#"{{"event_type":{event_type}}}"#);
        let reason = refused(Published { body: body.as_bytes(), ..GOOD });
        assert_eq!(reason, RejectReason::EventTypeMismatch, "{body}");
    }
    for routing_key in ["", "contact", "contact.deleted", "contact.created\n", "*", "#"] {
        let reason = refused(Published { routing_key, ..GOOD });
        assert_eq!(reason, RejectReason::UnknownEventType, "{routing_key:?}");
    }
    let types = EventTypes::new([EventType::trusted("order.placed")]);
    let published = Published { routing_key: "order.placed", body: br#"{"event_type":"order.placed"}"#, ..GOOD };
    assert_eq!(decode(&published, &types, MAX_BYTES).expect("accepted").event_type.as_str(), "order.placed");
    assert_eq!(refused(published), RejectReason::UnknownEventType);
}

#[test]
fn the_contact_is_the_header_s_or_the_body_s_and_never_a_reason_to_refuse() {
    let contact = |contact_id, body: &str| accepted(Published { contact_id, body: body.as_bytes(), ..GOOD }).contact;
    let (none, one, two) = (r#"{"contact":{}}"#, r#"{"contact":{"id":1}}"#, r#"{"contact":{"id":"2"}}"#);
    let hash = |text| Some(ContactHash::of(text));
    assert_eq!(contact(Header::Text("c"), one), hash("c"));
    assert_eq!(contact(Header::Integer(-3), one), hash("-3"));
    assert_eq!(contact(Header::Text("1"), none), contact(Header::Integer(1), none));
    assert_eq!(contact(Header::Absent, one), contact(Header::Integer(1), none));
    assert_eq!(contact(Header::Absent, r#"{"contact":{"id":"\u0031"}}"#), hash("1"));
    assert_eq!(contact(Header::Text(""), two), hash("2"));
    assert_eq!(contact(Header::Other, two), hash("2"));
    for body in [
        none,
        "{}",
        r#"{"contact":1}"#,
        r#"{"contact":{"id":null}}"#,
        r#"{"contact":{"id":""}}"#,
        r#"{"contact":{"id":{}}}"#,
        r#"{"contact":[{"id":1}]}"#,
        r#"{"id":1}"#,
    ] {
        assert_eq!(contact(Header::Absent, body), None, "{body}");
    }
}

#[test]
fn a_traceparent_is_kept_when_it_is_w3c_s_and_ignored_otherwise() {
    let kept = |text| accepted(Published { traceparent: Some(text), ..GOOD }).traceparent;
    let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(kept(valid).as_deref(), Some(valid));
    // Of a later version, the parts that the first one has are W3C's promise.
    let later = format!("cc{}-and-more", valid.strip_prefix("00").expect("version 00"));
    assert_eq!(kept(&later).as_deref(), Some(valid));
    for invalid in [
        "",
        "00",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-02",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
    ] {
        assert_eq!(kept(invalid), None, "{invalid:?}");
    }
}

#[test]
fn of_several_faults_the_first_in_the_contract_s_order_is_named() {
    let too_large = vec![b'['; MAX_BYTES + 1];
    // Each line mends the fault that the line before was refused for, and has all the later ones still.
    let bad =
        Published { routing_key: "nope", body: &too_large, message_id: None, workspace_id: Header::Absent, ..GOOD };
    let not_json = Published { body: b"[", ..bad };
    let not_an_object = Published { body: b"[]", ..bad };
    let no_workspace = Published { body: br#"{"event_type":7}"#, ..bad };
    let odd_workspace = Published { workspace_id: Header::Text("a b"), ..no_workspace };
    let no_id = Published { workspace_id: Header::Integer(1), ..no_workspace };
    let two_ids = Published { message_id: Some("a.b"), body: br#"{"event_type":7,"event_id":"c d"}"#, ..no_id };
    let odd_id = Published { message_id: Some("c d"), ..two_ids };
    let other_type = Published { message_id: Some("c"), body: br#"{"event_type":7,"event_id":"c"}"#, ..two_ids };
    let unknown_type = Published { body: br#"{"event_type":"nope","event_id":"c"}"#, ..other_type };
    for (published, reason) in [
        (bad, "too_large"),
        (not_json, "not_json"),
        (not_an_object, "not_an_object"),
        (no_workspace, "missing_workspace_id"),
        (odd_workspace, "invalid_workspace_id"),
        (no_id, "missing_event_id"),
        (two_ids, "event_id_mismatch"),
        (odd_id, "invalid_event_id"),
        (other_type, "event_type_mismatch"),
        (unknown_type, "unknown_event_type"),
    ] {
        assert_eq!(refused(published).as_str(), reason);
    }
    assert_eq!(RejectReason::StoreError.as_str(), "store_error");
}

#[test]
fn a_detail_quotes_the_beginning_of_a_long_text() {
    let long = format!("é\n{}", "x".repeat(1_000));
    let rejection = decoded(Published { workspace_id: Header::Text(&long), ..GOOD }).expect_err("refused");
    let beginning = format!(r#"the header workspace_id is "é\n{}" and 954 bytes more; "#, "x".repeat(46));
    assert!(rejection.detail.starts_with(&beginning), "{}", rejection.detail);
    let rejection = decoded(Published { message_id: Some("\u{2028}\"\t"), ..GOOD }).expect_err("refused");
    assert!(rejection.detail.starts_with(r#"the event's id is "\u{2028}\"\t"; "#), "{}", rejection.detail);
    assert_eq!(RejectReason::StoreError.because("two\r\nlines\0").detail, "two  lines ");
}

fn headers() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(prop_oneof![any::<String>(), "[a-z0-9\\x00-\\x1f\u{85}\u{2028}. ]{0,60}"])
}

fn header(text: &Option<String>) -> Header<'_> {
    text.as_deref().map_or(Header::Absent, Header::Text)
}

proptest! {
    #[test]
    fn whatever_is_published_is_decoded_or_refused_with_one_clean_line(
        routing_key in prop_oneof![Just("contact.created".to_owned()), any::<String>()],
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            ("[{\\[]", "\"?event_(id|type)\"?", "[:,]", any::<String>(), "[}\\]]?")
                .prop_map(|(open, key, colon, text, close)| format!("{open}{key}{colon}{text:?}{close}").into_bytes()),
        ],
        (message_id, workspace_id, contact_id, traceparent) in (headers(), headers(), headers(), headers()),
    ) {
        let result = decoded(Published {
            routing_key: &routing_key,
            body: &body,
            message_id: message_id.as_deref(),
            workspace_id: header(&workspace_id),
            contact_id: header(&contact_id),
            traceparent: traceparent.as_deref(),
        });
        match result {
            Ok(event) => {
                let body: serde_json::Value = serde_json::from_slice(&event.body).expect("JSON");
                prop_assert_eq!(&body["event_id"], event.id.as_str());
                prop_assert_eq!(&body["event_type"], event.event_type.as_str());
            }
            Err(rejection) => {
                let breaks = rejection.detail.contains(|c: char| c.is_control() || c == '\u{2028}');
                prop_assert!(!breaks, "{:?}", rejection.detail);
            }
        }
    }
}
