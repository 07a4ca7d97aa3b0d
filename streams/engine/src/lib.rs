//! Streaming operators on Arrow: the only crate that links DataFusion. Its rooms follow.
