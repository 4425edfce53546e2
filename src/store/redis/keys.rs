//! How every key is spelled; nothing else spells one.
//!
//! A partition's keys carry its hash tag, `{p07}`, so that one script's keys are in one slot of a Redis Cluster.
//! Ids hold no `/`, so `workspace/endpoint` names an endpoint, and a lane's text is `workspace/endpoint.layout.index`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::packed::Packed;
use crate::decide::ids::{EndpointId, LaneId, Partition, WorkspaceId};
use crate::store::once::OnceName;

/// The first part of all keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Arc<str>,
}

/// The sets of ids seen, used as a ring; one more than the window's buckets, the present one among them, needs.
const SEEN_SETS: usize = 6;

impl Keys {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// A pattern that matches all of them.
    pub fn all(&self) -> String {
        format!("{}:*", self.prefix)
    }

    /// Schema version and number of partitions.
    pub fn meta(&self) -> String {
        format!("{}:meta", self.prefix)
    }

    /// Which life of the server has the data.
    pub fn life(&self) -> String {
        format!("{}:life", self.prefix)
    }

    /// Deliverers that are alive.
    pub fn members(&self) -> String {
        format!("{}:members", self.prefix)
    }

    /// The channel on which a deliverer is woken.
    pub fn wake(&self, member: &str) -> String {
        format!("{}:wake:{member}", self.prefix)
    }

    /// What an intake writes before it waits, so that there is something to wait for.
    pub fn fence(&self, partition: Partition) -> String {
        self.of(partition, "fence")
    }

    pub fn healthy(&self, partition: Partition) -> String {
        self.of(partition, "due:healthy")
    }

    pub fn suspect(&self, partition: Partition) -> String {
        self.of(partition, "due:suspect")
    }

    pub fn part(&self, partition: Partition) -> String {
        self.of(partition, "part")
    }

    pub fn outbox(&self, partition: Partition) -> String {
        self.of(partition, "outbox")
    }

    pub fn notices(&self, partition: Partition) -> String {
        self.of(partition, "notices")
    }

    pub fn releasing(&self, partition: Partition) -> String {
        self.of(partition, "releasing")
    }

    pub fn purging(&self, partition: Partition) -> String {
        self.of(partition, "purging")
    }

    /// Endpoints that are disabled, `workspace/endpoint`, by when that happened.
    pub fn disabled(&self, partition: Partition) -> String {
        self.of(partition, "disabled")
    }

    pub fn workspaces(&self, partition: Partition) -> String {
        self.of(partition, "workspaces")
    }

    pub fn workspace(&self, partition: Partition, workspace: &WorkspaceId) -> String {
        self.of(partition, &format!("ws:{workspace}"))
    }

    /// The configurations of a workspace's endpoints.
    pub fn endpoints(&self, partition: Partition, workspace: &WorkspaceId) -> String {
        self.of(partition, &format!("eps:{workspace}"))
    }

    pub fn endpoint(&self, partition: Partition, workspace: &WorkspaceId, endpoint: &EndpointId) -> String {
        self.of(partition, &format!("ep:{workspace}/{endpoint}"))
    }

    /// A text that is kept for a time.
    pub fn once(&self, partition: Partition, name: &OnceName) -> String {
        self.of(partition, &format!("once:{name}"))
    }

    pub fn seen(&self, partition: Partition) -> impl Iterator<Item = String> + '_ {
        (0..SEEN_SETS).map(move |set| self.of(partition, &format!("seen:{set}")))
    }

    fn of(&self, partition: Partition, name: &str) -> String {
        format!("{}:{{p{:02}}}:{name}", self.prefix, partition.0)
    }
}

/// How many keys a call names of its partition and of each workspace and endpoint, the first of [`Scope::PARTITION`],
/// [`Scope::WORKSPACE`] and [`Scope::ENDPOINT`]: each costs Redis about as much as a small command, and the hot path
/// needs few.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scope {
    pub partition: usize,
    pub workspace: usize,
    pub endpoint: usize,
}

impl Scope {
    const PARTITION: [&str; 11] = [
        "part",
        "due:healthy",
        "due:suspect",
        "bodies",
        "refs",
        "releasing",
        "outbox",
        "notices",
        "purging",
        "workspaces",
        "disabled",
    ];
    const WORKSPACE: [&str; 3] = ["ws", "eps", "fails"];
    const ENDPOINT: [&str; 8] = ["ep", "kept", "log", "stats", "dropped", "droppedix", "droppedat", "epfails"];

    /// All of them.
    pub const ALL: Self =
        Self { partition: Self::PARTITION.len(), workspace: Self::WORKSPACE.len(), endpoint: Self::ENDPOINT.len() };
    /// What an append needs.
    pub const APPEND: Self = Self { partition: 6, workspace: 1, endpoint: 1 };
    /// What a claim needs: the configuration too.
    pub const CLAIM: Self = Self { partition: 6, workspace: 2, endpoint: 1 };
    /// What a commit of deliveries needs: payloads kept, the log and the statistics too.
    pub const DELIVERED: Self = Self { partition: 6, workspace: 2, endpoint: 4 };
}

/// The things one call is about, in the order in which `lua/lib.lua` reads them: each once, numbered from 1.
#[derive(Debug)]
pub(super) struct Frame {
    keys: Keys,
    partition: Partition,
    scope: Scope,
    workspaces: Things<WorkspaceId>,
    endpoints: Things<(WorkspaceId, EndpointId)>,
    lanes: Things<LaneId>,
}

#[derive(Debug)]
struct Things<T> {
    list: Vec<T>,
    index: BTreeMap<T, usize>,
}

impl<T: Ord + Clone> Things<T> {
    fn new() -> Self {
        Self { list: Vec::new(), index: BTreeMap::new() }
    }

    fn add(&mut self, thing: &T) -> usize {
        if let Some(index) = self.index.get(thing) {
            return *index;
        }
        self.list.push(thing.clone());
        self.index.insert(thing.clone(), self.list.len());
        self.list.len()
    }
}

impl Frame {
    /// With all keys of its things.
    pub fn new(keys: &Keys, partition: Partition) -> Self {
        Self::of(Scope::ALL, keys, partition)
    }

    /// With those of a scope, which is the script's.
    pub fn of(scope: Scope, keys: &Keys, partition: Partition) -> Self {
        let keys = keys.clone();
        Self { keys, partition, scope, workspaces: Things::new(), endpoints: Things::new(), lanes: Things::new() }
    }

    pub fn workspace(&mut self, workspace: &WorkspaceId) -> usize {
        self.workspaces.add(workspace)
    }

    pub fn endpoint(&mut self, workspace: &WorkspaceId, endpoint: &EndpointId) -> usize {
        self.workspaces.add(workspace);
        self.endpoints.add(&(workspace.clone(), endpoint.clone()))
    }

    pub fn lane(&mut self, lane: &LaneId) -> usize {
        self.endpoint(&lane.workspace, &lane.endpoint);
        self.lanes.add(lane)
    }

    pub fn lanes(&self) -> usize {
        self.lanes.list.len()
    }

    /// The lane of an index that a script answered.
    pub fn lane_at(&self, index: usize) -> Option<&LaneId> {
        self.lanes.list.get(index.checked_sub(1)?)
    }

    /// The endpoint of an index that a script answered.
    pub fn endpoint_at(&self, index: usize) -> Option<&(WorkspaceId, EndpointId)> {
        self.endpoints.list.get(index.checked_sub(1)?)
    }

    /// The workspace of an index that a script answered.
    pub fn workspace_at(&self, index: usize) -> Option<&WorkspaceId> {
        self.workspaces.list.get(index.checked_sub(1)?)
    }

    /// `KEYS`.
    pub fn keys(&self) -> Vec<String> {
        let base = self.keys.of(self.partition, "");
        let spell = |name: &str, thing: &str| [&base, name, ":", thing].concat();
        let mut keys = Vec::new();
        keys.extend(Scope::PARTITION.iter().take(self.scope.partition).map(|name| [&base, *name].concat()));
        for workspace in &self.workspaces.list {
            let names = Scope::WORKSPACE.iter().take(self.scope.workspace);
            keys.extend(names.map(|name| spell(name, workspace.as_str())));
        }
        for (workspace, endpoint) in &self.endpoints.list {
            let endpoint = format!("{workspace}/{endpoint}");
            let names = Scope::ENDPOINT.iter().take(self.scope.endpoint);
            keys.extend(names.map(|name| spell(name, &endpoint)));
        }
        let lanes: Vec<String> = self.lanes.list.iter().map(ToString::to_string).collect();
        for name in ["lane", "queue"] {
            keys.extend(lanes.iter().map(|lane| spell(name, lane)));
        }
        if self.scope == Scope::APPEND {
            keys.extend(self.keys.seen(self.partition));
        }
        keys
    }

    /// The argument that says how the things belong together; `KEYS` says what they are called.
    pub fn argument(&self) -> Bytes {
        let mut named = Packed::new();
        named.count(self.workspaces.list.len()).count(self.endpoints.list.len()).count(self.lanes.list.len());
        for (workspace, _) in &self.endpoints.list {
            named.count(self.workspaces.index[workspace]);
        }
        for lane in &self.lanes.list {
            let endpoint = self.endpoints.index[&(lane.workspace.clone(), lane.endpoint.clone())];
            named.count(endpoint).u32(lane.layout);
        }
        named.into()
    }
}
