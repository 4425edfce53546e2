//! What the server must be set to: asked when the store is opened, and again by every intake, at its beginning and now
//! and then, since a server that was restarted or promoted meanwhile, or that somebody repairs, may be set otherwise. A
//! Cluster is asked for each of its primaries.

use std::collections::BTreeSet;

use redis::{Cmd, Value};

use super::connect::{Call, Link};
use super::failures::{failure, is_not_to_be_asked};
use super::reply::{bytes, list, number, text};
use super::scripts;
use crate::store::{Result, StoreError};

/// A setting's values on all primaries; `None` where one does not let it be read, as many managed ones do.
pub(super) async fn setting(link: &mut Link, name: &str) -> Result<Option<BTreeSet<String>>> {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg(name);
    let Some(answers) = ask(link, command).await? else { return Ok(None) };
    let value = |answer| list(answer)?.into_iter().nth(1).map(text).transpose();
    answers.into_iter().map(value).collect()
}

/// What all primaries say of their memory; `None` where one does not let itself be asked.
pub(super) async fn memory(link: &mut Link) -> Result<Option<Vec<Info>>> {
    let mut command = redis::cmd("INFO");
    command.arg("memory");
    let Some(answers) = ask(link, command).await? else { return Ok(None) };
    answers.into_iter().map(info).collect::<Result<_>>().map(Some)
}

/// What the primary of this key says of its memory; `None` where it does not let itself be asked.
pub(super) async fn memory_at(link: &mut Link, key: &str) -> Result<Option<Info>> {
    let mut command = redis::cmd("INFO");
    command.arg("memory");
    match link.send_to(key, command).await {
        Ok(answer) => info(answer).map(Some),
        Err(error) if is_not_to_be_asked(&error) => Ok(None),
        Err(error) => Err(failure(error)),
    }
}

/// Refuses servers that delete events when they are full.
pub(super) async fn check_eviction(link: &mut Link) -> Result<()> {
    let shown = memory(link).await?.unwrap_or_default();
    let mut policies: BTreeSet<String> =
        shown.iter().filter_map(|info| info.line("maxmemory_policy")).map(str::to_owned).collect();
    if policies.is_empty() {
        policies = setting(link, "maxmemory-policy").await?.unwrap_or_default();
    }
    match policies.iter().find(|policy| *policy != "noeviction") {
        Some(policy) => Err(StoreError::Refused(format!(
            "maxmemory-policy is {policy}, which deletes events; set it to noeviction"
        ))),
        None if policies.is_empty() => Err(StoreError::Refused(
            "maxmemory-policy must be noeviction, and the server shows it neither by INFO nor by CONFIG GET; allow one"
                .to_owned(),
        )),
        None => Ok(()),
    }
}

/// Whether all primaries have fsynced a write before they answer it; `false` where that is not to be known.
pub(super) async fn syncs_always(link: &mut Link) -> Result<bool> {
    let only = |values: Option<BTreeSet<String>>, wanted: &str| {
        values.is_some_and(|values| values.iter().all(|it| it == wanted))
    };
    Ok(only(setting(link, "appendonly").await?, "yes") && only(setting(link, "appendfsync").await?, "always"))
}

/// Whether all primaries know a command; `false` where that is not to be known.
pub(super) async fn knows(link: &mut Link, command: &str) -> Result<bool> {
    let mut ask_for = redis::cmd("COMMAND");
    ask_for.arg("INFO").arg(command);
    let answers = ask(link, ask_for).await?.unwrap_or_default();
    let known =
        |answer: &Value| matches!(answer, Value::Array(found) if found.first().is_some_and(|it| *it != Value::Nil));
    Ok(!answers.is_empty() && answers.iter().all(known))
}

/// Has a server write its log of writes (AOF) anew if it got the data from one, once in its life.
///
/// Where a power failure or a SIGKILL tore that log in the middle of a script, Redis leaves the half out at its start and yet
/// goes on writing behind it; at the start after that, it applies the half. A log written anew has no such place. The
/// note of the server's life is itself a script that closes the open one: a log that ends in it may not be followed by a
/// second file. A Cluster's nodes are left to whoever starts them (docs/operating.md).
pub(super) async fn renew_log(link: &mut Link, note: String) -> Result<()> {
    if !link.is_one_server() {
        return Ok(());
    }
    let Some(answers) = ask(link, redis::cmd("INFO")).await? else { return Ok(()) };
    let Some(server) = answers.into_iter().next().map(info).transpose()? else { return Ok(()) };
    let Some(life) = server.line("run_id").map(str::to_owned) else { return Ok(()) };
    let call = Call { script: &scripts::LIFE, keys: vec![note.clone()], arguments: vec![life.clone().into()] };
    if number(call.on(link).await?)? == 0 {
        return Ok(());
    }
    if server.figure("aof_enabled") == 1 && ask(link, redis::cmd("BGREWRITEAOF")).await?.is_some() {
        tracing::info!("Redis was started on its log; it writes it anew now, should a crash have torn the end");
    }
    let mut noted = redis::cmd("SET");
    noted.arg(note).arg(life);
    link.send(&noted).await.map_err(failure).map(drop)
}

/// The answers of all primaries; `None` where one does not let itself be asked.
async fn ask(link: &mut Link, command: Cmd) -> Result<Option<Vec<Value>>> {
    match link.send_everywhere(command).await {
        Ok(answers) => Ok(Some(answers)),
        Err(error) if is_not_to_be_asked(&error) => Ok(None),
        Err(error) => Err(failure(error)),
    }
}

fn info(answer: Value) -> Result<Info> {
    Ok(Info(String::from_utf8_lossy(&bytes(answer)?).into_owned()))
}

/// What `INFO` answers.
pub(super) struct Info(String);

impl Info {
    fn line(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// How much memory is in use, and its limit; 0 without one.
    pub fn fill(&self) -> (u64, u64) {
        (self.figure("used_memory"), self.figure("maxmemory"))
    }

    fn figure(&self, name: &str) -> u64 {
        self.line(name).and_then(|figure| figure.parse().ok()).unwrap_or(0)
    }
}
