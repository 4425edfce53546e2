//! A point in time on a page: in UTC as the server writes it, and in the reader's own time where a script can.

use std::fmt;

use askama::filters::HtmlSafe;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_is_shown_to_the_second() {
        let shown = "<time datetime=\"2027-01-15T08:00:00.250Z\">2027-01-15 08:00:00 UTC</time>";
        assert_eq!(Moment(1_800_000_000_250).to_string(), shown);
    }
}
