//! The egress guard: every outbound address passes here. A name is resolved once, each of its addresses is judged, and
//! only those that passed are handed out to be dialled, so that a second answer of the resolver changes nothing (DNS
//! rebinding). Refused unless allowed: loopback, link-local (cloud metadata too), private, and every other range that
//! is not the public internet. Never enters: a connection, a redirect (a connector asks again for each).

mod ranges;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use millstream_connector::{Egress, EgressError, async_trait};
pub use ranges::{Range, RangeParseError, refusal};
use url::{Host, Url};

/// What is allowed beyond the public internet.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    /// Hosts written literally in a file that its owner runs here: allowed whatever their addresses. Empty for a
    /// pipeline that a remote submitter sent.
    pub literal_hosts: BTreeSet<String>,
    /// `egress: { allow: [...] }`: hosts.
    pub allowed_hosts: BTreeSet<String>,
    /// `egress: { allow: [...] }`: ranges of addresses.
    pub allowed_ranges: Vec<Range>,
    /// Whether sockets in the file system may be used.
    pub local_sockets: bool,
}

impl EgressPolicy {
    /// Reads the entries of `egress: { allow: [...] }`: a host, an address, or a range such as `10.0.0.0/8`. The first
    /// entry that is none of them is returned.
    pub fn allow(&mut self, entries: &[String]) -> Result<(), String> {
        for entry in entries {
            if let Ok(range) = entry.parse::<Range>() {
                self.allowed_ranges.push(range);
            } else if entry.contains('/') || entry.contains('*') || Host::parse(entry).is_err() {
                return Err(entry.clone());
            } else {
                self.allowed_hosts.insert(canonical(entry));
            }
        }
        Ok(())
    }

    /// Notes a host that stands in a local file.
    pub fn literal(&mut self, host: &str) {
        self.literal_hosts.insert(canonical(host));
    }
}

/// One spelling for each host: lower case, no dot at the end, addresses as the URL standard writes them (so
/// `2130706433` and `0x7f.1` are `127.0.0.1`).
fn canonical(host: &str) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return ranges::unmapped(address).to_string();
    }
    match Host::parse(host) {
        Ok(Host::Ipv4(address)) => address.to_string(),
        Ok(Host::Ipv6(address)) => ranges::unmapped(address.into()).to_string(),
        Ok(Host::Domain(name)) => name.trim_end_matches('.').to_lowercase(),
        Err(_) => host.to_lowercase(),
    }
}

/// Turns names into addresses; the system's resolver, or a test's.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses of `host`, or why there are none.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String>;
}

/// The operating system's resolver.
#[derive(Debug)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| error.to_string())?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// The guard.
pub struct Guard {
    policy: EgressPolicy,
    resolver: Arc<dyn Resolve>,
}

/// Where a URL leads, after the guard has passed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The URL in its one spelling.
    pub url: Url,
    /// The host, for TLS and the Host header.
    pub host: String,
    /// What to dial.
    pub addresses: Vec<SocketAddr>,
}

impl Guard {
    /// A guard with the system's resolver.
    pub fn new(policy: EgressPolicy) -> Guard {
        Guard::with_resolver(policy, Arc::new(SystemResolver))
    }

    /// A guard with another resolver.
    pub fn with_resolver(policy: EgressPolicy, resolver: Arc<dyn Resolve>) -> Guard {
        Guard { policy, resolver }
    }

    /// Judges a URL and resolves its host. `schemes` are those that the caller speaks.
    pub async fn check_url(&self, text: &str, schemes: &[&str]) -> Result<Target, EgressError> {
        let refused =
            |host: &str, port: u16, why: String| EgressError::Refused { host: host.to_owned(), port, why };
        // The text is not repeated in the error: it may hold a password.
        let url =
            Url::parse(text).map_err(|error| refused("?", 0, format!("the URL cannot be read: {error}")))?;
        let host = url.host().map(|host| match host {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        });
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            return Err(refused("?", 0, "the URL has no host".to_owned()));
        };
        let port = url.port_or_known_default().unwrap_or(0);
        if !schemes.contains(&url.scheme()) {
            let why = format!("the scheme {} is none of {}", url.scheme(), schemes.join(", "));
            return Err(refused(&host, port, why));
        }
        if port == 0 {
            return Err(refused(&host, port, "port 0 cannot be dialled".to_owned()));
        }
        let addresses = self.resolve(&host, port).await?;
        Ok(Target { url, host, addresses })
    }

    /// Why this address is refused to `host`; `None` when it may be dialled.
    fn judge(&self, host: &str, address: IpAddr) -> Option<&'static str> {
        let why = refusal(address)?;
        let policy = &self.policy;
        let by_host = policy.literal_hosts.contains(host) || policy.allowed_hosts.contains(host);
        let by_range = policy.allowed_ranges.iter().any(|range| range.contains(address));
        (!by_host && !by_range).then_some(why)
    }
}

#[async_trait]
impl Egress for Guard {
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError> {
        let name = canonical(host);
        let found = match name.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let answer = self.resolver.resolve(&name).await;
                answer.map_err(|why| EgressError::Unresolved { host: host.to_owned(), why })?
            }
        };
        let mut refused = None;
        let mut passed = Vec::new();
        for address in found {
            let address = ranges::unmapped(address);
            match self.judge(&name, address) {
                Some(why) => refused = Some(format!("{address} {why}")),
                None => passed.push(SocketAddr::new(address, port)),
            }
        }
        // One bad address condemns the name: a name that is public and private at once is an attack or a mistake.
        match (refused, passed.is_empty()) {
            (Some(why), _) => Err(EgressError::Refused { host: host.to_owned(), port, why }),
            (None, true) => {
                Err(EgressError::Unresolved { host: host.to_owned(), why: "it has no address".to_owned() })
            }
            (None, false) => Ok(passed),
        }
    }

    async fn local_socket(&self, path: &str) -> Result<(), EgressError> {
        if self.policy.local_sockets {
            return Ok(());
        }
        let why = "a socket in the file system leads to this machine's own services".to_owned();
        Err(EgressError::Refused { host: path.to_owned(), port: 0, why })
    }
}
