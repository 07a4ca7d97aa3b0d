//! Topic names and their rules, and the pairs that name a partition. Never enters: what a topic is made of
//! (`millstream-metadata`).

use std::fmt;
use std::sync::Arc;

use crate::Uuid;

/// The topic of consumer groups' offsets and state.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// The topic of transactions' state.
pub const TRANSACTION_STATE: &str = "__transaction_state";
/// The metadata log's topic; never listed to clients.
pub const CLUSTER_METADATA: &str = "__cluster_metadata";

/// The longest topic name, in bytes (Kafka's `Topic.MAX_NAME_LENGTH`): a directory `<name>-<partition>` fits in 255.
pub const NAME_LENGTH_MAX: usize = 249;

/// A partition by its topic's name. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A partition by its topic's id, which a topic that is deleted and made again does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicIdPartition {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition's index, from 0.
    pub partition: i32,
}

/// Why a name cannot be a topic's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicNameError {
    /// No characters.
    Empty,
    /// `.` or `..`, which are directories.
    Dots,
    /// More than [`NAME_LENGTH_MAX`] bytes.
    TooLong,
    /// A character other than ASCII letters, digits, `.`, `_` and `-`, at this byte.
    Character(usize),
}

impl fmt::Display for TopicNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicNameError::Empty => f.write_str("a topic name cannot be empty"),
            TopicNameError::Dots => f.write_str("a topic name cannot be \".\" or \"..\""),
            TopicNameError::TooLong => write!(f, "a topic name has at most {NAME_LENGTH_MAX} bytes"),
            TopicNameError::Character(at) => write!(
                f,
                "a topic name has only ASCII letters, digits, '.', '_' and '-'; the character at byte {at} is none of them"
            ),
        }
    }
}

impl std::error::Error for TopicNameError {}

/// Checks a topic name by Kafka's rules.
pub fn validate_name(name: &str) -> Result<(), TopicNameError> {
    if name.is_empty() {
        return Err(TopicNameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(TopicNameError::Dots);
    }
    if name.len() > NAME_LENGTH_MAX {
        return Err(TopicNameError::TooLong);
    }
    match name.bytes().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))) {
        Some(at) => Err(TopicNameError::Character(at)),
        None => Ok(()),
    }
}

/// Whether a topic is the broker's own, shown to clients as internal.
pub fn is_internal(name: &str) -> bool {
    name == CONSUMER_OFFSETS || name == TRANSACTION_STATE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        for good in ["a", "A.b_c-9", "..a", &"x".repeat(249)] {
            assert_eq!(validate_name(good), Ok(()), "{good}");
        }
        assert_eq!(validate_name(""), Err(TopicNameError::Empty));
        assert_eq!(validate_name(".."), Err(TopicNameError::Dots));
        assert_eq!(validate_name(&"x".repeat(250)), Err(TopicNameError::TooLong));
        assert_eq!(validate_name("a/b"), Err(TopicNameError::Character(1)));
        assert_eq!(validate_name("aé"), Err(TopicNameError::Character(1)));
    }
}
