//! The door to the network, as connectors see it: a name goes in, the addresses that may be dialled come out. A
//! connector dials only those, and follows no redirect without asking again. The rules are `millstream-connect`'s.

use std::net::SocketAddr;

use crate::async_trait;

/// Why an address may not be dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The rules forbid it. Not to be retried.
    #[error("dialling {host}:{port}: {why}; name the host under `egress: allow` if this is meant")]
    Refused {
        /// The host as asked for.
        host: String,
        /// The port as asked for.
        port: u16,
        /// Which rule.
        why: String,
    },
    /// The name has no address now. May be retried.
    #[error("finding the address of {host}: {why}")]
    Unresolved {
        /// The host as asked for.
        host: String,
        /// What the resolver said.
        why: String,
    },
}

/// Resolves and judges. The answer is what is dialled: resolving again could give another address (DNS rebinding).
#[async_trait]
pub trait Egress: Send + Sync {
    /// The addresses of `host` that may be dialled, at least one, in the resolver's order. `host` is a name or an
    /// address literal without brackets.
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError>;

    /// Whether a socket in the file system may be used; it is a way to this machine's own services.
    async fn local_socket(&self, path: &str) -> Result<(), EgressError>;
}
