//! Which event of a refused batch the store alone refuses (contract, section 2, `store_error`).
//!
//! Whoever is blamed is lost to its lane, and whoever goes in after a later one of its workspace has broken the order.
//! So two things must never happen: that a store in trouble has the queue emptied into `recadero.rejected`, and that a
//! later event is tried while an earlier one could still go in. Hence:
//!
//! - Blame takes a *witness*: another event that goes in right after the refusals. An event of another workspace, or an
//!   earlier one of the same, disturbs nobody's order; so the refused one is tried once more behind it, and blamed only
//!   when it is refused then too. A store that was in trouble for a while is not the event's fault.
//! - The batch is cut behind the blamed one, so that it is rejected and acknowledged before a later event is tried.
//! - Where only its own successors are left, as in an installation with one workspace, those have to be the witnesses.
//!   They are asked last, after several rounds with pauses. Before one is asked, the refused events are *barred*: from
//!   then on a successor may be in, whatever is answered, so they are not tried again, not even when the batch has to
//!   begin again or comes from RabbitMQ a second time.
//! - When the store goes away in the middle, nobody is blamed, and the batch begins again.
//!
//! A store in trouble that is well again just between an event's last refusal and its successor's turn costs that one
//! event its place. And a process that takes the queue over knows no bar: an event that was refused over and over, whose
//! successor went in but was not acknowledged yet, and which the store then takes after all, could follow it there.
//! Nothing else can.
//!
//! Rejected: a synthetic event as the witness. It has no lane, so it goes in where everything that has one is refused,
//! and the whole queue would follow the first event.

use std::collections::{BTreeMap, BTreeSet};

use super::{Batch, Content, Item, Routable, Routes};
use crate::decide::event::RejectReason;
use crate::decide::ids::{EventId, WorkspaceId};
use crate::store::lanes::{Intake, Lanes};
use crate::store::{Result, StoreError};

/// How many times an event alone is refused before a witness is looked for.
const REFUSALS_MAX: usize = 3;
/// In which round an event's own successors are asked. The pauses before it give others time to come.
const LAST_RESORT_ROUND: usize = 3;

/// Events that must not go in any more, since a later one of their workspace may be in; and why they were refused.
#[derive(Default)]
pub(in crate::consume) struct Barred(BTreeMap<(WorkspaceId, EventId), String>);

impl Barred {
    fn why(&self, routable: &Routable) -> Option<&String> {
        self.0.get(&key(routable))
    }
}

fn key(routable: &Routable) -> (WorkspaceId, EventId) {
    (routable.event.workspace.clone(), routable.event.id.clone())
}

/// The place of an event in the batch, and why the store refuses it.
type Suspect = (usize, String);

impl Batch {
    /// Whether an event of it is barred: then it must be narrowed down before anything of it is appended.
    pub(in crate::consume) fn holds(&self, barred: &Barred) -> bool {
        !barred.0.is_empty() && self.events().any(|(_, routable)| barred.why(routable).is_some())
    }

    /// After a refusal: finds by single calls the first event that the store alone refuses, makes poison of it, and
    /// cuts the batch behind it. Answers whether there was one to blame.
    pub(in crate::consume) async fn narrow(
        &mut self,
        lanes: &dyn Lanes,
        routes: &Routes<'_>,
        barred: &mut Barred,
    ) -> Result<bool> {
        self.singly = true;
        self.rounds += 1;
        let mut tries = Tries { lanes, routes, intake: None };
        let Some((first, detail)) = self.first_refused(&mut tries, barred).await? else { return Ok(false) };
        if self.bystander_goes_in(first, &mut tries, barred).await? {
            let again = match self.items[first].routable() {
                Some(routable) if barred.why(routable).is_none() => tries.once(routable).await?,
                _ => Some(detail),
            };
            let blamed = again.is_some();
            self.blame(again.map(|detail| (first, detail)));
            return Ok(blamed);
        }
        if self.rounds < LAST_RESORT_ROUND && !self.holds(barred) {
            return Ok(false);
        }
        let suspects = self.until_a_successor_goes_in((first, detail), &mut tries, barred).await?;
        let blamed = !suspects.is_empty();
        self.blame(suspects);
        Ok(blamed)
    }

    /// Goes through the events in their order, up to the first that is refused or barred; those before it are in.
    async fn first_refused(&self, tries: &mut Tries<'_>, barred: &Barred) -> Result<Option<Suspect>> {
        for (index, routable) in self.events() {
            let why = match barred.why(routable) {
                Some(why) => Some(why.clone()),
                None => tries.refusal(routable).await?,
            };
            if let Some(detail) = why {
                return Ok(Some((index, detail)));
            }
        }
        Ok(None)
    }

    /// Whether an event goes in whose place in its lanes has nothing to do with the refused one: the one before it, or
    /// the next of another workspace.
    async fn bystander_goes_in(&self, first: usize, tries: &mut Tries<'_>, barred: &Barred) -> Result<bool> {
        let before = self.events().take_while(|(index, _)| *index < first).last();
        let mut passed: BTreeSet<&WorkspaceId> =
            self.items[first].routable().map(|refused| &refused.event.workspace).into_iter().collect();
        let behind = self.events().skip_while(|(index, _)| *index <= first);
        let others = behind.filter(|(_, other)| passed.insert(&other.event.workspace) && barred.why(other).is_none());
        for (_, bystander) in before.into_iter().chain(others) {
            if tries.once(bystander).await?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tries what follows a refused event in its workspace, in order, until one goes in. Answers with the refused ones
    /// before that; with none when none goes in.
    async fn until_a_successor_goes_in(
        &self,
        first: Suspect,
        tries: &mut Tries<'_>,
        barred: &mut Barred,
    ) -> Result<Vec<Suspect>> {
        let Some(refused) = self.items[first.0].routable() else { return Ok(Vec::new()) };
        let was_barred = barred.why(refused).is_some();
        if !was_barred {
            barred.0.clear();
        }
        let workspace = &refused.event.workspace;
        let (index, detail) = first;
        barred.0.insert(key(refused), detail.clone());
        let mut suspects = vec![(index, detail)];
        let behind = self.events().skip_while(|(place, _)| *place <= index);
        for (index, successor) in behind.filter(|(_, other)| other.event.workspace == *workspace) {
            let detail = match barred.why(successor) {
                Some(detail) => detail.clone(),
                None => match tries.refusal(successor).await? {
                    Some(detail) => detail,
                    None => return Ok(suspects),
                },
            };
            barred.0.insert(key(successor), detail.clone());
            suspects.push((index, detail));
        }
        // All were refused, so none is in; unless one had been tried before without an answer.
        if !was_barred {
            barred.0.clear();
        }
        Ok(Vec::new())
    }

    /// Lifts the bar from what is acknowledged: should somebody publish it again, it is a new event.
    pub(in crate::consume) fn lift(&self, barred: &mut Barred) {
        if !barred.0.is_empty() {
            self.items.iter().filter_map(Item::event).for_each(|event| {
                barred.0.remove(&key(event));
            });
        }
    }

    /// Makes poison of suspects, and cuts the batch behind the first of them: what is before that is in.
    fn blame(&mut self, suspects: impl IntoIterator<Item = Suspect>) {
        let mut cut = self.items.len();
        for (index, detail) in suspects {
            if let Content::Event(routable) = &mut self.items[index].content {
                routable.blame = Some(RejectReason::StoreError.because(detail));
                cut = cut.min(index + 1);
            }
        }
        self.rest.splice(..0, self.items.drain(cut..));
    }

    fn events(&self) -> impl Iterator<Item = (usize, &Routable)> {
        self.items.iter().enumerate().filter_map(|(index, item)| Some((index, item.routable()?)))
    }
}

/// Single calls; a new intake after each refusal.
struct Tries<'a> {
    lanes: &'a dyn Lanes,
    routes: &'a Routes<'a>,
    intake: Option<Box<dyn Intake>>,
}

impl Tries<'_> {
    /// Why the store refuses an event; `None`: it is in.
    async fn once(&mut self, routable: &Routable) -> Result<Option<String>> {
        let intake = match self.intake.take() {
            Some(intake) => intake,
            None => self.lanes.intake().await?,
        };
        match self.routes.append(&*intake, &[routable], true).await {
            Ok(()) => {
                self.intake = Some(intake);
                Ok(None)
            }
            Err(StoreError::Refused(detail)) => Ok(Some(detail)),
            Err(error) => Err(error),
        }
    }

    /// Why the store refuses an event each of [`REFUSALS_MAX`] times; `None`: it is in.
    async fn refusal(&mut self, routable: &Routable) -> Result<Option<String>> {
        for _ in 1..REFUSALS_MAX {
            if self.once(routable).await?.is_none() {
                return Ok(None);
            }
        }
        self.once(routable).await
    }
}
