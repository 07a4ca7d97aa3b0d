//! The egress guard over a corpus of URLs.

mod egress_corpus;
