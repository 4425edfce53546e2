//! What single fields may hold. Each answer names its field and says what to do.

use std::collections::{BTreeMap, BTreeSet};

use super::{Code, Problem, spanish};
use crate::config;
use crate::decide::event_types::EventTypes;
use crate::decide::ids::EventType;
use crate::decide::route::ALL_EVENTS;
use crate::deliver::guard::{Guard, UrlProblem};
use crate::deliver::send::own::{HeaderProblem, OwnHeaders};

/// The longest name of a workspace, in characters.
pub const NAME_CHARS_MAX: usize = 200;

/// The longest description of an endpoint, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 500;

/// Most recipients of a workspace's e-mail.
pub const NOTIFY_MAX: usize = 20;

/// Most lanes of an endpoint (contract, section 3).
pub const LANES_MAX: u16 = 64;

/// Most event types that a subscription names; an installation has not nearly so many.
pub const EVENTS_MAX: usize = 300;

/// The languages of notices.
pub const LOCALES: [&str; 2] = ["en", "es"];

fn invalid(field: &str, sentence: impl std::fmt::Display) -> Problem {
    Problem::with_field(Code::InvalidBody, field, sentence)
}

/// A text for people.
pub fn text(field: &str, text: String, chars_max: usize) -> Result<String, Problem> {
    if text.contains(char::is_control) {
        return Err(
            invalid(field, "has control characters; remove them").spanish("Tiene caracteres de control; quítelos.")
        );
    }
    match text.chars().count() {
        chars if chars <= chars_max => Ok(text),
        chars => Err(invalid(field, format!("has {chars} characters; at most {chars_max}"))
            .spanish(format!("Tiene {chars} caracteres; como máximo {chars_max}."))),
    }
}

/// A plan's name.
pub fn plan(plan: String) -> Result<String, Problem> {
    config::plan(&plan).map_err(|problem| invalid("plan", problem))
}

/// Who gets e-mail, each once.
pub fn notify(addresses: Vec<String>) -> Result<Vec<String>, Problem> {
    if addresses.len() > NOTIFY_MAX {
        return Err(invalid("notify", format!("has {} addresses; at most {NOTIFY_MAX}", addresses.len())));
    }
    if let Some(wrong) = addresses.iter().find(|address| !config::is_mail_address(address)) {
        return Err(invalid("notify", format!("{wrong:?} is not an e-mail address")));
    }
    Ok(each_once(addresses))
}

/// A language of notices.
pub fn locale(locale: String) -> Result<String, Problem> {
    if LOCALES.contains(&locale.as_str()) { Ok(locale) } else { Err(invalid("locale", "must be en or es")) }
}

/// Where an endpoint is, in its normal form; but where only the path's `/` was left out, as it was written.
pub fn url(guard: &Guard, text: &str) -> Result<String, Problem> {
    // The parser would take these out silently.
    if text.contains(char::is_control) {
        return Err(Problem::with_field(Code::InvalidUrl, "url", "has control characters; remove them")
            .spanish("La URL tiene caracteres de control; quítelos."));
    }
    let told = |problem: UrlProblem| {
        let told = spanish::url(&problem);
        Problem::with_field(Code::InvalidUrl, "url", problem).spanish(told)
    };
    let url = guard.check_url(text).map_err(told)?;
    let normal = String::from(url);
    Ok(if normal.strip_suffix('/') == Some(text) { text.to_owned() } else { normal })
}

/// What an endpoint subscribes to: `*` alone, or accepted types, each once.
pub fn events(types: &EventTypes, names: Vec<String>) -> Result<Vec<EventType>, Problem> {
    if names.is_empty() {
        return Err(invalid("events", "is empty; name at least one event type, or [\"*\"] for all")
            .in_console("choose at least one event")
            .spanish("Elija al menos un evento."));
    }
    if names.len() > EVENTS_MAX {
        return Err(invalid("events", format!("names {} event types; at most {EVENTS_MAX}", names.len()))
            .spanish(format!("Son {} tipos de evento; como máximo {EVENTS_MAX}.", names.len())));
    }
    let names = each_once(names);
    if names.iter().any(|name| name == ALL_EVENTS) {
        return match names.len() {
            1 => Ok(vec![EventType::trusted(ALL_EVENTS)]),
            _ => Err(invalid("events", "\"*\" means all and stands alone")),
        };
    }
    let known = |name: &String| {
        let unknown = || {
            let sentence = format!("{name:?} is not an event type here; GET /v1/event-types lists them");
            Problem::with_field(Code::InvalidEventType, "events", sentence)
                .spanish(format!("{name:?} no es un tipo de evento de aquí."))
        };
        types.get(name).cloned().ok_or_else(unknown)
    };
    names.iter().map(known).collect()
}

/// How many lanes an endpoint has.
pub fn lanes(lanes: u16) -> Result<u16, Problem> {
    if (1..=LANES_MAX).contains(&lanes) {
        Ok(lanes)
    } else {
        Err(invalid("lanes", format!("must be 1 to {LANES_MAX}")).spanish(format!("Debe ser de 1 a {LANES_MAX}.")))
    }
}

/// An endpoint's own headers.
pub fn headers(given: BTreeMap<String, String>) -> Result<Vec<(String, String)>, Problem> {
    let told = |problem: HeaderProblem| {
        let told = spanish::header(&problem);
        invalid("headers", problem).spanish(told)
    };
    let headers = OwnHeaders::check(given).map_err(told)?;
    Ok(BTreeMap::from(headers).into_iter().collect())
}

/// An endpoint's own headers after a change, by the rules of JSON Merge Patch (RFC 7396): those named are set, or
/// removed where the value is null; the others stay, since nobody can read them to send them again.
pub fn merge_headers(
    present: &[(String, String)],
    change: BTreeMap<String, Option<String>>,
) -> Result<Vec<(String, String)>, Problem> {
    let named: BTreeSet<_> = change.keys().map(|name| name.to_ascii_lowercase()).collect();
    if named.len() < change.len() {
        return Err(invalid("headers", "a header is named twice").spanish("Hay una cabecera dos veces."));
    }
    let staying = present.iter().filter(|(name, _)| !named.contains(name)).cloned();
    let set = change.into_iter().filter_map(|(name, value)| Some((name, value?)));
    headers(staying.chain(set).collect())
}

fn each_once(list: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    list.into_iter().filter(|entry| seen.insert(entry.clone())).collect()
}
