//! One lane, and the two sets in which lanes stand until something should happen to them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::decide::ids::LaneId;
use crate::store::lanes::{Commit, Committed, Due, Pool, Token, Waiting};
use crate::store::retrying::Retrying;
use crate::testing::{Bug, has};

/// A lane. Its state is never stored twice: *idle* is empty, *held* has events and no place in [`DueSets`]; *ready*,
/// *leased* and *waiting* differ only in what their due time means.
pub(super) struct Lane {
    pub id: LaneId,
    /// What waits behind the current event, by rising number.
    pub queue: VecDeque<(u64, Arc<Waiting>)>,
    /// The event that a lease was given for, until it is delivered or dropped.
    pub current: Option<Current>,
    /// Who may commit; kept past its end, until somebody takes the lane over.
    pub lease: Option<Hold>,
    /// The endpoint's generation when the lane was last claimed.
    pub generation: u64,
    /// The last commit, for its repeats.
    pub last: Option<Last>,
    pool: Pool,
    due_ms: Option<u64>,
}

pub(super) struct Current {
    pub seq: u64,
    pub event: Arc<Waiting>,
    pub round: u32,
    /// The attempt to be made, from 1.
    pub attempt: u32,
    /// Whether an attempt was recorded.
    pub tried: bool,
}

pub(super) struct Hold {
    pub token: Token,
    pub until_ms: u64,
}

pub(super) struct Last {
    pub token: Token,
    pub seq: u64,
    pub round: u32,
    pub attempt: u32,
    pub at_ms: u64,
    pub committed: Committed,
}

impl Lane {
    pub fn new(id: LaneId) -> Self {
        Self {
            id,
            queue: VecDeque::new(),
            current: None,
            lease: None,
            generation: 0,
            last: None,
            pool: Pool::Healthy,
            due_ms: None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.current.is_none() && self.queue.is_empty()
    }

    pub fn pool(&self) -> Pool {
        self.pool
    }

    pub fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// Whether somebody may be making an attempt.
    pub fn leased(&self, now_ms: u64) -> bool {
        self.lease.as_ref().is_some_and(|hold| hold.until_ms > now_ms)
    }

    /// The lane as people look at it while its current event, which has failed, is tried again.
    pub fn retrying(&self, now_ms: u64) -> Option<Retrying> {
        let current = self.current.as_ref().filter(|current| current.attempt > 1)?;
        Some(Retrying {
            lane: self.id.clone(),
            event: current.event.id.clone(),
            attempt: current.attempt,
            due_ms: self.due_ms.filter(|_| !self.leased(now_ms)),
            events: self.queue.len() as u64 + 1,
        })
    }

    /// Whether the lease is this token's, also past its end.
    pub fn is_held_by(&self, token: Token) -> bool {
        self.lease.as_ref().is_some_and(|hold| hold.token == token)
    }

    /// Whether a commit is the end of the attempt that the present lease was given for.
    pub fn awaits(&self, commit: &Commit) -> bool {
        let is_current = |current: &Current| {
            (current.seq, current.round, current.attempt) == (commit.seq, commit.round, commit.attempt)
        };
        (self.is_held_by(commit.token) || has(Bug::CommitWithoutToken)) && self.current.as_ref().is_some_and(is_current)
    }

    /// The lane's place from now on; `None` takes it out.
    pub fn stand(&mut self, sets: &mut DueSets, pool: Pool, due_ms: Option<u64>) {
        if let Some(before_ms) = self.due_ms {
            sets.of(self.pool).remove(&(before_ms, self.id.clone()));
        }
        (self.pool, self.due_ms) = (pool, due_ms);
        if let Some(due_ms) = due_ms {
            sets.of(pool).insert((due_ms, self.id.clone()));
        }
    }

    /// The oldest event that may be dropped by a limit: the first one that waits, never the current one.
    pub fn oldest_queued(&self) -> Option<u64> {
        self.queue.front().map(|(seq, _)| *seq)
    }

    /// The oldest event of all.
    pub fn oldest(&self) -> Option<&Arc<Waiting>> {
        self.current.as_ref().map(|current| &current.event).or_else(|| self.queue.front().map(|(_, event)| event))
    }
}

/// A partition's lanes that something should happen to, by time; ties by the lane's name.
#[derive(Default)]
pub(super) struct DueSets {
    healthy: BTreeSet<(u64, LaneId)>,
    suspect: BTreeSet<(u64, LaneId)>,
}

impl DueSets {
    fn of(&mut self, pool: Pool) -> &mut BTreeSet<(u64, LaneId)> {
        match pool {
            Pool::Healthy => &mut self.healthy,
            Pool::Suspect => &mut self.suspect,
        }
    }

    /// The suspect ones, by time.
    pub fn suspect(&self) -> impl Iterator<Item = (u64, &LaneId)> {
        self.suspect.iter().map(|(due_ms, lane)| (*due_ms, lane))
    }

    /// Those due by now, the longest due first.
    pub fn by_now(&self, pool: Pool, limit: usize, now_ms: u64) -> Vec<Due> {
        let lanes = match pool {
            Pool::Healthy => &self.healthy,
            Pool::Suspect => &self.suspect,
        };
        let due = lanes.iter().take_while(|(due_ms, _)| *due_ms <= now_ms).take(limit);
        due.map(|(due_ms, lane)| Due { lane: lane.clone(), late_ms: now_ms - due_ms }).collect()
    }
}
