//! Which partition a record goes to, and how keys and values become bytes: the two things that applications choose for
//! themselves. Never enters: batches.

use bytes::Bytes;
use millstream_types::hash::partition_for_key;

use crate::error::Result;

/// Where a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// To this partition.
    Partition(i32),
    /// Wherever the others without a key go now: one partition until a batch is full, then another (KIP-794).
    Sticky,
}

/// What a partitioner sees of a record.
#[derive(Clone, Copy, Debug)]
pub struct PartitionInput<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's value.
    pub value: Option<&'a [u8]>,
    /// How many partitions the topic has, at least 1.
    pub partitions: i32,
}

/// Chooses partitions.
pub trait Partitioner: Send + Sync {
    /// The partition of a record that names none.
    fn place(&self, input: PartitionInput<'_>) -> Result<Placement>;
}

/// Kafka's own choice: murmur2 of the key; records without a key stick together.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultPartitioner;

impl Partitioner for DefaultPartitioner {
    fn place(&self, input: PartitionInput<'_>) -> Result<Placement> {
        Ok(match input.key {
            Some(key) => Placement::Partition(partition_for_key(key, input.partitions)),
            None => Placement::Sticky,
        })
    }
}

/// Turns an application's value into bytes.
pub trait Serializer<T: ?Sized>: Send + Sync {
    /// The bytes of `value`, or `None` for null.
    fn serialize(&self, topic: &str, value: &T) -> Result<Option<Bytes>>;
}

/// Turns bytes into an application's value.
pub trait Deserializer<T>: Send + Sync {
    /// The value in `bytes`, which are `None` for null.
    fn deserialize(&self, topic: &str, bytes: Option<&[u8]>) -> Result<T>;
}

/// Bytes and text as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Serializer<str> for Plain {
    fn serialize(&self, _topic: &str, value: &str) -> Result<Option<Bytes>> {
        Ok(Some(Bytes::copy_from_slice(value.as_bytes())))
    }
}

impl Serializer<[u8]> for Plain {
    fn serialize(&self, _topic: &str, value: &[u8]) -> Result<Option<Bytes>> {
        Ok(Some(Bytes::copy_from_slice(value)))
    }
}

impl Deserializer<Option<String>> for Plain {
    fn deserialize(&self, topic: &str, bytes: Option<&[u8]>) -> Result<Option<String>> {
        bytes
            .map(|bytes| {
                String::from_utf8(bytes.to_vec()).map_err(|error| {
                    crate::ClientError::Application(
                        format!("a record of {topic} is not text: {error}").into(),
                    )
                })
            })
            .transpose()
    }
}
