//! Kafka's request `AlterPartitionRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `AlterPartitionRequest`, versions 2 to 3.
#[derive(Clone, Debug, PartialEq)]
pub struct AlterPartitionRequest {
    /// `BrokerId`; a broker id.
    pub broker_id: i32,
    /// `BrokerEpoch`.
    pub broker_epoch: i64,
    /// `Topics`.
    pub topics: Vec<TopicData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for AlterPartitionRequest {
    fn default() -> AlterPartitionRequest {
        AlterPartitionRequest {
            broker_id: 0,
            broker_epoch: -1,
            topics: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl AlterPartitionRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AlterPartitionRequest, DecodeError> {
        crate::error::check_decode_version("AlterPartitionRequest", version, 2, 3)?;
        let mut m = AlterPartitionRequest::default();
        m.broker_id = r.i32("broker_id")?;
        m.broker_epoch = r.i64("broker_epoch")?;
        m.topics = r.array(true, 18, "topics", version, TopicData::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("AlterPartitionRequest", version, 2, 3)?;
        w.i32(self.broker_id);
        w.i64(self.broker_epoch);
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicData` of [`AlterPartitionRequest`], versions 2 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicData {
    /// `TopicId`, ignorable.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<PartitionData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TopicData, DecodeError> {
        let mut m = TopicData::default();
        m.topic_id = r.uuid("topic_id")?;
        m.partitions = r.array(true, 15, "partitions", version, PartitionData::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.uuid(self.topic_id);
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `PartitionData` of [`AlterPartitionRequest`], versions 2 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionData {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `LeaderEpoch`.
    pub leader_epoch: i32,
    /// `NewIsr`, version 2; a broker id.
    pub new_isr: Vec<i32>,
    /// `NewIsrWithEpochs`, version 3.
    pub new_isr_with_epochs: Vec<BrokerState>,
    /// `LeaderRecoveryState`.
    pub leader_recovery_state: i8,
    /// `PartitionEpoch`.
    pub partition_epoch: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl PartitionData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionData, DecodeError> {
        let mut m = PartitionData::default();
        m.partition_index = r.i32("partition_index")?;
        m.leader_epoch = r.i32("leader_epoch")?;
        if version == 2 {
            m.new_isr = r.array(true, 4, "new_isr", 0, |r, _| r.i32("new_isr"))?;
        }
        if version == 3 {
            m.new_isr_with_epochs = r.array(true, 13, "new_isr_with_epochs", version, BrokerState::decode)?;
        }
        m.leader_recovery_state = r.i8("leader_recovery_state")?;
        m.partition_epoch = r.i32("partition_epoch")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i32(self.leader_epoch);
        if version == 2 {
            w.array_len(true, self.new_isr.len(), "new_isr")?;
            for v in &self.new_isr {
                w.i32(*v);
            }
        } else if !self.new_isr.is_empty() {
            return Err(EncodeError::absent("new_isr", version));
        }
        if version == 3 {
            w.array_len(true, self.new_isr_with_epochs.len(), "new_isr_with_epochs")?;
            for v in &self.new_isr_with_epochs {
                v.encode(w, version)?;
            }
        } else if !self.new_isr_with_epochs.is_empty() {
            return Err(EncodeError::absent("new_isr_with_epochs", version));
        }
        w.i8(self.leader_recovery_state);
        w.i32(self.partition_epoch);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `BrokerState` of [`AlterPartitionRequest`], version 3.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerState {
    /// `BrokerId`; a broker id.
    pub broker_id: i32,
    /// `BrokerEpoch`.
    pub broker_epoch: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for BrokerState {
    fn default() -> BrokerState {
        BrokerState { broker_id: 0, broker_epoch: -1, unknown_tagged_fields: TaggedFields::default() }
    }
}

impl BrokerState {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<BrokerState, DecodeError> {
        let mut m = BrokerState::default();
        m.broker_id = r.i32("broker_id")?;
        m.broker_epoch = r.i64("broker_epoch")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.broker_id);
        w.i64(self.broker_epoch);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
