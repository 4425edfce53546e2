//! The demo's e-mail: written as `serve` writes it, shown on the terminal and in the console, and sent nowhere.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::account::Account;
use crate::decide::notice::Notice;
use crate::notify::mail::Writer;
use crate::notify::{Courier, Told};
use crate::operate::demo::Caught;

/// Letters that are kept to be looked at; older ones go.
const LETTERS_MAX: usize = 20;

/// Catches the letters. Clones see the same ones.
#[derive(Clone)]
pub struct Letters {
    writer: Writer,
    account: Arc<Account>,
    caught: Arc<Mutex<VecDeque<Caught>>>,
}

impl Letters {
    /// Letters by this writer, told on this account too.
    pub fn new(writer: Writer, account: Arc<Account>) -> Self {
        Self { writer, account, caught: Arc::default() }
    }

    /// Those that are kept, newest first.
    pub fn caught(&self) -> Vec<Caught> {
        let caught = self.caught.lock().unwrap_or_else(PoisonError::into_inner);
        caught.iter().rev().cloned().collect()
    }
}

#[async_trait]
impl Courier for Letters {
    async fn send(&self, notice: &Notice) -> Result<Told, String> {
        let Some((to, letter)) = self.writer.write(notice).await? else { return Ok(Told::Nobody) };
        let mut caught = self.caught.lock().unwrap_or_else(PoisonError::into_inner);
        let (subject, text) = (letter.subject.clone(), letter.text.clone());
        caught.push_back(Caught { id: notice.id.clone(), at_ms: notice.at_ms, to: to.clone(), subject, text });
        while caught.len() > LETTERS_MAX {
            caught.pop_front();
        }
        drop(caught);
        self.account.mail(to, letter);
        Ok(Told::Somebody)
    }
}
