//! Records of Protobuf: one message each, plain or behind a schema registry's frame. A column is filled from the field of
//! its name and written to it.
//!
//! - Presence is Protobuf's: an absent field without presence (a scalar of proto3 that is neither `optional` nor in a
//!   oneof) is its default, for nullable columns too; an absent field with presence is null; an explicit default of
//!   proto2 is honoured. Text that stands for a number, a time or a date and is empty counts as absent where its field
//!   has no presence.
//! - Of several values of a field the last counts, messages that occur several times are merged, and repeated numbers
//!   may be packed or not, in any mix. A field that has only values of another wire type is refused; among others they
//!   are passed over.
//! - Text is UTF-8, and a number for a column of doubles is finite. What is inside a field that no column names is not
//!   looked at.
//! - Maps are lists of structs with the fields `key` and `value`, with every entry that was written.

mod cells;
mod decode;
mod derive;
mod encode;
mod frames;
mod kind;
mod ordered;
mod plan;
mod reader;
mod scalars;
mod schema;
#[cfg(test)]
mod tests;
mod values;
mod wire;

use std::sync::Arc;

pub(crate) use encode::{ProtobufRows, ProtobufWriter};
pub(crate) use reader::ProtobufReader;
pub use schema::ProtobufSchema;

use crate::Schemas;

/// How messages are written.
#[derive(Clone, Debug, Default)]
pub struct ProtobufForm {
    /// The declared message; with a registry it is what is registered and written, and readers go by what is registered.
    pub schema: Option<Arc<ProtobufSchema>>,
    /// Where records have a registry's frame, its schemas.
    pub registry: Option<Arc<Schemas>>,
}

/// The deepest nesting of messages, groups and columns.
const DEPTH_MAX: usize = 64;
