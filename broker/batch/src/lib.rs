//! Kafka's record batch, version 2, as it travels and as it lies on disk: the 61-byte header and its in-place patches
//! ([`header`]), the checksum ([`crc`]), records read without copying ([`record`], [`reader`]), what a broker checks
//! before it appends ([`validate`]), building ([`builder`]), control records ([`control`]) and compression whose
//! output is bounded ([`compress`]).
//!
//! Never enters: where a batch is kept (`millstream-log`), which message carries it (`millstream-wire`), clocks,
//! sockets, files. Older record formats (magic 0 and 1) are recognised and refused.
//!
//! Invariants:
//! - BA-1: bytes that were not checked never make this crate panic, and never make it allocate more than the limit
//!   given for a batch's uncompressed size plus 1 MiB.
//! - BA-2: a patch of what the checksum covers changes the checksum by the difference alone, so that a batch that was
//!   damaged before the patch is still seen as damaged after it.
//! - BA-3: what the builder builds, the validator accepts, and the reader gives back as it was appended, duplicate
//!   header keys and their order included.

pub mod builder;
pub mod compress;
pub mod control;
pub mod crc;
pub mod error;
pub mod header;
pub mod reader;
pub mod record;
pub mod validate;
pub mod varint;

pub use builder::{Append, BatchBuilder, BatchConfig, RecordRef};
pub use compress::{Codec, Compressor, Decompressor, Level};
pub use control::{ControlRecord, ControlType, EndTxnMarker};
pub use error::BatchError;
pub use header::{Attributes, BatchHeader, TimestampType};
pub use reader::{BatchView, Batches, Records, batches};
pub use record::{HeaderView, Headers, RecordView};
pub use validate::{BatchSummary, Depth, KeyRule, Limits, Origin, validate_for_append, validate_with};
