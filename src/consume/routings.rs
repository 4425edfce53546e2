//! The routing of workspaces, as it was last seen.
//!
//! Nothing here has to be right: the store checks the version of every event's routing and answers with the present
//! one. So there is no invalidation, only a bound: two generations, the older of which is forgotten when the younger
//! is full. Rejected: a true least-recently-used list, which costs a link per entry and decides nothing better.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::decide::ids::WorkspaceId;
use crate::decide::route::Routing;

/// How many workspaces one of the two generations holds.
pub(super) const GENERATION_MAX: usize = 8192;

/// A bounded memory of routings.
#[derive(Default)]
pub(super) struct Routings(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<WorkspaceId, Arc<Routing>>,
    old: HashMap<WorkspaceId, Arc<Routing>>,
}

impl Routings {
    /// What was last seen; version 0 when nothing was, which the store never takes for the present one.
    pub(super) fn get(&self, workspace: &WorkspaceId) -> Arc<Routing> {
        let mut generations = self.lock();
        if let Some(routing) = generations.young.get(workspace) {
            return Arc::clone(routing);
        }
        match generations.old.remove(workspace) {
            Some(routing) => {
                generations.insert(workspace.clone(), Arc::clone(&routing));
                routing
            }
            None => Arc::default(),
        }
    }

    /// Remembers what the store answered.
    pub(super) fn put(&self, workspace: WorkspaceId, routing: Routing) {
        self.lock().insert(workspace, Arc::new(routing));
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

impl Generations {
    fn insert(&mut self, workspace: WorkspaceId, routing: Arc<Routing>) {
        if self.young.len() >= GENERATION_MAX && !self.young.contains_key(&workspace) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(workspace, routing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_keeps_what_is_in_use() {
        let routings = Routings::default();
        let named = |n: usize| WorkspaceId::trusted(format!("w{n}"));
        let busy = WorkspaceId::trusted("busy");
        routings.put(busy.clone(), Routing { version: 9, ..Routing::default() });
        for n in 0..GENERATION_MAX * 5 {
            routings.put(named(n), Routing { version: 1, ..Routing::default() });
            assert_eq!(routings.get(&busy).version, 9);
        }
        let generations = routings.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_MAX);
        drop(generations);
        assert_eq!(routings.get(&named(0)).version, 0, "forgotten: the store will say");
    }
}
