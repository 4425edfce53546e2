//! Which addresses the public Internet reaches: the IANA special-purpose address registries, as tables.
//!
//! The first row that holds an address decides, so the exceptions stand before the blocks they are cut from, and
//! the last row holds everything. For IPv6 that last word is "no": today only `2000::/3` is given out as global
//! unicast. `std`'s `is_global` is not stable, and knows nothing of metadata services or of carried addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// One block of addresses.
pub struct Row<Net> {
    net: Net,
    /// What may be done with it.
    pub verdict: Verdict,
    /// The registry's name for it, and the document.
    pub name: &'static str,
}

/// What may be done with a block.
#[derive(Clone, Copy)]
pub enum Verdict {
    /// Globally reachable.
    Global,
    /// Not globally reachable.
    Forbidden,
    /// A cloud's metadata service: hands credentials to whoever asks from inside.
    Metadata,
    /// As reachable as the v4 addresses inside it.
    Carries(fn(Ipv6Addr) -> Carried),
}

/// The v4 addresses inside a v6 one: at most two (Teredo).
pub type Carried = [Option<Ipv4Addr>; 2];

/// The row that decides about a v4 address.
pub fn v4(address: Ipv4Addr) -> &'static Row<Ipv4Net> {
    V4.iter().find(|row| row.net.contains(&address)).expect("the last row holds every address")
}

/// The row that decides about a v6 address.
pub fn v6(address: Ipv6Addr) -> &'static Row<Ipv6Net> {
    V6.iter().find(|row| row.net.contains(&address)).expect("the last row holds every address")
}

const fn row4(a: u8, b: u8, c: u8, d: u8, bits: u8, verdict: Verdict, name: &'static str) -> Row<Ipv4Net> {
    Row { net: Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits), verdict, name }
}

const fn row6(groups: [u16; 8], bits: u8, verdict: Verdict, name: &'static str) -> Row<Ipv6Net> {
    let [a, b, c, d, e, f, g, h] = groups;
    Row { net: Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), bits), verdict, name }
}

use Verdict::{Carries, Forbidden, Global, Metadata};

#[rustfmt::skip]
static V4: [Row<Ipv4Net>; 25] = [
    row4(169, 254, 169, 254, 32, Metadata,  "cloud metadata"),
    row4(168, 63, 129, 16,   32, Metadata,  "Azure's WireServer"),
    row4(0, 0, 0, 0,          8, Forbidden, "this network, RFC 791"),
    row4(10, 0, 0, 0,         8, Forbidden, "private use, RFC 1918"),
    row4(100, 64, 0, 0,      10, Forbidden, "shared address space, RFC 6598"),
    row4(127, 0, 0, 0,        8, Forbidden, "loopback, RFC 1122"),
    row4(169, 254, 0, 0,     16, Forbidden, "link local, RFC 3927"),
    row4(172, 16, 0, 0,      12, Forbidden, "private use, RFC 1918"),
    row4(192, 0, 0, 9,       32, Global,    "port control protocol anycast, RFC 7723"),
    row4(192, 0, 0, 10,      32, Global,    "TURN anycast, RFC 8155"),
    row4(192, 0, 0, 0,       24, Forbidden, "IETF protocol assignments, RFC 6890"),
    row4(192, 0, 2, 0,       24, Forbidden, "documentation, RFC 5737"),
    row4(192, 31, 196, 0,    24, Global,    "AS112-v4, RFC 7535"),
    row4(192, 52, 193, 0,    24, Global,    "AMT, RFC 7450"),
    row4(192, 88, 99, 0,     24, Forbidden, "6to4 relay anycast, deprecated, RFC 7526"),
    row4(192, 168, 0, 0,     16, Forbidden, "private use, RFC 1918"),
    row4(192, 175, 48, 0,    24, Global,    "direct delegation AS112, RFC 7534"),
    row4(198, 18, 0, 0,      15, Forbidden, "benchmarking, RFC 2544"),
    row4(198, 51, 100, 0,    24, Forbidden, "documentation, RFC 5737"),
    row4(203, 0, 113, 0,     24, Forbidden, "documentation, RFC 5737"),
    row4(233, 252, 0, 0,     24, Forbidden, "documentation multicast, RFC 6676"),
    row4(224, 0, 0, 0,        4, Forbidden, "multicast, RFC 5771"),
    row4(255, 255, 255, 255, 32, Forbidden, "limited broadcast, RFC 919"),
    row4(240, 0, 0, 0,        4, Forbidden, "reserved, RFC 1112"),
    row4(0, 0, 0, 0,          0, Global,    "global unicast"),
];

#[rustfmt::skip]
static V6: [Row<Ipv6Net>; 31] = [
    row6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, Metadata,  "cloud metadata"),
    row6([0, 0, 0, 0, 0, 0, 0, 0],              128, Forbidden, "unspecified, RFC 4291"),
    row6([0, 0, 0, 0, 0, 0, 0, 1],              128, Forbidden, "loopback, RFC 4291"),
    row6([0, 0, 0, 0, 0, 0xffff, 0, 0],          96, Carries(last), "v4-mapped, RFC 4291"),
    row6([0, 0, 0, 0, 0, 0, 0, 0],               96, Forbidden, "v4-compatible, deprecated, RFC 4291"),
    row6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0],       96, Carries(last), "NAT64, RFC 6052"),
    row6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0],       48, Forbidden, "local-use NAT64, RFC 8215"),
    row6([0x100, 0, 0, 0, 0, 0, 0, 0],           64, Forbidden, "discard only, RFC 6666"),
    row6([0x100, 0, 0, 1, 0, 0, 0, 0],           64, Forbidden, "dummy prefix, RFC 9780"),
    row6([0x2001, 0, 0, 0, 0, 0, 0, 0],          32, Carries(teredo), "Teredo, RFC 4380"),
    row6([0x2001, 1, 0, 0, 0, 0, 0, 1],         128, Global,    "port control protocol anycast, RFC 7723"),
    row6([0x2001, 1, 0, 0, 0, 0, 0, 2],         128, Global,    "TURN anycast, RFC 8155"),
    row6([0x2001, 1, 0, 0, 0, 0, 0, 3],         128, Global,    "DNS-SD registration anycast, RFC 9665"),
    row6([0x2001, 2, 0, 0, 0, 0, 0, 0],          48, Forbidden, "benchmarking, RFC 5180"),
    row6([0x2001, 3, 0, 0, 0, 0, 0, 0],          32, Global,    "AMT, RFC 7450"),
    row6([0x2001, 4, 0x112, 0, 0, 0, 0, 0],      48, Global,    "AS112-v6, RFC 7535"),
    row6([0x2001, 0x10, 0, 0, 0, 0, 0, 0],       28, Forbidden, "ORCHID, deprecated, RFC 4843"),
    row6([0x2001, 0x20, 0, 0, 0, 0, 0, 0],       28, Global,    "ORCHIDv2, RFC 7343"),
    row6([0x2001, 0x30, 0, 0, 0, 0, 0, 0],       28, Global,    "drone remote identification, RFC 9374"),
    row6([0x2001, 0, 0, 0, 0, 0, 0, 0],          23, Forbidden, "IETF protocol assignments, RFC 2928"),
    row6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0],      32, Forbidden, "documentation, RFC 3849"),
    row6([0x2002, 0, 0, 0, 0, 0, 0, 0],          16, Carries(six_to_four), "6to4, RFC 3056"),
    row6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0],  48, Global,    "direct delegation AS112, RFC 7534"),
    row6([0x3fff, 0, 0, 0, 0, 0, 0, 0],          20, Forbidden, "documentation, RFC 9637"),
    row6([0x5f00, 0, 0, 0, 0, 0, 0, 0],          16, Forbidden, "SRv6 segment identifiers, RFC 9602"),
    row6([0xfc00, 0, 0, 0, 0, 0, 0, 0],           7, Forbidden, "unique local, RFC 4193"),
    row6([0xfe80, 0, 0, 0, 0, 0, 0, 0],          10, Forbidden, "link local, RFC 4291"),
    row6([0xfec0, 0, 0, 0, 0, 0, 0, 0],          10, Forbidden, "site local, deprecated, RFC 3879"),
    row6([0xff00, 0, 0, 0, 0, 0, 0, 0],           8, Forbidden, "multicast, RFC 4291"),
    row6([0x2000, 0, 0, 0, 0, 0, 0, 0],           3, Global,    "global unicast, RFC 4291"),
    row6([0, 0, 0, 0, 0, 0, 0, 0],                0, Forbidden, "not given out, RFC 4291"),
];

/// The last 32 bits.
fn last(address: Ipv6Addr) -> Carried {
    [Some(carried(address, 96)), None]
}

/// The 32 bits after `2002:`.
fn six_to_four(address: Ipv6Addr) -> Carried {
    [Some(carried(address, 16)), None]
}

/// The server's address, and the client's, which is stored inverted.
fn teredo(address: Ipv6Addr) -> Carried {
    [Some(carried(address, 32)), Some(Ipv4Addr::from_bits(!carried(address, 96).to_bits()))]
}

/// The 32 bits that begin at the given one.
fn carried(address: Ipv6Addr, from: u32) -> Ipv4Addr {
    let shifted = address.to_bits() >> (96 - from);
    Ipv4Addr::from_bits(u32::try_from(shifted & u128::from(u32::MAX)).expect("masked to 32 bits"))
}
