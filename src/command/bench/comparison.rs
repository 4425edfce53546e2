//! The service beside the bare forwarder, in turns: the machine is noisy, and a ratio within one turn is less so.

use std::fmt;

use serde::Serialize;

use super::report::Report;
use super::run::Subject;

/// What is read of a report; `None` when it could not be seen.
type Figure = fn(&Report) -> Option<f64>;

/// Reports by turn, and the ratio of each.
#[derive(Default, Debug, Serialize)]
pub struct Comparison {
    forwarder: Vec<Report>,
    service: Vec<Report>,
    ratio: Spread,
}

/// The middle of some figures, and how far they lie apart.
#[derive(Clone, Copy, Default, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// Of at least one figure; zeros of none.
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let (Some(&least), Some(&most)) = (figures.first(), figures.last()) else { return Self::default() };
        let half = figures.len() / 2;
        let median =
            if figures.len().is_multiple_of(2) { (figures[half - 1] + figures[half]) / 2.0 } else { figures[half] };
        Self { median, least, most }
    }
}

impl Comparison {
    /// Adds a run; those of the forwarder and of the service come in turns, the forwarder's first.
    pub fn add(&mut self, subject: Subject, report: Report) {
        match subject {
            Subject::Forwarder => self.forwarder.push(report),
            Subject::Service => self.service.push(report),
        }
        let turns = self.service.iter().zip(&self.forwarder);
        self.ratio = Spread::of(turns.map(|(service, forwarder)| service.rate() / forwarder.rate()).collect());
    }

    /// One line on what went wrong in any turn.
    pub fn complaint(&self) -> Option<String> {
        self.forwarder.iter().chain(&self.service).find_map(Report::complaint)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(load) = self.service.first() {
            writeln!(f, "{}", load.load())?;
        }
        writeln!(f, "{:<24}{:>32}{:>32}", "median (least to most)", "recadero serve", "bare forwarder")?;
        let figures: [(&str, Figure); 6] = [
            ("deliveries per second", |report| Some(report.rate())),
            ("latency p50, ms", Report::latency_p50),
            ("latency p99, ms", Report::latency_p99),
            ("CPU per delivery, µs", Report::service_cpu),
            ("  of Redis", Report::redis_cpu),
            ("  of RabbitMQ", Report::rabbitmq_cpu),
        ];
        for (name, figure) in figures {
            let shown = |reports: &[Report]| {
                let seen: Vec<_> = reports.iter().filter_map(figure).collect();
                if seen.is_empty() { "–".to_owned() } else { Spread::of(seen).to_string() }
            };
            writeln!(f, "{name:<24}{:>32}{:>32}", shown(&self.service), shown(&self.forwarder))?;
        }
        let Spread { median, least, most } = self.ratio;
        write!(f, "ratio of the rates      {median:.2} ({least:.2} to {most:.2}) in {} turns", self.service.len())
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median < 100.0 { 1 } else { 0 };
        let Self { median, least, most } = self;
        write!(f, "{median:.digits$} ({least:.digits$} to {most:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, least: 1.0, most: 4.0 });
        assert_eq!(Spread::of(vec![]), Spread::default());
    }
}
