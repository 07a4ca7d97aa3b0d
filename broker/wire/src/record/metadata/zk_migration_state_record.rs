//! Kafka's record `ZkMigrationStateRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ZkMigrationStateRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ZkMigrationStateRecord {
    /// `ZkMigrationState`.
    pub zk_migration_state: i8,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ZkMigrationStateRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ZkMigrationStateRecord, DecodeError> {
        crate::error::check_decode_version("ZkMigrationStateRecord", version, 0, 0)?;
        let mut m = ZkMigrationStateRecord::default();
        m.zk_migration_state = r.i8("zk_migration_state")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ZkMigrationStateRecord", version, 0, 0)?;
        w.i8(self.zk_migration_state);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
