//! What goes into the coordinator and what comes out. Plain values; the shell turns requests into them and answers
//! into responses.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::{ErrorCode, Millis, ProducerEpoch, ProducerId};
use millstream_wire::record::txn::{TransactionLogKey, TransactionLogValue};

use crate::state::TxnState;

/// Names a request that waits for its answer; chosen by the shell.
pub type Token = u64;

/// Partitions by topic name.
pub type Partitions = BTreeMap<String, BTreeSet<i32>>;

/// What a client speaks: the epoch stays with version 1 (KIP-98), rises with each transaction in 2 (KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Partitions are added by request; the epoch rises with InitProducerId only.
    V1,
    /// Partitions are added by the first write; the epoch rises with every transaction.
    V2,
}

impl Version {
    /// The number that is stored.
    pub const fn level(self) -> i16 {
        match self {
            Version::V1 => 0,
            Version::V2 => 2,
        }
    }

    /// The version of a stored number.
    pub const fn from_level(level: i16) -> Version {
        if level >= 2 { Version::V2 } else { Version::V1 }
    }
}

/// The coordinator's settings; names and defaults are Kafka's.
#[derive(Clone, Debug)]
pub struct Config {
    /// `transaction.max.timeout.ms`: the longest time-out a producer may ask for.
    pub timeout_ms_max: i32,
    /// `transactional.id.expiration.ms`: an id without a transaction is forgotten after this.
    pub id_expiration_ms: Millis,
    /// `transaction.state.log.num.partitions`: the shards of all coordinators.
    pub shards: i32,
}

impl Default for Config {
    fn default() -> Config {
        Config { timeout_ms_max: 900_000, id_expiration_ms: 7 * 24 * 3_600_000, shards: 50 }
    }
}

/// An event.
#[derive(Clone, Debug)]
pub enum Input {
    /// This broker leads shard `shard` in `epoch`, and these are its records, oldest first.
    Load {
        /// The partition of `__transaction_state`.
        shard: i32,
        /// Its leader epoch, which markers carry as the coordinator's.
        epoch: i32,
        /// Its records; `None` is a tombstone.
        records: Vec<(TransactionLogKey, Option<TransactionLogValue>)>,
    },
    /// This broker no longer leads the shard, or must read it again.
    Unload {
        /// The partition of `__transaction_state`.
        shard: i32,
    },
    /// Producer ids `first .. first + count` are this broker's to give out.
    ProducerIds {
        /// The first of the block.
        first: ProducerId,
        /// How many.
        count: i32,
    },
    /// InitProducerId.
    InitProducerId {
        /// Names the answer.
        token: Token,
        /// The transactional id; `None` for a producer that is only idempotent.
        transactional_id: Option<String>,
        /// The longest a transaction of it may stay open, in milliseconds.
        timeout_ms: i32,
        /// The producer id that the client has, or -1 (KIP-360).
        producer_id: ProducerId,
        /// The epoch that the client has, or -1.
        producer_epoch: ProducerEpoch,
    },
    /// AddPartitionsToTxn, AddOffsetsToTxn (with the group's partition of `__consumer_offsets`), or the first
    /// transactional write to a partition.
    AddPartitions {
        /// Names the answer.
        token: Token,
        /// The transactional id.
        transactional_id: String,
        /// The producer id.
        producer_id: ProducerId,
        /// Its epoch.
        producer_epoch: ProducerEpoch,
        /// What the client speaks.
        version: Version,
        /// What to add.
        partitions: Partitions,
        /// Whether only to say if they are part of the transaction.
        verify_only: bool,
    },
    /// EndTxn.
    EndTxn {
        /// Names the answer.
        token: Token,
        /// The transactional id.
        transactional_id: String,
        /// The producer id.
        producer_id: ProducerId,
        /// Its epoch.
        producer_epoch: ProducerEpoch,
        /// Whether to commit, else to abort.
        commit: bool,
        /// What the client speaks: version 2 from EndTxn v5 on.
        version: Version,
    },
    /// A marker is durable in a partition, or the partition is gone.
    MarkerWritten {
        /// The transactional id.
        transactional_id: String,
        /// The producer id of the order.
        producer_id: ProducerId,
        /// The epoch of the order.
        producer_epoch: ProducerEpoch,
        /// The partition's topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Time has passed: open transactions may be due, ids may have expired.
    Tick,
}

/// A record to append, and what follows once it is committed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The shard whose order this keeps; -1 where no shard is concerned.
    pub shard: i32,
    /// The record to append to the shard; `None` for none, a value of `None` for a tombstone.
    pub append: Option<(TransactionLogKey, Option<TransactionLogValue>)>,
    /// What to do when everything appended to the shard is committed.
    pub then: Vec<Then>,
}

/// What follows a committed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Answer a request.
    Answer(Token, Answer),
    /// Write these markers.
    WriteMarkers(MarkerOrder),
    /// Ask the controller for a block of producer ids; requests that need one wait inside until it comes.
    AllocateProducerIds,
}

/// Answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of InitProducerId.
    ProducerId {
        /// NONE, or why not.
        error: ErrorCode,
        /// The producer id, or -1.
        producer_id: ProducerId,
        /// The epoch, or -1.
        producer_epoch: ProducerEpoch,
    },
    /// Of AddPartitions: one code for all, or a code for each partition where only verified.
    Partitions {
        /// The code of every partition that `refused` does not name.
        error: ErrorCode,
        /// Partitions that are not part of the transaction (TRANSACTION_ABORTABLE).
        refused: Partitions,
    },
    /// Of EndTxn.
    End {
        /// NONE, or why not.
        error: ErrorCode,
        /// With version 2 the producer id to go on with, else -1.
        producer_id: ProducerId,
        /// With version 2 the epoch to go on with, else -1.
        producer_epoch: ProducerEpoch,
    },
}

/// Markers of one transaction to write to its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerOrder {
    /// The transactional id, to be named in [`Input::MarkerWritten`].
    pub transactional_id: String,
    /// The producer id of the markers.
    pub producer_id: ProducerId,
    /// The epoch of the markers.
    pub producer_epoch: ProducerEpoch,
    /// Whether they commit.
    pub commit: bool,
    /// The shard's leader epoch.
    pub coordinator_epoch: i32,
    /// What the client speaks; the marker's batch is checked by it (KIP-1228).
    pub version: Version,
    /// Where to write.
    pub partitions: Partitions,
}

/// DescribeTransactions, for one id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Where it stands.
    pub state: TxnState,
    /// Its time-out in milliseconds.
    pub timeout_ms: i32,
    /// When the transaction began, or -1.
    pub start_ms: Millis,
    /// Its producer id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// Its partitions.
    pub partitions: Partitions,
}

/// ListTransactions, one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The transactional id.
    pub transactional_id: String,
    /// Its producer id.
    pub producer_id: ProducerId,
    /// Where it stands.
    pub state: TxnState,
    /// When its transaction began, or -1.
    pub start_ms: Millis,
}
