//! Kafka's record `BrokerRegistrationChangeRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `BrokerRegistrationChangeRecord`, versions 0 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct BrokerRegistrationChangeRecord {
    /// `BrokerId`; a broker id.
    pub broker_id: i32,
    /// `BrokerEpoch`.
    pub broker_epoch: i64,
    /// `Fenced`, tag 0.
    pub fenced: i8,
    /// `InControlledShutdown`, versions 1 to 3, tag 1.
    pub in_controlled_shutdown: i8,
    /// `LogDirs`, versions 2 to 3, tag 2.
    pub log_dirs: Vec<Uuid>,
    /// `CordonedLogDirs`, version 3, may be null, tag 3.
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl BrokerRegistrationChangeRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<BrokerRegistrationChangeRecord, DecodeError> {
        crate::error::check_decode_version("BrokerRegistrationChangeRecord", version, 0, 3)?;
        let mut m = BrokerRegistrationChangeRecord::default();
        m.broker_id = r.i32("broker_id")?;
        m.broker_epoch = r.i64("broker_epoch")?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => m.fenced = r.i8("fenced")?,
                1 if version >= 1 => m.in_controlled_shutdown = r.i8("in_controlled_shutdown")?,
                2 if version >= 2 => {
                    m.log_dirs = r.array(true, 16, "log_dirs", 0, |r, _| r.uuid("log_dirs"))?
                }
                3 if version == 3 => {
                    m.cordoned_log_dirs =
                        r.nullable_array(true, true, 16, "cordoned_log_dirs", 0, |r, _| {
                            r.uuid("cordoned_log_dirs")
                        })?
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("BrokerRegistrationChangeRecord", version, 0, 3)?;
        w.i32(self.broker_id);
        w.i64(self.broker_epoch);
        let mut tags = crate::tagged::TagSet::new();
        if self.fenced != 0 {
            tags.add(0, |w| {
                w.i8(self.fenced);
                Ok(())
            })?;
        }
        if version >= 1 && self.in_controlled_shutdown != 0 {
            tags.add(1, |w| {
                w.i8(self.in_controlled_shutdown);
                Ok(())
            })?;
        }
        if version >= 2 && !self.log_dirs.is_empty() {
            tags.add(2, |w| {
                w.array_len(true, self.log_dirs.len(), "log_dirs")?;
                for v in &self.log_dirs {
                    w.uuid(*v);
                }
                Ok(())
            })?;
        }
        if version == 3 && self.cordoned_log_dirs.is_some() {
            tags.add(3, |w| {
                w.nullable_array_len(
                    true,
                    self.cordoned_log_dirs.as_ref().map(Vec::len),
                    true,
                    "cordoned_log_dirs",
                )?;
                for v in self.cordoned_log_dirs.iter().flatten() {
                    w.uuid(*v);
                }
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        if version < 1 && self.in_controlled_shutdown != 0 {
            return Err(EncodeError::absent("in_controlled_shutdown", version));
        }
        if version < 2 && !self.log_dirs.is_empty() {
            return Err(EncodeError::absent("log_dirs", version));
        }
        if version != 3 && self.cordoned_log_dirs.is_some() {
            return Err(EncodeError::absent("cordoned_log_dirs", version));
        }
        Ok(())
    }
}
