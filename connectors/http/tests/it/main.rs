//! HTTP over loopback for real: the conformance suite with peers that send again until they are answered, and the protocol.

mod peer;
mod protocol;
mod suite;
