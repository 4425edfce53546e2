//! Headers that have to fit into one frame.
//!
//! AMQP carries all properties of a message in one frame, whose size RabbitMQ sets (128 KiB by default). A message that
//! came in a full one has no room for the reason of its rejection, and RabbitMQ closes the connection of whoever sends a
//! larger frame: the batch would come back for ever. So the largest headers stay behind, and [`OMITTED_HEADER`] names them.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::consume::OMITTED_HEADER;

/// What a frame holds besides the properties: type, channel, size and end; class, weight, size of the body and flags.
const FRAME_BYTES: usize = 8 + 14;
/// The most characters of the names of what was omitted.
const NAMES_CHARS_MAX: usize = 200;
/// What the header with them takes at most.
const OMITTED_BYTES: usize = 4 * NAMES_CHARS_MAX + 32;
/// What our own headers begin with.
const OURS: &str = "recadero-";

/// The same properties, without headers for which a frame of this size has no room. 0 is no limit.
pub(super) fn fit(properties: BasicProperties, frame_bytes_max: usize) -> BasicProperties {
    let room = frame_bytes_max.saturating_sub(FRAME_BYTES);
    let Some(headers) = properties.headers() else { return properties };
    let needed = of_others(&properties) + table(headers);
    if frame_bytes_max == 0 || needed <= room {
        return properties;
    }
    let mut kept = headers.inner().clone();
    let entry = |(name, value): (&ShortString, &AMQPValue)| (1 + name.as_str().len() + of(value), name.clone());
    let mut others: Vec<_> = kept.iter().map(entry).filter(|(_, name)| !name.as_str().starts_with(OURS)).collect();
    others.sort_unstable();
    let mut excess = needed + OMITTED_BYTES - room;
    let mut names = String::new();
    while let Some((bytes, name)) = others.pop_if(|_| excess > 0) {
        excess = excess.saturating_sub(bytes);
        kept.remove(&name);
        names = if names.is_empty() { name.to_string() } else { format!("{names}, {name}") };
    }
    let names: String = names.chars().take(NAMES_CHARS_MAX).collect();
    kept.insert(OMITTED_HEADER.into(), AMQPValue::LongString(names.into()));
    properties.with_headers(FieldTable::from(kept))
}

/// The encoded bytes of all properties but the headers.
fn of_others(properties: &BasicProperties) -> usize {
    let texts = [
        properties.content_type(),
        properties.content_encoding(),
        properties.correlation_id(),
        properties.reply_to(),
        properties.expiration(),
        properties.message_id(),
        properties.kind(),
        properties.user_id(),
        properties.app_id(),
        properties.cluster_id(),
    ];
    let numbers = 1 + 1 + 8;
    numbers + texts.into_iter().flatten().map(|text| 1 + text.as_str().len()).sum::<usize>()
}

fn table(table: &FieldTable) -> usize {
    4 + table.into_iter().map(|(name, value)| 1 + name.as_str().len() + of(value)).sum::<usize>()
}

/// The encoded bytes of a value, with its type.
fn of(value: &AMQPValue) -> usize {
    1 + match value {
        AMQPValue::Void => 0,
        AMQPValue::Boolean(_) | AMQPValue::ShortShortInt(_) | AMQPValue::ShortShortUInt(_) => 1,
        AMQPValue::ShortInt(_) | AMQPValue::ShortUInt(_) => 2,
        AMQPValue::LongInt(_) | AMQPValue::LongUInt(_) | AMQPValue::Float(_) => 4,
        AMQPValue::DecimalValue(_) => 5,
        AMQPValue::LongLongInt(_) | AMQPValue::Double(_) | AMQPValue::Timestamp(_) => 8,
        AMQPValue::ShortString(text) => 1 + text.as_str().len(),
        AMQPValue::LongString(text) => 4 + text.as_bytes().len(),
        AMQPValue::ByteArray(bytes) => 4 + bytes.as_slice().len(),
        AMQPValue::FieldArray(values) => 4 + values.as_slice().iter().map(of).sum::<usize>(),
        AMQPValue::FieldTable(inner) => table(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: usize) -> AMQPValue {
        AMQPValue::LongString("x".repeat(bytes).into())
    }

    fn names(properties: &BasicProperties) -> Vec<String> {
        let headers = properties.headers().clone().unwrap();
        headers.inner().keys().map(ToString::to_string).collect()
    }

    #[test]
    fn the_largest_headers_stay_behind_and_are_named() {
        let mut headers = FieldTable::default();
        headers.insert("a".into(), text(1000));
        headers.insert("b".into(), text(3000));
        headers.insert("c".into(), text(2000));
        headers.insert("recadero-reason".into(), text(5000));
        let given = BasicProperties::default().with_message_id("1".into()).with_headers(headers);
        assert_eq!(fit(given.clone(), 131_072), given);
        assert_eq!(fit(given.clone(), 0), given);

        let fitted = fit(given.clone(), 8192);
        assert_eq!(names(&fitted), ["a", "recadero-omitted", "recadero-reason"]);
        let omitted = fitted.headers().clone().unwrap().inner()[OMITTED_HEADER].clone();
        assert_eq!(omitted.as_long_string().unwrap().to_string(), "b, c");
        assert_eq!(names(&fit(given, 5300)), ["recadero-omitted", "recadero-reason"]);
    }
}
