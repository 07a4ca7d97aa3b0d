//! What can go wrong for a client. Owns the error that every call returns; which of them are worth another attempt is
//! `retry`'s. Errors are cheap to clone: one failed batch answers many records.

use std::sync::Arc;

use millstream_batch::BatchError;
use millstream_types::{ErrorCode, TopicPartition};
use millstream_wire::{ApiKey, DecodeError, EncodeError};

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection could not be made, or broke.
    #[error("talking to {address}: {reason}")]
    Connection {
        /// `host:port`.
        address: Arc<str>,
        /// What happened.
        reason: Arc<str>,
    },
    /// No answer came in time. Whether the request had an effect is unknown.
    #[error("{what} took longer than {timeout_ms} ms")]
    Timeout {
        /// What was being done.
        what: Arc<str>,
        /// The bound, in milliseconds.
        timeout_ms: u64,
    },
    /// The broker answered with an error.
    #[error("{what}: the broker answered {code}{}", detail(.message))]
    Broker {
        /// What was being done.
        what: Arc<str>,
        /// The code.
        code: ErrorCode,
        /// The broker's own words.
        message: Option<Arc<str>>,
    },
    /// The broker answered with a number that Kafka 4.4.0 does not have.
    #[error("{what}: the broker answered error code {code}, which is unknown to this version")]
    UnknownCode {
        /// What was being done.
        what: Arc<str>,
        /// The number.
        code: i16,
    },
    /// The broker cannot do it.
    #[error(
        "{api} is not served by {address} in a version that is known here (it has {theirs}, known are {ours})"
    )]
    Unsupported {
        /// The API.
        api: ApiKey,
        /// `host:port`.
        address: Arc<str>,
        /// The broker's range, or `none`.
        theirs: Arc<str>,
        /// This client's range.
        ours: Arc<str>,
    },
    /// The answer is not what the protocol says.
    #[error("reading an answer of {address}: {source}")]
    Decode {
        /// `host:port`.
        address: Arc<str>,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A request cannot be written in the version that the broker speaks.
    #[error("writing a request: {0}")]
    Encode(EncodeError),
    /// A record batch is not what it should be.
    #[error("{partition}: {source}")]
    Batch {
        /// The partition that it came from or was to go to.
        partition: TopicPartition,
        /// What is wrong with it.
        source: BatchError,
    },
    /// A setting or an argument is out of its bounds.
    #[error("{0}")]
    Config(Arc<str>),
    /// A serializer, partitioner or listener of the application failed.
    #[error("{0}")]
    Application(Arc<str>),
    /// The call is not allowed in the state that the producer or consumer is in.
    #[error("{0}")]
    State(Arc<str>),
    /// The producer was fenced by a newer one with the same transactional id, or the member by a newer one with the
    /// same instance id. Nothing more can be done with it.
    #[error("fenced: {0}")]
    Fenced(Arc<str>),
    /// A transaction has failed; it has to be aborted, after which the producer works on.
    #[error("the transaction has to be aborted: {0}")]
    MustAbort(Arc<str>),
    /// A position is outside of the log and nothing says where to go on.
    #[error("{partition}: offset {offset} is outside of the log, and the consumer is not to go on elsewhere")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        offset: i64,
    },
    /// A partition has no committed offset and nothing says where to start.
    #[error("{0} has no committed offset, and auto_offset_reset is none")]
    NoOffset(TopicPartition),
    /// The producer or consumer was closed.
    #[error("it is closed")]
    Closed,
}

fn detail(message: &Option<Arc<str>>) -> String {
    message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default()
}

impl ClientError {
    /// The broker's code, where it answered with one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Broker { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The error of a code in an answer; `Ok` for 0.
    pub(crate) fn check(what: &str, code: i16) -> Result<(), ClientError> {
        Self::check_with(what, code, None)
    }

    /// [`ClientError::check`] with the broker's own words.
    pub(crate) fn check_with(what: &str, code: i16, message: Option<&str>) -> Result<(), ClientError> {
        match ErrorCode::from_code(code) {
            Some(ErrorCode::None) => Ok(()),
            Some(code) => {
                Err(ClientError::Broker { what: what.into(), code, message: message.map(Arc::from) })
            }
            None => Err(ClientError::UnknownCode { what: what.into(), code }),
        }
    }

    pub(crate) fn state(text: impl Into<Arc<str>>) -> ClientError {
        ClientError::State(text.into())
    }

    pub(crate) fn config(text: impl Into<Arc<str>>) -> ClientError {
        ClientError::Config(text.into())
    }
}

impl From<EncodeError> for ClientError {
    fn from(error: EncodeError) -> ClientError {
        ClientError::Encode(error)
    }
}

/// A call's result.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;
