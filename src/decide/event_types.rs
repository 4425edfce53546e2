//! What can happen: the platform's nine event types, and those that an installation accepts besides.
//!
//! The nine are data, not an enum: an installation's own types (`RECADERO_EXTRA_EVENT_TYPES`) take the same way
//! through the service, and no rule treats one type unlike another.

use crate::decide::ids::{EventId, EventType};

/// One of the platform's event types, as people see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownEventType {
    /// The `event_type` of its events, and the routing key they are published under.
    pub event_type: &'static str,
    /// Its name in English.
    pub name_en: &'static str,
    /// Its name in Spanish.
    pub name_es: &'static str,
    /// What people use it to do.
    pub used_to: &'static str,
    /// The same in Spanish.
    pub used_to_es: &'static str,
    /// An event of this type, as it is delivered.
    pub sample: &'static str,
}

impl KnownEventType {
    /// The sample with an id of its own in the place of the one it was written with.
    pub fn with_id(&self, id: &EventId) -> String {
        const KEY: &str = "\"event_id\":\"";
        let sample = self.sample;
        let begin = sample.rfind(KEY).map_or(sample.len(), |at| at + KEY.len());
        let end = sample[begin..].find('"').map_or(sample.len(), |length| begin + length);
        format!("{}{id}{}", &sample[..begin], &sample[end..])
    }
}

macro_rules! known {
    ($event_type:literal, $name_en:literal, $name_es:literal, $used_to:literal, $used_to_es:literal) => {
        KnownEventType {
            event_type: $event_type,
            name_en: $name_en,
            name_es: $name_es,
            used_to: $used_to,
            used_to_es: $used_to_es,
            // The file ends its line; the event does not.
            sample: include_str!(concat!("../../events/", $event_type, ".json")).trim_ascii_end(),
        }
    };
}

/// The platform's nine event types.
pub const KNOWN_EVENT_TYPES: [KnownEventType; 9] = [
    known!(
        "conversation.closed",
        "Conversation Closed",
        "Conversación Cerrada",
        "log closed conversations elsewhere, update contact details, count closings",
        "registrar las conversaciones cerradas en otro sistema, actualizar los datos del contacto, contar los cierres"
    ),
    known!(
        "contact.created",
        "New Contact",
        "Nuevo Contacto",
        "add the contact to a CRM, send a welcome, notify the team",
        "añadir el contacto a un CRM, enviar una bienvenida, avisar al equipo"
    ),
    known!(
        "message.sent",
        "New Outgoing Message",
        "Nuevo Mensaje Saliente",
        "notify, log the message in a CRM, tag or score",
        "avisar, registrar el mensaje en un CRM, etiquetar o puntuar"
    ),
    known!(
        "message.received",
        "New Incoming Message",
        "Nuevo Mensaje Entrante",
        "notify, log the message in a CRM, tag or score",
        "avisar, registrar el mensaje en un CRM, etiquetar o puntuar"
    ),
    known!(
        "contact.updated",
        "Contact Updated",
        "Contacto Actualizado",
        "keep the CRM's contact in step, notify the team",
        "mantener al día el contacto del CRM, avisar al equipo"
    ),
    known!(
        "conversation.opened",
        "Conversation Opened",
        "Conversación Abierta",
        "tell the team at once",
        "avisar al equipo al momento"
    ),
    known!(
        "contact.assignee.updated",
        "Contact Assignee Updated",
        "Asignación de Contacto Actualizada",
        "tell the assignee, follow-ups, reminders",
        "avisar a la persona asignada, seguimientos, recordatorios"
    ),
    known!(
        "contact.tag.updated",
        "Contact Tag Updated",
        "Etiqueta de Contacto Actualizada",
        "scores, mailing lists, campaigns",
        "puntuaciones, listas de correo, campañas"
    ),
    known!(
        "comment.created",
        "New Comment",
        "Nuevo Comentario",
        "notify, sync comments with other systems",
        "avisar, sincronizar los comentarios con otros sistemas"
    ),
];

/// The event types that this installation accepts: the nine and its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventTypes {
    /// Sorted by name, each once.
    accepted: Vec<EventType>,
}

impl EventTypes {
    /// The nine and `RECADERO_EXTRA_EVENT_TYPES`; one named twice counts once.
    pub fn new(extra: impl IntoIterator<Item = EventType>) -> Self {
        let nine = KNOWN_EVENT_TYPES.iter().map(|known| EventType::trusted(known.event_type));
        let mut accepted: Vec<_> = nine.chain(extra).collect();
        accepted.sort_unstable();
        accepted.dedup();
        Self { accepted }
    }

    /// Whether events of this type are accepted.
    pub fn contains(&self, event_type: &str) -> bool {
        self.get(event_type).is_some()
    }

    /// The accepted type of this name: one shared text for all its events.
    pub fn get(&self, event_type: &str) -> Option<&EventType> {
        let found = self.accepted.binary_search_by(|accepted| accepted.as_str().cmp(event_type));
        found.ok().map(|index| &self.accepted[index])
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &EventType> {
        self.accepted.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nine_and_the_extra_ones_are_accepted_and_nothing_else() {
        let extra = ["order.placed", "contact.created"].map(EventType::trusted);
        let types = EventTypes::new(extra);
        assert_eq!(types.iter().count(), 10);
        assert!(KNOWN_EVENT_TYPES.iter().all(|known| types.contains(known.event_type)));
        assert!(types.contains("order.placed"));
        for unknown in ["", "order", "contact.deleted", "Contact.Created", "contact.created ", "*"] {
            assert!(!types.contains(unknown), "{unknown:?}");
        }
    }

    #[test]
    fn a_sample_gets_an_id_of_its_own_and_stays_the_same_otherwise() {
        for known in &KNOWN_EVENT_TYPES {
            let body = known.with_id(&EventId::trusted("other"));
            let mut expected: serde_json::Value = serde_json::from_str(known.sample).expect("JSON");
            expected["event_id"] = "other".into();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&body).expect("JSON"), expected);
        }
    }

    #[test]
    fn each_of_the_nine_has_a_valid_name_and_a_sample_of_its_own_type() {
        for known in KNOWN_EVENT_TYPES {
            assert_eq!(EventType::parse(known.event_type).expect("valid").as_str(), known.event_type);
            let sample: serde_json::Value = serde_json::from_str(known.sample).expect("JSON");
            assert_eq!(sample["event_type"], known.event_type);
            assert!(sample["event_id"].is_string());
        }
    }
}
