//! A connection that is listened in on: what comes back is shown to an [`Ear`] before anybody reads it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What listens in.
pub trait Ear {
    /// Whether more may be read.
    fn may_hear(&self) -> io::Result<()> {
        Ok(())
    }

    /// This came back.
    fn hear(&mut self, bytes: &[u8]);

    /// Something is sent: what comes back from now on answers that.
    fn forget(&mut self);

    /// Tells the client of what it hears.
    fn introduce(&self, connected: Connected) -> Connected {
        connected
    }
}

/// A connection with its ear.
pub struct Heard<S, E> {
    stream: S,
    ear: E,
}

impl<S, E: Ear> Heard<S, E> {
    /// Lets an ear listen in on a connection.
    pub fn new(stream: S, ear: E) -> Self {
        Self { stream, ear }
    }
}

impl<S: AsyncRead + Unpin, E: Ear + Unpin> AsyncRead for Heard<S, E> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.ear.may_hear()?;
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        self.ear.hear(&into.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, E: Ear + Unpin> AsyncWrite for Heard<S, E> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.ear.forget();
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.ear.forget();
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: Connection, E: Ear> Connection for Heard<S, E> {
    fn connected(&self) -> Connected {
        self.ear.introduce(self.stream.connected())
    }
}
