//! PostgreSQL for real: a private server, the conformance suite, failures. Skipped aloud where there is no server.

mod cluster;
mod failures;
mod lookup;
mod suite;
