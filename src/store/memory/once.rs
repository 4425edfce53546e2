//! Texts that are kept for a time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::state::ms;
use crate::store::once::OnceName;

/// Texts by their names, each with the millisecond at which its span is over.
#[derive(Default)]
pub(super) struct Texts(BTreeMap<OnceName, (u64, String)>);

impl Texts {
    pub fn keep(&mut self, name: &OnceName, text: &str, span: Duration, now_ms: u64) -> Option<String> {
        self.0.retain(|_, (until_ms, _)| now_ms < *until_ms);
        if let Some((_, kept)) = self.0.get(name) {
            return Some(kept.clone());
        }
        self.0.insert(name.clone(), (now_ms.saturating_add(ms(span)), text.to_owned()));
        None
    }

    pub fn take(&mut self, name: &OnceName, now_ms: u64) -> Option<String> {
        let (until_ms, text) = self.0.remove(name)?;
        (now_ms < until_ms).then_some(text)
    }
}
