//! What an e-mail tells besides its notice, read from the store when it is sent: bounded, and never a secret.
//!
//! The notice itself holds little on purpose: it is written inside the hot path's script. The log and the quota know the
//! rest for as long as a person would ask.

use crate::decide::attempt::{Outcome, Reason};
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::decide::notice::{DisableReason, Notice};
use crate::decide::policy::Policy;
use crate::store::records::{Attempt, Endpoint, PAGE_ROWS_MAX, Workspace};
use crate::store::{Result, Store};

/// Most pages of the attempts log that one e-mail reads.
const PAGES_MAX: usize = 4;

/// Most ways to fail that one e-mail tells.
const CAUSES_MAX: usize = 5;

/// Most other endpoints that one e-mail names.
const OTHERS_MAX: usize = 5;

/// What is known of a notice's endpoint and workspace now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The workspace, if it was ever set.
    pub workspace: Option<Workspace>,
    /// The endpoint, unless it was deleted meanwhile.
    pub endpoint: Option<Endpoint>,
    /// What went wrong in the window before the notice, the most frequent first.
    pub causes: Vec<(Cause, u32)>,
    /// The last failure before the notice.
    pub last: Option<Attempt>,
    /// Where it is about the quota: other endpoints with failures that count, the most first.
    pub others: Vec<(EndpointId, u32)>,
}

/// One way to fail.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cause {
    /// The contract's reason.
    pub reason: Reason,
    /// The status, where that was the reason.
    pub status: Option<u16>,
}

impl Cause {
    /// Why an attempt failed; `None` for one that did not.
    pub fn of(attempt: &Attempt) -> Option<Self> {
        match attempt.row.outcome {
            Outcome::Failed(reason) => Some(Self { reason, status: attempt.row.status }),
            Outcome::Delivered => None,
        }
    }
}

/// Reads what there is to tell.
///
/// # Errors
///
/// The store's.
pub async fn read(store: &dyn Store, policy: &Policy, notice: &Notice) -> Result<Facts> {
    let (workspace, endpoint) = (&notice.workspace, &notice.endpoint);
    let failures = failures(store, policy, workspace, endpoint, notice.at_ms).await?;
    Ok(Facts {
        workspace: store.workspace(workspace).await?,
        endpoint: store.endpoint(workspace, endpoint).await?,
        causes: count(&failures),
        last: failures.into_iter().next(),
        others: match notice.reason == DisableReason::Quota.as_str() {
            true => others(store, workspace, endpoint).await?,
            false => Vec::new(),
        },
    })
}

/// What went wrong at an endpoint in the window that ended at a time, Unix milliseconds; the most frequent first.
///
/// # Errors
///
/// The store's.
pub async fn causes(
    store: &dyn Store,
    policy: &Policy,
    workspace: &WorkspaceId,
    endpoint: &EndpointId,
    at_ms: u64,
) -> Result<Vec<(Cause, u32)>> {
    Ok(count(&failures(store, policy, workspace, endpoint, at_ms).await?))
}

/// Failures of the endpoint in the window that ended at a time, newest first.
async fn failures(
    store: &dyn Store,
    policy: &Policy,
    workspace: &WorkspaceId,
    endpoint: &EndpointId,
    at_ms: u64,
) -> Result<Vec<Attempt>> {
    let window_ms = u64::try_from(policy.quota.window.as_millis()).unwrap_or(u64::MAX);
    let since_ms = at_ms.saturating_sub(window_ms);
    let (mut failures, mut before) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let page = store.attempts(workspace, endpoint, before, PAGE_ROWS_MAX).await?;
        let (Some(last), full) = (page.last(), page.len() == PAGE_ROWS_MAX) else { break };
        let more = full && last.at_ms > since_ms;
        before = Some(last.number);
        let told = |row: &Attempt| row.at_ms > since_ms && row.at_ms <= at_ms && Cause::of(row).is_some();
        failures.extend(page.into_iter().filter(told));
        if !more {
            break;
        }
    }
    Ok(failures)
}

fn count(failures: &[Attempt]) -> Vec<(Cause, u32)> {
    let mut counts: Vec<(Cause, u32)> = Vec::new();
    for cause in failures.iter().filter_map(Cause::of) {
        match counts.iter_mut().find(|(counted, _)| *counted == cause) {
            Some((_, count)) => *count += 1,
            None => counts.push((cause, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(CAUSES_MAX);
    counts
}

async fn others(store: &dyn Store, workspace: &WorkspaceId, but: &EndpointId) -> Result<Vec<(EndpointId, u32)>> {
    let mut others = store.quota(workspace).await?.by_endpoint;
    others.retain(|(endpoint, _)| endpoint != but);
    others.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    others.truncate(OTHERS_MAX);
    Ok(others)
}
