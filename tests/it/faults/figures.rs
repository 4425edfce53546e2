//! What a fault test found, as one line of JSON: `tests/reliability` makes the figures of `docs/reliability.md` of it.

use serde_json::{Value, json};

use super::ledger::Findings;

/// Prints the figures of the test that calls it, names with values, in this order.
pub fn report(figures: &[(&str, Value)]) {
    let thread = std::thread::current();
    let test = thread.name().expect("a test's thread has its name");
    println!("fault: {}", json!({"test": test, "figures": figures}));
}

impl Findings {
    /// Prints what a receiver's log said, and what else there is to tell.
    pub fn report(&self, more: &[(&str, Value)]) {
        let mut figures: Vec<(&str, Value)> = vec![("events", self.events.into()), ("lost", self.lost.into())];
        figures.extend_from_slice(more);
        figures.push(("repeats", self.repeats.into()));
        if self.repeats > 0 {
            figures.push(("at most per lane", self.repeats_per_lane_max.into()));
        }
        figures.push(("longest standstill", lasted(self.gap_max)));
        report(&figures);
    }
}

/// A time as a figure.
pub fn lasted(time: std::time::Duration) -> Value {
    match time.as_millis() {
        ms @ 0..1_000 => format!("{ms} ms").into(),
        _ => format!("{:.1} s", time.as_secs_f64()).into(),
    }
}
