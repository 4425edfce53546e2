//! How every key is spelled; nothing else spells one.
//!
//! A partition's keys carry its hash tag, `{p07}`, so that one script's keys are in one slot of a Redis Cluster.
//! Ids hold no `/`, so `workspace/endpoint` names an endpoint, and a lane's text is `workspace/endpoint.layout.index`.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use indexmap::{IndexMap, IndexSet};

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

/// Room for a key of usual length.
const KEY_BYTES: usize = 96;

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
    workspaces: IndexSet<WorkspaceId>,
    /// Each with its workspace's number.
    endpoints: IndexMap<(WorkspaceId, EndpointId), usize>,
    /// Each with its endpoint's number.
    lanes: IndexMap<LaneId, usize>,
}

impl Frame {
    /// With all keys of its things.
    pub fn new(keys: &Keys, partition: Partition) -> Self {
        Self::of(Scope::ALL, keys, partition)
    }

    /// With those of a scope, which is the script's.
    pub fn of(scope: Scope, keys: &Keys, partition: Partition) -> Self {
        let (workspaces, endpoints, lanes) = (IndexSet::new(), IndexMap::new(), IndexMap::new());
        Self { keys: keys.clone(), partition, scope, workspaces, endpoints, lanes }
    }

    pub fn workspace(&mut self, workspace: &WorkspaceId) -> usize {
        self.workspaces.insert_full(workspace.clone()).0 + 1
    }

    pub fn endpoint(&mut self, workspace: &WorkspaceId, endpoint: &EndpointId) -> usize {
        let owner = self.workspace(workspace);
        self.endpoints.insert_full((workspace.clone(), endpoint.clone()), owner).0 + 1
    }

    pub fn lane(&mut self, lane: &LaneId) -> usize {
        if let Some(index) = self.lanes.get_index_of(lane) {
            return index + 1;
        }
        let owner = self.endpoint(&lane.workspace, &lane.endpoint);
        self.lanes.insert_full(lane.clone(), owner).0 + 1
    }

    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The lane of an index that a script answered.
    pub fn lane_at(&self, index: usize) -> Option<&LaneId> {
        Some(self.lanes.get_index(index.checked_sub(1)?)?.0)
    }

    /// The endpoint of an index that a script answered.
    pub fn endpoint_at(&self, index: usize) -> Option<&(WorkspaceId, EndpointId)> {
        Some(self.endpoints.get_index(index.checked_sub(1)?)?.0)
    }

    /// The workspace of an index that a script answered.
    pub fn workspace_at(&self, index: usize) -> Option<&WorkspaceId> {
        self.workspaces.get_index(index.checked_sub(1)?)
    }

    /// `KEYS`.
    pub fn keys(&self) -> Vec<String> {
        let base = self.keys.of(self.partition, "");
        let spell = |name: &str, thing: fmt::Arguments<'_>| {
            let mut key = String::with_capacity(KEY_BYTES);
            write!(key, "{base}{name}:{thing}").expect("a text takes all text");
            key
        };
        let Scope { partition, workspace, endpoint } = self.scope;
        let mut keys = Vec::new();
        keys.extend(Scope::PARTITION.iter().take(partition).map(|name| [&base, *name].concat()));
        for thing in &self.workspaces {
            keys.extend(Scope::WORKSPACE.iter().take(workspace).map(|name| spell(name, format_args!("{thing}"))));
        }
        for (owner, thing) in self.endpoints.keys() {
            let names = Scope::ENDPOINT.iter().take(endpoint);
            keys.extend(names.map(|name| spell(name, format_args!("{owner}/{thing}"))));
        }
        for name in ["lane", "queue"] {
            keys.extend(self.lanes.keys().map(|lane| spell(name, format_args!("{lane}"))));
        }
        if self.scope == Scope::APPEND {
            keys.extend(self.keys.seen(self.partition));
        }
        keys
    }

    /// The argument that says how the things belong together; `KEYS` says what they are called.
    pub fn argument(&self) -> Bytes {
        let mut named = Packed::new();
        named.count(self.workspaces.len()).count(self.endpoints.len()).count(self.lanes.len());
        for workspace in self.endpoints.values() {
            named.count(*workspace);
        }
        for (lane, endpoint) in &self.lanes {
            named.count(*endpoint).u32(lane.layout);
        }
        named.into()
    }
}
