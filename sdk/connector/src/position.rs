//! Where a split was read to, and what a source remembers besides: both opaque to the worker, which stores them in
//! the broker transaction of the records that they belong to.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::SourceError;

/// The greatest position, in bytes; it is a record's value.
pub const POSITION_BYTES_MAX: usize = 64 << 10;

/// A split's name, stable over restarts and the same on every worker. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SplitId(pub Arc<str>);

impl SplitId {
    /// The split named `name`.
    pub fn new(name: impl Into<Arc<str>>) -> SplitId {
        SplitId(name.into())
    }
}

impl fmt::Display for SplitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a split: JSON of the connector's own shape, at most [`POSITION_BYTES_MAX`].
#[derive(Clone, PartialEq, Eq)]
pub struct Position(pub Bytes);

impl Position {
    /// Makes one of the connector's own value.
    pub fn of<T: Serialize>(value: &T) -> Position {
        let text = serde_json::to_vec(value).expect("a position is plain data, which always serialises");
        assert!(
            text.len() <= POSITION_BYTES_MAX,
            "a position of {} bytes; at most {POSITION_BYTES_MAX}",
            text.len()
        );
        Position(text.into())
    }

    /// The connector's own value. A position that another version or connector wrote is a [`SourceError::Setup`].
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, SourceError> {
        serde_json::from_slice(&self.0).map_err(|error| {
            SourceError::Setup(format!(
                "reading the stored position {self:?}: {error}; it was written by another connector or a later version"
            ))
        })
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Something a source remembers besides its position, such as an idempotency key: a record of the compacted positions
/// topic, under the split and this key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// What it is about; unique in the split.
    pub key: Bytes,
    /// What is remembered; `None` forgets the key.
    pub value: Option<Bytes>,
}
