//! Names to addresses, forbidden ones left out: what is checked here is what is dialled.
//!
//! The HTTP client is handed this in place of its own resolver, and connects to nothing else. A name that has both
//! public and forbidden addresses is reached at its public ones.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Blocked, Guard};

/// How many of a name's addresses are looked at: each costs a connection attempt when it is dead.
pub const ADDRESSES_MAX: usize = 16;

/// The question put to the name service. A trait, so that a test or the simulation can answer it.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// All addresses of a name.
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The name service has no answer.
    #[error("the host's name does not resolve: {0}")]
    Unresolved(#[source] io::Error),
    /// It answered with nothing.
    #[error("the host's name has no address")]
    NoAddress,
    /// Every address is forbidden; the kind of the first.
    #[error("the host's name leads to {0}")]
    Blocked(Blocked),
}

/// A lookup behind the guard.
#[derive(Clone)]
pub struct Resolver {
    guard: Arc<Guard>,
    lookup: Arc<dyn Lookup>,
}

impl Resolver {
    /// Puts the guard before a lookup.
    pub fn new(guard: Arc<Guard>, lookup: Arc<dyn Lookup>) -> Self {
        Self { guard, lookup }
    }

    /// The addresses of a name that may be dialled: at least one, at most [`ADDRESSES_MAX`].
    ///
    /// # Errors
    ///
    /// When there is none, with the reason.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let mut addresses = self.lookup.lookup(host).await.map_err(ResolveError::Unresolved)?;
        addresses.truncate(ADDRESSES_MAX);
        let mut blocked = None;
        addresses.retain(|address| match self.guard.check_ip(*address) {
            Ok(()) => true,
            Err(why) => {
                blocked.get_or_insert(why);
                false
            }
        });
        match (addresses.is_empty(), blocked) {
            (false, _) => Ok(addresses),
            (true, Some(why)) => Err(ResolveError::Blocked(why)),
            (true, None) => Err(ResolveError::NoAddress),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Answers(Vec<&'static str>);

    #[async_trait]
    impl Lookup for Answers {
        async fn lookup(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
            Ok(self.0.iter().map(|text| text.parse().unwrap()).collect())
        }
    }

    async fn resolve(answers: &[&'static str]) -> Result<Vec<IpAddr>, ResolveError> {
        let lookup = Arc::new(Answers(answers.to_vec()));
        Resolver::new(Arc::new(Guard::default()), lookup).resolve("a.example").await
    }

    #[tokio::test]
    async fn forbidden_addresses_are_left_out_of_the_answer() {
        let found = resolve(&["10.0.0.1", "1.1.1.1", "::1", "2606:4700::1111"]).await.unwrap();
        assert_eq!(found, ["1.1.1.1".parse::<IpAddr>().unwrap(), "2606:4700::1111".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_name_of_forbidden_addresses_alone_is_blocked() {
        let problem = resolve(&["127.0.0.1", "169.254.169.254"]).await.unwrap_err();
        assert!(matches!(problem, ResolveError::Blocked(_)));
        assert!(problem.to_string().contains("loopback") && !problem.to_string().contains("127"), "{problem}");
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_not_blocked_but_unknown() {
        assert!(matches!(resolve(&[]).await, Err(ResolveError::NoAddress)));
    }

    #[tokio::test]
    async fn a_bounded_number_of_answers_is_taken() {
        assert_eq!(resolve(&["1.1.1.1"; 1000]).await.unwrap().len(), ADDRESSES_MAX);
        let mut late = vec!["10.0.0.1"; ADDRESSES_MAX];
        late.push("1.1.1.1");
        assert!(matches!(resolve(&late).await, Err(ResolveError::Blocked(_))));
    }
}
