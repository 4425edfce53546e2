//! Names of things: workspaces, endpoints, events, lanes, partitions.
//!
//! Each is a newtype, so that one cannot be passed for another. They are checked where they enter the
//! service ([`WorkspaceId::parse`], [`EventId::parse`]) and trusted afterwards.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest workspace or event id, in bytes (contract, section 2).
pub const ID_BYTES_MAX: usize = 128;

/// What [`WorkspaceId::parse`] and [`EventType::parse`] accept, as documents write it.
pub const NAME_PATTERN: &str = "^[A-Za-z0-9._-]{1,128}$";

/// What [`EventId::parse`] accepts, as documents write it.
pub const EVENT_ID_PATTERN: &str = "^[!-\\-/-~]{1,128}$";

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name that was checked before (it comes from the store or was made here).
            pub fn trusted(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
    };
}

text_id! {
    /// A customer's workspace: 1 to 128 of `A-Z a-z 0-9 . _ -` (contract, section 2).
    WorkspaceId
}
text_id! {
    /// A webhook of a workspace: `ep_` and letters and digits, made by Recadero.
    EndpointId
}
text_id! {
    /// An event's id: 1 to 128 visible ASCII characters other than `.` (contract, section 2).
    EventId
}
text_id! {
    /// What happened, for example `message.sent`: 1 to 128 of `A-Z a-z 0-9 . _ -`.
    EventType
}

impl WorkspaceId {
    /// Checks the characters and the length; `None` when they are not allowed.
    pub fn parse(text: &str) -> Option<Self> {
        is_name(text).then(|| Self(text.into()))
    }
}

impl EventType {
    /// Checks the characters and the length; `None` when they are not allowed.
    pub fn parse(text: &str) -> Option<Self> {
        is_name(text).then(|| Self(text.into()))
    }
}

impl EventId {
    /// Checks the characters and the length; `None` when they are not allowed.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=ID_BYTES_MAX).contains(&text.len());
        let clean = text.bytes().all(|b| b.is_ascii_graphic() && b != b'.');
        (fits && clean).then(|| Self(text.into()))
    }
}

fn is_name(text: &str) -> bool {
    let fits = (1..=ID_BYTES_MAX).contains(&text.len());
    fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// One of the `RECADERO_PARTITIONS` parts of all keys; a workspace lives in exactly one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Partition(pub u16);

impl Partition {
    /// The partition of a workspace: a frozen hash ([`fnv1a`]), so that every release and every replica agrees.
    pub fn of(workspace: &WorkspaceId, partitions: u16) -> Self {
        let spread = fnv1a(workspace.as_str().as_bytes()) % u64::from(partitions);
        Self(u16::try_from(spread).expect("a remainder of a u16 fits one"))
    }
}

/// One ordered sequence of events on their way to an endpoint.
///
/// It carries its workspace, because the quota, the plan and the partition are the workspace's.
///
/// `layout` numbers the endpoint's settings of `lanes` from 1: a change of `lanes` opens a new layout, whose
/// lanes wait until those of the older one are empty, so that a contact's events keep their order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LaneId {
    /// Whose endpoint it is.
    pub workspace: WorkspaceId,
    /// Where the lane's events go.
    pub endpoint: EndpointId,
    /// Which setting of `lanes` the lane belongs to.
    pub layout: u32,
    /// 0 to `lanes` − 1.
    pub index: u16,
}

impl LaneId {
    /// Reads the form that `Display` writes, `workspace/ep_….layout.index`.
    pub fn parse(text: &str) -> Option<Self> {
        let (workspace, lane) = text.split_once('/')?;
        let mut parts = lane.rsplitn(3, '.');
        let index = parts.next()?.parse().ok()?;
        let layout = parts.next()?.parse().ok()?;
        let endpoint = EndpointId::trusted(parts.next()?);
        Some(Self { workspace: WorkspaceId::trusted(workspace), endpoint, layout, index })
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}.{}", self.workspace, self.endpoint, self.layout, self.index)
    }
}

/// A contact's place among an endpoint's lanes: the 64-bit hash of the contact's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ContactHash(pub u64);

impl ContactHash {
    /// Hashes a contact's id (its decimal string when it was a number).
    pub fn of(contact: &str) -> Self {
        Self(fnv1a(contact.as_bytes()))
    }
}

/// FNV-1a, 64 bits, with a final mix: short, seedless and frozen. Stored data depends on it; it never changes.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // FNV's low bits are weak for short keys; the finaliser of SplitMix64 spreads them before a modulo.
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
