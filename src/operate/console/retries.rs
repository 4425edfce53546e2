//! Lanes that hold their events back, in words: which event is tried again, when, and how many wait for it.

use super::moment::Moment;
use super::words::words;
use crate::decide::ids::WorkspaceId;
use crate::operate::{Api, Problem};
use crate::store::records::Endpoint;
use crate::store::retrying::Retrying;

/// Lanes that are shown, those with most events.
const SHOWN: usize = 20;

words! {
    pub struct Words;

    alone(event, nth): "Event {event} is tried for the {nth} time at" | "El evento {event} se intentará por {nth} vez a las";
    alone_now(event, nth): "Event {event} is being tried for the {nth} time" | "El evento {event} se está intentando por {nth} vez";
    first(events, event, nth): "Event 1 of {events}, {event}, is tried for the {nth} time at" |
                               "El evento 1 de {events}, {event}, se intentará por {nth} vez a las";
    first_now(events, event, nth): "Event 1 of {events}, {event}, is being tried for the {nth} time" |
                                   "El evento 1 de {events}, {event}, se está intentando por {nth} vez";
    later: "; later events wait for it" | "; los eventos posteriores esperan";
    lane(number): "Lane {number}" | "Carril {number}";
    held_back(count, lanes): "Lanes that wait for a retry: {count} of {lanes}. The others go on." |
                             "Carriles que esperan un reintento: {count} de {lanes}. Los demás continúan.";
    all_held_back(lanes): "All {lanes} lanes wait for a retry." | "Los {lanes} carriles esperan un reintento.";
    many_held_back(shown): "More than {shown} lanes wait for a retry; these have most events:" |
                           "Más de {shown} carriles esperan un reintento; estos tienen más eventos:";
    nth(number, ending): "{number}{ending}" | "{number}.ª";
}

/// What is tried again.
#[derive(Default)]
pub struct Retries {
    /// How many lanes wait for it, where the endpoint has several.
    pub summary: Option<String>,
    /// The lanes.
    pub lanes: Vec<Retry>,
}

/// A lane and its first event.
pub struct Retry {
    /// Which lane it is, where there are several.
    pub lane: Option<String>,
    /// What happens.
    pub words: String,
    /// When, unless it is now.
    pub at: Option<Moment>,
    /// What waits for it.
    pub later: Option<&'static str>,
}

/// What an endpoint tries again, while anything is sent to it.
pub async fn retries(
    api: &Api,
    words: Words,
    workspace: &WorkspaceId,
    endpoint: &Endpoint,
) -> Result<Retries, Problem> {
    if endpoint.paused || endpoint.disabled.is_some() || endpoint.backlog_events == 0 {
        return Ok(Retries::default());
    }
    let mut found = api.store.retrying(workspace, &endpoint.id, SHOWN + 1).await?;
    let count = found.len();
    found.truncate(SHOWN);
    let lanes = endpoint.config.lanes;
    let has_several = lanes > 1 || count > 1;
    let summary = match count {
        _ if !has_several || count == 0 => None,
        _ if count > SHOWN => Some(words.many_held_back(SHOWN)),
        // Lanes of an earlier setting may be among them.
        _ if count >= usize::from(lanes) => Some(words.all_held_back(count)),
        _ => Some(words.held_back(count, lanes)),
    };
    let now_ms = api.now_ms();
    Ok(Retries { summary, lanes: found.iter().map(|it| retry(words, it, has_several, now_ms)).collect() })
}

fn retry(words: Words, retrying: &Retrying, has_several: bool, now_ms: u64) -> Retry {
    let (event, events, attempt) = (&retrying.event, retrying.events, retrying.attempt);
    let nth = words.nth(attempt, ending(attempt));
    let at = retrying.due_ms.filter(|due_ms| *due_ms > now_ms);
    Retry {
        lane: has_several.then(|| words.lane(retrying.lane.index + 1)),
        words: match (events, at) {
            (..=1, Some(_)) => words.alone(event, nth),
            (..=1, None) => words.alone_now(event, nth),
            (_, Some(_)) => words.first(events, event, nth),
            (_, None) => words.first_now(events, event, nth),
        },
        at: at.map(Moment),
        later: (events > 1).then(|| words.later()),
    }
}

/// What an English ordinal ends in.
fn ending(number: u32) -> &'static str {
    match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_end_as_in_english() {
        let shown: Vec<_> =
            [1, 2, 3, 4, 11, 12, 13, 21, 112].map(|number| format!("{number}{}", ending(number))).into();
        assert_eq!(shown, ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th"]);
    }
}
