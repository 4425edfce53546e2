//! Event types as people know them, in the page's language.

use super::words::Locale;
use crate::decide::event_types::{EventTypes, KNOWN_EVENT_TYPES, KnownEventType};
use crate::decide::ids::EventType;
use crate::decide::route::ALL_EVENTS;

/// An event type that can be chosen.
pub struct Choice {
    /// What programs call it.
    pub event_type: String,
    /// What people call it.
    pub name: &'static str,
    /// What people use it to do.
    pub used_to: &'static str,
    /// Whether it is ticked.
    pub chosen: bool,
}

/// A type's name; an installation's own have none but that.
pub fn name(locale: Locale, event_type: &EventType) -> String {
    let known = KNOWN_EVENT_TYPES.iter().find(|known| known.event_type == event_type.as_str());
    known.map_or_else(|| event_type.to_string(), |it| self::known(locale, it).to_owned())
}

/// The name of one of the nine.
pub fn known(locale: Locale, known: &KnownEventType) -> &'static str {
    told(locale, known.name_en, known.name_es)
}

/// Whether a subscription is to all of them.
pub fn is_all(events: &[EventType]) -> bool {
    events.iter().any(|event| event.as_str() == ALL_EVENTS)
}

/// All types there are here: the nine in the platform's order, then the installation's own.
pub fn choices(locale: Locale, types: &EventTypes, chosen: &[String]) -> Vec<Choice> {
    let is_chosen = |event_type: &str| chosen.iter().any(|chosen| chosen == event_type);
    let nine = KNOWN_EVENT_TYPES.iter().map(|known| Choice {
        event_type: known.event_type.to_owned(),
        name: self::known(locale, known),
        used_to: told(locale, known.used_to, known.used_to_es),
        chosen: is_chosen(known.event_type),
    });
    let is_known = |of: &EventType| KNOWN_EVENT_TYPES.iter().any(|known| known.event_type == of.as_str());
    let own = types.iter().filter(|of| !is_known(of)).map(|of| Choice {
        event_type: of.to_string(),
        name: "",
        used_to: "",
        chosen: is_chosen(of.as_str()),
    });
    nine.chain(own).collect()
}

fn told(locale: Locale, en: &'static str, es: &'static str) -> &'static str {
    match locale {
        Locale::En => en,
        Locale::Es => es,
    }
}
