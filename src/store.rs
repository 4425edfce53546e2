//! What Recadero remembers, behind one seam with two implementations.
//!
//! [`memory`] is the reference: dev mode, the simulation, and the model that [`redis`] is held against, operation
//! by operation, in the tests. Each operation below is atomic, and each is safe to repeat when its reply was
//! lost. What it means is written down here, once; an implementation's own docs say only how.
//!
//! The seam is four traits, by who uses them: [`Lanes`] (intake and delivery, the hot path), [`Outbox`]
//! (notices), [`Records`] (what people set and look at) and [`Once`] (what counts only once). Time is the store's own; no operation takes one, so
//! replicas with wrong clocks cannot disagree. A caller says at most how long *ago* a thing ended.
//!
//! # A lane's life
//!
//! ```text
//!            append                    claim                      commit: delivered, more waits, turn not over
//!   idle ───────────────▶ ready ───────────────▶ leased ──────┐◀──┘
//!    ▲                      ▲ ▲                   │ │ │ │     │
//!    │                      │ └── turn over ──────┘ │ │ └─────┼── delivered or dropped, nothing waits ──▶ idle
//!    │                      │                       │ │       │
//!    └──────────────────────┼── release ── held ◀───┼─┘ the endpoint is disabled, or the workspace has no plan
//!                           │                       ▼
//!                     retry time came ◀────────── waiting (a failed attempt)
//! ```
//!
//! A lane holds its *current* event apart from its *queue*: the current one is being tried or has recorded
//! attempts, and no limit ever removes it. A lane that is `ready`, `leased` or `waiting` stands in one of the
//! partition's two `due` sets, healthy or suspect, at the time when something should happen to it: now, the
//! lease's end, the retry. A crashed worker's lane comes back by itself when its lease ends. A lane that loses its
//! last event leaves `due`.
//!
//! # Order and time
//!
//! What is said to be *over* or *too old* after a span is so from its last millisecond on: at `begin + span <= now`.
//! Answers are in the order that their operation states; ties, and lanes said to have become ready, are in none.

pub mod lanes;
pub mod memory;
pub mod once;
pub mod outbox;
pub mod overview;
pub mod records;
pub mod redis;
pub mod retrying;

pub use lanes::Lanes;
pub use once::Once;
pub use outbox::Outbox;
pub use records::Records;

/// All of the store.
pub trait Store: Lanes + Outbox + Records + Once {}

impl<S: Lanes + Outbox + Records + Once> Store for S {}

/// Why an operation was not done, or may not have been. After any of these its effect is unknown; repeat it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be asked now: no connection, no reply, loading, read-only, fail-over.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// The store has no room for anything that adds to it. What drains it still works.
    #[error("the store is full: {0}")]
    Full(String),
    /// The store takes what adds to it, but does not get it where it has to be (contract, section 1, `RECADERO_DURABILITY`).
    #[error("the store does not keep what it is given as it has to be kept: {0}")]
    NotDurable(String),
    /// The store refuses this very operation and would refuse it again: a key of the wrong type, a script error.
    #[error("the store refuses the operation: {0}")]
    Refused(String),
}

impl StoreError {
    /// The label of `recadero_intake_stopped` (contract, section 6).
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Full(_) => "store_full",
            Self::Unavailable(_) => "store_unavailable",
            Self::Refused(_) => "store_refuses",
            Self::NotDurable(_) => "durability",
        }
    }

    /// The labels there are.
    pub const REASONS: [&str; 4] = ["store_full", "store_unavailable", "store_refuses", "durability"];
}

/// What an operation answers.
pub type Result<T> = std::result::Result<T, StoreError>;
