//! What is typed as an endpoint's URL, against the two readers that come after the guard: the HTTP client, and a
//! resolver that takes the addresses of old for names.

use std::net::{IpAddr, Ipv4Addr};

use http::Uri;
use recadero::deliver::guard::{Guard, URL_BYTES_MAX, UrlProblem};
use url::{Host, Url};

pub const VERDICTS: &[&str] =
    &["name", "address", "TooLong", "NotAUrl", "NotHttps", "Credentials", "Fragment", "Port", "NotAHost", "Address"];

pub fn judge(input: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(input) else { return "no text".to_owned() };
    let lenient = Guard { allow_http: true, ..Guard::default() };
    let narrow = Guard { allow_ports: Some([443].into()), ..Guard::default() };
    let open = Guard { allow_nets: vec!["10.0.0.0/8".parse().unwrap()], ..Guard::default() };
    let judged = sound(&Guard::default(), text);
    // Whoever allows less accepts less, and never another address.
    let accepted = judged.is_ok();
    assert!(sound(&lenient, text).is_ok() || !accepted, "what https alone allows, both do");
    assert!(accepted || sound(&narrow, text).is_err(), "fewer ports");
    assert!(sound(&open, text).is_ok() || !accepted, "an exempt net takes nothing away");
    match judged {
        Ok(url) if matches!(url.host(), Some(Host::Domain(_))) => "name".to_owned(),
        Ok(_) => "address".to_owned(),
        Err(problem) => {
            let said = problem.to_string();
            assert!(!said.contains(char::is_control), "{said:?}");
            format!("{problem:?}").split(['(', ' ']).next().unwrap().to_owned()
        }
    }
}

/// What holds of every URL that a guard accepts.
fn sound(guard: &Guard, text: &str) -> Result<Url, UrlProblem> {
    let url = guard.check_url(text)?;
    assert_eq!(guard.check(&url), Ok(()), "before an attempt it is judged as when it was saved");
    assert_eq!(guard.check_url(url.as_str()).as_ref(), Ok(&url), "its normal form is one");
    assert!(url.as_str().len() <= URL_BYTES_MAX && text.len() <= URL_BYTES_MAX);

    // The client dials what its own reading says.
    let uri = Uri::try_from(url.as_str()).expect("the client can ask for it");
    let authority = uri.authority().expect("somebody to ask");
    assert!(!authority.as_str().contains('@'), "{authority}");
    assert_eq!((uri.host(), uri.port_u16()), (url.host_str(), url.port()));
    assert_eq!(uri.scheme_str(), Some(url.scheme()));
    let https = url.scheme() == "https";
    assert!(https || guard.allow_http);
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    assert!(port != 0 && guard.allow_ports.as_ref().is_none_or(|ports| ports.contains(&port)));

    let host = authority.host();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => assert_eq!(guard.check_ip(address), Ok(()), "{address}"),
        // No resolver may take for an address what the guard takes for a name.
        Err(_) => assert_eq!(address_of_old(host), None, "{host} is an address to some"),
    }
    Ok(url)
}

/// What `inet_aton` makes of a host: one to four numbers, decimal, octal or hexadecimal, the last one filling the rest.
fn address_of_old(host: &str) -> Option<Ipv4Addr> {
    let parts: Vec<_> = host.strip_suffix('.').unwrap_or(host).split('.').map(number_of_old).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    let room = 8 * 4_u32.checked_sub(u32::try_from(first.len()).ok()?)?;
    let fits = room > 0 && first.iter().all(|part| *part < 256) && u64::from(*last) < 1 << room;
    let bits = first.iter().fold(0, |bits: u32, part| bits << 8 | part);
    fits.then(|| Ipv4Addr::from_bits(bits.checked_shl(room).unwrap_or(0) | last))
}

fn number_of_old(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix("0x") {
        Some("") => Some(0),
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if lower.len() > 1 && lower.starts_with('0') => u32::from_str_radix(&lower, 8).ok(),
        None => lower.parse().ok(),
    }
}
