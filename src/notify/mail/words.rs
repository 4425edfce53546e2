//! The words of e-mails that are made of values; the sentences around them are in `templates/mail`.

use std::time::Duration;

use super::facts::Cause;
use crate::decide::attempt::Reason;

/// The language of a workspace's e-mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Locale {
    /// English, and what a workspace that was never set gets.
    En,
    /// Spanish.
    Es,
}

impl Locale {
    /// Reads a workspace's `locale` (contract, section 5).
    pub fn of(text: &str) -> Self {
        if text == "es" { Self::Es } else { Self::En }
    }

    /// Why an attempt failed, given the limit it had.
    pub fn cause(self, cause: Cause, timeout: Duration) -> String {
        let status = cause.status.map(|status| status.to_string()).unwrap_or_default();
        let limit = self.time(timeout);
        match (self, cause.reason) {
            (Self::En, Reason::Timeout) => format!("no answer within {limit}"),
            (Self::En, Reason::Dns) => "the host name could not be resolved".to_owned(),
            (Self::En, Reason::Connect) => "no connection could be made".to_owned(),
            (Self::En, Reason::Tls) => "the TLS handshake failed, or the certificate is not valid".to_owned(),
            (Self::En, Reason::Protocol) => "the answer was not HTTP, or broke off".to_owned(),
            (Self::En, Reason::Status) => format!("it answered {status}"),
            (Self::En, Reason::Blocked) => "its address may not be reached".to_owned(),
            (Self::Es, Reason::Timeout) => format!("no respondió en {limit}"),
            (Self::Es, Reason::Dns) => "no se pudo resolver el nombre del servidor".to_owned(),
            (Self::Es, Reason::Connect) => "no se pudo establecer la conexión".to_owned(),
            (Self::Es, Reason::Tls) => "falló la conexión TLS o el certificado no es válido".to_owned(),
            (Self::Es, Reason::Protocol) => "la respuesta no era HTTP o se interrumpió".to_owned(),
            (Self::Es, Reason::Status) => format!("respondió {status}"),
            (Self::Es, Reason::Blocked) => "no está permitido conectarse a su dirección".to_owned(),
        }
    }

    /// So many events.
    pub fn events(self, count: u64) -> String {
        match (self, count) {
            (Self::En, 1) => "1 event".to_owned(),
            (Self::En, _) => format!("{count} events"),
            (Self::Es, 1) => "1 evento".to_owned(),
            (Self::Es, _) => format!("{count} eventos"),
        }
    }

    /// A length of time, in its largest whole unit.
    pub fn time(self, time: Duration) -> String {
        let ms = time.as_millis();
        let units = match self {
            Self::En => [(3_600_000, " hour", "s"), (60_000, " minute", "s"), (1_000, " second", "s"), (1, " ms", "")],
            Self::Es => [(3_600_000, " hora", "s"), (60_000, " minuto", "s"), (1_000, " segundo", "s"), (1, " ms", "")],
        };
        let whole = |(unit_ms, ..): &(u128, &str, &str)| ms.is_multiple_of(*unit_ms) && ms >= *unit_ms;
        let (unit_ms, unit, plural) = units.into_iter().find(whole).unwrap_or((1, " ms", ""));
        let count = ms / unit_ms;
        format!("{count}{unit}{}", if count == 1 { "" } else { plural })
    }
}

/// A point in time, to the minute. Takes Unix milliseconds.
pub fn at(unix_ms: u64) -> String {
    let text = crate::clock::rfc3339(unix_ms);
    format!("{} {} UTC", &text[..10], &text[11..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_whole_unit() {
        let time = |locale: Locale, ms| locale.time(Duration::from_millis(ms));
        assert_eq!(time(Locale::En, 30 * 60_000), "30 minutes");
        assert_eq!(time(Locale::En, 72 * 3_600_000), "72 hours");
        assert_eq!(time(Locale::En, 1_000), "1 second");
        assert_eq!(time(Locale::Es, 5_000), "5 segundos");
        assert_eq!(time(Locale::Es, 60_000), "1 minuto");
        assert_eq!(time(Locale::Es, 1_500), "1500 ms");
    }

    #[test]
    fn a_point_in_time_is_told_to_the_minute() {
        assert_eq!(at(1_800_000_000_000), "2027-01-15 08:00 UTC");
    }
}
