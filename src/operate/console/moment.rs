//! A point in time on a page: in UTC as the server writes it, and in the reader's own time where a script can.

use std::fmt;
use std::time::Duration;

use askama::filters::HtmlSafe;

use super::words::Locale;
use crate::clock::rfc3339;

/// Unix milliseconds, shown to the second.
#[derive(Clone, Copy)]
pub struct Moment(pub u64);

impl HtmlSafe for Moment {}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let iso = rfc3339(self.0);
        write!(f, "<time datetime=\"{iso}\">{} {} UTC</time>", &iso[..10], &iso[11..19])
    }
}

/// How long ago something was, in its largest unit; the point in time is its title.
#[derive(Clone)]
pub struct Age {
    at_ms: u64,
    words: String,
}

impl Age {
    /// The age of what was at one time, at another.
    pub fn of(locale: Locale, at_ms: u64, now_ms: u64) -> Self {
        let seconds = (now_ms.saturating_sub(at_ms) / 1000).max(1);
        let unit = match seconds {
            ..60 => 1,
            60..3600 => 60,
            _ => 3600,
        };
        Self { at_ms, words: locale.time(Duration::from_secs(seconds / unit * unit)) }
    }
}

impl HtmlSafe for Age {}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let iso = rfc3339(self.at_ms);
        let (date, time) = (&iso[..10], &iso[11..19]);
        write!(f, "<time datetime=\"{iso}\" title=\"{date} {time} UTC\">{}</time>", self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_is_shown_to_the_second() {
        let shown = "<time datetime=\"2027-01-15T08:00:00.250Z\">2027-01-15 08:00:00 UTC</time>";
        assert_eq!(Moment(1_800_000_000_250).to_string(), shown);
    }

    #[test]
    fn an_age_is_shown_in_its_largest_unit() {
        let age = |ms: u64| Age::of(Locale::En, 1_800_000_000_000, 1_800_000_000_000 + ms).words;
        for (ms, words) in [
            (0, "1 second"),
            (59_999, "59 seconds"),
            (60_000, "1 minute"),
            (3_599_999, "59 minutes"),
            (3_600_000, "1 hour"),
            (259_200_000, "72 hours"),
        ] {
            assert_eq!(age(ms), words, "{ms}");
        }
        let shown = "<time datetime=\"2027-01-15T08:00:00.000Z\" title=\"2027-01-15 08:00:00 UTC\">2 minutos</time>";
        assert_eq!(Age::of(Locale::Es, 1_800_000_000_000, 1_800_000_130_000).to_string(), shown);
    }
}
