//! The request's body: sent once, and able to say that its sending began.
//!
//! The client asks for it only when a connection stands, which tells a hang before the connection from one after
//! it. A plain [`Bytes`] body cannot tell, and can be copied: reqwest's retry layer would copy body and headers of
//! every request in advance.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Whether the connection has begun to take the body.
#[derive(Clone, Default)]
pub struct Begun(Arc<AtomicBool>);

impl Begun {
    /// True once a connection stood and the request was on its way out.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A body of one frame.
pub struct Posted {
    rest: Option<Bytes>,
    begun: Begun,
}

impl Posted {
    /// A body that marks `begun` when it is first asked for.
    pub fn new(bytes: Bytes, begun: Begun) -> Self {
        Self { rest: Some(bytes), begun }
    }
}

impl Body for Posted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.begun.0.store(true, Ordering::Relaxed);
        Poll::Ready(self.rest.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
