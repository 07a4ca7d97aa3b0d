//! Kafka's request `ProduceRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::records::Records;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ProduceRequest`, versions 3 to 13.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ProduceRequest {
    /// `TransactionalId`, may be null; a transactional id.
    pub transactional_id: Option<String>,
    /// `Acks`.
    pub acks: i16,
    /// `TimeoutMs`.
    pub timeout_ms: i32,
    /// `TopicData`.
    pub topic_data: Vec<TopicProduceData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ProduceRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ProduceRequest, DecodeError> {
        crate::error::check_decode_version("ProduceRequest", version, 3, 13)?;
        let flexible = version >= 9;
        let mut m = ProduceRequest::default();
        m.transactional_id = r.nullable_string(flexible, true, "transactional_id")?;
        m.acks = r.i16("acks")?;
        m.timeout_ms = r.i32("timeout_ms")?;
        m.topic_data = r.array(flexible, 3, "topic_data", version, TopicProduceData::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ProduceRequest", version, 3, 13)?;
        let flexible = version >= 9;
        w.nullable_string(flexible, self.transactional_id.as_deref(), true, "transactional_id")?;
        w.i16(self.acks);
        w.i32(self.timeout_ms);
        w.array_len(flexible, self.topic_data.len(), "topic_data")?;
        for v in &self.topic_data {
            v.encode(w, version)?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `TopicProduceData` of [`ProduceRequest`], versions 3 to 13.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicProduceData {
    /// `Name`, versions 3 to 12, ignorable; a topic name.
    pub name: String,
    /// `TopicId`, version 13, ignorable.
    pub topic_id: Uuid,
    /// `PartitionData`.
    pub partition_data: Vec<PartitionProduceData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicProduceData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TopicProduceData, DecodeError> {
        let flexible = version >= 9;
        let mut m = TopicProduceData::default();
        if version <= 12 {
            m.name = r.string(flexible, "name")?;
        }
        if version == 13 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.partition_data = r.array(flexible, 6, "partition_data", version, PartitionProduceData::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 9;
        if version <= 12 {
            w.string(flexible, &self.name, "name")?;
        }
        if version == 13 {
            w.uuid(self.topic_id);
        }
        w.array_len(flexible, self.partition_data.len(), "partition_data")?;
        for v in &self.partition_data {
            v.encode(w, version)?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `PartitionProduceData` of [`ProduceRequest`], versions 3 to 13.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionProduceData {
    /// `Index`.
    pub index: i32,
    /// `Records`, may be null.
    pub records: Option<Records>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl PartitionProduceData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionProduceData, DecodeError> {
        let flexible = version >= 9;
        let mut m = PartitionProduceData::default();
        m.index = r.i32("index")?;
        m.records = r.records(flexible, true, "records")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 9;
        w.i32(self.index);
        w.records(flexible, self.records.as_ref(), true, "records")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
