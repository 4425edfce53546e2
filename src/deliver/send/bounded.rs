//! A connection that takes only so much for an answer.
//!
//! hyper bounds a response's head, but takes any number of informational responses (`103 Early Hints`) before it, and
//! parses them as fast as they come: a handful of receivers that send nothing else would have the processors to
//! themselves, each until its attempt's limit. So what comes back is counted below HTTP and TLS, from one write to the
//! next.

use std::io;

use super::heard::Ear;

/// What may come back before something is sent again: enough for a TLS server's part of the handshake, and for the head
/// of a response with the beginning of its body.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// That bound, and what of it is taken.
#[derive(Default)]
pub struct Bound {
    taken: usize,
}

impl Ear for Bound {
    fn may_hear(&self) -> io::Result<()> {
        match self.taken >= ANSWER_BYTES_MAX {
            true => Err(io::Error::other("more came back than an answer may be long")),
            false => Ok(()),
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.taken += bytes.len();
    }

    fn forget(&mut self) {
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::deliver::send::heard::Heard;

    #[tokio::test]
    async fn an_answer_has_a_bound_and_the_next_one_another() {
        let (ours, mut theirs) = tokio::io::duplex(4 * ANSWER_BYTES_MAX);
        let mut ours = Heard::new(ours, Bound::default());
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
