//! The formats of topics: from the bytes of a record to a row of Arrow columns, and back; a record of Arrow has many rows.
//! A decoder takes records one at a time; one that is bad is refused alone, with its reason and place, and leaves no trace
//! in the columns. An encoder writes a row at a time.
//!
//! Pure of I/O: the schemas of a registry are put into [`Schemas`] by whoever asks it. Never enters: where records come
//! from, where bad ones go, SQL.

pub mod avro;
mod column;
pub mod csv;
mod decimal;
mod decoder;
mod encoder;
mod error;
mod format;
pub mod ipc;
pub mod json;
mod object;
pub mod protobuf;
mod raw;
mod registered;
mod varint;

pub use decoder::Decoder;
pub use encoder::{EncodedRows, Encoder};
pub use error::{BadReason, BadRecord, FormatError, SchemaError};
pub use format::Format;
pub use registered::{Registered, Said, SchemaType, Schemas, frame_id};
