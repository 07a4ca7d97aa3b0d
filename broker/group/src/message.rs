//! What goes into the coordinator and what comes out: Kafka's own requests and responses as plain values, and what
//! the coordinator has to know of topics. Never enters: which version a client spoke, but where it changes meaning.

use std::sync::Arc;

use bytes::Bytes;
use millstream_types::ErrorCode;
use millstream_types::{Millis, ProducerEpoch, ProducerId, Uuid};
use millstream_wire::message::offset_fetch_request::OffsetFetchRequestGroup;
use millstream_wire::message::offset_fetch_response::OffsetFetchResponseGroup;
use millstream_wire::message::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, SyncGroupRequest, SyncGroupResponse,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, consumer_group_describe_response,
    describe_groups_response, list_groups_response,
};

/// Names a request that waits for its answer; chosen by the shell.
pub type Token = u64;

/// The committed offset of an answer that stands for "the partition's log start" (a new partition that is pinned):
/// the shell puts the number in. No real answer holds it.
pub const LOG_START: i64 = -1_000_001;

/// The coordinator's settings; names and defaults are Kafka's but where it says "ours".
#[derive(Clone, Debug)]
pub struct Config {
    /// `offsets.topic.num.partitions`: the shards of all coordinators.
    pub shards: i32,
    /// `group.min.session.timeout.ms`, classic.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`, classic.
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`, classic.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`.
    pub members_max: usize,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`: the longest interval; it is shorter while work is pending.
    pub consumer_heartbeat_interval_ms: i32,
    /// `offset.metadata.max.bytes`.
    pub metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: Millis,
    /// `offsets.pin.new.partitions` (ours).
    pub pin_new_partitions: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            shards: 50,
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            members_max: i32::MAX as usize,
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5_000,
            metadata_bytes_max: 4_096,
            offsets_retention_ms: 10_080 * 60_000,
            pin_new_partitions: true,
        }
    }
}

/// A topic as the coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: Uuid,
    /// How many partitions it has.
    pub partitions: i32,
}

/// The topics of the cluster, in the newest image.
pub trait Topics {
    /// The topic of a name.
    fn by_name(&self, name: &str) -> Option<TopicView>;
    /// The topic of an id.
    fn by_id(&self, id: Uuid) -> Option<TopicView>;
    /// Every topic, by name, internal ones left out.
    fn all(&self) -> Vec<TopicView>;
}

/// Who asks.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The request's client id.
    pub client_id: String,
    /// The peer's address.
    pub client_host: String,
    /// The request's version, where it changes meaning: JoinGroup 4 (a member id is asked for first) and 9 (a leader
    /// may be told not to assign), OffsetCommit 9 (it knows member epochs and GROUP_ID_NOT_FOUND),
    /// ConsumerGroupHeartbeat 1 (the client chooses its member id).
    pub version: i16,
    /// An id for a member that has none, new with every request.
    pub fresh_id: Uuid,
}

/// A request to the coordinator of its group.
#[derive(Clone, Debug)]
pub enum Request {
    /// JoinGroup.
    Join(JoinGroupRequest),
    /// SyncGroup.
    Sync(SyncGroupRequest),
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup.
    Leave(LeaveGroupRequest),
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerGroupHeartbeatRequest),
    /// OffsetCommit, topics by name (the shell resolves ids).
    Commit(OffsetCommitRequest),
    /// TxnOffsetCommit, topics by name.
    TxnCommit(TxnOffsetCommitRequest),
    /// One group of OffsetFetch, topics by name; `None` topics are all that have offsets.
    Fetch(OffsetFetchRequestGroup, RequireStable),
    /// OffsetDelete.
    DeleteOffsets(OffsetDeleteRequest),
    /// One group of DeleteGroups.
    DeleteGroup(String),
    /// One group of DescribeGroups.
    Describe(String),
    /// One group of ConsumerGroupDescribe.
    ConsumerDescribe(String),
}

/// Whether OffsetFetch refuses an offset that an open transaction is about to replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequireStable {
    /// It does: UNSTABLE_OFFSET_COMMIT.
    Yes,
    /// It answers what is committed.
    No,
}

/// Answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Of JoinGroup.
    Join(JoinGroupResponse),
    /// Of SyncGroup.
    Sync(SyncGroupResponse),
    /// Of Heartbeat.
    Heartbeat(HeartbeatResponse),
    /// Of LeaveGroup.
    Leave(LeaveGroupResponse),
    /// Of ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    /// Of OffsetCommit.
    Commit(OffsetCommitResponse),
    /// Of TxnOffsetCommit.
    TxnCommit(TxnOffsetCommitResponse),
    /// Of OffsetFetch, one group; offsets of [`LOG_START`] are to be replaced.
    Fetch(OffsetFetchResponseGroup),
    /// Of OffsetDelete.
    DeleteOffsets(OffsetDeleteResponse),
    /// Of DeleteGroups, one group.
    DeleteGroup(ErrorCode),
    /// Of DescribeGroups, one group.
    Describe(describe_groups_response::DescribedGroup),
    /// Of ConsumerGroupDescribe, one group.
    ConsumerDescribe(consumer_group_describe_response::DescribedGroup),
    /// The whole request is refused; the shell makes the response of its kind.
    Refused(ErrorCode),
}

/// ListGroups, one row.
pub type Listed = list_groups_response::ListedGroup;

/// A record of `__consumer_offsets` as it is read back.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// The key.
    pub key: Bytes,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The producer whose open transaction it is part of.
    pub producer_id: Option<ProducerId>,
}

/// What is read back from a shard's log, in order.
#[derive(Clone, Debug)]
pub enum LogEntry {
    /// A record.
    Record(LogRecord),
    /// A producer's transaction ended.
    Marker {
        /// The producer.
        producer_id: ProducerId,
        /// Whether it committed.
        commit: bool,
    },
}

/// An event.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Input {
    /// This broker leads shard `shard` in `epoch`, and this is its log.
    Load {
        /// The partition of `__consumer_offsets`.
        shard: i32,
        /// Its leader epoch.
        epoch: i32,
        /// Its log, oldest first.
        entries: Vec<LogEntry>,
    },
    /// This broker no longer leads the shard, or must read it again.
    Unload {
        /// The partition of `__consumer_offsets`.
        shard: i32,
    },
    /// A request.
    Request {
        /// Names the answer.
        token: Token,
        /// Who asks.
        caller: Caller,
        /// What.
        request: Request,
    },
    /// A transaction's marker is in the shard's log.
    Marker {
        /// The partition of `__consumer_offsets`.
        shard: i32,
        /// The producer.
        producer_id: ProducerId,
        /// Whether it committed.
        commit: bool,
    },
    /// The topics changed.
    TopicsChanged,
    /// Time has passed (see [`crate::Coordinator::next_deadline`]).
    Tick,
    /// Offsets may have expired (asked for every `offsets.retention.check.interval.ms`).
    ExpireOffsets,
}

/// Records to append, and the answers that leave once they are committed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The shard whose order this keeps.
    pub shard: i32,
    /// Keys and values to append, in one batch; a value of `None` is a tombstone.
    pub append: Vec<(Bytes, Option<Bytes>)>,
    /// The producer of the open transaction that the records are part of.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
    /// Answers.
    pub answers: Vec<(Token, Answer)>,
}
