use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn written(text: &str) -> String {
    compact(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")).as_str().to_owned()
}

fn refused(body: impl AsRef<[u8]>) -> (Fault, usize) {
    let error = compact(body.as_ref()).expect_err("refused");
    (error.fault, error.at)
}

#[test]
fn whitespace_goes_and_order_and_numbers_stay() {
    let text = " {\r\n\t\"z\" : [ 1.0 , -0 ,1E+9, 123456789012345678901234567890 ] , \"a\": { } ,\"m\":[ ] }\n";
    assert_eq!(written(text), r#"{"z":[1.0,-0,1E+9,123456789012345678901234567890],"a":{},"m":[]}"#);
    for word in ["true", "false", "null", "\"\"", "0", "-1.5e-3"] {
        assert_eq!(written(&format!(" {word} ")), word);
    }
}

#[test]
fn no_escapes_are_left_beyond_json_s_own_need() {
    assert_eq!(written(r#""\u00e9\/\u003c\ud83d\ude00\u2028é""#), "\"é/<😀\u{2028}é\"");
    assert_eq!(written(r#""\ud800\udc00\udbff\udfff\ud7ff\ue000""#), "\"\u{10000}\u{10ffff}\u{d7ff}\u{e000}\"");
    assert_eq!(written(r#""\u0022\u005C\u0008\u000C\u000a\u000D\u0009""#), r#""\"\\\b\f\n\r\t""#);
    assert_eq!(written(r#""\u0000\u001F\u000B\u007f""#), "\"\\u0000\\u001f\\u000b\u{7f}\"");
}

#[test]
fn each_fault_is_found_where_it_is() {
    for (body, fault, at) in [
        ("", Fault::Ended, 0),
        (" ", Fault::Ended, 1),
        ("{\"a\":", Fault::Ended, 5),
        ("[1,", Fault::Ended, 3),
        ("\"abc", Fault::Ended, 4),
        ("\"\\", Fault::Ended, 2),
        ("\"\\u12", Fault::Ended, 5),
        ("-", Fault::Ended, 1),
        ("\u{feff}{}", Fault::NoValue, 0),
        ("[1,]", Fault::NoValue, 3),
        ("nul", Fault::NoValue, 0),
        ("+1", Fault::NoValue, 0),
        (".5", Fault::NoValue, 0),
        ("NaN", Fault::NoValue, 0),
        ("'a'", Fault::NoValue, 0),
        ("{a:1}", Fault::NoKey, 1),
        ("{1:1}", Fault::NoKey, 1),
        ("{\"a\":1,}", Fault::NoKey, 7),
        ("{\"a\" 1}", Fault::NoColon, 5),
        ("{\"a\":1 \"b\":2}", Fault::NoCommaInObject, 7),
        ("{\"a\":01}", Fault::NoCommaInObject, 6),
        ("[1 2]", Fault::NoCommaInArray, 3),
        ("[1}", Fault::NoCommaInArray, 2),
        ("[1.]", Fault::NoDigit, 3),
        ("[1e+]", Fault::NoDigit, 4),
        ("[-]", Fault::NoDigit, 2),
        (r#""\x""#, Fault::UnknownEscape, 2),
        (r#""\u12g4""#, Fault::UnknownEscape, 5),
        (r#""\u+123""#, Fault::UnknownEscape, 3),
        (r#""a\ud800""#, Fault::LoneSurrogate, 2),
        (r#""\udc00""#, Fault::LoneSurrogate, 1),
        (r#""\ud800\ud800""#, Fault::LoneSurrogate, 1),
        (r#""\ud800\n""#, Fault::LoneSurrogate, 1),
        ("\"a\nb\"", Fault::ControlCharacter, 2),
        ("\"a\0b\"", Fault::ControlCharacter, 2),
        ("\"\u{1f}\"", Fault::ControlCharacter, 1),
        ("{}\0", Fault::Behind, 2),
        ("{} {}", Fault::Behind, 3),
        ("01", Fault::Behind, 1),
        ("[1]//", Fault::Behind, 3),
    ] {
        assert_eq!(refused(body), (fault, at), "{body:?}");
    }
    assert_eq!(refused(b"{\"a\":\"\xff\"}"), (Fault::NotUtf8, 6));
    assert_eq!(refused(b"\"\xc3"), (Fault::NotUtf8, 1));
    assert_eq!(refused(b"\"\xed\xa0\x80\""), (Fault::NotUtf8, 1));
    assert_eq!(compact(b"[1 2]").expect_err("refused").to_string(), "expected ',' or ']' at byte 3");
    assert_eq!(compact(b"{\"a\":1 2}").expect_err("refused").to_string(), "expected ',' or '}' at byte 7");
}

#[test]
fn a_key_twice_in_one_object_is_found_however_it_is_escaped() {
    assert_eq!(refused(r#"{"a":1,"a":1}"#), (Fault::KeyTwice, 7));
    assert_eq!(refused(r#"{"a/":1,"b":{},"\u0061\/":1}"#), (Fault::KeyTwice, 15));
    assert_eq!(refused(r#"[{"x":{"é":1,"\u00e9":2}}]"#), (Fault::KeyTwice, 14));
    assert_eq!(refused(r#"{"b":1,"a":2,"b":3,"a":4,"b":5}"#), (Fault::KeyTwice, 13));
    let alike = r#"{"a":{"a":{"a":1},"b":2},"b":[{"a":1},{"a":2}],"A":0,"":0,"aa":0}"#;
    assert_eq!(written(alike), alike);
}

#[test]
fn nesting_is_accepted_up_to_its_bound() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(written(&nested(NESTING_MAX)), nested(NESTING_MAX));
        assert_eq!(refused(nested(NESTING_MAX + 1)), (Fault::TooDeep, NESTING_MAX * open.len()));
        assert_eq!(refused(open.repeat(1_000_000)).0, Fault::TooDeep);
    }
}

#[test]
fn an_object_that_is_nothing_but_keys_is_no_burden() {
    // Each key compared with each other would be five thousand million comparisons: minutes, not a moment.
    let members: Vec<_> = (0..100_000).map(|n| format!("\"k{n:06}\":0")).collect();
    let many = format!("{{{}}}", members.join(","));
    assert_eq!(written(&many), many);
    let twice = format!("{{{},\"k000007\":1}}", members.join(","));
    assert_eq!(refused(&twice), (Fault::KeyTwice, many.len()));
}

#[test]
fn the_wanted_members_are_those_of_the_top_and_of_its_contact() {
    let text = r#"{"x":{"event_id":"no","contact":{"id":9}},"contact":{"x":{"id":8},"id":7,"event_id":0},
        "event_i\u0064":"a\u0062\"c","event_type":"t","id":6,"y":[{"contact":{"id":5}}],"z":{"contact":{"id":4}}}"#;
    let document = compact(text.as_bytes()).expect("accepted");
    assert!(document.is_object());
    assert_eq!(document.event_id(), Field::Text("ab\"c".into()));
    assert_eq!(document.event_type(), Field::Text("t".into()));
    assert_eq!(document.contact_id(), Field::Number("7"));

    let document = compact(br#"{"event_id":null,"event_type":false,"contact":[{"id":1}]}"#).expect("accepted");
    assert_eq!(document.event_id(), Field::Null);
    assert_eq!(document.event_type(), Field::Other);
    assert_eq!(document.contact_id(), Field::Absent);

    let document = compact(br#"[{"event_id":"a"}]"#).expect("accepted");
    assert!(!document.is_object());
    assert_eq!(document.event_id(), Field::Absent);
}

#[test]
fn members_are_added_last_where_they_are_absent() {
    for (text, complete) in [
        ("{ }", r#"{"event_type":"t","event_id":"\"\\"}"#),
        (r#"{"a":{}}"#, r#"{"a":{},"event_type":"t","event_id":"\"\\"}"#),
        (r#"{"event_id":"i","a":1}"#, r#"{"event_id":"i","a":1,"event_type":"t"}"#),
        (r#"{"event_type":"u","a":1}"#, r#"{"event_type":"u","a":1,"event_id":"\"\\"}"#),
        (r#"{"event_id":null,"a":1}"#, r#"{"event_id":"\"\\","a":1,"event_type":"t"}"#),
        (r#"{"event_id":"i","event_type":"u"}"#, r#"{"event_id":"i","event_type":"u"}"#),
    ] {
        let bytes = compact(text.as_bytes()).expect("accepted").complete("t", "\"\\");
        assert_eq!(String::from_utf8_lossy(&bytes), complete, "{text}");
    }
}

/// A value, and whitespace and escapes enough to write it in a thousand ways.
fn written_loosely() -> impl Strategy<Value = (Value, String)> {
    (values(), proptest::collection::vec(any::<u8>(), 1..64)).prop_map(|(value, taste)| {
        let mut text = String::new();
        write_loosely(&value, &mut taste.iter().copied().cycle(), &mut text);
        (value, text)
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn write_loosely(value: &Value, taste: &mut impl Iterator<Item = u8>, text: &mut String) {
    let space = |taste: &mut dyn Iterator<Item = u8>, text: &mut String| {
        let count = taste.next().expect("endless") % 3;
        text.extend(taste.take(count.into()).map(|byte| [' ', '\t', '\n', '\r'][usize::from(byte % 4)]));
    };
    space(taste, text);
    match value {
        Value::String(string) => write_string_loosely(string, taste, text),
        Value::Array(elements) => {
            text.push('[');
            space(taste, text);
            for (index, element) in elements.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write_loosely(element, taste, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            space(taste, text);
            for (index, (key, member)) in members.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                space(taste, text);
                write_string_loosely(key, taste, text);
                space(taste, text);
                text.push(':');
                write_loosely(member, taste, text);
            }
            text.push('}');
        }
        simple => text.push_str(&simple.to_string()),
    }
    space(taste, text);
}

fn write_string_loosely(string: &str, taste: &mut impl Iterator<Item = u8>, text: &mut String) {
    text.push('"');
    for character in string.chars() {
        match (taste.next().expect("endless") % 4, character) {
            (0, _) => {
                let units = character.encode_utf16(&mut [0; 2]).to_vec();
                text.extend(units.iter().map(|unit| format!("\\u{unit:04X}")));
            }
            (1, '/') => text.push_str("\\/"),
            _ => {
                let quoted = serde_json::to_string(&character).expect("JSON");
                text.push_str(&quoted[1..quoted.len() - 1]);
            }
        }
    }
    text.push('"');
}

/// JSON's own pieces, whole and broken.
const PIECES: [&str; 31] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"a\"",
    "\"b\"",
    "\"\\u0061\"",
    "\"",
    "\\",
    "\\ud800",
    "\\udc00",
    "\\n",
    "1",
    "-",
    "0",
    ".",
    "e",
    "E+",
    "true",
    "null",
    "nul",
    " ",
    "\n",
    "é",
    "\u{1}",
    "[]",
    "{}",
    "{\"a\":",
    "\"c\":1,",
];

/// Nearly a document: a pile of pieces, or one with a piece too many or a character too few.
fn near_documents() -> impl Strategy<Value = String> {
    let pieces = || proptest::sample::select(PIECES.to_vec());
    let spoiled = (written_loosely(), any::<proptest::sample::Index>(), proptest::option::of(pieces()));
    prop_oneof![
        proptest::collection::vec(pieces(), 0..12).prop_map(|pieces| pieces.concat()),
        spoiled.prop_map(|((_, text), place, piece)| {
            let place = place.get(&text.char_indices().collect::<Vec<_>>()).0;
            let (before, after) = text.split_at(place);
            match piece {
                Some(piece) => format!("{before}{piece}{after}"),
                None => before.chars().chain(after.chars().skip(1)).collect(),
            }
        }),
    ]
}

proptest! {
    #[test]
    fn the_compact_form_is_the_same_value((value, text) in written_loosely()) {
        let first = written(&text);
        prop_assert_eq!(serde_json::from_str::<Value>(&first).expect("JSON"), serde_json::from_str::<Value>(&text).expect("JSON"));
        prop_assert!(first.len() <= text.len());
        // serde_json's own compact form has the same escapes and no whitespace.
        prop_assert_eq!(&first, &value.to_string());
        prop_assert_eq!(written(&first), first);
    }

    #[test]
    fn random_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = compact(&body);
    }

    #[test]
    fn what_is_accepted_is_what_another_strict_parser_accepts(text in near_documents()) {
        let theirs = serde_json::from_str::<Value>(&text);
        match compact(text.as_bytes()) {
            Ok(document) => {
                let again = serde_json::from_str::<Value>(document.as_str());
                // It has no place for a number as large as 1e999, which is JSON all the same.
                let out_of_range = |e: &serde_json::Error| e.to_string().contains("out of range");
                prop_assert!(theirs.as_ref().err().is_none_or(out_of_range), "{text}: {theirs:?}");
                prop_assert_eq!(theirs.ok(), again.ok());
            }
            Err(JsonError { fault: Fault::KeyTwice, .. }) => prop_assert!(theirs.is_ok()),
            Err(error) => prop_assert!(theirs.is_err(), "{text}: {error}"),
        }
    }

    #[test]
    fn numbers_are_kept_byte_for_byte(number in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?") {
        prop_assert_eq!(written(&format!("[ {number} , {number}]")), format!("[{number},{number}]"));
        prop_assert_eq!(written(&number), number);
    }

    #[test]
    fn a_key_twice_is_always_found(
        keys in proptest::collection::btree_set("[a-c/é\"\n]{0,4}", 1..40),
        (twice, place) in (any::<proptest::sample::Index>(), any::<proptest::sample::Index>()),
        taste in proptest::collection::vec(any::<u8>(), 1..16),
    ) {
        let mut keys: Vec<_> = keys.into_iter().collect();
        let object = |keys: &[String]| {
            let mut taste = taste.iter().copied().cycle();
            let mut members = Vec::new();
            for key in keys {
                let mut member = String::new();
                write_string_loosely(key, &mut taste, &mut member);
                members.push(member + ":{}");
            }
            format!("[{{{}}}]", members.join(","))
        };
        prop_assert!(compact(object(&keys).as_bytes()).is_ok());
        keys.insert(place.index(keys.len() + 1), keys[twice.index(keys.len())].clone());
        prop_assert_eq!(compact(object(&keys).as_bytes()).expect_err("refused").fault, Fault::KeyTwice);
    }
}
