//! The hot path of deliverers: due, claim, commit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::RedisStore;
use super::connect::Call;
use super::keys::{Frame, Scope};
use super::packed::Packed;
use super::reply::{bytes, damaged, exactly, list, number, small, strange, text};
use super::{entry, scripts};
use crate::decide::attempt::Outcome;
use crate::decide::ids::{LaneId, Partition};
use crate::decide::retry::Next;
use crate::store::Result;
use crate::store::lanes::{After, Claim, Commit, Committed, Due, Lease, Pool, Token, Want};
use crate::store::records::{Config, DURATION_BUCKETS_MS};

/// Lanes that one call claims or commits at most; a larger group takes several.
const LANES_PER_CALL: usize = 128;

impl RedisStore {
    pub(super) async fn due_lanes(&self, partition: Partition, pool: Pool, limit: usize) -> Result<Vec<Due>> {
        let key = match pool {
            Pool::Healthy => self.keys.healthy(partition),
            Pool::Suspect => self.keys.suspect(partition),
        };
        let arguments = vec![self.now(), limit.to_string().into()];
        let call = Call { script: &scripts::DUE, keys: vec![key], arguments };
        let mut found = list(self.run("due", &call).await?)?;
        let now_ms = found.pop().map_or(Ok(0), number)?;
        let mut due = Vec::with_capacity(found.len() / 2);
        let mut found = found.into_iter();
        while let (Some(lane), Some(score)) = (found.next(), found.next()) {
            let lane = LaneId::parse(&text(lane)?).ok_or_else(|| damaged("a lane's name"))?;
            due.push(Due { lane, late_ms: now_ms.saturating_sub(number(score)?) });
        }
        Ok(due)
    }

    pub(super) async fn claim_lanes(&self, partition: Partition, wants: &[Want]) -> Result<Vec<Claim>> {
        let mut claims = Vec::with_capacity(wants.len());
        for wants in groups(wants, |want| &want.lane) {
            let mut frame = Frame::of(Scope::CLAIM, &self.keys, partition);
            wants.iter().for_each(|want| {
                frame.lane(&want.lane);
            });
            let mut call = self.call(&scripts::CLAIM, &frame);
            for want in wants {
                call.arg(want.token.to_string()).arg(version(want.config.as_ref()));
            }
            let answers = list(self.run("claim", &call).await?)?;
            for (want, answer) in wants.iter().zip(answers) {
                claims.push(claimed(want, list(answer)?)?);
            }
        }
        Ok(claims)
    }

    pub(super) async fn commit_attempts(&self, partition: Partition, commits: &[Commit]) -> Result<Vec<Committed>> {
        let mut committed = Vec::with_capacity(commits.len());
        for commits in groups(commits, |commit| &commit.lane) {
            let delivered = commits.iter().all(|commit| commit.outcome == Outcome::Delivered);
            let (scope, script) = match delivered {
                true => (Scope::DELIVERED, &scripts::COMMIT_DELIVERED),
                false => (Scope::ALL, &scripts::COMMIT),
            };
            let mut frame = Frame::of(scope, &self.keys, partition);
            commits.iter().for_each(|commit| {
                frame.lane(&commit.lane);
            });
            let mut call = self.call(script, &frame);
            commits.iter().for_each(|commit| arguments(&mut call, commit));
            let [answers, releasing] = exactly(self.run("commit", &call).await?)?;
            self.release_found(partition, &frame, releasing).await?;
            for (commit, answer) in commits.iter().zip(list(answers)?) {
                committed.push(outcome(commit, list(answer)?)?);
            }
        }
        Ok(committed)
    }

    pub(super) async fn give_lane_back(&self, partition: Partition, lane: &LaneId, token: Token) -> Result<()> {
        let mut frame = Frame::new(&self.keys, partition);
        frame.lane(lane);
        let mut call = self.call(&scripts::GIVE_BACK, &frame);
        call.arg(token.to_string());
        self.run("give_back", &call).await.map(drop)
    }
}

/// Groups that one call can take: bounded, and each lane at most once, so that a lane's things happen in turn.
fn groups<T>(items: &[T], lane: impl Fn(&T) -> &LaneId) -> Vec<&[T]> {
    let mut groups = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let mut met = std::collections::BTreeSet::new();
        let fresh = rest.iter().take(LANES_PER_CALL).take_while(|item| met.insert(lane(item))).count();
        let (group, others) = rest.split_at(fresh);
        groups.push(group);
        rest = others;
    }
    groups
}

fn version(config: Option<&Arc<Config>>) -> Bytes {
    config.map_or(0, |config| config.version).to_string().into()
}

fn arguments(call: &mut Call, commit: &Commit) {
    let (gives_up, delay) = match commit.next {
        Next::RetryAfter(delay) => (false, delay),
        Next::Drop => (true, Duration::ZERO),
    };
    let duration_ms = commit.row.duration_ms;
    let bucket = DURATION_BUCKETS_MS.iter().take_while(|bound_ms| duration_ms > **bound_ms).count();
    let mut packed = Packed::new();
    packed
        .chars(&commit.token.to_string())
        .u64(commit.seq)
        .u32(commit.round)
        .u32(commit.attempt)
        .u64(commit.generation)
        .flag(commit.outcome == Outcome::Delivered)
        .flag(gives_up)
        .ms(delay)
        .ms(commit.ended_ago)
        .count(bucket)
        .flag(commit.more)
        .text(&commit.config.version.to_string());
    call.arg(packed).arg(serde_json::to_vec(&*commit.row).expect("a row is plain data"));
}

/// Bytes of a call that commits, without the policy; benches alone build one for nothing.
#[cfg(feature = "testing")]
pub fn commit_bytes(partition: Partition, commits: &[Commit]) -> usize {
    let mut frame = Frame::of(Scope::DELIVERED, &super::keys::Keys::new("recadero"), partition);
    commits.iter().for_each(|commit| {
        frame.lane(&commit.lane);
    });
    let mut call = Call { script: &scripts::COMMIT_DELIVERED, keys: frame.keys(), arguments: vec![frame.argument()] };
    commits.iter().for_each(|commit| arguments(&mut call, commit));
    call.keys.iter().map(String::len).sum::<usize>() + call.arguments.iter().map(Bytes::len).sum::<usize>()
}

/// A yes or a no, as scripts read it.
pub(super) fn flag(yes: bool) -> &'static str {
    if yes { "1" } else { "0" }
}

fn claimed(want: &Want, answer: Vec<Value>) -> Result<Claim> {
    let mut words = answer.into_iter();
    match text(words.next().unwrap_or_default())?.as_str() {
        "leased" => Ok(Claim::Leased(Box::new(lease(&want.lane, want.token, want.config.as_ref(), words.collect())?))),
        "held" => Ok(Claim::Held),
        "taken" => Ok(Claim::Taken),
        _ => Err(damaged("an answer")),
    }
}

fn outcome(commit: &Commit, answer: Vec<Value>) -> Result<Committed> {
    let mut words = answer.into_iter();
    let what = text(words.next().unwrap_or_default())?;
    let disabled = number(words.next().unwrap_or_default())? == 1;
    let dropped = number(words.next().unwrap_or_default())? == 1;
    let after = match what.as_str() {
        "next" => After::Next(Box::new(lease(&commit.lane, commit.token, Some(&commit.config), words.collect())?)),
        "idle" => After::Idle,
        "ready" => After::Ready,
        "waiting" => After::Waiting { at_ms: number(words.next().unwrap_or_default())? },
        "held" => After::Held,
        "lost" => After::Lost,
        "gone" => After::Gone,
        _ => return Err(damaged("an answer")),
    };
    Ok(Committed { after, disabled, dropped })
}

/// Reads a lease; where it brings no configuration, the one at hand is the present one.
fn lease(lane: &LaneId, token: Token, at_hand: Option<&Arc<Config>>, words: Vec<Value>) -> Result<Lease> {
    let [round, attempt, generation, suspect, event, shared, config] =
        words.try_into().map_err(|words: Vec<Value>| strange(&Value::Array(words)))?;
    let (seq, event) = entry::read(bytes(event)?, bytes(shared)?)?;
    let config = bytes(config)?;
    let config = match at_hand {
        Some(config_at_hand) if config.is_empty() => config_at_hand.clone(),
        _ => Arc::new(serde_json::from_slice(&config).map_err(|_| damaged("a configuration"))?),
    };
    Ok(Lease {
        lane: lane.clone(),
        token,
        seq,
        round: small(round)?,
        attempt: small(attempt)?,
        generation: number(generation)?,
        pool: if number(suspect)? == 1 { Pool::Suspect } else { Pool::Healthy },
        event: Arc::new(event),
        config,
    })
}
