//! What an author of a connector implements: a [`Source`] that hands out splits and reads them from a position, a
//! [`Sink`] that keeps the next offsets in its target, a [`Table`] that is read whole; the config structs that lint,
//! manual and editors read; and the conformance suite that every connector passes ([`test_suite`]).
//!
//! Owns the contract between worker and connector, whose point is CN-1: the effect of each input on a target exactly
//! once, or the connector says at least once. Never enters: a foreign system's driver, a runtime, the broker.

pub mod cell;
pub mod config;
pub mod context;
pub mod egress;
pub mod error;
pub mod hash;
pub mod position;
pub mod scalar;
pub mod schema;
pub mod sink;
pub mod source;
pub mod staging;
pub mod table;
pub mod test_suite;

pub use async_trait::async_trait;
pub use config::{ConfigValue, SecretText};
pub use context::{Context, CrashPoints, Crashed};
pub use egress::{Egress, EgressError};
pub use error::{SinkError, SourceError};
pub use position::{Position, SplitId, StateEntry};
pub use scalar::{ByteSize, Period};
pub use schema::{Bounds, ComponentSchema, Delivery, FieldSchema, Kind, Role};
pub use sink::{Change, NextOffsets, Offsets, RowFault, RowId, Run, Sink, SinkBatch, SinkCapabilities};
pub use source::{
    Changes, Discovery, Header, ReadLimit, ReadState, RecordEnd, RecordFault, Rejected, Source, SourceBatch,
    SourceCapabilities, SourceRecord, Split, SplitReader,
};
pub use table::{Lookup, Table, TableSnapshot};

#[doc(hidden)]
pub use serde;
