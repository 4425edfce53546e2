//! Times as the API reads them; [`crate::clock::rfc3339`] is how it writes them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Code, Problem};

/// A time of a field, in RFC 3339, as Unix milliseconds; one before 1970 is 1970.
pub fn unix_ms(field: &str, text: &str) -> Result<u64, Problem> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        let sentence = format!("{text:?} is not a time; write it like 2026-01-31T08:00:00Z");
        Problem::with_field(Code::InvalidBody, field, sentence)
    })?;
    Ok(u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_any_offset_and_fraction() {
        for text in ["2022-04-07T17:05:53Z", "2022-04-07T19:05:53.000+02:00", "2022-04-07t17:05:53.0009z"] {
            assert_eq!(unix_ms("since", text), Ok(1_649_351_153_000), "{text}");
        }
        assert_eq!(unix_ms("since", "1969-12-31T23:59:59Z"), Ok(0));
        for text in ["", "yesterday", "2022-04-07", "2022-04-07T17:05:53", "2022-13-07T17:05:53Z"] {
            assert!(unix_ms("since", text).is_err(), "{text}");
        }
    }
}
