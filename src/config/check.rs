//! Values that need more than spelling: URLs, tokens, networks, files. None of these repeats what it was given where
//! that may hold a secret.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use redis::IntoConnectionInfo;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::Url;

use super::given::Sensitive;
use super::parse;
use crate::consume::amqp::AmqpUrl;
use crate::notify::mail::Sender;

/// The shortest admin token or token key, in characters (contract, section 1).
pub const SECRET_CHARS_MIN: usize = 32;

/// RabbitMQ's URL, as lapin reads it.
pub fn amqp_url(text: &str) -> Result<AmqpUrl, String> {
    // lapin's own message may repeat the password.
    text.parse().map_err(|_| "is not a RabbitMQ URL; write it like amqp://user:password@host:5672/%2f".to_owned())
}

/// Redis: one URL, one of Sentinel, or several of a Cluster's nodes.
pub fn redis_urls(text: &str) -> Result<Vec<Sensitive>, String> {
    let urls = parse::list(text)?;
    for url in &urls {
        match url.split_once("://") {
            Some(("redis" | "rediss", _)) => {
                let read = url.into_connection_info();
                read.map_err(|_| "is not a Redis URL; write it like redis://user:password@host:6379/0")?;
            }
            Some(("redis-sentinel", rest)) if urls.len() == 1 => sentinel(rest)?,
            Some(("redis-sentinel", _)) => {
                return Err("lists several Sentinel URLs; write one with its nodes separated by ;".to_owned());
            }
            Some(("rediss-sentinel", _)) => {
                return Err("asks for TLS to Sentinel, which is not supported; write redis-sentinel://".to_owned());
            }
            _ => return Err("must begin with redis://, rediss:// or redis-sentinel://".to_owned()),
        }
    }
    Ok(urls.into_iter().map(Sensitive::new).collect())
}

fn sentinel(rest: &str) -> Result<(), String> {
    let wrong = || "is not a Sentinel URL; write it like redis-sentinel://h1:26379;h2:26379/service/0".to_owned();
    let (nodes, path) = rest.split_once('/').ok_or_else(wrong)?;
    let nodes = nodes.rsplit_once('@').map_or(nodes, |(_, nodes)| nodes);
    let (service, db) = path.split_once('/').unwrap_or((path, "0"));
    let node =
        |node: &str| node.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    let good = nodes.split(';').all(node) && !service.is_empty() && db.parse::<u16>().is_ok();
    good.then_some(()).ok_or_else(wrong)
}

/// A token or key: long enough, and of characters that a header can carry.
pub fn secret(text: &str) -> Result<Sensitive, String> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("an entry has characters other than visible ASCII".to_owned());
    }
    if text.len() < SECRET_CHARS_MIN {
        return Err(format!("an entry has {} characters; at least {SECRET_CHARS_MIN}", text.len()));
    }
    Ok(Sensitive::new(text))
}

/// Where to listen.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not an address to listen at; write it like 0.0.0.0:8080 or [::1]:8080"))
}

/// A network, or one address.
pub fn network(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map(|net| net.trunc())
        .map_err(|_| format!("{text:?} is not a network; write it like 10.20.0.0/16 or fd12::/16"))
}

/// A TCP port.
pub fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| format!("{text:?} is not a port; 1 to 65535"))
}

/// The largest file of certificates, in bytes; all of the public roots take a quarter of it.
const CERTIFICATES_BYTES_MAX: u64 = 1 << 20;

/// A file of certificates in PEM, each of them one that TLS can use as a root; answers with what is in it.
pub fn certificates(text: &str) -> Result<Vec<u8>, String> {
    let mut pem = Vec::new();
    let read = File::open(text).and_then(|file| file.take(CERTIFICATES_BYTES_MAX + 1).read_to_end(&mut pem));
    read.map_err(|error| format!("{text:?} cannot be read: {error}"))?;
    if pem.len() as u64 > CERTIFICATES_BYTES_MAX {
        return Err(format!("{text:?} is larger than {CERTIFICATES_BYTES_MAX} bytes"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("{text:?} is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("{text:?} has a certificate of no use: {error}"))?;
    }
    if roots.is_empty() { Err(format!("{text:?} has no certificate in it")) } else { Ok(pem) }
}

/// A URL of one of some schemes with a host, which may hold a password.
pub fn secret_url(text: &str, schemes: &[&str]) -> Result<Sensitive, String> {
    let url = Url::parse(text).ok().filter(|url| schemes.contains(&url.scheme()) && has_host(url));
    url.map(|_| Sensitive::new(text)).ok_or_else(|| format!("is not a URL; write it like {}://host:port", schemes[0]))
}

/// The base of links: `http` or `https`, with a path at most.
pub fn base_url(text: &str) -> Result<Url, String> {
    let plain = |url: &Url| {
        let web = matches!(url.scheme(), "http" | "https") && has_host(url);
        let bare = url.query().is_none() && url.fragment().is_none();
        web && bare && url.username().is_empty() && url.password().is_none()
    };
    let url = Url::parse(text).ok().filter(plain);
    url.ok_or_else(|| "is not the base of links; write it like https://webhooks.example.com".to_owned())
}

fn has_host(url: &Url) -> bool {
    url.host_str().is_some_and(|host| !host.is_empty())
}

/// A sender: `name@host` or `Name <name@host>`.
pub fn sender(text: &str) -> Result<Sender, String> {
    let wrong = || format!("{text:?} is not a sender; write it like Webhooks <webhooks@example.com>");
    Sender::parse(text).ok_or_else(wrong)
}

/// The longest e-mail address, in bytes (RFC 5321).
pub const MAIL_ADDRESS_BYTES_MAX: usize = 254;

/// Whether a text is plausibly one e-mail address. Only sending to it could tell more.
pub fn is_mail_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let clean = |c: char| !c.is_control() && !c.is_whitespace() && !r#"<>()[],;:\"@"#.contains(c);
    let labels = domain.split('.').all(|label| {
        let edges = label.starts_with('-') || label.ends_with('-');
        !label.is_empty() && !edges && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    });
    let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
    let sized = text.len() <= MAIL_ADDRESS_BYTES_MAX && (1..=64).contains(&local.len());
    sized && labels && !dots && local.chars().all(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_addresses_are_plausible_or_refused() {
        for good in ["a@b.example", "first.last+tag@sub.example.com", "ops@localhost", "josé@correo.example"] {
            assert!(is_mail_address(good), "{good}");
        }
        let wrong = [
            "",
            "@",
            "a@",
            "@b.c",
            "a b@c.d",
            "a@b@c.d",
            "a@b..c",
            "a@-b.c",
            ".a@b.c",
            "a@b.c\r\nBcc: x@y.z",
            "<a@b.c>",
        ];
        for wrong in wrong {
            assert!(!is_mail_address(wrong), "{wrong:?}");
        }
        assert!(!is_mail_address(&format!("{}@b.c", "a".repeat(65))));
    }

    #[test]
    fn a_sentinel_url_names_nodes_and_service() {
        for good in ["redis-sentinel://h1:26379;h2:26379/main/0", "redis-sentinel://u:p@h1:26379/main"] {
            assert!(redis_urls(good).is_ok(), "{good}");
        }
        for wrong in [
            "redis-sentinel://h1:26379",
            "redis-sentinel://h1/main",
            "redis-sentinel://h1:1/main/x",
            "redis-sentinel:///m",
            "redis-sentinel://h1:1/main/0?protocol=resp3",
        ] {
            assert!(redis_urls(wrong).is_err(), "{wrong}");
        }
        let tls = redis_urls("rediss-sentinel://h1:26379/main/0").unwrap_err();
        assert_eq!(tls, "asks for TLS to Sentinel, which is not supported; write redis-sentinel://");
    }
}
