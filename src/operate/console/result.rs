//! What came of an attempt, in a few words.

use std::time::Duration;

use super::words::{Locale, words};
use crate::decide::attempt::Outcome;
use crate::notify::mail::Cause;
use crate::store::records::AttemptRow;

words! {
    struct Words;

    delivered: "delivered" | "entregado";
}

/// `delivered`, or why not.
pub fn words(locale: Locale, row: &AttemptRow, timeout: Duration) -> String {
    match row.outcome {
        Outcome::Delivered => Words(locale).delivered().to_owned(),
        Outcome::Failed(reason) => locale.cause(Cause { reason, status: row.status }, timeout),
    }
}

/// The class of a state's badge.
pub fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Failed(_) => "failed",
    }
}
