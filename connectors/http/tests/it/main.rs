//! HTTP over loopback for real: the conformance suite with peers that send again until they are answered, and the protocol; the sink
//! against a server that answers by a script.

mod peer;
mod protocol;
mod sink;
mod suite;
