//! The integration tests of `millstream-wire`, one binary. A module each: random messages against another
//! implementation, broken bytes, frames written by hand, records.

// The generator's own reader of the fact tables: `oracle` encodes from the same facts by other code.
// The tests ask for less of a message than the generator does.
#[allow(dead_code)]
#[path = "../../../../xtask/src/protocol/table.rs"]
mod table;

mod broken;
mod golden;
mod oracle;
mod random;
mod records;
