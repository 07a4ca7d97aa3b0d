//! Files for real: the conformance suite, what happens to files under their reader, tables.

mod reading;
mod suite;
mod tables;
