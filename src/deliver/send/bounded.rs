//! A connection that takes only so much for an answer.
//!
//! hyper bounds a response's head, but takes any number of informational responses (`103 Early Hints`) before it, and
//! parses them as fast as they come: a handful of receivers that send nothing else would have the processors to
//! themselves, each until its attempt's limit. So what comes back is counted below HTTP and TLS, from one write to the
//! next.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What may come back before something is sent again: enough for a TLS server's part of the handshake, and for the head
/// of a response with the beginning of its body.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// A TCP connection with that bound.
pub struct Bounded<S = TcpStream> {
    stream: S,
    taken: usize,
}

impl<S> Bounded<S> {
    /// Bounds what comes from a connection.
    pub fn new(stream: S) -> Self {
        Self { stream, taken: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.taken >= ANSWER_BYTES_MAX {
            return Poll::Ready(Err(io::Error::other("more came back than an answer may be long")));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        self.taken += into.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.taken = 0;
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.taken = 0;
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

impl Connection for Bounded {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn an_answer_has_a_bound_and_the_next_one_another() {
        let (ours, mut theirs) = tokio::io::duplex(4 * ANSWER_BYTES_MAX);
        let mut ours = Bounded::new(ours);
        theirs.write_all(&vec![b'x'; 3 * ANSWER_BYTES_MAX]).await.unwrap();
        let mut answer = vec![0; ANSWER_BYTES_MAX];
        for _ in 0..2 {
            ours.write_all(b"?").await.unwrap();
            ours.read_exact(&mut answer).await.unwrap();
        }
        let problem = ours.read_u8().await.unwrap_err();
        assert!(problem.to_string().contains("more came back"), "{problem}");
    }
}
