//! What a client can be told, one struct for each of its parts, with Kafka's names in the docs and Kafka's defaults
//! where nothing speaks against them. Never enters: what is done about a setting.

use std::sync::Arc;
use std::time::Duration;

use millstream_batch::{Codec, Level};
use millstream_types::MemoryBudget;

use crate::error::{ClientError, Result};
use crate::retry::Backoff;

/// What every part of a client shares.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where to ask first, `host:port` each (`bootstrap.servers`).
    pub bootstrap: Vec<String>,
    /// The name in the broker's logs and quotas (`client.id`).
    pub client_id: String,
    /// How long an answer may take (`request.timeout.ms`).
    pub request_timeout: Duration,
    /// How long making a connection may take (`socket.connection.setup.timeout.ms`).
    pub connect_timeout: Duration,
    /// How long a call goes on trying (`default.api.timeout.ms`).
    pub api_timeout: Duration,
    /// How old metadata may grow (`metadata.max.age.ms`).
    pub metadata_max_age: Duration,
    /// Pauses between attempts (`retry.backoff.ms`, `retry.backoff.max.ms`).
    pub backoff: Backoff,
    /// The rack of this client, so that the closest replica serves it (`client.rack`).
    pub rack: String,
    /// What the jitter of pauses and the choice of partitions start from; a test fixes it. `None` takes one from the
    /// system.
    pub seed: Option<u64>,
}

impl ClientConfig {
    /// Kafka's defaults, asking `bootstrap` (`host:port`, or several separated by commas).
    pub fn new(bootstrap: &str) -> ClientConfig {
        ClientConfig {
            bootstrap: bootstrap.split(',').map(|a| a.trim().to_owned()).filter(|a| !a.is_empty()).collect(),
            client_id: "millstream".to_owned(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            api_timeout: Duration::from_secs(60),
            metadata_max_age: Duration::from_secs(300),
            backoff: Backoff::default(),
            rack: String::new(),
            seed: None,
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if self.bootstrap.is_empty() {
            return Err(ClientError::config("bootstrap is empty; name at least one broker as host:port"));
        }
        Ok(())
    }
}

/// How many replicas have to have a record before its producer is told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// None; the producer is told nothing.
    None,
    /// The leader.
    Leader,
    /// Every in-sync replica.
    All,
}

impl Acks {
    pub(crate) fn code(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// What a producer can be told.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// Who has to have a record (`acks`).
    pub acks: Acks,
    /// Whether the broker drops what is sent twice (`enable.idempotence`).
    pub idempotence: bool,
    /// The name under which transactions survive a restart (`transactional.id`); switches transactions on.
    pub transactional_id: Option<String>,
    /// How long a transaction may stay open (`transaction.timeout.ms`).
    pub transaction_timeout: Duration,
    /// The codec (`compression.type`).
    pub compression: Codec,
    /// The codec's level.
    pub compression_level: Level,
    /// The size at which a batch is sent, in bytes (`batch.size`).
    pub batch_bytes: usize,
    /// How long a batch waits to fill (`linger.ms`).
    pub linger: Duration,
    /// Bytes that may wait to be acknowledged (`buffer.memory`); beyond it, sending waits.
    pub buffer_bytes: usize,
    /// How long sending may wait for metadata or room (`max.block.ms`).
    pub block_max: Duration,
    /// The largest request, in bytes (`max.request.size`).
    pub request_bytes_max: usize,
    /// Batches of one partition that are sent before the first is answered, 1 to 5
    /// (`max.in.flight.requests.per.connection`).
    pub in_flight_max: usize,
    /// How long a record may take from `send` to its answer, attempts included (`delivery.timeout.ms`).
    pub delivery_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> ProducerConfig {
        ProducerConfig {
            acks: Acks::All,
            idempotence: true,
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
            compression: Codec::None,
            compression_level: Level::Default,
            batch_bytes: 16_384,
            linger: Duration::from_millis(5),
            buffer_bytes: 32 * 1024 * 1024,
            block_max: Duration::from_secs(60),
            request_bytes_max: 1024 * 1024,
            in_flight_max: 5,
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

impl ProducerConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        let idempotent = self.idempotence || self.transactional_id.is_some();
        if self.transactional_id.is_some() && !self.idempotence {
            return Err(ClientError::config("transactional_id needs idempotence; leave idempotence on"));
        }
        if idempotent && self.acks != Acks::All {
            return Err(ClientError::config(
                "idempotence needs acks=all; set acks to all, or idempotence off",
            ));
        }
        if !(1..=5).contains(&self.in_flight_max) {
            let text = format!("in_flight_max is {}, it has to be 1 to 5", self.in_flight_max);
            return Err(ClientError::config(text));
        }
        if self.buffer_bytes < self.batch_bytes || self.buffer_bytes > u32::MAX as usize {
            let text = format!(
                "buffer_bytes is {}, it has to be between batch_bytes ({}) and 4294967295",
                self.buffer_bytes, self.batch_bytes
            );
            return Err(ClientError::config(text));
        }
        Ok(())
    }
}

/// Which group protocol a consumer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// KIP-848 where the broker has it, else classic.
    Auto,
    /// KIP-848: the broker assigns (`group.protocol=consumer`).
    Consumer,
    /// The classic one: a member assigns (`group.protocol=classic`).
    Classic,
}

/// How a classic group's leader assigns, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assignor {
    /// Each topic's partitions in ranges.
    Range,
    /// All partitions in turn.
    RoundRobin,
    /// Balanced, with as few moves as possible; everything is revoked first.
    Sticky,
    /// Balanced, with as few moves as possible; only what moves is revoked.
    CooperativeSticky,
}

/// Where a partition starts that has no committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// At its first record.
    Earliest,
    /// At its end; but at its first record where the partition was added after subscribing, so that none is lost.
    Latest,
    /// Nowhere: an error.
    None,
}

/// Where a position goes that lies outside of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfRange {
    /// To the closer end: below the start to the start, above the end to the end.
    Nearest,
    /// Where [`OffsetReset`] says.
    Reset,
    /// Nowhere: an error.
    Fail,
}

/// When positions are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitPolicy {
    /// When the records of a poll have been processed: at the next poll, at a rebalance and at close, without waiting.
    AfterProcessing,
    /// The same, but at most once in this time (`enable.auto.commit`, `auto.commit.interval.ms`).
    Every(Duration),
    /// Only when told to.
    Manual,
}

/// What a reader sees of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Everything.
    ReadUncommitted,
    /// Committed records, up to the first open transaction.
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn code(self) -> i8 {
        match self {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        }
    }
}

/// What a consumer can be told.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// The group (`group.id`); without one, only `assign` works and nothing is committed.
    pub group_id: Option<String>,
    /// The name of a static member (`group.instance.id`).
    pub instance_id: Option<String>,
    /// The member's id under KIP-848, where the application keeps one over restarts: a member that died comes back as
    /// itself at once, instead of waiting until the broker gives the dead one up. No two living members may have it.
    /// `None` makes a new one.
    pub member_id: Option<String>,
    /// Which protocol to speak (`group.protocol`).
    pub protocol: GroupProtocol,
    /// The broker's assignor under KIP-848 (`group.remote.assignor`); `None` leaves it to the broker.
    pub remote_assignor: Option<String>,
    /// Assignors of the classic protocol, best first (`partition.assignment.strategy`). Cooperative and eager ones do
    /// not mix.
    pub assignors: Vec<Assignor>,
    /// How long the group waits for this member's sign of life, classic only (`session.timeout.ms`).
    pub session_timeout: Duration,
    /// How often it gives one, classic only (`heartbeat.interval.ms`).
    pub heartbeat_interval: Duration,
    /// The longest time between polls before the member leaves (`max.poll.interval.ms`).
    pub poll_interval_max: Duration,
    /// Where to start without a committed offset (`auto.offset.reset`).
    pub offset_reset: OffsetReset,
    /// Where to go on from outside of the log.
    pub out_of_range: OutOfRange,
    /// When positions are committed.
    pub commit: CommitPolicy,
    /// What is seen of transactions (`isolation.level`).
    pub isolation: Isolation,
    /// Bytes that a fetch waits for (`fetch.min.bytes`).
    pub fetch_min_bytes: i32,
    /// How long a fetch waits for them (`fetch.max.wait.ms`).
    pub fetch_wait: Duration,
    /// The most bytes of one fetch (`fetch.max.bytes`).
    pub fetch_bytes_max: i32,
    /// The most bytes of one fetch for one partition (`max.partition.fetch.bytes`).
    pub partition_bytes_max: i32,
    /// Bytes of one partition that are kept ready before its fetching pauses.
    pub prefetch_partition_bytes: usize,
    /// Bytes of all partitions that are kept ready before fetching pauses.
    pub prefetch_bytes: usize,
    /// What is kept ready is claimed of this; while it is short, only partitions that have nothing ready are fetched.
    pub memory: MemoryBudget,
    /// About how many bytes a poll returns at most; a batch is never split.
    pub poll_bytes_max: usize,
    /// The most bytes that a compressed batch may hold when opened.
    pub batch_uncompressed_bytes_max: usize,
    /// Whether checksums are checked (`check.crcs`).
    pub check_crcs: bool,
    /// Whether the records of a batch are walked when it comes, so that an application that walks them meets no error in the middle.
    /// One that reads each record and takes an error as that of the batch needs it not.
    pub check_records: bool,
}

impl Default for ConsumerConfig {
    fn default() -> ConsumerConfig {
        ConsumerConfig {
            group_id: None,
            instance_id: None,
            member_id: None,
            protocol: GroupProtocol::Auto,
            remote_assignor: None,
            assignors: vec![Assignor::CooperativeSticky],
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            poll_interval_max: Duration::from_secs(300),
            offset_reset: OffsetReset::Latest,
            out_of_range: OutOfRange::Nearest,
            commit: CommitPolicy::AfterProcessing,
            isolation: Isolation::ReadUncommitted,
            fetch_min_bytes: 1,
            fetch_wait: Duration::from_millis(500),
            fetch_bytes_max: 50 * 1024 * 1024,
            partition_bytes_max: 1024 * 1024,
            prefetch_partition_bytes: 2 * 1024 * 1024,
            prefetch_bytes: 64 * 1024 * 1024,
            memory: MemoryBudget::unlimited(),
            poll_bytes_max: 16 * 1024 * 1024,
            batch_uncompressed_bytes_max: millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX,
            check_crcs: true,
            check_records: true,
        }
    }
}

impl ConsumerConfig {
    /// The defaults, in `group`.
    pub fn in_group(group: &str) -> ConsumerConfig {
        ConsumerConfig { group_id: Some(group.to_owned()), ..ConsumerConfig::default() }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if self.group_id.as_deref() == Some("") {
            return Err(ClientError::config("group_id is empty; name the group, or leave it out"));
        }
        if self.heartbeat_interval >= self.session_timeout {
            return Err(ClientError::config("heartbeat_interval has to be below session_timeout"));
        }
        if self.assignors.is_empty() {
            return Err(ClientError::config("assignors is empty; name at least one"));
        }
        let cooperative = self.assignors.iter().filter(|a| **a == Assignor::CooperativeSticky).count();
        if cooperative > 0 && cooperative < self.assignors.len() {
            return Err(ClientError::config("assignors mix cooperative and eager ones; use one kind"));
        }
        Ok(())
    }

    pub(crate) fn group(&self) -> Result<Arc<str>> {
        let group = self.group_id.as_deref();
        group.map(Arc::from).ok_or_else(|| ClientError::state("this needs group_id, which is not set"))
    }
}
