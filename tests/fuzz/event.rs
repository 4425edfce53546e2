//! Event bodies and what comes with them, against a second reading of the contract's section 2.
//!
//! An input is five lines and a body: routing key, `message_id`, `workspace_id`, `contact_id`, `traceparent`. An empty line is a
//! header that is not there, `#7` an integer, `?` something else.

use recadero::decide::event::{Event, Header, Published, decode};
use recadero::decide::event_types::EventTypes;
use recadero::decide::ids::{ContactHash, EventType};

use crate::json::Tree;

/// Small, so that the limit is met.
const BYTES_MAX: usize = 1_024;

pub const VERDICTS: &[&str] = &[
    "taken",
    "too_large",
    "not_json",
    "not_an_object",
    "missing_workspace_id",
    "invalid_workspace_id",
    "missing_event_id",
    "event_id_mismatch",
    "invalid_event_id",
    "event_type_mismatch",
    "unknown_event_type",
];

fn header(line: &str) -> Header<'_> {
    match (line, line.strip_prefix('#').and_then(|digits| digits.parse().ok())) {
        (_, Some(number)) => Header::Integer(number),
        ("", _) => Header::Absent,
        ("?", _) => Header::Other,
        (text, _) => Header::Text(text),
    }
}

pub fn judge(input: &[u8]) -> String {
    let mut parts = input.splitn(6, |byte| *byte == b'\n');
    let mut line = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (key, id, workspace, contact, trace) = (line(), line(), line(), line(), line());
    let body = parts.next().unwrap_or_default();
    let some = |line: &'_ str| (!line.is_empty()).then(|| line.to_owned());
    let (id, trace) = (some(&id), some(&trace));
    let published = Published {
        routing_key: &key,
        body,
        message_id: id.as_deref(),
        workspace_id: header(&workspace),
        contact_id: header(&contact),
        traceparent: trace.as_deref(),
    };
    let types = EventTypes::new([EventType::trusted("a")]);
    let ours = decode(&published, &types, BYTES_MAX);
    match (ours, expected(&published)) {
        (Ok(event), Ok(wanted)) => {
            agree(&event, &wanted, &published);
            let again = decode(&Published { body: &event.body, ..published }, &types, usize::MAX);
            assert_eq!(again.as_ref().map(|it| &it.body), Ok(&event.body), "delivered, it reads the same");
            "taken".to_owned()
        }
        (Err(rejection), Err(reason)) => {
            assert_eq!(rejection.reason.as_str(), reason, "{rejection}");
            let detail = &rejection.detail;
            assert!(!detail.is_empty() && !detail.contains(|c: char| c.is_control() || c == '\u{2028}'), "{detail:?}");
            reason.to_owned()
        }
        (ours, wanted) => panic!("{ours:?}, and it should be {wanted:?}"),
    }
}

#[derive(Debug)]
struct Wanted {
    id: String,
    workspace: String,
    body: Tree,
}

/// The contract, read once more.
fn expected(published: &Published<'_>) -> Result<Wanted, &'static str> {
    if published.body.len() > BYTES_MAX {
        return Err("too_large");
    }
    let mut tree = Tree::read(published.body).ok_or("not_json")?;
    let Tree::Object(_) = tree else { return Err("not_an_object") };
    let workspace = match published.workspace_id {
        Header::Absent => return Err("missing_workspace_id"),
        Header::Text(text) => text.to_owned(),
        Header::Integer(number) => number.to_string(),
        Header::Other => return Err("invalid_workspace_id"),
    };
    let of_a_name = |c: char| matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-');
    if workspace.is_empty() || workspace.len() > 128 || !workspace.chars().all(of_a_name) {
        return Err("invalid_workspace_id");
    }
    let in_body = match tree.get("event_id") {
        None => None,
        Some(Tree::Text(text)) => Some(text.clone()),
        Some(null) if null.is_null() => None,
        Some(_) => return Err("invalid_event_id"),
    };
    let id = match (published.message_id, in_body) {
        (None, None) => return Err("missing_event_id"),
        (Some(property), Some(id)) if property != id => return Err("event_id_mismatch"),
        (property, id) => id.unwrap_or_else(|| property.unwrap_or_default().to_owned()),
    };
    if id.is_empty() || id.len() > 128 || !id.chars().all(|c| matches!(c, '!'..='~') && c != '.') {
        return Err("invalid_event_id");
    }
    match tree.get("event_type") {
        None => {}
        Some(Tree::Text(text)) if text == published.routing_key => {}
        Some(_) => return Err("event_type_mismatch"),
    }
    if published.routing_key != "a" && !is_one_of_the_nine(published.routing_key) {
        return Err("unknown_event_type");
    }
    let Tree::Object(members) = &mut tree else { unreachable!("looked at above") };
    for (name, value) in [("event_type", published.routing_key), ("event_id", &id)] {
        let text = Tree::Text(value.to_owned());
        match members.iter_mut().find(|(key, _)| key == name) {
            Some((_, present)) => *present = text,
            None => members.push((name.to_owned(), text)),
        }
    }
    Ok(Wanted { id, workspace, body: tree })
}

/// The nine have a sample each.
fn is_one_of_the_nine(name: &str) -> bool {
    !name.contains('/') && std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("events/{name}.json")).exists()
}

fn agree(event: &Event, wanted: &Wanted, published: &Published<'_>) {
    assert_eq!(std::str::from_utf8(&event.body), Ok(wanted.body.written().as_str()));
    assert_eq!((event.id.as_str(), event.workspace.as_str()), (wanted.id.as_str(), wanted.workspace.as_str()));
    assert_eq!(event.event_type.as_str(), published.routing_key);
    let in_body = match wanted.body.get("contact").and_then(|contact| contact.get("id")) {
        Some(Tree::Text(text) | Tree::Number(text)) if !text.is_empty() => Some(ContactHash::of(text)),
        _ => None,
    };
    let contact = match published.contact_id {
        Header::Text(text) if !text.is_empty() => Some(ContactHash::of(text)),
        Header::Integer(number) => Some(ContactHash::of(&number.to_string())),
        _ => in_body,
    };
    assert_eq!(event.contact, contact);
    if let Some(trace) = &event.traceparent {
        let parts: Vec<&str> = published.traceparent.expect("none was published").split('-').collect();
        let flags = u8::from_str_radix(parts[3], 16).expect("flags");
        // As the first version of W3C's header has it, with the flags that it knows.
        assert_eq!(**trace, format!("00-{}-{}-{:02x}", parts[1], parts[2], flags & 0b11));
        assert!(trace.len() == 55 && trace.bytes().all(|b| b"0123456789abcdef-".contains(&b)));
    }
}
