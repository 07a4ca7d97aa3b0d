//! Records of Avro, as they are or behind the frame of a schema registry: schemas, reading into columns by the writer's
//! schema, writing by a given schema or by one that is derived from the columns. Columns and fields meet by name. Never
//! enters: object container files.

mod decode;
mod encode;
mod leaf;
mod plan;
mod schema;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use decode::AvroReader;
pub(crate) use encode::{AvroRows, AvroWriter};
pub(crate) use leaf::{push_text, push_whole};
pub(crate) use schema::Whole;

use crate::Schemas;

/// How records are written.
#[derive(Clone, Debug, Default)]
pub struct AvroForm {
    /// The text of the schema; derived from the columns without one. Records with a registry's frame are read by the schema
    /// that the frame names, and written by this one.
    pub schema: Option<Arc<str>>,
    /// Where records have a registry's frame, its schemas.
    pub registry: Option<Arc<Schemas>>,
}
