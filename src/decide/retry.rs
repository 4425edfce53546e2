//! What follows a failed attempt (contract, section 3, *Retries*).

use std::time::Duration;

use crate::testing::{Bug, has};

/// What follows a failed attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Try again this long after the attempt ended.
    RetryAfter(Duration),
    /// That was the last attempt: the event leaves the lane for the endpoint's dropped list.
    Drop,
}

/// What follows when attempt number `attempt` (from 1) of a round failed, with these waits between attempts.
pub fn after_failure(attempt: u32, delays: &[Duration]) -> Next {
    let waits_used =
        usize::try_from(attempt.saturating_sub(1 + u32::from(has(Bug::FifthAttempt)))).unwrap_or(usize::MAX);
    delays.get(waits_used).map_or(Next::Drop, |delay| Next::RetryAfter(*delay))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::policy::Policy;

    #[test]
    fn waits_of_30_60_and_90_seconds_then_the_event_is_dropped() {
        let delays = Policy::default().retry_delays;
        let next: Vec<Next> = (1..=4).map(|attempt| after_failure(attempt, &delays)).collect();
        let wait = |seconds| Next::RetryAfter(Duration::from_secs(seconds));
        assert_eq!(next, [wait(30), wait(60), wait(90), Next::Drop]);
    }

    #[test]
    fn without_waits_the_first_failure_drops() {
        assert_eq!(after_failure(1, &[]), Next::Drop);
    }
}
