//! Numbers that name things: offsets, epochs, nodes, producers, and the 16-byte id that Kafka gives to topics,
//! directories and clusters. Never enters: how any of them is assigned.

use std::fmt;
use std::str::FromStr;

/// A record's place in a partition's log, counted from 0; the next record to be written has the log end offset.
pub type Offset = i64;
/// A partition leader's term; rises by one at each election, and is stamped on every batch it appends.
pub type LeaderEpoch = i32;
/// An idempotent or transactional producer's id, given out by the controller in blocks.
pub type ProducerId = i64;
/// A producer id's term; an older one is fenced.
pub type ProducerEpoch = i16;

/// The leader epoch of a batch or answer that has none.
pub const NO_LEADER_EPOCH: LeaderEpoch = -1;
/// The producer id of a batch that was sent without idempotence.
pub const NO_PRODUCER_ID: ProducerId = -1;
/// The epoch that goes with [`NO_PRODUCER_ID`].
pub const NO_PRODUCER_EPOCH: ProducerEpoch = -1;
/// The sequence number that goes with [`NO_PRODUCER_ID`].
pub const NO_SEQUENCE: i32 = -1;

/// A broker's or controller's number in its cluster (`node.id`), 0 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub i32);

impl NodeId {
    /// What Kafka writes where there is no node: no leader, a consumer's replica id.
    pub const NONE: NodeId = NodeId(-1);
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Kafka's 16-byte id of a topic, a log directory, a cluster or a member. Printed in 22 characters of URL-safe
/// base64 without padding, as Kafka prints it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid(pub [u8; 16]);

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Uuid {
    /// All zero: "no id".
    pub const ZERO: Uuid = Uuid([0; 16]);
    /// The id of the metadata log's topic, `__cluster_metadata`.
    pub const METADATA_TOPIC: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// A random id (version 4) that Kafka's tools accept as an argument: it never begins with a dash.
    pub fn random(rng: &mut dyn crate::Rng) -> Uuid {
        loop {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&rng.next_u64().to_be_bytes());
            bytes[8..].copy_from_slice(&rng.next_u64().to_be_bytes());
            bytes[6] = (bytes[6] & 0x0f) | 0x40;
            bytes[8] = (bytes[8] & 0x3f) | 0x80;
            let id = Uuid(bytes);
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    /// Whether this is the id that stands for none.
    pub fn is_zero(self) -> bool {
        self == Uuid::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 22];
        let mut at = 0;
        for chunk in self.0.chunks(3) {
            let mut bits = 0u32;
            for (i, byte) in chunk.iter().enumerate() {
                bits |= u32::from(*byte) << (16 - 8 * i);
            }
            for i in 0..=chunk.len() {
                text[at] = BASE64[(bits >> (18 - 6 * i)) as usize & 63];
                at += 1;
            }
        }
        for byte in text {
            fmt::Write::write_char(f, char::from(byte))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

/// Text that is not 22 characters of URL-safe base64 (Kafka's form of an id).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UuidParseError(pub String);

impl fmt::Display for UuidParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reading an id: \"{}\" is not 22 characters of URL-safe base64", self.0)
    }
}

impl std::error::Error for UuidParseError {}

impl FromStr for Uuid {
    type Err = UuidParseError;

    fn from_str(text: &str) -> Result<Uuid, UuidParseError> {
        let bad = || UuidParseError(text.to_owned());
        let digits = text.trim_end_matches('=').as_bytes();
        if digits.len() != 22 {
            return Err(bad());
        }
        let mut bytes = Vec::with_capacity(18);
        for chunk in digits.chunks(4) {
            let mut bits = 0u32;
            for (i, digit) in chunk.iter().enumerate() {
                let value = BASE64.iter().position(|c| c == digit).ok_or_else(bad)?;
                bits |= (value as u32) << (18 - 6 * i);
            }
            bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
        }
        bytes.try_into().map(Uuid).map_err(|_| bad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededRng;

    #[test]
    fn ids_print_as_kafka_prints_them() {
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!("AAAAAAAAAAAAAAAAAAAAAQ".parse(), Ok(Uuid::METADATA_TOPIC));
        assert!("too-short".parse::<Uuid>().is_err());
        assert!("AAAAAAAAAAAAAAAAAAAA!Q".parse::<Uuid>().is_err());
    }

    #[test]
    fn ids_come_back_from_their_text() {
        let mut rng = SeededRng::new(7);
        for _ in 0..1_000 {
            let id = Uuid::random(&mut rng);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }
}
