//! Kafka's record `KRaftVersionRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `KRaftVersionRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct KRaftVersionRecord {
    /// `Version`.
    pub version: i16,
    /// `KRaftVersion`.
    pub k_raft_version: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl KRaftVersionRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<KRaftVersionRecord, DecodeError> {
        crate::error::check_decode_version("KRaftVersionRecord", version, 0, 0)?;
        let mut m = KRaftVersionRecord::default();
        m.version = r.i16("version")?;
        m.k_raft_version = r.i16("k_raft_version")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("KRaftVersionRecord", version, 0, 0)?;
        w.i16(self.version);
        w.i16(self.k_raft_version);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
