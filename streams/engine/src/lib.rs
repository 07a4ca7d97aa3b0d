//! Streaming operators on Arrow: the only crate that links DataFusion (its parts, not its facade).

pub mod decode;
