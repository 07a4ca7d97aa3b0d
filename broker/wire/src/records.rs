//! Record batches inside a message: bytes in memory, or a range of a file that the shell sends from there. What is
//! in a batch is `millstream-batch`'s.

use bytes::Bytes;

/// The records of a produce request, a fetch response or a snapshot chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// Bytes in memory.
    Bytes(Bytes),
    /// `len` bytes of a file. `slot` names the file range to whoever sends the frame; a decoder never makes one.
    External {
        /// The range's number, given by the shell.
        slot: u32,
        /// How many bytes it has.
        len: u32,
    },
}

impl Records {
    /// How many bytes they take.
    pub fn len(&self) -> usize {
        match self {
            Records::Bytes(bytes) => bytes.len(),
            Records::External { len, .. } => *len as usize,
        }
    }

    /// Whether they take none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, where they are in memory.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Records::Bytes(bytes) => Some(bytes),
            Records::External { .. } => None,
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Records {
        Records::Bytes(bytes)
    }
}
