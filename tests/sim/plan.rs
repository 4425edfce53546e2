//! What is going to happen to the service in a history, drawn from its seed before it begins.
//!
//! A plan is plain data, so that a failing one can be made smaller by leaving things out.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::process::Fate;
use crate::receivers::Manner;

/// Places for processes; each holds one at a time, and a new one some time after the last one died.
pub const SLOTS_MAX: usize = 3;

/// How long things go wrong. Long enough for a whole round of attempts (185 s and the attempts themselves).
const SPAN_MS: u64 = 270_000;

/// A history to be.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// Partitions of the store. Few, since each is polled.
    pub partitions: u16,
    /// What runs in each slot.
    pub slots: Vec<Role>,
    /// Whether calls take random time.
    pub jitter: bool,
    pub quota_limit: u32,
    pub quota_window_s: u64,
    pub quota_per_endpoint: bool,
    /// What one endpoint may hold waiting.
    pub backlog_events: u64,
    pub backlog_age_s: u64,
    /// Each one's workspace and number of lanes.
    pub endpoints: Vec<(usize, u16)>,
    /// Sorted by their times.
    pub acts: Vec<(u64, Act)>,
    /// Endpoints that nobody enables at the end, and a workspace that does not get its plan back.
    pub left_disabled: bool,
    pub left_without_plan: bool,
}

/// Which parts a process runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    All,
    Router,
    /// And the notifier.
    Deliverer,
}

/// What is wrong with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Poison {
    NotJson,
    NotAnObject,
    NoWorkspace,
    UnknownType,
    OtherType,
}

/// One thing that happens at its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Upstream publishes events of a workspace, by their contacts.
    Publish {
        workspace: usize,
        contacts: Vec<Option<u64>>,
    },
    /// Upstream publishes what can never be delivered.
    Poison {
        workspace: usize,
        poison: Poison,
    },
    /// Upstream publishes the event that it published so many events ago once more.
    PublishAgain {
        back: usize,
    },
    Behave {
        endpoint: usize,
        manner: Manner,
    },

    Create {
        workspace: usize,
        lanes: u16,
    },
    Move {
        endpoint: usize,
    },
    Lanes {
        endpoint: usize,
        lanes: u16,
    },
    Disable {
        endpoint: usize,
    },
    Enable {
        endpoint: usize,
        discard: bool,
    },
    Delete {
        endpoint: usize,
    },
    Recover {
        endpoint: usize,
    },
    /// An event that was delivered so many deliveries ago is sent once more.
    Resend {
        endpoint: usize,
        back: usize,
    },
    DeleteWorkspace {
        workspace: usize,
    },
    Plan {
        workspace: usize,
        entitled: bool,
    },

    /// A process dies when it has taken so many more steps, or at once (0); another takes its place.
    Crash {
        slot: usize,
        steps: u32,
        down_ms: u64,
    },
    /// A process is asked to stop, and another takes its place when it has.
    Stop {
        slot: usize,
    },
    /// A process stands still from when it has taken so many more steps, or at once.
    Pause {
        slot: usize,
        steps: u32,
        for_ms: u64,
    },
    Lose {
        slot: usize,
        fates: Vec<Fate>,
    },
    Away {
        for_ms: u64,
    },
    Cut {
        slot: usize,
    },
    Skew {
        slot: usize,
        by_ms: i64,
    },
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut draw = Draw(StdRng::seed_from_u64(seed));
        let workspaces = 1 + draw.below(2);
        let endpoints: Vec<_> = (0..draw.range(1, 4)).map(|_| (draw.below(workspaces), draw.lanes())).collect();
        let slots = draw.roles();
        let mut acts = Vec::new();
        for _ in 0..draw.range(3, 14) {
            acts.push((draw.time(), draw.publish(workspaces)));
        }
        for endpoint in 0..endpoints.len() {
            for _ in 0..draw.below(4) {
                acts.push((draw.time(), Act::Behave { endpoint, manner: draw.manner() }));
            }
            if draw.chance(3) {
                acts.push((0, Act::Behave { endpoint, manner: draw.bad_manner() }));
            }
        }
        // Some histories have no faults, some nobody who changes things: what goes wrong in them is easily seen.
        if !draw.chance(5) {
            for _ in 0..draw.below(7) {
                acts.push((draw.time(), draw.change(workspaces, endpoints.len())));
            }
        }
        if !draw.chance(5) {
            for _ in 0..draw.below(7) {
                // Much goes wrong only while something else is going on.
                let near = acts.choose(&mut draw.0).map_or(0, |(at_ms, _)| *at_ms) + draw.below(6_000) as u64;
                let at_ms = if draw.chance(2) { near } else { draw.time() };
                acts.push((at_ms, draw.fault(slots.len())));
            }
        }
        // From randomness of its own, so that it changed no history that it did not come into.
        Draw(StdRng::seed_from_u64(!seed)).more(workspaces, endpoints.len(), &mut acts);
        acts.sort_by_key(|(at_ms, _)| *at_ms);
        Self {
            seed,
            partitions: draw.pick(&[1, 1, 2, 3]),
            slots,
            jitter: draw.chance(2),
            quota_limit: draw.range(2, 12) as u32,
            quota_window_s: draw.pick(&[60, 120, 240, 1800]),
            quota_per_endpoint: draw.chance(4),
            backlog_events: if draw.chance(6) { draw.range(2, 6) as u64 } else { 100_000 },
            backlog_age_s: if draw.chance(8) { draw.range(30, 150) as u64 } else { 72 * 3_600 },
            endpoints,
            acts,
            left_disabled: draw.chance(6),
            left_without_plan: draw.chance(10),
        }
    }

    /// When the last act is over.
    pub fn length(&self) -> Duration {
        let ends = self.acts.iter().map(|(at_ms, act)| at_ms + act.span_ms());
        Duration::from_millis(ends.max().unwrap_or(0))
    }

    /// Whether limits of the backlog can be met.
    pub fn is_limited(&self) -> bool {
        self.backlog_events < 1_000 || self.backlog_age_s < 3_600
    }

    /// To be read: a line for each thing.
    pub fn text(&self) -> String {
        let mut text = format!("{:?}\n", Self { acts: Vec::new(), ..self.clone() });
        for (at_ms, act) in &self.acts {
            text += &format!("  {:4}.{:03} {act:?}\n", at_ms / 1000, at_ms % 1000);
        }
        text
    }
}

impl Act {
    /// How long it goes on.
    fn span_ms(&self) -> u64 {
        match self {
            Self::Pause { for_ms, .. } | Self::Away { for_ms } => *for_ms,
            _ => 0,
        }
    }

    /// Whose process it is about.
    pub fn slot(&self) -> Option<usize> {
        match self {
            Self::Crash { slot, .. }
            | Self::Stop { slot }
            | Self::Pause { slot, .. }
            | Self::Lose { slot, .. }
            | Self::Cut { slot }
            | Self::Skew { slot, .. } => Some(*slot),
            _ => None,
        }
    }
}

/// Draws from a seed.
struct Draw(StdRng);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0.random_range(0..bound)
    }

    fn range(&mut self, from: usize, to: usize) -> usize {
        self.0.random_range(from..=to)
    }

    /// One in so many.
    fn chance(&mut self, of: u32) -> bool {
        self.0.random_range(0..of) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut self.0).unwrap()
    }

    /// Mostly early, so that there is time for what follows.
    fn time(&mut self) -> u64 {
        let span_ms = self.pick(&[SPAN_MS / 8, SPAN_MS / 2, SPAN_MS]);
        self.0.random_range(0..span_ms)
    }

    fn span_ms(&mut self) -> u64 {
        let bound_ms = self.pick(&[50, 1_000, 6_000, 25_000, 60_000]);
        self.0.random_range(0..bound_ms)
    }

    fn lanes(&mut self) -> u16 {
        self.pick(&[1, 1, 1, 2, 4])
    }

    /// At least one process of each kind.
    fn roles(&mut self) -> Vec<Role> {
        let split = [Role::Router, Role::Deliverer, Role::Deliverer, Role::Router];
        match self.below(5) {
            0 => vec![Role::All],
            1 => vec![Role::All, Role::All],
            2 => vec![Role::All, Role::All, Role::All],
            3 => vec![Role::Router, Role::Deliverer],
            _ => split[self.below(2)..].iter().take(SLOTS_MAX).copied().collect(),
        }
    }

    fn publish(&mut self, workspaces: usize) -> Act {
        if self.chance(8) {
            return Act::PublishAgain { back: self.below(6) };
        }
        let workspace = self.below(workspaces);
        let count = self.pick(&[1, 1, 2, 3, 6]);
        let contacts = (0..count).map(|_| (!self.chance(8)).then(|| self.below(3) as u64)).collect();
        Act::Publish { workspace, contacts }
    }

    fn more(&mut self, workspaces: usize, endpoints: usize, acts: &mut Vec<(u64, Act)>) {
        if self.chance(4) {
            for _ in 0..self.range(1, 3) {
                let kinds =
                    [Poison::NotJson, Poison::NotAnObject, Poison::NoWorkspace, Poison::UnknownType, Poison::OtherType];
                acts.push((self.time(), Act::Poison { workspace: self.below(workspaces), poison: self.pick(&kinds) }));
            }
        }
        if self.chance(4) {
            for _ in 0..self.range(1, 4) {
                acts.push((self.time(), Act::Resend { endpoint: self.below(endpoints), back: self.below(3) }));
            }
        }
        if self.chance(8) {
            let (workspace, at_ms) = (self.below(workspaces), self.time());
            acts.push((at_ms, Act::DeleteWorkspace { workspace }));
            let again_ms = at_ms + self.span_ms();
            acts.push((again_ms, Act::Plan { workspace, entitled: true }));
            acts.push((again_ms + self.span_ms(), Act::Create { workspace, lanes: self.lanes() }));
            acts.push((again_ms + self.span_ms(), self.publish(workspaces)));
        }
    }

    fn manner(&mut self) -> Manner {
        if self.chance(4) { Manner::Fine } else { self.bad_manner() }
    }

    fn bad_manner(&mut self) -> Manner {
        match self.below(9) {
            0 => Manner::Slow(self.0.random_range(40..4_900)),
            1 | 2 => Manner::Hangs,
            3 => Manner::Late,
            4 => Manner::Refuses,
            5 | 6 => Manner::Flaps(self.0.random_range(3_000..70_000)),
            7 => Manner::Status(self.pick(&[201, 204, 301, 404, 500])),
            _ => Manner::Status(500),
        }
    }

    fn change(&mut self, workspaces: usize, endpoints: usize) -> Act {
        let endpoint = self.below(endpoints);
        match self.below(20) {
            0..3 => Act::Move { endpoint },
            3..7 => Act::Lanes { endpoint, lanes: self.pick(&[1, 2, 4]) },
            7..10 => Act::Disable { endpoint },
            10..14 => Act::Enable { endpoint, discard: self.chance(4) },
            14 => Act::Delete { endpoint },
            15 => Act::Create { workspace: self.below(workspaces), lanes: self.lanes() },
            16 => Act::Recover { endpoint },
            17 => Act::Plan { workspace: self.below(workspaces), entitled: false },
            _ => Act::Plan { workspace: self.below(workspaces), entitled: true },
        }
    }

    fn fault(&mut self, slots: usize) -> Act {
        let slot = self.below(slots);
        match self.below(18) {
            16 | 17 => Act::Stop { slot },
            0..4 => {
                let steps = self.steps();
                Act::Crash { slot, steps, down_ms: self.span_ms() }
            }
            4..8 => {
                let steps = self.steps();
                // Leases last for fifteen seconds: around there it becomes interesting.
                let for_ms = if self.chance(3) { self.span_ms() } else { self.0.random_range(9_000..35_000) };
                Act::Pause { slot, steps, for_ms }
            }
            8..12 => {
                let count = self.pick(&[1, 1, 2, 5]);
                Act::Lose { slot, fates: (0..count).map(|_| self.fate()).collect() }
            }
            12 | 13 => {
                // Long enough for a lease to end before its outcome is recorded.
                let for_ms =
                    if self.chance(2) { self.span_ms().min(20_000) } else { self.0.random_range(8_000..20_000) };
                Act::Away { for_ms }
            }
            14 => Act::Cut { slot },
            _ => Act::Skew { slot, by_ms: self.0.random_range(-3_600_000..3_600_000) },
        }
    }

    fn steps(&mut self) -> u32 {
        self.pick(&[0, 1, 2, 3, 4, 5, 8, 13])
    }

    fn fate(&mut self) -> Fate {
        match self.below(4) {
            0 => Fate::Before,
            1 => Fate::Late(self.0.random_range(1..900)),
            _ => Fate::After,
        }
    }
}
