//! Lanes that wait for a working place, and which of them is next.
//!
//! Workspaces take turns, whatever number of lanes each has waiting: in one queue for all, a workspace whose thousand
//! endpoints fail at once would be ahead of everybody who came after. Of the suspect places none takes more than its
//! share while another waits (`docs/contract.md` section 3, *Isolation*); who waits alone may have them all.

use std::collections::{BTreeMap, VecDeque};

use super::places::Places;
use crate::decide::ids::{LaneId, WorkspaceId};
use crate::store::lanes::Pool;

/// Most lanes remembered; beyond that, polls find them.
const LANES_MAX: usize = 65_536;

/// Most of them that are one workspace's, so that others are remembered too.
const LANES_OF_ONE_MAX: usize = LANES_MAX / 4;

/// The lanes that wait for a place of one pool.
#[derive(Debug)]
pub struct Ready {
    pool: Pool,
    /// By workspace, in the order they came; never empty.
    lanes: BTreeMap<WorkspaceId, VecDeque<LaneId>>,
    /// The workspaces in `lanes`, whose turn it is first.
    turns: VecDeque<WorkspaceId>,
    count: usize,
}

impl Ready {
    /// Nobody waits.
    pub fn new(pool: Pool) -> Self {
        Self { pool, lanes: BTreeMap::new(), turns: VecDeque::new(), count: 0 }
    }

    /// How many lanes wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Lets a lane wait; `false` when too many do already.
    pub fn push(&mut self, lane: LaneId) -> bool {
        let waiting = self.lanes.get_mut(&lane.workspace);
        if self.count >= LANES_MAX || waiting.as_ref().is_some_and(|waiting| waiting.len() >= LANES_OF_ONE_MAX) {
            return false;
        }
        self.count += 1;
        match waiting {
            Some(waiting) => waiting.push_back(lane),
            None => {
                self.turns.push_back(lane.workspace.clone());
                self.lanes.insert(lane.workspace.clone(), [lane].into());
            }
        }
        true
    }

    /// Whether a workspace has its share and another one waits.
    pub fn must_wait(&self, workspace: &WorkspaceId, places: &Places) -> bool {
        let others = self.turns.len() - usize::from(self.lanes.contains_key(workspace));
        self.pool == Pool::Suspect && others > 0 && places.over_suspect_share(workspace)
    }

    /// The lane that gets the next place. No more workspaces are passed over than can have their share at once.
    pub fn pop(&mut self, places: &Places) -> Option<LaneId> {
        let turn = self.turns.iter().position(|workspace| !self.must_wait(workspace, places))?;
        let workspace = self.turns.remove(turn)?;
        let waiting = self.lanes.get_mut(&workspace)?;
        let lane = waiting.pop_front()?;
        self.count -= 1;
        if waiting.is_empty() {
            self.lanes.remove(&workspace);
        } else {
            self.turns.push_back(workspace);
        }
        Some(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(workspace: &str, index: u16) -> LaneId {
        LaneId::parse(&format!("{workspace}/ep_1.0.{index}")).unwrap()
    }

    fn ready(pool: Pool, waiting: &[(&str, u16)]) -> Ready {
        let mut ready = Ready::new(pool);
        for (workspace, lanes) in waiting {
            assert!((0..*lanes).all(|index| ready.push(lane(workspace, index))));
        }
        ready
    }

    /// Hands out all places that may be had, and answers with who got them.
    fn hand_out(ready: &mut Ready, places: &mut Places) -> Vec<String> {
        let mut got = Vec::new();
        while places.free(ready.pool) > 0 {
            let Some(lane) = ready.pop(places) else { break };
            assert!(places.take(ready.pool, &lane.workspace));
            got.push(lane.workspace.as_str().to_owned());
        }
        got
    }

    fn of(got: &[String], workspace: &str) -> usize {
        got.iter().filter(|name| *name == workspace).count()
    }

    /// Sixteen suspect places, of which a share is four.
    fn places() -> Places {
        Places::new(64, 100)
    }

    #[test]
    fn workspaces_take_turns_and_their_lanes_keep_their_order() {
        let mut ready = ready(Pool::Healthy, &[("a", 100), ("b", 2), ("c", 1)]);
        let next: Vec<_> = (0..6).map(|_| ready.pop(&places()).unwrap().to_string()).collect();
        let expected = ["a/ep_1.0.0", "b/ep_1.0.0", "c/ep_1.0.0", "a/ep_1.0.1", "b/ep_1.0.1", "a/ep_1.0.2"];
        assert_eq!(next, expected);
        assert_eq!(ready.len(), 97);
    }

    #[test]
    fn no_workspace_takes_more_than_a_quarter_of_the_suspect_places_while_others_wait() {
        let mut ready = ready(Pool::Suspect, &[("a", 1000), ("b", 1000), ("c", 2)]);
        let got = hand_out(&mut ready, &mut places());
        assert_eq!(["a", "b", "c"].map(|name| of(&got, name)), [4, 4, 2]);
    }

    #[test]
    fn who_comes_later_is_not_behind_a_thousand_lanes() {
        let (mut ready, mut places) = (ready(Pool::Suspect, &[("a", 1000)]), places());
        assert!(ready.push(lane("b", 0)));
        assert_eq!(of(&hand_out(&mut ready, &mut places), "b"), 1);
    }

    #[test]
    fn a_workspace_takes_all_suspect_places_when_nobody_else_waits() {
        let (mut ready, mut places) = (ready(Pool::Suspect, &[("a", 1000), ("b", 1)]), places());
        let got = hand_out(&mut ready, &mut places);
        assert_eq!((of(&got, "a"), of(&got, "b")), (15, 1));
        places.give(Pool::Suspect, &WorkspaceId::trusted("a"));
        assert!(ready.push(lane("b", 1)));
        assert_eq!(hand_out(&mut ready, &mut places), ["b"]);
    }

    #[test]
    fn there_are_no_shares_of_the_healthy_places() {
        let mut ready = ready(Pool::Healthy, &[("a", 1000), ("b", 1)]);
        assert_eq!(of(&hand_out(&mut ready, &mut places()), "a"), 47);
    }

    #[test]
    fn a_bounded_number_of_lanes_waits_and_no_workspace_is_all_of_them() {
        let mut ready = Ready::new(Pool::Healthy);
        let of = |workspace: &str| (0..=u16::MAX).map(|index| lane(workspace, index)).collect::<Vec<_>>();
        for workspace in ["a", "b", "c", "d", "e"] {
            let before = ready.len();
            let taken = of(workspace).into_iter().filter(|lane| ready.push(lane.clone())).count();
            assert_eq!(taken, if workspace == "e" { 0 } else { LANES_OF_ONE_MAX });
            assert_eq!(ready.len(), before + taken);
        }
        assert!(ready.pop(&places()).is_some() && ready.push(lane("e", 0)));
    }
}
