//! SQLite for real: the conformance suite over a database file, and what only this connector has.

mod settings;
mod suite;
