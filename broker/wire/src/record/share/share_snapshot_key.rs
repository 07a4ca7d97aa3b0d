//! Kafka's record `ShareSnapshotKey`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/share.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ShareSnapshotKey`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareSnapshotKey {
    /// `GroupId`.
    pub group_id: String,
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Partition`.
    pub partition: i32,
}

impl ShareSnapshotKey {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareSnapshotKey, DecodeError> {
        crate::error::check_decode_version("ShareSnapshotKey", version, 0, 0)?;
        let mut m = ShareSnapshotKey::default();
        m.group_id = r.string(false, "group_id")?;
        m.topic_id = r.uuid("topic_id")?;
        m.partition = r.i32("partition")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareSnapshotKey", version, 0, 0)?;
        w.string(false, &self.group_id, "group_id")?;
        w.uuid(self.topic_id);
        w.i32(self.partition);
        Ok(())
    }
}
