//! The lookup as the machine is set up for: `/etc/hosts`, then the name servers of `/etc/resolv.conf`.
//!
//! Both files are looked at again while the process runs, as the system's library does, since machines get other
//! name servers when they get other networks. What is not honoured is `nsswitch.conf`: names from multicast DNS or
//! a directory. Asking the system's library for every name was rejected: `getaddrinfo` holds a thread until the
//! system gives up on a name, longer than an attempt may last, and some hundred dead names then hold up every other
//! lookup of the process. It remains for machines whose `resolv.conf` cannot be used.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::time::Instant;

use super::dns::Dns;
use super::resolve::{ADDRESSES_MAX, Lookup};

/// How often the files are looked at, at the most.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The machine's own lookup.
pub struct SystemLookup {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    read: Mutex<Option<Read>>,
}

/// What was read from the files, and when.
struct Read {
    looked_at: Instant,
    changed_at: [Option<SystemTime>; 2],
    /// `None`: by the system's library.
    dns: Option<Arc<Dns>>,
}

impl SystemLookup {
    /// Reads `/etc/resolv.conf` and `/etc/hosts`, when the first name is looked up.
    pub fn new() -> Self {
        Self::of("/etc/resolv.conf".into(), "/etc/hosts".into())
    }

    fn of(resolv_conf: PathBuf, hosts: PathBuf) -> Self {
        Self { resolv_conf, hosts, read: Mutex::new(None) }
    }

    /// The name servers as of now; the files are small and local, so no thread is asked to look at them.
    fn dns(&self) -> Option<Arc<Dns>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(read) = read.as_ref().filter(|read| now < read.looked_at + LOOK_EVERY) {
            return read.dns.clone();
        }
        let changed_at =
            [&self.resolv_conf, &self.hosts].map(|path| fs::metadata(path).and_then(|of| of.modified()).ok());
        let dns = match read.take() {
            Some(read) if read.changed_at == changed_at => read.dns,
            _ => self.read_anew(),
        };
        *read = Some(Read { looked_at: now, changed_at, dns: dns.clone() });
        dns
    }

    fn read_anew(&self) -> Option<Arc<Dns>> {
        // A machine without a hosts file has no names in it.
        let hosts = fs::read(&self.hosts).unwrap_or_default();
        let dns = fs::read(&self.resolv_conf).and_then(|resolv_conf| Dns::new(&resolv_conf, &hosts));
        dns.map(Arc::new)
            .inspect_err(|error| {
                let file = self.resolv_conf.display();
                tracing::warn!(%error, %file, "no name servers; the system's library looks names up, and many slow ones can hold up others");
            })
            .ok()
    }
}

impl Default for SystemLookup {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match self.dns() {
            Some(dns) => dns.lookup(host).await,
            None => {
                let found = tokio::net::lookup_host((host, 0)).await?;
                Ok(found.map(|address| address.ip()).take(ADDRESSES_MAX).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    struct Files(tempfile::TempDir);

    impl Files {
        fn new(resolv_conf: &str, hosts: &str) -> Self {
            let files = Self(tempfile::tempdir().unwrap());
            files.write("resolv.conf", resolv_conf, 0);
            files.write("hosts", hosts, 0);
            files
        }

        /// File systems tell changes apart by some milliseconds; the age makes them differ for sure.
        fn write(&self, name: &str, text: &str, age: u64) {
            fs::write(self.path(name), text).unwrap();
            let file = fs::File::options().append(true).open(self.path(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(age)).unwrap();
        }

        fn path(&self, name: &str) -> PathBuf {
            Path::join(self.0.path(), name)
        }

        fn lookup(&self) -> SystemLookup {
            SystemLookup::of(self.path("resolv.conf"), self.path("hosts"))
        }
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Nobody listens there: whoever asks waits.
    const NOBODY: &str = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";

    #[tokio::test]
    async fn a_name_in_the_hosts_file_is_asked_of_nobody() {
        let files = Files::new(NOBODY, "# ours\n10.1.2.3 Receiver.test receiver # short\nfd00::1 receiver\n");
        let lookup = files.lookup();
        assert_eq!(lookup.lookup("receiver.test").await.unwrap(), ips(&["10.1.2.3"]));
        assert_eq!(lookup.lookup("receiver").await.unwrap(), ips(&["10.1.2.3", "fd00::1"]));
        assert!(lookup.lookup("localhost").await.unwrap().iter().all(IpAddr::is_loopback));
    }

    #[tokio::test(start_paused = true)]
    async fn changed_files_are_read_again() {
        let files = Files::new(NOBODY, "10.0.0.1 receiver\n");
        let lookup = files.lookup();
        assert_eq!(lookup.lookup("receiver").await.unwrap(), ips(&["10.0.0.1"]));
        files.write("hosts", "10.0.0.2 receiver\n", 1);
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(lookup.lookup("receiver").await.unwrap(), ips(&["10.0.0.2"]));
    }

    #[tokio::test]
    async fn without_name_servers_the_systems_library_is_asked() {
        for resolv_conf in ["", "search example.com\n"] {
            let files = Files::new(resolv_conf, "");
            let lookup = files.lookup();
            assert!(lookup.dns().is_none());
            assert!(lookup.lookup("localhost").await.unwrap().iter().all(IpAddr::is_loopback));
        }
        assert!(SystemLookup::of("/nowhere".into(), "/nowhere".into()).dns().is_none());
    }

    #[tokio::test]
    async fn the_machines_own_names_are_known() {
        assert!(SystemLookup::new().lookup("localhost").await.unwrap().iter().all(IpAddr::is_loopback));
    }
}
