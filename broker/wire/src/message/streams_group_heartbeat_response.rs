//! Kafka's response `StreamsGroupHeartbeatResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `StreamsGroupHeartbeatResponse`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamsGroupHeartbeatResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `MemberId`.
    pub member_id: String,
    /// `MemberEpoch`.
    pub member_epoch: i32,
    /// `HeartbeatIntervalMs`.
    pub heartbeat_interval_ms: i32,
    /// `AcceptableRecoveryLagLegacy`, version 0.
    pub acceptable_recovery_lag_legacy: i32,
    /// `TaskOffsetIntervalMs`.
    pub task_offset_interval_ms: i32,
    /// `AcceptableRecoveryLag`, version 1, ignorable.
    pub acceptable_recovery_lag: i64,
    /// `Status`, may be null.
    pub status: Option<Vec<Status>>,
    /// `ActiveTasks`, may be null.
    pub active_tasks: Option<Vec<TaskIds>>,
    /// `StandbyTasks`, may be null.
    pub standby_tasks: Option<Vec<TaskIds>>,
    /// `WarmupTasks`, may be null.
    pub warmup_tasks: Option<Vec<TaskIds>>,
    /// `TopologyDescriptionRequired`, version 1.
    pub topology_description_required: bool,
    /// `EndpointInformationEpoch`.
    pub endpoint_information_epoch: i32,
    /// `PartitionsByUserEndpoint`, may be null.
    pub partitions_by_user_endpoint: Option<Vec<EndpointToPartitions>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for StreamsGroupHeartbeatResponse {
    fn default() -> StreamsGroupHeartbeatResponse {
        StreamsGroupHeartbeatResponse {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: None,
            member_id: String::new(),
            member_epoch: 0,
            heartbeat_interval_ms: 0,
            acceptable_recovery_lag_legacy: 0,
            task_offset_interval_ms: 0,
            acceptable_recovery_lag: -1,
            status: Some(Vec::new()),
            active_tasks: None,
            standby_tasks: None,
            warmup_tasks: None,
            topology_description_required: false,
            endpoint_information_epoch: 0,
            partitions_by_user_endpoint: None,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl StreamsGroupHeartbeatResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<StreamsGroupHeartbeatResponse, DecodeError> {
        crate::error::check_decode_version("StreamsGroupHeartbeatResponse", version, 0, 1)?;
        let mut m = StreamsGroupHeartbeatResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(true, true, "error_message")?;
        m.member_id = r.string(true, "member_id")?;
        m.member_epoch = r.i32("member_epoch")?;
        m.heartbeat_interval_ms = r.i32("heartbeat_interval_ms")?;
        if version == 0 {
            m.acceptable_recovery_lag_legacy = r.i32("acceptable_recovery_lag_legacy")?;
        }
        m.task_offset_interval_ms = r.i32("task_offset_interval_ms")?;
        if version == 1 {
            m.acceptable_recovery_lag = r.i64("acceptable_recovery_lag")?;
        }
        m.status = r.nullable_array(true, true, 3, "status", version, Status::decode)?;
        m.active_tasks = r.nullable_array(true, true, 3, "active_tasks", version, TaskIds::decode)?;
        m.standby_tasks = r.nullable_array(true, true, 3, "standby_tasks", version, TaskIds::decode)?;
        m.warmup_tasks = r.nullable_array(true, true, 3, "warmup_tasks", version, TaskIds::decode)?;
        if version == 1 {
            m.topology_description_required = r.bool("topology_description_required")?;
        }
        m.endpoint_information_epoch = r.i32("endpoint_information_epoch")?;
        m.partitions_by_user_endpoint = r.nullable_array(
            true,
            true,
            7,
            "partitions_by_user_endpoint",
            version,
            EndpointToPartitions::decode,
        )?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("StreamsGroupHeartbeatResponse", version, 0, 1)?;
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        w.string(true, &self.member_id, "member_id")?;
        w.i32(self.member_epoch);
        w.i32(self.heartbeat_interval_ms);
        if version == 0 {
            w.i32(self.acceptable_recovery_lag_legacy);
        } else if self.acceptable_recovery_lag_legacy != 0 {
            return Err(EncodeError::absent("acceptable_recovery_lag_legacy", version));
        }
        w.i32(self.task_offset_interval_ms);
        if version == 1 {
            w.i64(self.acceptable_recovery_lag);
        }
        w.nullable_array_len(true, self.status.as_ref().map(Vec::len), true, "status")?;
        for v in self.status.iter().flatten() {
            v.encode(w, version)?;
        }
        w.nullable_array_len(true, self.active_tasks.as_ref().map(Vec::len), true, "active_tasks")?;
        for v in self.active_tasks.iter().flatten() {
            v.encode(w, version)?;
        }
        w.nullable_array_len(true, self.standby_tasks.as_ref().map(Vec::len), true, "standby_tasks")?;
        for v in self.standby_tasks.iter().flatten() {
            v.encode(w, version)?;
        }
        w.nullable_array_len(true, self.warmup_tasks.as_ref().map(Vec::len), true, "warmup_tasks")?;
        for v in self.warmup_tasks.iter().flatten() {
            v.encode(w, version)?;
        }
        if version == 1 {
            w.bool(self.topology_description_required);
        } else if self.topology_description_required {
            return Err(EncodeError::absent("topology_description_required", version));
        }
        w.i32(self.endpoint_information_epoch);
        w.nullable_array_len(
            true,
            self.partitions_by_user_endpoint.as_ref().map(Vec::len),
            true,
            "partitions_by_user_endpoint",
        )?;
        for v in self.partitions_by_user_endpoint.iter().flatten() {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `EndpointToPartitions` of [`StreamsGroupHeartbeatResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct EndpointToPartitions {
    /// `UserEndpoint`.
    pub user_endpoint: Endpoint,
    /// `ActivePartitions`.
    pub active_partitions: Vec<TopicPartition>,
    /// `StandbyPartitions`.
    pub standby_partitions: Vec<TopicPartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl EndpointToPartitions {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<EndpointToPartitions, DecodeError> {
        let mut m = EndpointToPartitions::default();
        m.user_endpoint = Endpoint::decode(r, version)?;
        m.active_partitions = r.array(true, 3, "active_partitions", version, TopicPartition::decode)?;
        m.standby_partitions = r.array(true, 3, "standby_partitions", version, TopicPartition::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        self.user_endpoint.encode(w, version)?;
        w.array_len(true, self.active_partitions.len(), "active_partitions")?;
        for v in &self.active_partitions {
            v.encode(w, version)?;
        }
        w.array_len(true, self.standby_partitions.len(), "standby_partitions")?;
        for v in &self.standby_partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Status` of [`StreamsGroupHeartbeatResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Status {
    /// `StatusCode`.
    pub status_code: i8,
    /// `StatusDetail`.
    pub status_detail: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Status {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<Status, DecodeError> {
        let mut m = Status::default();
        m.status_code = r.i8("status_code")?;
        m.status_detail = r.string(true, "status_detail")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i8(self.status_code);
        w.string(true, &self.status_detail, "status_detail")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicPartition` of [`StreamsGroupHeartbeatResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicPartition {
    /// `Topic`; a topic name.
    pub topic: String,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicPartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopicPartition, DecodeError> {
        let mut m = TopicPartition::default();
        m.topic = r.string(true, "topic")?;
        m.partitions = r.array(true, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.topic, "topic")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TaskIds` of [`StreamsGroupHeartbeatResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TaskIds {
    /// `SubtopologyId`.
    pub subtopology_id: String,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TaskIds {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TaskIds, DecodeError> {
        let mut m = TaskIds::default();
        m.subtopology_id = r.string(true, "subtopology_id")?;
        m.partitions = r.array(true, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.subtopology_id, "subtopology_id")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `Endpoint` of [`StreamsGroupHeartbeatResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Endpoint {
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: u16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Endpoint {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<Endpoint, DecodeError> {
        let mut m = Endpoint::default();
        m.host = r.string(true, "host")?;
        m.port = r.u16("port")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.host, "host")?;
        w.u16(self.port);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
