//! The request's body: sent once, never late, and able to say that its sending began.
//!
//! The client asks for it only when a connection stands, which tells a hang before the connection from one after
//! it. A plain [`Bytes`] body cannot tell.
//!
//! It also is the last place to stop a request. The limit of an attempt is a timer, and timers stand still while the
//! machine is suspended; by the time it wakes the lane may be another worker's. So the body asks the clock that runs
//! on, and past the deadline gives nothing: over HTTP/1.1 the head waits for it in a buffer, and leaves no more. What
//! the connection has taken already may still leave late (`docs/contract.md` section 3).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::clock::Clock;

/// Whether the connection has begun to take the body.
#[derive(Clone, Default)]
pub struct Begun(Arc<AtomicBool>);

impl Begun {
    /// True once a connection stood and the request was on its way out.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The deadline had passed before the request could leave.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this machine was suspended, or too busy, until the time for the attempt was over; nothing was sent")]
pub struct TooLate;

/// Until when a request may leave, on the clock that runs during suspend.
#[derive(Clone)]
pub struct Deadline {
    /// The clock.
    pub clock: Clock,
    /// Its time ([`Clock::boot`]).
    pub at: Duration,
}

impl Deadline {
    fn has_passed(&self) -> bool {
        self.clock.boot() > self.at
    }
}

/// A body of one frame.
pub struct Posted {
    rest: Option<Bytes>,
    begun: Begun,
    deadline: Deadline,
}

impl Posted {
    /// A body that marks `begun` when it is first asked for, and is refused past the deadline.
    pub fn new(bytes: Bytes, begun: Begun, deadline: Deadline) -> Self {
        Self { rest: Some(bytes), begun, deadline }
    }
}

impl Body for Posted {
    type Data = Bytes;
    type Error = TooLate;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(bytes) = self.rest.take() else { return Poll::Ready(None) };
        if self.deadline.has_passed() {
            return Poll::Ready(Some(Err(TooLate)));
        }
        self.begun.0.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
