//! Names asked of the name servers, without a thread each.
//!
//! Customers choose the names, so a name server that never answers must cost its own endpoints their attempts and
//! nobody else a thing: a question here is a future and a few sockets, answers are kept for a moment, and how many
//! questions are under way has a bound. The client is hickory; search domains, `/etc/hosts`, and the patience with
//! name servers that answer for one address family only are ours, since hickory's own wait for both.
//!
//! A name with a dot in it is asked for as it stands before any search domain is appended, whatever `ndots` says:
//! Kubernetes sets five, which would make four questions of nearly every customer's name.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup as Answer;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{ConnectionProvider, Hosts, PoolContext, Resolver};
use rustix::process::{Resource, getrlimit};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::resolve::{ADDRESSES_MAX, Lookup};

/// Most names being asked for at once: more than the ten thousand whose name servers may fall silent together without
/// holding others up (`docs/contract.md` section 3, *Isolation*). Those beyond wait, inside their attempts' limits.
const QUESTIONS_MAX: usize = 12_288;

/// Name servers that are asked at once, so that a dead one costs no time; and the sockets that a question holds so, of
/// both families (see [`OneSocket`]).
const ASKED_AT_ONCE: usize = 2;
const SOCKETS_PER_QUESTION: usize = 2 * ASKED_AT_ONCE;

/// The part of the process's descriptors that questions may take: one in this many.
const DESCRIPTORS_SHARE: usize = 4;

/// How long the name servers may be silent before the question is put again, and how often that is done at the least:
/// together as long as an attempt commonly lasts. A name server that is still looking answers what it was asked last.
const SILENCE_MAX: Duration = Duration::from_secs(1);
const REPEATS_MIN: usize = 4;

/// How long the addresses of one family wait for those of the other, which many name servers never answer for.
const OTHER_FAMILY_WITHIN: Duration = Duration::from_millis(250);

/// How many answers are kept, and how long at the most.
const KEPT_MAX: usize = 4096;
const KEPT_FOR_MAX: Duration = Duration::from_secs(30);

/// The name servers of a `resolv.conf`, behind the names of a hosts file.
pub struct Dns {
    resolver: Resolver<OneSocket>,
    search: Vec<Name>,
    hosts: Hosts,
    kept: Mutex<Kept>,
    places: Semaphore,
}

impl Dns {
    /// From the contents of the two files.
    ///
    /// # Errors
    ///
    /// When no name server can be read from `resolv_conf`.
    pub fn new(resolv_conf: &[u8], hosts: &[u8]) -> io::Result<Self> {
        let (config, options) =
            hickory_resolver::system_conf::parse_resolv_conf(resolv_conf).map_err(io::Error::other)?;
        Self::with(config, options, hosts)
    }

    /// Name servers at any port: for tests, which cannot say that in a `resolv.conf`.
    ///
    /// # Errors
    ///
    /// When the client cannot be set up.
    pub fn of_servers(addresses: &[SocketAddr], hosts: &[u8]) -> io::Result<Self> {
        let server = |address: &SocketAddr| {
            let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
                let mut connection = ConnectionConfig::new(protocol);
                connection.port = address.port();
                connection
            });
            NameServerConfig::new(address.ip(), true, connections.into())
        };
        let servers = addresses.iter().map(server).collect();
        Self::with(ResolverConfig::from_name_servers(servers), ResolverOpts::default(), hosts)
    }

    fn with(config: ResolverConfig, mut options: ResolverOpts, hosts: &[u8]) -> io::Result<Self> {
        options.timeout = options.timeout.min(SILENCE_MAX);
        options.attempts = options.attempts.max(REPEATS_MIN);
        options.num_concurrent_reqs = ASKED_AT_ONCE;
        options.use_hosts_file = ResolveHosts::Never; // Looked into here, before anybody is asked.
        options.cache_size = 0; // What is kept is kept here: addresses alone, of a bounded size.
        options.ip_strategy = LookupIpStrategy::Ipv4Only; // Not used: both families are asked for here.
        let search = config.search().to_vec();
        let mut names = Hosts::default();
        names.read_hosts_conf(hosts)?;
        let sockets = OneSocket(TokioRuntimeProvider::default());
        let resolver = Resolver::builder_with_config(config, sockets).with_options(options);
        Ok(Self {
            resolver: resolver.build().map_err(io::Error::other)?,
            search,
            hosts: names,
            kept: Mutex::default(),
            places: Semaphore::new(questions_max()),
        })
    }

    /// What the hosts file says: for a name that stands in it, all there is to know.
    fn in_hosts(&self, name: &Name) -> Vec<IpAddr> {
        let of = |family| self.hosts.lookup_static_host(&Query::query(name.clone(), family));
        let found = [of(RecordType::A), of(RecordType::AAAA)];
        found.into_iter().flatten().flat_map(|answer| addresses(&answer).collect::<Vec<_>>()).collect()
    }

    /// The names to ask for, in order.
    fn spelled_out(&self, name: Name) -> Vec<Name> {
        if name.is_fqdn() {
            return vec![name];
        }
        // One that gets too long is none.
        let searched = self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok());
        let mut names: Vec<_> = searched.collect();
        let at_once = name.num_labels() > 1 || name.is_localhost();
        let as_it_stands = if at_once { 0 } else { names.len() };
        let mut absolute = name;
        absolute.set_fqdn(true);
        names.insert(as_it_stands, absolute);
        names
    }

    /// Both families at once, IPv4 first in the answer: it is the one that works everywhere.
    async fn ask(&self, name: &Name) -> Result<Found, NetError> {
        let v4 = std::pin::pin!(self.resolver.ipv4_lookup(name.clone()));
        let v6 = std::pin::pin!(self.resolver.ipv6_lookup(name.clone()));
        let late = |_| Err(NetError::Timeout);
        let (v4, v6) = match select(v4, v6).await {
            Either::Left((v4 @ Ok(_), v6)) => (v4, timeout(OTHER_FAMILY_WITHIN, v6).await.unwrap_or_else(late)),
            Either::Right((v6 @ Ok(_), v4)) => (timeout(OTHER_FAMILY_WITHIN, v4).await.unwrap_or_else(late), v6),
            Either::Left((v4, v6)) => (v4, v6.await),
            Either::Right((v6, v4)) => (v4.await, v6),
        };
        match (v4, v6) {
            (Ok(v4), Ok(v6)) => Ok(Found::of(&[v4, v6])),
            (Ok(only), Err(_)) | (Err(_), Ok(only)) => Ok(Found::of(&[only])),
            // "There is none" counts only if it is said of both.
            (Err(none), Err(problem)) if none.is_no_records_found() => Err(problem),
            (Err(problem), Err(_)) => Err(problem),
        }
    }
}

#[async_trait]
impl Lookup for Dns {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let name = Name::from_ascii(host)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "this is not a name that can be asked for"))?;
        let listed = self.in_hosts(&name);
        if !listed.is_empty() {
            return Ok(listed);
        }
        if let Some(kept) = lock(&self.kept).get(host) {
            return Ok(kept);
        }
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        let mut exists = false;
        for name in self.spelled_out(name) {
            match self.ask(&name).await {
                Ok(found) => {
                    lock(&self.kept).put(host, &found);
                    return Ok(found.addresses);
                }
                Err(problem) if problem.is_no_records_found() => exists |= !problem.is_nx_domain(),
                Err(problem) => return Err(in_words(&problem)),
            }
        }
        match exists {
            true => Ok(Vec::new()),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "there is no such name")),
        }
    }
}

/// Connections that put a question once and wait: hickory's own put it three times within a second, on a socket each,
/// which ten thousand silent names would make a hundred thousand sockets. What repeats questions is [`REPEATS_MIN`].
#[derive(Clone)]
struct OneSocket(TokioRuntimeProvider);

impl ConnectionProvider for OneSocket {
    type Conn = <TokioRuntimeProvider as ConnectionProvider>::Conn;
    type FutureConn = <TokioRuntimeProvider as ConnectionProvider>::FutureConn;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        pool: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        if config.protocol != ProtocolConfig::Udp {
            return self.0.new_connection(ip, config, pool);
        }
        let udp = UdpClientStream::builder(SocketAddr::new(ip, config.port), self.0.clone())
            .with_timeout(Some(pool.options.timeout))
            .with_max_retries(1);
        Ok(Box::pin(async move { Ok(udp.exchange()) }))
    }

    fn runtime_provider(&self) -> &Self::RuntimeProvider {
        &self.0
    }
}

/// As many as there are descriptors for.
fn questions_max() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let descriptors = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    (descriptors / DESCRIPTORS_SHARE / SOCKETS_PER_QUESTION).clamp(1, QUESTIONS_MAX)
}

/// For the endpoint's owner: no word about name servers and search domains, which are ours.
fn in_words(problem: &NetError) -> io::Error {
    match problem {
        NetError::Timeout => io::Error::new(io::ErrorKind::TimedOut, "no name server answered in time"),
        NetError::Dns(answer) => io::Error::other(format!("the name servers say: {answer}")),
        _ => io::Error::other("the name servers cannot be asked"),
    }
}

fn addresses(answer: &Answer) -> impl Iterator<Item = IpAddr> {
    answer.answers().iter().filter_map(|record| record.data.ip_addr())
}

/// Addresses and how long they may be kept.
struct Found {
    addresses: Vec<IpAddr>,
    fresh_for: Duration,
}

impl Found {
    fn of(answers: &[Answer]) -> Self {
        let seconds = answers.iter().flat_map(|answer| answer.answers()).map(|record| record.ttl).min();
        let fresh_for = Duration::from_secs(seconds.unwrap_or(0).into()).min(KEPT_FOR_MAX);
        Self { addresses: answers.iter().flat_map(addresses).take(ADDRESSES_MAX).collect(), fresh_for }
    }
}

/// Recent answers, by the name that was looked up.
#[derive(Default)]
struct Kept(BTreeMap<String, (Instant, Vec<IpAddr>)>);

impl Kept {
    fn get(&self, host: &str) -> Option<Vec<IpAddr>> {
        let (until, addresses) = self.0.get(host)?;
        (Instant::now() < *until).then(|| addresses.clone())
    }

    fn put(&mut self, host: &str, found: &Found) {
        let now = Instant::now();
        if self.0.len() >= KEPT_MAX {
            self.0.retain(|_, (until, _)| now < *until);
        }
        if self.0.len() >= KEPT_MAX {
            self.0.clear(); // Cheaper than an order of age, and a question again is no harm.
        }
        self.0.insert(host.to_owned(), (now + found.fresh_for, found.addresses.clone()));
    }
}

fn lock(kept: &Mutex<Kept>) -> std::sync::MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(resolv_conf: &str) -> Dns {
        Dns::new(resolv_conf.as_bytes(), b"").unwrap()
    }

    fn asked(dns: &Dns, host: &str) -> Vec<String> {
        dns.spelled_out(Name::from_ascii(host).unwrap()).iter().map(Name::to_ascii).collect()
    }

    #[tokio::test]
    async fn a_customers_name_is_asked_for_as_it_stands() {
        let kubernetes = dns("nameserver 10.0.0.10\nsearch a.svc.cluster.local cluster.local\noptions ndots:5\n");
        let names = asked(&kubernetes, "hooks.example.com");
        assert_eq!(names[0], "hooks.example.com.");
        assert_eq!(asked(&kubernetes, "hooks.example.com."), ["hooks.example.com."]);
        assert_eq!(asked(&kubernetes, "hook_s.a.svc")[2], "hook_s.a.svc.cluster.local.");
        assert_eq!(asked(&kubernetes, "hooks"), ["hooks.a.svc.cluster.local.", "hooks.cluster.local.", "hooks."]);
        assert_eq!(asked(&kubernetes, "localhost")[0], "localhost.");
        assert_eq!(asked(&dns("nameserver 10.0.0.10\n"), "hooks"), ["hooks."]);
    }

    #[tokio::test]
    async fn localhost_is_this_machine_even_where_no_file_says_so() {
        let found = dns("nameserver 10.255.255.1\n").lookup("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    #[tokio::test]
    async fn what_is_no_name_is_asked_of_nobody() {
        let long = format!("{}.example", "x".repeat(64));
        for host in [long.as_str(), "a..example"] {
            let problem = dns("nameserver 10.255.255.1\n").lookup(host).await.unwrap_err();
            assert_eq!(problem.kind(), io::ErrorKind::InvalidInput, "{host}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bounded_number_of_answers_is_kept_for_a_bounded_time() {
        let found = |seconds| Found { addresses: vec![], fresh_for: Duration::from_secs(seconds) };
        let mut kept = Kept::default();
        kept.put("fleeting", &found(0));
        assert!(kept.get("fleeting").is_none());
        kept.put("a", &found(30));
        assert!(kept.get("a").is_some());
        tokio::time::advance(KEPT_FOR_MAX).await;
        assert!(kept.get("a").is_none());
        for n in 0..3 * KEPT_MAX {
            kept.put(&n.to_string(), &found(30));
            assert!(kept.0.len() <= KEPT_MAX);
        }
    }
}
