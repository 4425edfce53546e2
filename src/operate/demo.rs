//! What `recadero dev` brings to its console: receivers to break and mend, and the e-mail it would have sent.

use crate::decide::ids::{EndpointId, WorkspaceId};

/// A demo that the console belongs to. It asks nobody for a token: whoever it answers may do everything.
pub trait Demo: Send + Sync {
    /// An admin token.
    fn token(&self) -> &str;

    /// The workspace that it is about.
    fn workspace(&self) -> &WorkspaceId;

    /// Its receivers, in the order in which they are shown.
    fn receivers(&self) -> Vec<Receiver>;

    /// How a receiver can behave.
    fn behaviours(&self) -> Vec<&'static str>;

    /// Makes a receiver behave differently; `false` when there is no such receiver or behaviour.
    fn behave(&self, receiver: &str, behaviour: &str) -> bool;

    /// E-mail that was caught on its way out, newest first.
    fn letters(&self) -> Vec<Caught>;
}

/// A receiver of the demo.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// What it is called.
    pub name: &'static str,
    /// The endpoint that it is behind.
    pub endpoint: EndpointId,
    /// How it behaves now.
    pub behaviour: &'static str,
}

/// A letter that was caught on its way out.
#[derive(Clone, Debug)]
pub struct Caught {
    /// When what it tells of happened, Unix milliseconds.
    pub at_ms: u64,
    /// Who it was for.
    pub to: Vec<String>,
    /// Its notice's id.
    pub id: String,
    /// One line.
    pub subject: String,
    /// The text.
    pub text: String,
}
