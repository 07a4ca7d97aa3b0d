//! Kafka's request `BrokerHeartbeatRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `BrokerHeartbeatRequest`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerHeartbeatRequest {
    /// `BrokerId`; a broker id.
    pub broker_id: i32,
    /// `BrokerEpoch`.
    pub broker_epoch: i64,
    /// `CurrentMetadataOffset`.
    pub current_metadata_offset: i64,
    /// `WantFence`.
    pub want_fence: bool,
    /// `WantShutDown`.
    pub want_shut_down: bool,
    /// `OfflineLogDirs`, versions 1 to 2, tag 0.
    pub offline_log_dirs: Vec<Uuid>,
    /// `CordonedLogDirs`, version 2, may be null, tag 1.
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for BrokerHeartbeatRequest {
    fn default() -> BrokerHeartbeatRequest {
        BrokerHeartbeatRequest {
            broker_id: 0,
            broker_epoch: -1,
            current_metadata_offset: 0,
            want_fence: false,
            want_shut_down: false,
            offline_log_dirs: Vec::new(),
            cordoned_log_dirs: None,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl BrokerHeartbeatRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<BrokerHeartbeatRequest, DecodeError> {
        crate::error::check_decode_version("BrokerHeartbeatRequest", version, 0, 2)?;
        let mut m = BrokerHeartbeatRequest::default();
        m.broker_id = r.i32("broker_id")?;
        m.broker_epoch = r.i64("broker_epoch")?;
        m.current_metadata_offset = r.i64("current_metadata_offset")?;
        m.want_fence = r.bool("want_fence")?;
        m.want_shut_down = r.bool("want_shut_down")?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 if version >= 1 => {
                    m.offline_log_dirs =
                        r.array(true, 16, "offline_log_dirs", 0, |r, _| r.uuid("offline_log_dirs"))?
                }
                1 if version == 2 => {
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
        crate::error::check_encode_version("BrokerHeartbeatRequest", version, 0, 2)?;
        w.i32(self.broker_id);
        w.i64(self.broker_epoch);
        w.i64(self.current_metadata_offset);
        w.bool(self.want_fence);
        w.bool(self.want_shut_down);
        let mut tags = crate::tagged::TagSet::new();
        if version >= 1 && !self.offline_log_dirs.is_empty() {
            tags.add(0, |w| {
                w.array_len(true, self.offline_log_dirs.len(), "offline_log_dirs")?;
                for v in &self.offline_log_dirs {
                    w.uuid(*v);
                }
                Ok(())
            })?;
        }
        if version == 2 && self.cordoned_log_dirs.is_some() {
            tags.add(1, |w| {
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
        if version < 1 && !self.offline_log_dirs.is_empty() {
            return Err(EncodeError::absent("offline_log_dirs", version));
        }
        if version != 2 && self.cordoned_log_dirs.is_some() {
            return Err(EncodeError::absent("cordoned_log_dirs", version));
        }
        Ok(())
    }
}
