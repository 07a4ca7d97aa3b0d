//! The two ways in which metadata fails: a record that does not fit the image, and a request that the controller
//! refuses. Never enters: how either is shown or logged.

use millstream_types::{ErrorCode, Uuid};

/// A record that cannot be applied. The log is then not the one that this image came from, or was written by a
/// newer version: the node must not go on with a guess.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A record type that this version does not know.
    #[error("applying metadata: the record type {0} is unknown to this version; upgrade this node first")]
    UnknownRecord(u16),
    /// A feature at a level that this version does not support, or a feature that it does not know.
    #[error(
        "applying metadata: the feature {name} is finalized at level {level}, and this version supports {}; start the version that finalized it, or a newer one",
        levels(.supported)
    )]
    Feature {
        /// The feature.
        name: String,
        /// The level.
        level: i16,
        /// The lowest and highest level that this version supports; nothing where it does not know the feature.
        supported: Option<(i16, i16)>,
    },
    /// A record names a topic that is not there.
    #[error("applying metadata: {record} names the topic id {topic_id}, which does not exist")]
    NoSuchTopic {
        /// The record's name.
        record: &'static str,
        /// The id.
        topic_id: Uuid,
    },
    /// A topic record for a name or id that is taken.
    #[error("applying metadata: the topic \"{0}\" exists already, or its id does")]
    TopicExists(String),
    /// A partition that is not there, or a new one that is not the next.
    #[error(
        "applying metadata: {record} names partition {partition} of topic id {topic_id}, which has {count}"
    )]
    NoSuchPartition {
        /// The record's name.
        record: &'static str,
        /// The topic's id.
        topic_id: Uuid,
        /// The partition.
        partition: i32,
        /// How many partitions the topic has.
        count: usize,
    },
    /// A broker that is not registered, or not in this epoch.
    #[error("applying metadata: {record} names broker {broker} in epoch {epoch}, which is not registered so")]
    NoSuchBroker {
        /// The record's name.
        record: &'static str,
        /// The broker.
        broker: i32,
        /// The epoch.
        epoch: i64,
    },
    /// A field has a value outside of its bounds.
    #[error("applying metadata: {record} has {field} = {value}, which is out of its bounds")]
    Field {
        /// The record's name.
        record: &'static str,
        /// The field.
        field: &'static str,
        /// The value.
        value: i64,
    },
    /// A transaction's records out of order.
    #[error("applying metadata: {0} outside of its place in a transaction")]
    Transaction(&'static str),
}

/// A request, or a part of one, that the controller refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The code for the wire.
    pub code: ErrorCode,
    /// What was wrong, for a person.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
}

/// `Err(Refusal)`, for early returns.
pub(crate) fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(code, message))
}

fn levels(supported: &Option<(i16, i16)>) -> String {
    supported.map_or_else(|| "no level of it".to_owned(), |(min, max)| format!("{min} to {max}"))
}
