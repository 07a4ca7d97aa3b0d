//! Who may do what. Every request passes [`authorize`] before a handler runs (AU-1): the operation that its API needs is
//! in one exhaustive table, and the policy decides. There is one policy so far, which allows all; SASL, ACLs and quotas
//! are additions to it. Never enters: sockets, handlers.

pub mod authorize;
pub mod principal;

pub use authorize::{Decision, Operation, ResourceKind, authorize, required};
pub use principal::{Listener, Principal};
