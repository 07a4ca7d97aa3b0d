//! Kafka's requests, responses and records: bytes in, values out, no allocation before a bound check.
//!
//! [`message`], [`record`], [`header`] and [`api`] are made from the tables in `schema/` by `cargo xtask protocol`
//! (the facts of Apache Kafka 4.4.0); [`Reader`], [`Writer`] and [`frame`] are written by hand. Never enters: record
//! batches (`millstream-batch`), sockets, clocks, and what a broker does with any of it.
//!
//! A value is written only in a version that can hold it: a field that the version lacks must be at its default or
//! be one that Kafka calls ignorable, otherwise encoding is an error, as in Kafka.

// What generated code may look like where hand-written code may not: defaults that are assigned over, and ranges.
#[allow(clippy::field_reassign_with_default)]
pub mod header;
#[allow(clippy::field_reassign_with_default)]
pub mod message;
#[allow(clippy::field_reassign_with_default)]
pub mod record;

pub mod api;
mod dispatch;
mod error;
pub mod frame;
mod reader;
mod records;
mod tagged;
mod writer;

pub use api::ApiKey;
pub use dispatch::{Message, Request, Response};
pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
pub use message::{AnyRequest, AnyResponse};
pub use reader::{MEMORY_FACTOR, MEMORY_FLOOR, Reader};
pub use record::Data;
pub use records::Records;
pub use tagged::TaggedFields;
pub use writer::{SEGMENT_BYTES_MIN, Segment, Writer};
