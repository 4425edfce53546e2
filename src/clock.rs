//! The one place that asks for the time.
//!
//! Everything else is handed a [`Clock`], or time itself, as an argument: the pure core has no clock, the
//! simulation gives each worker its own, and the store has the server's. Waiting is `tokio::time`, which a
//! test can pause.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of time.
pub trait Time: Send + Sync {
    /// Time since an arbitrary start that also runs while the machine is suspended: for leases and deadlines.
    fn boot(&self) -> Duration;
    /// Time since the Unix epoch: for what others read (signatures, logs), never for a decision.
    fn unix(&self) -> Duration;
}

/// A shared [`Time`].
#[derive(Clone)]
pub struct Clock(Arc<dyn Time>);

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        #[cfg(feature = "testing")]
        if let Some(wrong) = wrong::Wrong::wanted() {
            return Self::of(wrong);
        }
        Self(Arc::new(System))
    }

    /// A clock of the caller's: virtual time, or one that is wrong on purpose.
    pub fn of(time: impl Time + 'static) -> Self {
        Self(Arc::new(time))
    }

    /// See [`Time::boot`].
    pub fn boot(&self) -> Duration {
        self.0.boot()
    }

    /// See [`Time::unix`].
    pub fn unix(&self) -> Duration {
        self.0.unix()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

struct System;

#[allow(clippy::disallowed_methods)] // This is the place.
impl Time for System {
    fn boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn unix(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A machine whose clock is wrong.
#[cfg(feature = "testing")]
mod wrong {
    use super::{Duration, System, Time};

    /// Says by how many seconds: ahead, or behind with a minus.
    const VARIABLE: &str = "RECADERO_TEST_CLOCK_AHEAD";

    pub(super) struct Wrong {
        ahead: i64,
    }

    impl Wrong {
        pub fn wanted() -> Option<Self> {
            let ahead = std::env::var(VARIABLE).ok()?.parse().ok()?;
            Some(Self { ahead })
        }
    }

    impl Time for Wrong {
        fn boot(&self) -> Duration {
            System.boot()
        }

        fn unix(&self) -> Duration {
            let by = Duration::from_secs(self.ahead.unsigned_abs());
            if self.ahead < 0 { System.unix().saturating_sub(by) } else { System.unix() + by }
        }
    }
}

/// A time as the API and the notices write it: RFC 3339, UTC, with milliseconds. Takes Unix milliseconds.
pub fn rfc3339(unix_ms: u64) -> String {
    const FORMAT: &[time::format_description::BorrowedFormatItem<'static>] =
        time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000);
    // Only a time past the year 9999 does not fit; none of ours is.
    let at = at.unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    at.format(FORMAT).expect("every component of the format is a UTC time's")
}
