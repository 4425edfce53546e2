//! Working places: how many attempts may be under way, and whose (contract, section 3, *Isolation*).
//!
//! Plain accounting of the scheduler's; no lock. With a worker it shares only a [`Slot`], with a router [`Seats`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::decide::ids::WorkspaceId;
use crate::store::lanes::Pool;

/// An attempt that lasts longer gives its place back.
pub const SLOW_AFTER: Duration = Duration::from_millis(500);

/// An attempt that lasts longer gives its place back when lanes wait for one.
pub const SLOW_WHEN_WANTED: Duration = Duration::from_millis(50);

/// No more than one in this many of a pool's places is held for appends: other lanes look for places meanwhile, and nobody
/// tells them when what was held is free again.
const HELD_SHARE: usize = 4;

/// No workspace takes more than one in this many of the suspect and slow places while others wait.
const SHARE: usize = 4;

/// What a worker shows of its attempt.
#[derive(Debug, Default)]
pub struct Slot {
    /// When the attempt under way began, boot milliseconds plus one; 0 between attempts.
    begun: AtomicU64,
    /// Whether it gave its place back and goes on among the slow.
    slow: AtomicBool,
}

impl Slot {
    /// The worker begins an attempt.
    pub fn begin(&self, now: Duration) {
        self.begun.store(millis(now) + 1, Ordering::Relaxed);
    }

    /// The attempt ended.
    pub fn end(&self) {
        self.begun.store(0, Ordering::Relaxed);
    }

    /// How long the attempt under way has lasted.
    pub fn age(&self, now: Duration) -> Option<Duration> {
        let begun = self.begun.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(millis(now).saturating_sub(begun)))
    }

    /// Whether the attempt gave its place back.
    pub fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    fn become_slow(&self) {
        self.slow.store(true, Ordering::Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1)
}

/// The free places of one pool. The scheduler takes them for lanes that it claims; a router's append holds some before
/// it knows which of its lanes are idle.
#[derive(Debug)]
pub struct Seats {
    free: AtomicUsize,
    /// How many more may be held for appends.
    holdable: AtomicUsize,
    holdable_max: usize,
}

impl Seats {
    fn new(size: usize) -> Self {
        let holdable_max = size / HELD_SHARE;
        Self { free: AtomicUsize::new(size), holdable: AtomicUsize::new(holdable_max), holdable_max }
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.free.load(Ordering::SeqCst)
    }

    /// Holds as many as may be held and are free, at most `most`.
    pub fn hold(&self, most: usize) -> usize {
        let may = take_from(&self.holdable, most);
        let count = self.take(may);
        self.holdable.fetch_add(may - count, Ordering::SeqCst);
        count
    }

    /// Holds so many no longer, of which `taken` stay taken.
    pub fn release(&self, count: usize, taken: usize) {
        self.give(count - taken);
        self.holdable.fetch_add(count, Ordering::SeqCst);
    }

    /// Whether any is held.
    pub fn any_held(&self) -> bool {
        self.holdable.load(Ordering::SeqCst) < self.holdable_max
    }

    fn take(&self, most: usize) -> usize {
        take_from(&self.free, most)
    }

    fn give(&self, count: usize) {
        self.free.fetch_add(count, Ordering::SeqCst);
    }
}

/// Takes as much from a counter as is there, at most `most`.
fn take_from(counter: &AtomicUsize, most: usize) -> usize {
    let rest = |there: usize| Some(there.saturating_sub(most));
    let (Ok(there) | Err(there)) = counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, rest);
    most.min(there)
}

/// The process's places.
#[derive(Debug)]
pub struct Places {
    size: [usize; 2],
    seats: [Arc<Seats>; 2],
    slow_max: usize,
    slow: usize,
    /// Suspect places by workspace.
    suspect_shares: Shares,
    /// Slow places by workspace.
    slow_shares: Shares,
}

/// How many places each workspace has.
#[derive(Debug, Default)]
struct Shares(BTreeMap<WorkspaceId, usize>);

impl Shares {
    fn of(&self, workspace: &WorkspaceId) -> usize {
        self.0.get(workspace).copied().unwrap_or(0)
    }

    fn add(&mut self, workspace: &WorkspaceId) {
        *self.0.entry(workspace.clone()).or_insert(0) += 1;
    }

    fn remove(&mut self, workspace: &WorkspaceId) {
        if let Some(count) = self.0.get_mut(workspace) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(workspace);
            }
        }
    }
}

impl Places {
    /// Three quarters of `inflight_max` for healthy lanes, one for suspect ones; at least one each.
    pub fn new(inflight_max: usize, slow_max: usize) -> Self {
        let suspect = (inflight_max / 4).max(1);
        let healthy = inflight_max.saturating_sub(suspect).max(1);
        Self {
            size: [healthy, suspect],
            seats: [healthy, suspect].map(|size| Arc::new(Seats::new(size))),
            slow_max,
            slow: 0,
            suspect_shares: Shares::default(),
            slow_shares: Shares::default(),
        }
    }

    /// Places of a pool that nobody works at.
    pub fn free(&self, pool: Pool) -> usize {
        self.seats[index(pool)].free()
    }

    /// Places of a pool that somebody works at, or holds.
    pub fn taken(&self, pool: Pool) -> usize {
        self.size[index(pool)] - self.free(pool)
    }

    /// The free places of a pool, for who holds some.
    pub fn seats(&self, pool: Pool) -> Arc<Seats> {
        self.seats[index(pool)].clone()
    }

    /// Attempts among the slow.
    pub fn slow(&self) -> usize {
        self.slow
    }

    /// Takes a place, if one is free.
    pub fn take(&mut self, pool: Pool, workspace: &WorkspaceId) -> bool {
        if self.seats[index(pool)].take(1) == 0 {
            return false;
        }
        if pool == Pool::Suspect {
            self.suspect_shares.add(workspace);
        }
        true
    }

    /// Gives a place back that is not slow.
    pub fn give(&mut self, pool: Pool, workspace: &WorkspaceId) {
        self.seats[index(pool)].give(1);
        if pool == Pool::Suspect {
            self.suspect_shares.remove(workspace);
        }
    }

    /// Whether a workspace already has its share of the suspect places, so that others go first.
    pub fn over_suspect_share(&self, workspace: &WorkspaceId) -> bool {
        self.suspect_shares.of(workspace) >= (self.size[index(Pool::Suspect)] / SHARE).max(1)
    }

    /// Lets an attempt go on among the slow and frees its place; `false` when there is no room for it. A workspace may
    /// have more than its share while less than half of the slow places are taken: nobody waits for one then.
    pub fn become_slow(&mut self, slot: &Slot, pool: Pool, workspace: &WorkspaceId) -> bool {
        let share_max = (self.slow_max / SHARE).max(1);
        let scarce = self.slow >= self.slow_max / 2;
        if self.slow >= self.slow_max || (scarce && self.slow_shares.of(workspace) >= share_max) {
            return false;
        }
        self.give(pool, workspace);
        self.slow += 1;
        self.slow_shares.add(workspace);
        slot.become_slow();
        true
    }

    /// An attempt among the slow ended.
    pub fn end_slow(&mut self, workspace: &WorkspaceId) {
        self.slow -= 1;
        self.slow_shares.remove(workspace);
    }
}

fn index(pool: Pool) -> usize {
    match pool {
        Pool::Healthy => 0,
        Pool::Suspect => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(name: &str) -> WorkspaceId {
        WorkspaceId::trusted(name)
    }

    #[test]
    fn three_quarters_are_for_healthy_lanes_and_one_for_suspect_ones() {
        let places = Places::new(1024, 16_384);
        assert_eq!((places.free(Pool::Healthy), places.free(Pool::Suspect)), (768, 256));
    }

    #[test]
    fn one_place_of_each_kind_is_the_least() {
        let places = Places::new(1, 0);
        assert_eq!((places.free(Pool::Healthy), places.free(Pool::Suspect)), (1, 1));
    }

    #[test]
    fn a_slow_attempt_gives_its_place_back_until_the_slow_are_full() {
        let mut places = Places::new(4, 1);
        let (a, b) = (workspace("a"), workspace("b"));
        assert!(places.take(Pool::Healthy, &a) && places.take(Pool::Healthy, &b));
        let slots = [Slot::default(), Slot::default()];
        assert!(places.become_slow(&slots[0], Pool::Healthy, &a));
        assert!(!places.become_slow(&slots[1], Pool::Healthy, &b), "the slow are full: the place is kept");
        assert_eq!((places.free(Pool::Healthy), places.slow()), (2, 1));
        assert!(slots[0].is_slow() && !slots[1].is_slow());
        places.end_slow(&a);
        assert!(places.become_slow(&slots[1], Pool::Healthy, &b));
    }

    #[test]
    fn a_workspace_has_at_most_a_quarter_of_the_suspect_places_before_others() {
        let mut places = Places::new(64, 100);
        let a = workspace("a");
        for _ in 0..4 {
            assert!(!places.over_suspect_share(&a));
            assert!(places.take(Pool::Suspect, &a));
        }
        assert!(places.over_suspect_share(&a));
        assert!(!places.over_suspect_share(&workspace("b")));
        places.give(Pool::Suspect, &a);
        assert!(!places.over_suspect_share(&a));
    }

    #[test]
    fn a_workspace_has_at_most_a_quarter_of_the_slow_places_when_they_are_scarce() {
        let mut places = Places::new(64, 8);
        let (a, b) = (workspace("a"), workspace("b"));
        let mut slow = |workspace: &WorkspaceId| {
            assert!(places.take(Pool::Healthy, workspace));
            places.become_slow(&Slot::default(), Pool::Healthy, workspace)
        };
        let of_a: Vec<bool> = (0..6).map(|_| slow(&a)).collect();
        assert_eq!(of_a, [true, true, true, true, false, false]);
        assert!(slow(&b) && slow(&b) && !slow(&b));
    }
}
