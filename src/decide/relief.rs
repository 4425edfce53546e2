//! Who makes room when the store is short of memory: the largest backlogs of endpoints that nothing goes to, so that one
//! dead endpoint does not stop everyone's intake.
//!
//! The backlog limits bound one endpoint, not all of them together; a limit per workspace was rejected, since it drops
//! events while there is room.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::{EndpointId, WorkspaceId};

/// Above this share of its memory the store is short of it.
const SHORT_PERCENT: u64 = 80;
/// Below this share it no longer is: around one limit it would be said again and again.
const EASY_PERCENT: u64 = 75;
/// Endpoints that are remembered; of more, the largest.
const BURDENS_MAX: usize = 1_024;

/// An endpoint that is disabled, or suspect in every lane that has events, and the bytes that it holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Burden {
    /// Of the bodies that wait or can be resent.
    pub bytes: u64,
    /// Whose.
    pub workspace: WorkspaceId,
    /// Which.
    pub endpoint: EndpointId,
}

/// Whether the store is short of memory.
#[derive(Default, Debug)]
pub struct Pressure {
    is_short: bool,
}

impl Pressure {
    /// Looks at what the fullest node uses, and of how much (0 is without a limit); whether it has just become short of it.
    pub fn rises(&mut self, (used, max): (u64, u64)) -> bool {
        let was_short = self.is_short;
        let percent = if was_short { EASY_PERCENT } else { SHORT_PERCENT };
        self.is_short = excess(used, max, percent) > 0;
        self.is_short && !was_short
    }

    /// Whether it is short.
    pub fn is_short(&self) -> bool {
        self.is_short
    }
}

/// How many bytes have to go until a node (what it uses, of how much) is not short of memory.
pub fn to_free((used, max): (u64, u64)) -> u64 {
    excess(used, max, SHORT_PERCENT)
}

/// How much of its memory a store or a node uses, in thousandths; 0 without a limit.
pub fn share(used: u64, max: u64) -> u64 {
    used.saturating_mul(1_000).checked_div(max).unwrap_or(0)
}

fn excess(used: u64, max: u64, percent: u64) -> u64 {
    if max == 0 { 0 } else { used.saturating_sub(max / 100 * percent) }
}

/// The endpoints that can make room, as far as they are known.
#[derive(Default, Debug)]
pub struct Burdens {
    by_size: BTreeSet<Burden>,
    bytes: BTreeMap<(WorkspaceId, EndpointId), u64>,
}

impl Burdens {
    /// Takes note of one; of nothing in it, forgets it.
    pub fn note(&mut self, burden: Burden) {
        let key = (burden.workspace.clone(), burden.endpoint.clone());
        if let Some(bytes) = self.bytes.remove(&key) {
            self.by_size.remove(&Burden { bytes, ..burden.clone() });
        }
        if burden.bytes > 0 {
            self.bytes.insert(key, burden.bytes);
            self.by_size.insert(burden);
        }
        if self.by_size.len() > BURDENS_MAX
            && let Some(smallest) = self.by_size.pop_first()
        {
            self.bytes.remove(&(smallest.workspace, smallest.endpoint));
        }
    }

    /// The largest.
    pub fn largest(&self) -> Option<&Burden> {
        self.by_size.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burden(endpoint: usize, bytes: u64) -> Burden {
        let (workspace, endpoint) = (WorkspaceId::trusted("w"), EndpointId::trusted(format!("ep_{endpoint}")));
        Burden { bytes, workspace, endpoint }
    }

    #[test]
    fn above_80_percent_the_store_is_short_until_it_is_below_75() {
        let mut pressure = Pressure::default();
        let seen: Vec<(bool, bool)> = [800, 801, 900, 790, 751, 750, 800, 801]
            .into_iter()
            .map(|used| (pressure.rises((used, 1_000)), pressure.is_short()))
            .collect();
        let (easy, rises, short) = ((false, false), (true, true), (false, true));
        assert_eq!(seen, [easy, rises, short, short, short, easy, easy, rises]);
        assert_eq!((to_free((790, 1_000)), to_free((1_000, 1_000))), (0, 200));
    }

    #[test]
    fn without_a_limit_it_is_never_short() {
        assert!(!Pressure::default().rises((u64::MAX, 0)));
        assert_eq!((to_free((u64::MAX, 0)), share(u64::MAX, 0)), (0, 0));
    }

    #[test]
    fn the_largest_goes_first_by_what_was_last_known_of_it() {
        let mut burdens = Burdens::default();
        for (endpoint, bytes) in [(1, 10), (2, 30), (3, 20), (2, 15), (3, 0)] {
            burdens.note(burden(endpoint, bytes));
        }
        assert_eq!(burdens.largest(), Some(&burden(2, 15)));
        burdens.note(burden(2, 0));
        assert_eq!(burdens.largest(), Some(&burden(1, 10)));
        burdens.note(burden(1, 0));
        assert_eq!(burdens.largest(), None);
    }

    #[test]
    fn of_very_many_the_largest_are_remembered() {
        let mut burdens = Burdens::default();
        for bytes in 1..=2 * BURDENS_MAX {
            burdens.note(burden(bytes, bytes as u64));
        }
        assert_eq!((burdens.by_size.len(), burdens.bytes.len()), (BURDENS_MAX, BURDENS_MAX));
        assert_eq!(burdens.largest(), Some(&burden(2 * BURDENS_MAX, 2 * BURDENS_MAX as u64)));
    }
}
