use super::*;

mod properties;

fn guard() -> Guard {
    Guard::default()
}

fn open(nets: &[&str]) -> Guard {
    let allow_nets = nets.iter().map(|net| net.parse().unwrap()).collect();
    Guard { allow_http: true, allow_nets, allow_ports: None }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An address of each block that is not globally reachable, with a word of the block's name.
const FORBIDDEN: &[(&str, &str)] = &[
    ("0.0.0.0", "this network"),
    ("0.255.255.255", "this network"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.1", "shared"),
    ("100.100.100.200", "shared"),
    ("100.127.255.255", "shared"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "Azure"),
    ("169.254.169.254", "metadata"),
    ("169.254.170.2", "link local"),
    ("172.16.0.0", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.1", "protocol assignments"),
    ("192.0.0.8", "protocol assignments"),
    ("192.0.0.170", "protocol assignments"),
    ("192.0.0.192", "protocol assignments"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "6to4 relay"),
    ("192.168.0.1", "private"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.7", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.250", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::8.8.8.8", "v4-compatible"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:169.254.169.254", "metadata"),
    ("64:ff9b::10.0.0.1", "private"),
    ("64:ff9b::169.254.169.254", "metadata"),
    ("64:ff9b:1::8.8.8.8", "local-use NAT64"),
    ("100::1", "discard"),
    ("100:0:0:1::1", "dummy"),
    ("2001:0:7f00:1::f7f7:f7f7", "loopback"), // Teredo: server 127.0.0.1, client 8.8.8.8
    ("2001:0:808:808::f5ff:fffe", "private"), // Teredo: server 8.8.8.8, client 10.0.0.1
    ("2001:1::4", "protocol assignments"),
    ("2001:2::1", "benchmarking"),
    ("2001:10::1", "ORCHID"),
    ("2001:1ff::1", "protocol assignments"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::1", "loopback"),
    ("2002:a9fe:a9fe::1", "metadata"),
    ("3fff:fff::1", "documentation"),
    ("4000::1", "not given out"),
    ("5f00::1", "SRv6"),
    ("fc00::1", "unique local"),
    ("fd00:ec2::254", "metadata"),
    ("fdff::1", "unique local"),
    ("fe80::1", "link local"),
    ("febf::1", "link local"),
    ("fec0::1", "site local"),
    ("ff02::1", "multicast"),
];

/// Neighbours of those blocks, and what is cut out of them.
const REACHABLE: &[&str] = &[
    "1.0.0.0",
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.0.9",
    "192.0.0.10",
    "192.0.1.0",
    "192.31.196.1",
    "192.52.193.1",
    "192.167.255.255",
    "192.169.0.0",
    "192.175.48.1",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2001:0:808:808::f7f7:f7f7",
    "2001:1::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:20::1",
    "2001:30::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2002:808:808::1",
    "2606:4700:4700::1111",
    "2620:4f:8000::1",
    "3ffe::1",
];

#[test]
fn what_is_not_globally_reachable_is_blocked() {
    for (address, kind) in FORBIDDEN {
        match guard().check_ip(ip(address)) {
            Err(Blocked(name)) => assert!(name.contains(kind), "{address} is blocked as {name}, not {kind}"),
            Ok(()) => panic!("{address} ({kind}) is not blocked"),
        }
    }
}

#[test]
fn what_is_globally_reachable_is_not() {
    for address in REACHABLE {
        assert_eq!(guard().check_ip(ip(address)), Ok(()), "{address}");
    }
}

#[test]
fn allowed_nets_are_exempt_and_nothing_else() {
    let guard = open(&["10.1.0.0/16", "fd00::/8"]);
    for (address, allowed) in [
        ("10.1.2.3", true),
        ("10.2.0.1", false),
        ("fd12::1", true),
        ("fc00::1", false),
        ("::ffff:10.1.2.3", true),
        ("::ffff:10.2.0.1", false),
        ("64:ff9b::10.1.2.3", true),
        ("2002:a01:203::1", true),
        ("127.0.0.1", false),
    ] {
        assert_eq!(guard.check_ip(ip(address)).is_ok(), allowed, "{address}");
    }
}

#[test]
fn metadata_services_are_exempt_only_by_their_own_address() {
    let broad = open(&["0.0.0.0/0", "::/0"]);
    assert!(broad.check_ip(ip("10.0.0.1")).is_ok());
    for address in ["169.254.169.254", "168.63.129.16", "fd00:ec2::254", "::ffff:169.254.169.254"] {
        assert!(broad.check_ip(ip(address)).is_err(), "{address}");
    }
    assert!(open(&["169.254.169.254/32"]).check_ip(ip("169.254.169.254")).is_ok());
}

/// Literals in a URL, in every spelling that some client would understand.
#[test]
fn a_forbidden_address_in_the_url_is_refused_however_it_is_written() {
    for url in [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://0x7f.1/",
        "https://127.0.0.1./",
        "https://%31%32%37.0.0.1/",
        "https://１２７.0.0.1/",
        "https://[::1]/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::ffff:a9fe:a9fe]/latest/meta-data",
        "https://[64:ff9b::a00:1]/",
        "https://[fd00:ec2::254]/",
        "https://169.254.169.254/latest/meta-data",
        "https://0/",
    ] {
        assert!(matches!(guard().check_url(url), Err(UrlProblem::Address(_))), "{url}: {:?}", guard().check_url(url));
    }
}

#[test]
fn an_ordinary_url_is_accepted_in_its_normal_form() {
    for (typed, normal) in [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/Hook?a=1", "https://example.com/Hook?a=1"),
        ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
        ("https://example.com:8443/", "https://example.com:8443/"),
        ("https://a_b.example./", "https://a_b.example./"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
    ] {
        assert_eq!(guard().check_url(typed).unwrap().as_str(), normal);
    }
}

#[test]
fn each_problem_is_one_sentence() {
    let long = format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX));
    let long_label = format!("https://{}.example/", "x".repeat(64));
    let long_name = format!("https://{}example/", "x.".repeat(124));
    let swells = format!("https://example.com/{}", "ä".repeat(URL_BYTES_MAX / 4));
    for (url, problem) in [
        ("http://example.com/", UrlProblem::NotHttps),
        ("ftp://example.com/", UrlProblem::NotHttps),
        ("https://user@example.com/", UrlProblem::Credentials),
        ("https://user:pass@example.com/", UrlProblem::Credentials),
        ("https://:pass@example.com/", UrlProblem::Credentials),
        ("https://example.com/#top", UrlProblem::Fragment),
        ("https://example.com:0/", UrlProblem::Port(0)),
        ("https://{a}.example/", UrlProblem::NotAHost),
        ("https://a..example/", UrlProblem::NotAHost),
        (long_label.as_str(), UrlProblem::NotAHost),
        (long_name.as_str(), UrlProblem::NotAHost),
        (long.as_str(), UrlProblem::TooLong),
        (swells.as_str(), UrlProblem::TooLong),
        ("example.com", UrlProblem::NotAUrl(url::ParseError::RelativeUrlWithoutBase)),
        ("https://", UrlProblem::NotAUrl(url::ParseError::EmptyHost)),
    ] {
        assert_eq!(guard().check_url(url), Err(problem), "{url}");
    }
    assert_eq!(open(&[]).check_url("ftp://example.com/"), Err(UrlProblem::NotHttp));
    let message = guard().check_url("https://10.0.0.1/").unwrap_err().to_string();
    assert_eq!(
        message,
        "the URL's host may not be reached: it is an address that deliveries may not use (private use, RFC 1918)"
    );
}

#[test]
fn http_is_accepted_where_it_is_allowed() {
    assert!(open(&[]).check_url("http://example.com/").is_ok());
}

#[test]
fn only_the_allowed_ports_are_accepted() {
    let guard = Guard { allow_ports: Some([443, 8443].into()), ..Guard::default() };
    assert!(guard.check_url("https://example.com/").is_ok());
    assert!(guard.check_url("https://example.com:8443/").is_ok());
    assert_eq!(guard.check_url("https://example.com:6379/"), Err(UrlProblem::Port(6379)));
}
