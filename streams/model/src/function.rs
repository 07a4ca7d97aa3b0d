//! The contract of user functions: a batch of messages goes in, an outcome comes out. The Wasm host implements it, the
//! worker hands implementations to the stages that need one, and neither knows the other. The types are those of the
//! WIT package `millstream:functions`, with reference-counted bytes so that a message passes through without a copy.
//!
//! A record that is bad is named in the outcome and the batch goes on. An error of the whole call is never a verdict
//! on records: the caller tries again or stops.

use bytes::Bytes;

/// One header of a message. Names repeat, and their order counts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// The name.
    pub key: String,
    /// The value; `None` is Kafka's null.
    pub value: Option<Bytes>,
}

/// A record as functions see it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Message {
    /// The key; `None` is Kafka's null.
    pub key: Option<Bytes>,
    /// The payload; `None` is Kafka's null.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// The record's timestamp, milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// The partition it was read from.
    pub partition: i32,
    /// Its offset there; with `partition` it names the origin of whatever the function makes of it.
    pub offset: i64,
}

/// A message that a function sends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emit {
    /// The output's name, or `None` for the default one.
    pub output: Option<String>,
    /// What to send.
    pub message: Message,
}

/// Why a record was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A short word that a program can compare, such as `bad_total`.
    pub code: String,
    /// A sentence for people.
    pub reason: String,
}

/// A record that goes to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Its place in the batch that went in.
    pub index: u32,
    /// Why.
    pub why: Failure,
}

/// What a function made of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What it sends on, in order.
    pub emits: Vec<Emit>,
    /// What it refused, by rising index, each index at most once.
    pub failed: Vec<Bad>,
}

/// Why a call gave no outcome. Neither kind says anything about a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    /// The machine or the host was at fault; the same batch may succeed when it is tried again.
    #[error("calling function {function}: {reason}; the batch will be tried again")]
    Transient {
        /// The step that holds the function.
        function: String,
        /// What happened.
        reason: String,
    },
    /// The function cannot run at all: it did not load, its `init` refused, or it broke the contract.
    #[error("function {function} cannot run: {reason}")]
    Broken {
        /// The step that holds the function.
        function: String,
        /// What happened.
        reason: String,
    },
}

/// A user function, ready to be called. One instance serves one thread; calls do not overlap.
pub trait UserFunction: Send {
    /// Hands a batch over and waits for the outcome. Every index in `failed` is below `batch.len()`. How a stream was
    /// cut into batches changes no verdict (SM-3): an implementation that runs out of a limit on a batch tries smaller
    /// ones before it blames a record.
    fn process(&mut self, batch: &[Message]) -> Result<Outcome, FunctionError>;
}
