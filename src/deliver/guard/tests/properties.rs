//! What holds for every URL and every address, tried on many: a spelling that one parser reads otherwise than another
//! is how guards are passed. Failures are kept by proptest in `proptest-regressions`; those known from elsewhere are [`CORPUS`].

use http::Uri;
use proptest::prelude::*;

use super::*;

/// URLs that have deceived other guards, or look as if they could.
const CORPUS: &[&str] = &[
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1#@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https:\\\\127.0.0.1\\",
    "https:127.0.0.1",
    "https:///127.0.0.1/",
    "\u{1}https://127.0.0.1/",
    "ht\ntps://127.0.\t0.1/",
    "https://127.0.0.1%00.example.com/",
    "https://127。0。0。1/",
    "https://①②⑦.⓪.⓪.①/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[::1]:443.example.com/",
    "https://[v1.127.0.0.1]/",
    "https://example.com:443:80/",
    "https://example.com:+443/",
    "https://0x7f.0.0.0x1/",
    "https://4294967296/",
    "https://0300.0250.1/",
    "https://1.1.1.1 &@2.2.2.2# @3.3.3.3/",
    "https://a.example/{\"<|^`>\"}?{\"<|^`>'\"}",
    "https://xn--/",
    "https://*.example.com/",
    "https://a_b.example/",
    "https://-a-.example/",
    "https:\\\\dA&{808:167",
    "https://example.com./",
    "https://example.com../",
    "https://.example.com/",
];

/// What every accepted URL has: the client that is given it sees the same host and port, no credentials, no forbidden
/// address.
fn assert_sound(guard: &Guard, text: &str) {
    let Ok(url) = guard.check_url(text) else { return };
    assert_eq!(Url::parse(url.as_str()).as_ref(), Ok(&url), "{text:?}");
    assert!(url.scheme() == "https" && url.as_str().len() <= URL_BYTES_MAX, "{text:?}");
    let uri = Uri::try_from(url.as_str()).unwrap_or_else(|problem| panic!("{text:?}: {problem}"));
    assert_eq!((uri.host(), uri.port_u16()), (url.host_str(), url.port()), "{text:?}");
    assert_eq!(uri.authority().map(|authority| authority.as_str().contains('@')), Some(false), "{text:?}");
    let host = url.host_str().unwrap();
    match host.trim_matches(['[', ']']).trim_end_matches('.').parse::<IpAddr>() {
        Ok(address) => assert_eq!(guard.check_ip(address), Ok(()), "{text:?}"),
        Err(_) => assert!(matches!(url.host(), Some(Host::Domain(_))), "{text:?}"),
    }
}

/// The ways to write a number that some client understands.
fn number(value: u32, way: u8) -> String {
    match way % 4 {
        0 => value.to_string(),
        1 => format!("0{value:o}"),
        2 => format!("0x{value:x}"),
        _ => format!("0X000{value:X}"),
    }
}

/// An IPv4 address in one to four parts, each in its own way.
fn spelled(address: Ipv4Addr, parts: usize, ways: [u8; 4], end: &str) -> String {
    let [a, b, c, d] = address.octets().map(u32::from);
    let values = match parts {
        1 => vec![address.to_bits()],
        2 => vec![a, b << 16 | c << 8 | d],
        3 => vec![a, b, c << 8 | d],
        _ => vec![a, b, c, d],
    };
    let parts: Vec<_> = values.into_iter().zip(ways).map(|(value, way)| number(value, way)).collect();
    parts.join(".") + end
}

/// The v6 addresses that carry a v4 one.
fn carriers(address: Ipv4Addr) -> [Ipv6Addr; 4] {
    let bits = u128::from(address.to_bits());
    let teredo = 0x2001_0000_0808_0808_u128 << 64; // By way of the server 8.8.8.8; the client is written inverted.
    [
        address.to_ipv6_mapped(),
        Ipv6Addr::from_bits(0x0064_ff9b_u128 << 96 | bits),
        Ipv6Addr::from_bits(0x2002_u128 << 112 | bits << 80 | 1),
        Ipv6Addr::from_bits(teredo | u128::from(!address.to_bits())),
    ]
}

/// Any address, and about as often one near the forbidden ones.
fn address() -> impl Strategy<Value = Ipv4Addr> {
    let near = (0..FORBIDDEN.len(), -1..=1_i32).prop_filter_map("v4", |(row, step)| match ip(FORBIDDEN[row].0) {
        IpAddr::V4(address) => Some(Ipv4Addr::from_bits(address.to_bits().wrapping_add_signed(step))),
        IpAddr::V6(_) => None,
    });
    prop_oneof![any::<u32>().prop_map(Ipv4Addr::from_bits), near]
}

#[test]
fn known_deceptions_are_refused_or_harmless() {
    let strict = Guard { allow_ports: Some([443].into()), ..Guard::default() };
    for text in CORPUS {
        assert_sound(&guard(), text);
        assert_sound(&strict, text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_address_is_judged_alike_however_it_is_written(
        address in address(), parts in 1..=4_usize, ways: [u8; 4], end in "\\.?", path in "(/[a-z]{0,4})?"
    ) {
        let text = format!("https://{}{path}", spelled(address, parts, ways, &end));
        let judged = guard().check_ip(address.into());
        prop_assert_eq!(guard().check_url(&text).map(|_| ()), judged.map_err(UrlProblem::from), "{}", text);
    }

    #[test]
    fn an_address_is_judged_alike_inside_another(address in address()) {
        let judged = guard().check_ip(address.into());
        for carrier in carriers(address) {
            prop_assert_eq!(guard().check_ip(carrier.into()), judged, "{}", carrier);
            let text = format!("https://[{carrier}]/");
            prop_assert_eq!(guard().check_url(&text).map(|_| ()), judged.map_err(UrlProblem::from), "{}", text);
        }
    }

    #[test]
    fn a_literal_with_a_zone_is_refused(zone in "%(25)?[a-z0-9]{1,8}") {
        let text = format!("https://[fe80::1{zone}]/");
        prop_assert!(guard().check_url(&text).is_err(), "{}", text);
    }

    #[test]
    fn what_is_accepted_is_read_alike_by_the_client(
        start in "(https?:/{0,3}|HTTPS://|https:\\\\\\\\)?",
        host in "[a-c0-9.:@%\\[\\]\\\\#?_*-]{0,12}|[\\x00-\\x7f]{0,8}|\\PC{0,8}",
        rest in "(:[0-9]{0,6})?([/?#\\\\]\\PC{0,12}|[\\x00-\\x7f]{0,12})?",
    ) {
        assert_sound(&guard(), &format!("{start}{host}{rest}"));
        assert_sound(&guard(), &format!("https://a.example/{host}{rest}"));
    }
}
