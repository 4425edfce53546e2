//! Where a POST may go: the guard against endpoints that point into our own network (SSRF).
//!
//! Customers choose the URLs, we connect from inside. So the guard looks twice. [`Guard::check_url`] judges the
//! URL when an endpoint is saved, and [`Guard::check`] again before each attempt, since the options may have
//! changed: scheme, port, and an address written in place of a name, which no resolver would ever see. Names are
//! judged where they are resolved ([`resolve`]), so that the address checked is the address dialled. Checking a
//! name first and letting the HTTP client look it up again was rejected: its owner answers twice, differently.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

pub mod dns;
mod registry;
pub mod resolve;
pub mod system;

use registry::Verdict;

/// The longest URL an endpoint may have, in bytes, as typed and as normalised.
pub const URL_BYTES_MAX: usize = 2048;

/// The longest name in the domain name system without its last dot, and the longest part of one (RFC 1035).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// The rules, from `RECADERO_ALLOW_HTTP`, `RECADERO_ALLOW_NETS` and `RECADERO_ALLOW_PORTS`. The default allows
/// `https` to every public address and port.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Allow `http://` besides `https://`.
    pub allow_http: bool,
    /// Exempt from the ban on addresses; a v6 address that carries a v4 one is exempt where that one is. A cloud metadata address is exempt only where a net names it alone (`/32`,
    /// `/128`): whoever opens a private range for an internal receiver does not mean the machine's credentials.
    pub allow_nets: Vec<IpNet>,
    /// The only ports allowed; `None` allows all.
    pub allow_ports: Option<BTreeSet<u16>>,
}

/// Why a URL may not be an endpoint's, in one sentence for the person who typed it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UrlProblem {
    /// Longer than [`URL_BYTES_MAX`].
    #[error("the URL is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// Does not parse.
    #[error("this is not a URL: {0}")]
    NotAUrl(#[from] url::ParseError),
    /// Something else than `https`.
    #[error("the URL must begin with https://")]
    NotHttps,
    /// Something else than `https` or `http`.
    #[error("the URL must begin with https:// or http://")]
    NotHttp,
    /// No host in it.
    #[error("the URL names no host")]
    NoHost,
    /// A host that the URL standard lets pass, and no name service knows.
    #[error("the URL's host is not a host name")]
    NotAHost,
    /// `user:password@`.
    #[error("the URL may not hold a user name or password; put credentials into a header of the endpoint")]
    Credentials,
    /// `#…`.
    #[error("the URL may not hold a fragment (`#…`), which is never sent to a server")]
    Fragment,
    /// Port not among the allowed.
    #[error("port {0} is not allowed for endpoints")]
    Port(u16),
    /// The host is an address that may not be reached.
    #[error("the URL's host may not be reached: it is {0}")]
    Address(#[from] Blocked),
}

/// The address is one that deliveries may not reach; says which kind it is. The address itself is left out, since
/// what an internal name resolves to is nothing that a customer should read in a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an address that deliveries may not use ({0})")]
pub struct Blocked(pub &'static str);

impl Guard {
    /// Parses and judges what was typed as an endpoint's URL; answers with its normal form.
    ///
    /// # Errors
    ///
    /// The first problem found.
    pub fn check_url(&self, text: &str) -> Result<Url, UrlProblem> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlProblem::TooLong);
        }
        let url = Url::parse(text)?;
        self.check(&url)?;
        Ok(url)
    }

    /// Judges a URL that is parsed already: cheap enough to be done before every attempt.
    ///
    /// # Errors
    ///
    /// The first problem found.
    pub fn check(&self, url: &Url) -> Result<(), UrlProblem> {
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            _ if self.allow_http => return Err(UrlProblem::NotHttp),
            _ => return Err(UrlProblem::NotHttps),
        }
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(UrlProblem::TooLong);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlProblem::Credentials);
        }
        if url.fragment().is_some() {
            return Err(UrlProblem::Fragment);
        }
        let port = url.port_or_known_default().unwrap_or(0);
        if port == 0 || self.allow_ports.as_ref().is_some_and(|allowed| !allowed.contains(&port)) {
            return Err(UrlProblem::Port(port));
        }
        // The parser has brought every spelling of an IPv4 address (decimal, octal, hex, short) into one.
        match url.host() {
            None => Err(UrlProblem::NoHost),
            Some(Host::Domain(name)) if is_host_name(name) => Ok(()),
            Some(Host::Domain(_)) => Err(UrlProblem::NotAHost),
            Some(Host::Ipv4(address)) => Ok(self.check_ip(address.into())?),
            Some(Host::Ipv6(address)) => Ok(self.check_ip(address.into())?),
        }
    }

    /// Judges an address: its row in the registries, and for a v6 address that carries v4 ones, theirs.
    ///
    /// # Errors
    ///
    /// When it is not globally reachable, or a metadata service, and not exempt.
    pub fn check_ip(&self, address: IpAddr) -> Result<(), Blocked> {
        match address {
            IpAddr::V4(address) => self.check_v4(address),
            IpAddr::V6(address) => self.check_v6(address),
        }
    }

    fn check_v4(&self, address: Ipv4Addr) -> Result<(), Blocked> {
        let row = registry::v4(address);
        if self.admits(row.verdict, address.into()) { Ok(()) } else { Err(Blocked(row.name)) }
    }

    fn check_v6(&self, address: Ipv6Addr) -> Result<(), Blocked> {
        let row = registry::v6(address);
        if let Verdict::Carries(carried) = row.verdict {
            return carried(address).into_iter().flatten().try_for_each(|v4| self.check_v4(v4));
        }
        if self.admits(row.verdict, address.into()) { Ok(()) } else { Err(Blocked(row.name)) }
    }

    fn admits(&self, verdict: Verdict, address: IpAddr) -> bool {
        let mut nets = self.allow_nets.iter().filter(|net| net.contains(&address));
        match verdict {
            Verdict::Global => true,
            Verdict::Forbidden => nets.next().is_some(),
            Verdict::Metadata => nets.any(|net| net.prefix_len() == net.max_prefix_len()),
            // Left to the addresses inside.
            Verdict::Carries(_) => false,
        }
    }
}

/// Whether a name could be a host's (RFC 1123, and the underscore that some use). The URL standard also lets through
/// what no HTTP client can ask for, such as braces.
fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ordinary = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    name.len() <= NAME_BYTES_MAX
        && name.split('.').all(|label| (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(ordinary))
}

#[cfg(test)]
mod tests;
