//! Ports that no other test, in this process or another, is using or will use while they are held.
//!
//! "Bind to port 0, read the number, close, give it to a server" is a race that parallel tests lose now and then, and a
//! server that is killed and started again on its port can find it taken by somebody's outgoing connection. So ports
//! come from below the range from which the kernel hands out its own, and each is held by an abstract Unix socket of
//! that name: it needs no file, and goes with the process that bound it.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// Where ports come from: below Linux's `ip_local_port_range`, above the well-known services.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port on 127.0.0.1, ours until this is dropped; nothing listens on it yet.
pub struct Port {
    number: u16,
    _held: UnixListener,
}

impl Port {
    /// Takes a port that is free.
    pub fn take() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let size = RANGE.end - RANGE.start;
        // Processes begin at different places; the locks make it right, this only makes it short.
        let offset = u16::try_from(process::id().wrapping_mul(7919) % u32::from(size)).unwrap();
        for _ in 0..size {
            let number = RANGE.start + offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % size;
            let name = SocketAddr::from_abstract_name(format!("recadero-test-port-{number}")).unwrap();
            let Ok(held) = UnixListener::bind_addr(&name) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _held: held };
            }
        }
        panic!("no free port in {RANGE:?}");
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
