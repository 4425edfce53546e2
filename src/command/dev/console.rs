//! What the console shows of the demo, and changes in it.

use super::letters::Letters;
use super::receivers::{Behaviour, Receivers};
use crate::config::Sensitive;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::operate::demo::{Caught, Demo, Receiver};

/// The demo, as its console knows it.
pub struct Stage {
    /// The demo's admin token.
    pub token: Sensitive,
    /// The demo's workspace.
    pub workspace: WorkspaceId,
    /// Its endpoints, and the receiver behind each.
    pub names: Vec<(EndpointId, &'static str)>,
    /// The receivers.
    pub receivers: Receivers,
    /// The letters.
    pub letters: Letters,
}

impl Demo for Stage {
    fn token(&self) -> &str {
        self.token.reveal()
    }

    fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    fn receivers(&self) -> Vec<Receiver> {
        let shown = |(endpoint, name): &(EndpointId, &'static str)| {
            let behaviour = self.receivers.behaviour(name)?.as_str();
            Some(Receiver { name, endpoint: endpoint.clone(), behaviour })
        };
        self.names.iter().filter_map(shown).collect()
    }

    fn behaviours(&self) -> Vec<&'static str> {
        Behaviour::ALL.map(Behaviour::as_str).to_vec()
    }

    fn behave(&self, receiver: &str, behaviour: &str) -> bool {
        Behaviour::parse(behaviour).is_some_and(|behaviour| self.receivers.set(receiver, behaviour))
    }

    fn letters(&self) -> Vec<Caught> {
        self.letters.caught()
    }
}
