//! A limit on tokens that were tried in vain, per address.
//!
//! Past it a wrong token is answered 429 in the place of 401, and a right one is let in all the same. Locking the address
//! instead would lock out everybody behind the same proxy or ingress because of one client with an outdated token; and no
//! rate of guessing finds a token of at least 32 characters.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Wrong tokens that an address may send within a minute.
pub const TRIES_MAX: u32 = 60;

/// The time that they are counted over.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Most addresses that are remembered; beyond that, some are forgotten before their time.
const ADDRESSES_MAX: usize = 4096;

/// Who tried in vain lately.
#[derive(Default)]
pub struct Tries {
    by_address: Mutex<BTreeMap<IpAddr, Tried>>,
}

struct Tried {
    since: Duration,
    count: u32,
}

impl Tries {
    /// Counts a try in vain at a time; whether it is one too many.
    pub fn count(&self, address: IpAddr, now: Duration) -> bool {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let address = site(address);
        let is_over = |tried: &Tried| tried.since + WINDOW <= now;
        if by_address.len() >= ADDRESSES_MAX && !by_address.contains_key(&address) {
            by_address.retain(|_, tried| !is_over(tried));
            if by_address.len() >= ADDRESSES_MAX {
                by_address.pop_first();
            }
        }
        let tried = by_address.entry(address).or_insert(Tried { since: now, count: 0 });
        if is_over(tried) {
            *tried = Tried { since: now, count: 0 };
        }
        tried.count = tried.count.saturating_add(1);
        tried.count > TRIES_MAX
    }
}

/// Who has an IPv6 address has at least 64 bits of them.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn so_many_tries_are_let_through_in_a_window_and_addresses_have_one_each() {
        let tries = Tries::default();
        let a = address("192.0.2.1");
        assert!((0..TRIES_MAX).all(|_| !tries.count(a, Duration::ZERO)));
        assert!(tries.count(a, WINDOW - Duration::from_millis(1)));
        assert!(tries.count(address("::ffff:192.0.2.1"), Duration::ZERO), "the same address");
        assert!(!tries.count(address("192.0.2.2"), Duration::ZERO));
        assert!(!tries.count(a, WINDOW), "a new window");
        let of = |last: u32| address(&format!("2001:db8::{last:x}"));
        assert!((0..TRIES_MAX).all(|last| !tries.count(of(last), Duration::ZERO)));
        assert!(tries.count(of(TRIES_MAX), Duration::ZERO), "one site's many addresses are one");
    }

    #[test]
    fn the_addresses_remembered_are_bounded() {
        let tries = Tries::default();
        for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() + 100 {
            tries.count(std::net::Ipv4Addr::from_bits(number).into(), Duration::ZERO);
        }
        assert_eq!(tries.by_address.lock().unwrap().len(), ADDRESSES_MAX);
    }
}
