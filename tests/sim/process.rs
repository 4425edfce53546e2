//! One process of the service, seen from outside: whether it runs, stands still or is dead, what its clock says, and what
//! goes wrong between it and the store, the broker and the receivers.
//!
//! Each call to the outside passes here on its way out and on its way back ([`Process::travel`]). So a process can die or
//! stand still at any of its awaits, before or after what it asked for was done. A dead one never passes again, which
//! nobody outside can tell from a real death; what it does within itself until then touches nobody.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use recadero::clock::{Clock, Time};
use recadero::store::{Result, StoreError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::trace::{BEGIN_UNIX_MS, Fact, Trace};

/// What becomes of an operation that gets no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is not done.
    Before,
    /// It is done.
    After,
    /// It is done, so many milliseconds after the process was told that nobody knows.
    Late(u64),
}

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Self::Before => "not done",
            Self::After => "done",
            Self::Late(_) => "done late",
        }
    }
}

/// A process.
pub struct Process {
    pub name: String,
    /// Asks it to stop; when it is dead, this ends its loops, so that they cost nothing more.
    pub stop: CancellationToken,
    died: CancellationToken,
    trace: Trace,
    weather: Arc<Weather>,
    boot_base: Duration,
    state: Mutex<State>,
    changed: Notify,
    stopped: Notify,
}

struct State {
    dead: bool,
    paused: bool,
    /// What happens when so many more steps were made.
    traps: Vec<(u32, Trap)>,
    /// How long its place stays empty when it is dead.
    down: Duration,
    fates: VecDeque<Fate>,
    skew_ms: i64,
    random: SmallRng,
}

/// What happens to a process at one of its steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trap {
    Crash,
    Pause,
}

/// What all processes share of the world's state.
pub struct Weather {
    away: Mutex<bool>,
    /// Whether calls take random time.
    pub jitter: bool,
}

impl Weather {
    pub fn new(jitter: bool) -> Arc<Self> {
        Arc::new(Self { away: Mutex::new(false), jitter })
    }

    pub fn set_away(&self, away: bool) {
        *self.away.lock().unwrap() = away;
    }

    fn is_away(&self) -> bool {
        *self.away.lock().unwrap()
    }
}

impl Process {
    pub fn new(name: String, seed: u64, trace: Trace, weather: Arc<Weather>) -> Arc<Self> {
        let mut random = SmallRng::seed_from_u64(seed);
        let boot_base = Duration::from_millis(random.random_range(0..1_000_000));
        let (fates, down) = (VecDeque::new(), Duration::from_secs(1));
        let state = State { dead: false, paused: false, traps: Vec::new(), down, fates, skew_ms: 0, random };
        let (stop, died) = (CancellationToken::new(), CancellationToken::new());
        trace.put(Fact::Started { process: name.clone() });
        let (changed, stopped) = (Notify::new(), Notify::new());
        Arc::new(Self { name, stop, died, trace, weather, boot_base, state: Mutex::new(state), changed, stopped })
    }

    /// Where its own randomness comes from.
    pub fn seed(&self, slot: u8) -> [u8; 32] {
        let mut seed = [slot; 32];
        self.state().random.fill_bytes(&mut seed[1..]);
        seed
    }

    /// Its own clocks.
    pub fn clock(self: &Arc<Self>) -> Clock {
        Clock::of(Watch(self.clone()))
    }

    /// Ends it here and now.
    fn crash(&self) {
        if !std::mem::replace(&mut self.state().dead, true) {
            self.trace.put(Fact::Crashed { process: self.name.clone() });
            self.stop.cancel();
            self.died.cancel();
            self.changed.notify_waiters();
        }
    }

    /// Ends it when it has taken so many more steps, or at once; its place is empty for a while then.
    pub fn crash_in(&self, steps: u32, down: Duration) {
        self.state().down = down;
        self.set(steps, Trap::Crash);
    }

    /// Lets it stand still where it is when it has taken so many more steps, or at once; answers when it does.
    pub async fn pause_in(&self, steps: u32) {
        self.set(steps, Trap::Pause);
        self.stopped.notified().await;
    }

    fn set(&self, steps: u32, trap: Trap) {
        match steps {
            0 => self.spring(trap),
            _ => self.state().traps.push((steps, trap)),
        }
    }

    fn spring(&self, trap: Trap) {
        match trap {
            Trap::Crash => self.crash(),
            Trap::Pause => self.pause(),
        }
    }

    /// Waits until it is dead, or has ended as it was asked to; then nothing of it is left.
    pub async fn ended(&self, service: JoinHandle<()>) {
        tokio::select! {
            biased;
            () = self.died.cancelled() => {}
            _ = service => {
                self.trace.put(Fact::Stopped { process: self.name.clone() });
                self.state().dead = true;
                self.changed.notify_waiters();
            }
        }
    }

    /// Waits until its place may be taken.
    pub async fn vacant(&self) {
        let down = self.state().down;
        tokio::time::sleep(down).await;
    }

    fn pause(&self) {
        if !std::mem::replace(&mut self.state().paused, true) {
            self.trace.put(Fact::Paused { process: self.name.clone() });
        }
        self.stopped.notify_one();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        if std::mem::replace(&mut self.state().paused, false) {
            self.trace.put(Fact::Continued { process: self.name.clone() });
            self.changed.notify_waiters();
        }
    }

    /// The next operations get no answer.
    pub fn lose(&self, fates: impl IntoIterator<Item = Fate>) {
        self.state().fates.extend(fates);
    }

    /// Sets its clock wrong.
    pub fn skew(&self, by_ms: i64) {
        self.state().skew_ms += by_ms;
        self.trace.put(Fact::Skewed { process: self.name.clone(), by_ms });
    }

    /// Nothing more goes wrong with it; its clock stays as it is.
    pub fn calm(&self) {
        let mut state = self.state();
        state.traps.clear();
        state.fates.clear();
        drop(state);
        self.resume();
    }

    /// A random number below `bound`, of this process's own sequence.
    pub fn random(&self, bound: u64) -> u64 {
        self.state().random.random_range(0..bound)
    }

    /// One step of a call's way, at which the process may be delayed, stand still or die.
    pub async fn travel(&self) {
        let sprung = {
            let mut state = self.state();
            state.traps.iter_mut().for_each(|(steps, _)| *steps -= 1);
            state.traps.extract_if(.., |(steps, _)| *steps == 0).collect::<Vec<_>>()
        };
        sprung.into_iter().for_each(|(_, trap)| self.spring(trap));
        if self.weather.jitter {
            match self.random(16) {
                0..8 => {}
                8..12 => tokio::task::yield_now().await,
                12..15 => tokio::time::sleep(Duration::from_millis(1 + self.random(4))).await,
                _ => tokio::time::sleep(Duration::from_millis(5 + self.random(120))).await,
            }
        }
        self.gate().await;
    }

    /// Passes while the process runs.
    pub async fn gate(&self) {
        loop {
            // Made before the look, so that what changes between the look and the wait is not missed.
            let changed = self.changed.notified();
            let (dead, paused) = {
                let state = self.state();
                (state.dead, state.paused)
            };
            if dead {
                std::future::pending::<()>().await;
            }
            if !paused {
                return;
            }
            changed.await;
        }
    }

    /// What becomes of the operation at hand; `None`: all is well.
    pub fn fate(&self, operation: &'static str) -> Option<Fate> {
        let fate = self.state().fates.pop_front();
        if let Some(fate) = fate {
            self.trace.put(Fact::Lost { process: self.name.clone(), operation, fate: fate.name() });
        }
        fate
    }

    /// An operation of the store that matters, with all that can happen to it.
    pub async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        effect: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.travel().await;
        self.reach()?;
        match self.fate(operation) {
            None => {
                let answer = effect.await;
                self.travel().await;
                answer
            }
            Some(Fate::Before) => Err(away()),
            Some(Fate::After) => {
                let _ = effect.await;
                self.travel().await;
                Err(away())
            }
            Some(Fate::Late(after_ms)) => {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(after_ms)).await;
                    effect.await
                });
                Err(away())
            }
        }
    }

    /// An operation that only looks, or that nothing depends on: quick, and never lost alone.
    pub async fn look<T>(&self, effect: impl Future<Output = Result<T>>) -> Result<T> {
        self.gate().await;
        self.reach()?;
        let answer = effect.await;
        self.gate().await;
        answer
    }

    fn reach(&self) -> Result<()> {
        if self.weather.is_away() { Err(away()) } else { Ok(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn away() -> StoreError {
    StoreError::Unavailable("no answer".to_owned())
}

/// A process's watch: its boot time is its own, its Unix time may be wrong.
struct Watch(Arc<Process>);

impl Time for Watch {
    fn boot(&self) -> Duration {
        self.0.boot_base + self.0.trace.elapsed()
    }

    fn unix(&self) -> Duration {
        let right = Duration::from_millis(BEGIN_UNIX_MS) + self.0.trace.elapsed();
        let skew_ms = self.0.state().skew_ms;
        let skew = Duration::from_millis(skew_ms.unsigned_abs());
        if skew_ms < 0 { right.saturating_sub(skew) } else { right + skew }
    }
}

/// The world's clock, which the store goes by.
pub struct Right(pub Trace);

impl Time for Right {
    fn boot(&self) -> Duration {
        self.0.elapsed()
    }

    fn unix(&self) -> Duration {
        Duration::from_millis(BEGIN_UNIX_MS) + self.0.elapsed()
    }
}
