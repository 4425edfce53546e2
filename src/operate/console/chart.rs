//! Charts, drawn here: SVG of rectangles with classes, since the page's policy allows neither scripts of others nor styles
//! inside elements. Each says in words what it shows, for those who do not see it.

use askama::Template;
use askama::filters::HtmlSafe;

use super::words::Locale;
use super::words::words;
use crate::clock::rfc3339;
use crate::store::records::{DURATION_BUCKETS_MS, HourStats};

words! {
    struct Words;

    quiet: "No attempts in 24 hours" | "Ningún intento en 24 horas";
    brief_quiet: "no attempts" | "sin intentos";
    brief(percent, attempts): "{percent} % of {attempts}" | "{percent} % de {attempts}";
    rate(percent, attempts): "{percent} % of {attempts} attempts delivered in 24 hours" |
                             "{percent} % de {attempts} intentos entregados en 24 horas";
    rate_of_one(percent): "{percent} % of 1 attempt delivered in 24 hours" |
                          "{percent} % de 1 intento entregado en 24 horas";
    hour(hour, delivered, failed): "{hour} UTC: {delivered} delivered, {failed} failed" |
                                   "{hour} UTC: entregados, {delivered}; fallidos, {failed}";
    durations(attempts): "Attempts of 24 hours by how many milliseconds they took at most: {attempts}" |
                         "Intentos de 24 horas según cuántos milisegundos duraron como máximo: {attempts}";
    up_to(ms): "up to {ms} ms" | "hasta {ms} ms";
    over(ms): "over {ms} ms" | "más de {ms} ms";
    bar(bound, count): "{bound}: {count}" | "{bound}: {count}";
}

/// A chart; it is its own SVG.
#[derive(Template)]
#[template(path = "console/chart.html")]
pub struct Chart {
    class: &'static str,
    width: u64,
    height: u64,
    bars: Vec<Bar>,
    labels: Vec<Label>,
    /// What it shows, in words.
    pub text: String,
    /// The same where its place says of what.
    pub brief: String,
}

impl HtmlSafe for Chart {}

struct Bar {
    class: &'static str,
    x: u64,
    y: u64,
    width: u64,
    height: u64,
    title: String,
}

struct Label {
    x: u64,
    text: String,
}

/// Attempts of 24 hours, delivered and failed, an hour a bar.
pub fn hours(locale: Locale, hours: &[HourStats], size: Size) -> Chart {
    let words = Words(locale);
    let Size { class, bar, gap, height } = size;
    let most = hours.iter().map(|hour| hour.delivered + hour.failed).max().unwrap_or_default();
    let mut bars = Vec::new();
    for (index, hour) in hours.iter().enumerate() {
        let x = index as u64 * (bar + gap);
        let (good, bad) = (tall(hour.delivered, most, height), tall(hour.failed, most, height));
        // Both may have been rounded up.
        let good = good.min(height - bad);
        let title = words.hour(&rfc3339(hour.hour_ms)[11..16], hour.delivered, hour.failed);
        let of = |class, y, height| Bar { class, x, y, width: bar, height, title: title.clone() };
        bars.extend((good > 0).then(|| of("good", height - good, good)));
        bars.extend((bad > 0).then(|| of("bad", height - good - bad, bad)));
    }
    let width = hours.len() as u64 * (bar + gap);
    let is_small = class == SMALL.class;
    let label = |(index, hour): (usize, &HourStats)| {
        let x = index as u64 * (bar + gap) + bar / 2;
        Label { x, text: rfc3339(hour.hour_ms)[11..16].to_owned() }
    };
    // Not at the edges, where they would be cut.
    let (text, brief) = rate(locale, hours);
    let labelled = hours.iter().enumerate().filter(|(index, _)| !is_small && index % LABEL_HOURS == LABEL_HOURS / 2);
    Chart { class, width, height, bars, labels: labelled.map(label).collect(), text, brief }
}

/// How many attempts were delivered, in words: in a sentence, and in brief.
fn rate(locale: Locale, hours: &[HourStats]) -> (String, String) {
    let words = Words(locale);
    let delivered: u64 = hours.iter().map(|hour| hour.delivered).sum();
    let attempts = delivered + hours.iter().map(|hour| hour.failed).sum::<u64>();
    match percent(delivered, attempts) {
        None => (words.quiet().to_owned(), words.brief_quiet().to_owned()),
        Some(percent) if attempts == 1 => (words.rate_of_one(percent), words.brief(percent, attempts)),
        Some(percent) => (words.rate(percent, attempts), words.brief(percent, attempts)),
    }
}

/// A share in whole percent, rounded down so that 100 means all; `None` of nothing.
pub fn percent(part: u64, whole: u64) -> Option<u64> {
    (part * 100).checked_div(whole)
}

/// How long attempts took, in the statistics' buckets.
pub fn durations(locale: Locale, hours: &[HourStats], size: Size) -> Chart {
    let words = Words(locale);
    let Size { class, bar, gap, height } = size;
    let counts: Vec<u64> =
        (0..=DURATION_BUCKETS_MS.len()).map(|bucket| hours.iter().map(|hour| hour.durations[bucket]).sum()).collect();
    let most = counts.iter().copied().max().unwrap_or_default();
    let (mut bars, mut labels) = (Vec::new(), Vec::new());
    for (index, count) in counts.iter().enumerate() {
        let bound = DURATION_BUCKETS_MS.get(index);
        let last = DURATION_BUCKETS_MS[DURATION_BUCKETS_MS.len() - 1];
        let bound_words = bound.map_or_else(|| words.over(last), |bound| words.up_to(bound));
        let (x, tall) = (index as u64 * (bar + gap), tall(*count, most, height));
        let title = words.bar(bound_words, count);
        bars.push(Bar { class: "plain", x, y: height - tall, width: bar, height: tall, title });
        labels.push(Label { x: x + bar / 2, text: bound.map_or_else(|| format!(">{last}"), ToString::to_string) });
    }
    let attempts = counts.iter().sum::<u64>();
    let text = if attempts == 0 { words.quiet().to_owned() } else { words.durations(attempts) };
    Chart { class, width: counts.len() as u64 * (bar + gap), height, bars, labels, text, brief: attempts.to_string() }
}

/// Every so many hours one is labelled.
const LABEL_HOURS: usize = 6;

/// How large a chart is, in units of its own.
#[derive(Clone, Copy)]
pub struct Size {
    /// The class that gives it its size on the page.
    pub class: &'static str,
    /// A bar's width.
    pub bar: u64,
    /// What lies between two.
    pub gap: u64,
    /// The highest bar.
    pub height: u64,
}

/// For a row of a table.
pub const SMALL: Size = Size { class: "chart small", bar: 4, gap: 1, height: 24 };

/// For a page.
pub const LARGE: Size = Size { class: "chart large", bar: 20, gap: 4, height: 120 };

/// For eight bars with their bounds.
pub const BROAD: Size = Size { class: "chart large labelled", bar: 60, gap: 12, height: 120 };

/// A bar's height; what is there at all can be seen.
fn tall(count: u64, most: u64, height: u64) -> u64 {
    if count == 0 { 0 } else { (count * height / most.max(1)).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_nothing_is_none_and_100_means_all() {
        assert_eq!((percent(0, 0), percent(999, 1000), percent(1000, 1000)), (None, Some(99), Some(100)));
    }

    #[test]
    fn bars_stand_on_each_other_within_the_chart() {
        let hour = HourStats { delivered: 999, failed: 1, ..HourStats::default() };
        let chart = hours(Locale::En, &[HourStats::default(), hour], SMALL);
        let places: Vec<_> = chart.bars.iter().map(|bar| (bar.class, bar.x, bar.y, bar.height)).collect();
        assert_eq!(places, [("good", 5, 1, 23), ("bad", 5, 0, 1)]);
        assert_eq!(chart.text, "99 % of 1000 attempts delivered in 24 hours");
    }
}
