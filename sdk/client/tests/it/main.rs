//! The client against a running cluster: set MILLSTREAM_TEST_BOOTSTRAP to a broker's host:port (Apache Kafka 4 or
//! Millstream) and these run; without it each prints that it was left out. What needs no broker is tested beside its code,
//! and in `offline`.

mod admin;
mod groups;
mod offline;
mod produce;
mod support;
mod transactions;
