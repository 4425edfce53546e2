//! Notices as e-mail to a workspace's people (contract, section 4), by SMTP.
//!
//! Written when it is sent, not when the notice is recorded: a server that was away for an hour is told what is true
//! then. What never changes is what identifies it: the `Message-ID` and the `Date` are the notice's, so that a repeat is
//! known for one.

mod facts;
mod letter;
mod message;
mod relay;
mod words;

use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

pub use facts::{Cause, causes};
pub use letter::Letter;
pub use message::Sender;
pub use relay::{NotARelay, Relay};
pub use words::Locale;

use super::{Courier, Told};
use crate::decide::notice::Notice;
use crate::decide::policy::Policy;
use crate::store::Store;

/// Writes notices for people.
#[derive(Clone)]
pub struct Writer {
    /// Where the facts are.
    pub store: Arc<dyn Store>,
    /// The rules that the letter explains.
    pub policy: Arc<Policy>,
    /// Base of links, if there is one.
    pub public_url: Option<Url>,
}

impl Writer {
    /// A notice in words, and the addresses of those who want to know; `None` when nobody does.
    ///
    /// # Errors
    ///
    /// One line, when the store does not answer.
    pub async fn write(&self, notice: &Notice) -> Result<Option<(Vec<String>, Letter)>, String> {
        let facts = facts::read(&*self.store, &self.policy, notice).await.map_err(|error| error.to_string())?;
        let to = facts.workspace.as_ref().map(|workspace| workspace.notify.clone()).unwrap_or_default();
        if to.is_empty() {
            return Ok(None);
        }
        Ok(Some((to, Letter::of(notice, &facts, &self.policy, self.public_url.as_ref()))))
    }
}

/// Sends notices by SMTP.
pub struct Mailer {
    /// Who writes them.
    pub writer: Writer,
    /// Who takes them on.
    pub relay: Relay,
    /// Whom they are from.
    pub from: Sender,
}

#[async_trait]
impl Courier for Mailer {
    async fn send(&self, notice: &Notice) -> Result<Told, String> {
        let Some((to, letter)) = self.writer.write(notice).await? else { return Ok(Told::Nobody) };
        let to: Vec<_> = to.iter().filter_map(|address| message::address(address)).collect();
        let write = |to: &[_]| message::write(notice, &self.from, to, &letter);
        let refused = self.relay.hand_over(self.from.address(), &to, write).await?;
        for detail in refused {
            tracing::warn!(notice = notice.id, workspace = %notice.workspace, detail, "a recipient was refused; the others have it");
        }
        Ok(Told::Somebody)
    }
}

/// A text as one line of at most so many characters, without what could begin another header, colour a terminal or turn
/// the reading direction round.
fn one_line(text: &str, chars_max: usize) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let clean: String = text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect();
    let mut line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(chars_max) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(one_line("a\r\nBcc: b@c.example\t \u{1b}[31m \u{202e}d", 100), "a Bcc: b@c.example [31m d");
        assert_eq!(one_line("ééé", 2), "éé…");
        assert_eq!(one_line("ééé", 3), "ééé");
    }
}
