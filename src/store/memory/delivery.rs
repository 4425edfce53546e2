//! Events out: leases on lanes, the recorded ends of attempts, and upkeep.

use std::collections::BTreeMap;

use super::endpoint::{Endpoint, Place};
use super::failures::{Failures, Verdict};
use super::lane::{Current, Hold, Lane, Last};
use super::state::{Part, State, Step, ms};
use crate::decide::attempt::Outcome;
use crate::decide::ids::{LaneId, Partition};
use crate::decide::notice::{DisableReason, DropReason};
use crate::decide::policy::{Policy, QuotaScope};
use crate::decide::relief::Burden;
use crate::decide::retry::Next;
use crate::store::lanes::{
    After, Claim, Commit, Committed, Due, Figures, Granted, LEASE_MARGIN, LEASE_RENEWAL, Lease, Pool, Relieved, Swept,
    Token, Want,
};
use crate::store::records::EndpointStatus;
use crate::testing::{Bug, has};

impl State {
    pub fn due(&self, partition: Partition, pool: Pool, limit: usize, now_ms: u64) -> Vec<Due> {
        self.parts.get(&partition).map(|part| part.due.by_now(pool, limit, now_ms)).unwrap_or_default()
    }

    pub fn claim(&mut self, partition: Partition, want: &Want, now_ms: u64) -> Claim {
        let Some((space, mut step)) = self.open(partition, &want.lane.workspace, now_ms) else { return Claim::Taken };
        let entitled = space.is_entitled(&step.policy.plans);
        let Some(endpoint) = space.endpoints.get_mut(&want.lane.endpoint) else { return Claim::Taken };
        let place = place(&want.lane);
        let is_to_be_had = |lane: &&mut Lane| {
            lane.is_held_by(want.token)
                || lane.due_ms().is_some_and(|due_ms| due_ms <= now_ms || lane.leased(now_ms) && has(Bug::SecondLease))
        };
        let Some(mut lane) = endpoint.lanes.get_mut(&place).filter(is_to_be_had).map(take) else {
            return Claim::Taken;
        };
        let lease = endpoint.lease(&mut lane, want.token, None, entitled, &mut step);
        endpoint.lanes.insert(place, lane);
        lease.map_or(Claim::Held, |lease| Claim::Leased(Box::new(lease)))
    }

    pub fn commit(&mut self, partition: Partition, commit: &Commit, now_ms: u64) -> Committed {
        let nothing = |after| Committed { after, disabled: false, dropped: false };
        let Some((space, mut step)) = self.open(partition, &commit.lane.workspace, now_ms) else {
            return nothing(After::Gone);
        };
        let entitled = space.is_entitled(&step.policy.plans);
        let Some(endpoint) = space.endpoints.get_mut(&commit.lane.endpoint) else { return nothing(After::Gone) };
        let place = place(&commit.lane);
        let Some(mut lane) = endpoint.lanes.get_mut(&place).map(take) else { return nothing(After::Lost) };
        let committed = if lane.last.as_ref().is_some_and(|last| last.is_of(commit)) {
            endpoint.repeat(&mut lane, entitled, &mut step)
        } else if lane.awaits(commit) {
            endpoint.commit(&mut lane, commit, entitled, &mut space.failures, &mut step)
        } else {
            nothing(After::Lost)
        };
        endpoint.lanes.insert(place, lane);
        endpoint.close_drained(&mut step);
        committed
    }

    pub fn give_back(&mut self, partition: Partition, lane: &LaneId, token: Token, now_ms: u64) {
        let Some((space, mut step)) = self.open(partition, &lane.workspace, now_ms) else { return };
        let Some(endpoint) = space.endpoints.get_mut(&lane.endpoint) else { return };
        endpoint.give_back(place(lane), token, &mut step);
    }

    pub fn sweep(&mut self, partition: Partition, now_ms: u64) -> Swept {
        let Some(part) = self.parts.get_mut(&partition) else { return Swept::default() };
        let Part { spaces, due, outbox } = part;
        let limits = &self.policy.limits;
        let (ready, dropped) = (Vec::new(), BTreeMap::new());
        let mut step = Step { now_ms, policy: &self.policy, due, outbox, ready, dropped };
        let (mut oldest_ms, mut oldest_enabled_ms) = (now_ms, now_ms);
        let mut burdens = Vec::new();
        for space in spaces.values_mut() {
            space.seen.forget(now_ms, ms(limits.dedupe_window));
            let entitled = space.is_entitled(&self.policy.plans);
            for endpoint in space.endpoints.values_mut() {
                endpoint.enforce_age(&mut step);
                endpoint.dropped.expire(now_ms, ms(limits.dropped_retention));
                endpoint.log.expire(now_ms, ms(limits.log_age));
                endpoint.forget_drained(now_ms, lease_ms(&self.policy));
                let oldest = endpoint.oldest_ms().unwrap_or(now_ms);
                oldest_ms = oldest_ms.min(oldest);
                if entitled && endpoint.disabled.is_none() {
                    oldest_enabled_ms = oldest_enabled_ms.min(oldest);
                }
                burdens.extend(endpoint.burden());
            }
        }
        let (ready, dropped) = (step.ready, step.dropped.into_iter().collect());
        spaces.retain(|_, space| !space.is_blank());
        let (oldest_ms, oldest_enabled_ms) = (now_ms - oldest_ms, now_ms - oldest_enabled_ms);
        Swept { next: None, dropped, ready, oldest_ms, oldest_enabled_ms, burdens }
    }

    pub fn relieve(&mut self, burden: &Burden, bytes: u64, now_ms: u64) -> Relieved {
        let partition = self.home(&burden.workspace);
        let Some((space, mut step)) = self.open(partition, &burden.workspace, now_ms) else {
            return Relieved::default();
        };
        let Some(endpoint) = space.endpoints.get_mut(&burden.endpoint) else { return Relieved::default() };
        let freed_bytes = endpoint.relieve(bytes, &mut step);
        Relieved { freed_bytes, dropped: step.dropped_in_all(), ready: step.ready }
    }

    pub fn figures(&self, partition: Partition) -> Figures {
        let Some(part) = self.parts.get(&partition) else { return Figures::default() };
        let mut endpoints = BTreeMap::<EndpointStatus, u64>::new();
        let mut backlog_events = 0;
        for space in part.spaces.values() {
            let entitled = space.is_entitled(&self.policy.plans);
            for endpoint in space.endpoints.values() {
                *endpoints.entry(endpoint.view(entitled).status()).or_default() += 1;
                backlog_events += endpoint.waiting_events;
            }
        }
        Figures { backlog_events, shed: part.outbox.shed, endpoints: endpoints.into_iter().collect() }
    }
}

impl Last {
    fn is_of(&self, commit: &Commit) -> bool {
        let Commit { token, seq, round, attempt, .. } = commit;
        (self.token, self.seq, self.round, self.attempt) == (*token, *seq, *round, *attempt)
    }
}

impl Endpoint {
    /// Gives the lane's lease to a token: in full length from now, or until the end of one that runs and is young. `None`
    /// holds the lane: it may not send.
    fn lease(
        &mut self,
        lane: &mut Lane,
        token: Token,
        running: Option<Hold>,
        entitled: bool,
        step: &mut Step<'_>,
    ) -> Option<Lease> {
        if !self.may_send(entitled) {
            lane.stand(step.due, lane.pool(), None);
            return None;
        }
        if let Some(current) = lane.current.as_mut().filter(|_| lane.generation != self.generation) {
            current.round += 1;
            current.attempt = if has(Bug::RoundGoesOn) { current.attempt } else { 1 };
        }
        if lane.current.is_none() {
            let (seq, event) = lane.queue.pop_front().expect("a lane that is due has an event");
            lane.current = Some(Current { seq, event, round: 1, attempt: 1, tried: false });
        }
        lane.generation = self.generation;
        let until_ms = step.now_ms + lease_ms(step.policy);
        let young = running.filter(|running| running.until_ms + ms(LEASE_RENEWAL) >= until_ms);
        let until_ms = young.map_or(until_ms, |running| running.until_ms);
        lane.lease = Some(Hold { token, until_ms });
        lane.stand(step.due, lane.pool(), Some(until_ms));
        let current = lane.current.as_ref().expect("it was just seen to");
        Some(Lease {
            lane: lane.id.clone(),
            token,
            seq: current.seq,
            round: current.round,
            attempt: current.attempt,
            generation: self.generation,
            pool: lane.pool(),
            event: current.event.clone(),
            config: self.config.clone(),
        })
    }

    /// Leases a lane that has just become ready, if it is healthy and may send.
    pub fn grant(&mut self, at: Place, token: Token, entitled: bool, step: &mut Step<'_>) -> Option<Granted> {
        if !self.may_send(entitled) {
            return None;
        }
        let mut lane = self.lanes.get_mut(&at).filter(|lane| lane.pool() == Pool::Healthy).map(take)?;
        let lease = self.lease(&mut lane, token, None, entitled, step);
        self.lanes.insert(at, lane);
        let Lease { lane, seq, generation, event, config, .. } = lease?;
        step.ready.retain(|ready| *ready != lane);
        Some(Granted { lane, token, seq, generation, config_version: config.version, event })
    }

    /// The end of the attempt that the lane's lease was given for.
    fn commit(
        &mut self,
        lane: &mut Lane,
        commit: &Commit,
        entitled: bool,
        failures: &mut Failures,
        step: &mut Step<'_>,
    ) -> Committed {
        let at_ms = step.now_ms.saturating_sub(ms(commit.ended_ago));
        let pool_before = lane.pool();
        let running = lane.lease.take();
        let (mut disabled, mut dropped, mut retry_ms, pool) = (false, false, None, pool_of(commit.outcome));
        match commit.outcome {
            Outcome::Delivered => {
                let current = lane.current.take().expect("the commit is of the current event");
                self.left(&current.event);
                self.kept.push(current.seq, current.event, &step.policy.limits);
            }
            Outcome::Failed(_) => {
                let counts = self.generation == commit.generation || has(Bug::LateFailureCounts);
                disabled = counts && self.count_failure(at_ms, failures, step);
                if commit.next == Next::Drop {
                    let current = lane.current.take().expect("the commit is of the current event");
                    self.bury(current.seq, current.event, DropReason::Retries, step);
                    dropped = true;
                } else if let Some(current) = lane.current.as_mut() {
                    current.tried = true;
                }
                if let (Next::RetryAfter(delay), Some(current)) = (commit.next, &mut lane.current)
                    && counts
                    && !disabled
                {
                    current.attempt += 1;
                    retry_ms = Some(at_ms + ms(delay));
                }
            }
        }
        self.log.push(at_ms, retry_ms, &commit.row, &step.policy.limits);
        self.hours.count(step.now_ms, &commit.row, commit.outcome, dropped);
        lane.stand(step.due, pool, retry_ms.filter(|_| !has(Bug::LostRetry)));
        let after = match retry_ms {
            Some(at_ms) => After::Waiting { at_ms },
            None => {
                let running = running.filter(|_| pool == pool_before);
                self.go_on(lane, commit, running, entitled, step)
            }
        };
        let committed = Committed { after, disabled, dropped };
        let Commit { token, seq, round, attempt, .. } = *commit;
        lane.last = Some(Last { token, seq, round, attempt, at_ms: step.now_ms, committed: committed.clone() });
        committed
    }

    /// Counts a failure in the window; answers whether it disabled the endpoint.
    fn count_failure(&mut self, at_ms: u64, failures: &mut Failures, step: &mut Step<'_>) -> bool {
        let quota = &step.policy.quota;
        match failures.record(&self.id, at_ms, step.now_ms, quota) {
            Verdict::Fine => false,
            Verdict::Warn(count) => {
                let scope = match quota.scope {
                    QuotaScope::Workspace => self.workspace.as_str(),
                    QuotaScope::Endpoint => self.id.as_str(),
                };
                step.outbox.warning(self.about(step.now_ms), scope, count);
                false
            }
            Verdict::Disable => {
                if !has(Bug::CountIsKept) {
                    failures.leave(&self.id);
                }
                self.disable(DisableReason::Quota, step);
                true
            }
        }
    }

    /// What a lane does whose attempt is over and that does not wait for a retry; `running` is its lease, unless the
    /// lane has changed its pool.
    fn go_on(
        &mut self,
        lane: &mut Lane,
        commit: &Commit,
        running: Option<Hold>,
        entitled: bool,
        step: &mut Step<'_>,
    ) -> After {
        if lane.is_empty() {
            return After::Idle;
        }
        if commit.more && running.is_some() || !self.may_send(entitled) {
            let lease = self.lease(lane, commit.token, running, entitled, step);
            return lease.map_or(After::Held, |lease| After::Next(Box::new(lease)));
        }
        lane.stand(step.due, lane.pool(), Some(step.now_ms));
        After::Ready
    }

    /// A commit once more: the same answer. One that handed an event over asks for that lease again.
    fn repeat(&mut self, lane: &mut Lane, entitled: bool, step: &mut Step<'_>) -> Committed {
        let Last { token, committed, .. } = lane.last.as_ref().expect("it is the last commit that is repeated");
        let (token, mut committed) = (*token, committed.clone());
        if let After::Next(_) = committed.after {
            committed.after = if lane.is_held_by(token) {
                let lease = self.lease(lane, token, None, entitled, step);
                lease.map_or(After::Held, |lease| After::Next(Box::new(lease)))
            } else {
                After::Lost
            };
        }
        committed
    }

    fn may_send(&self, entitled: bool) -> bool {
        (entitled || has(Bug::PausedIsClaimed)) && (self.disabled.is_none() || has(Bug::DisabledIsClaimed))
    }
}

fn pool_of(outcome: Outcome) -> Pool {
    match outcome {
        Outcome::Delivered => Pool::Healthy,
        Outcome::Failed(_) => Pool::Suspect,
    }
}

fn lease_ms(policy: &Policy) -> u64 {
    ms(policy.timeout + LEASE_MARGIN)
}

fn place(lane: &LaneId) -> Place {
    (lane.layout, lane.index)
}

/// Takes a lane out of its endpoint, to be put back: the two are changed side by side.
fn take(lane: &mut Lane) -> Lane {
    let id = lane.id.clone();
    std::mem::replace(lane, Lane::new(id))
}
