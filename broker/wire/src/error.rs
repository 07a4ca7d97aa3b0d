//! What can be wrong with bytes from the wire, and with a value that is to go there. Owns both error types and the
//! version checks. Never enters: what a broker answers to them.

use std::fmt;

/// What was wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// `value` bytes were needed and `bound` were left.
    Truncated,
    /// A length or count of `value`, where at most `bound` is possible (or a negative one where none may be).
    Length,
    /// The bytes end or go on where `bound` bytes of a varint must have ended.
    Varint,
    /// A null where the version allows none.
    Null,
    /// A string of `value` bytes that is not UTF-8 from byte `bound` on.
    Utf8,
    /// Version `value`, where the highest that is known is `bound`.
    Version,
    /// An API key that Kafka 4.4.0 does not have.
    ApiKey,
    /// A record type that the log in question does not have.
    RecordType,
    /// A frame version other than `bound`.
    FrameVersion,
    /// The values decoded so far would take `value` bytes of memory, where the reader may use `bound`.
    Memory,
    /// `value` bytes stand behind the end of the value.
    Trailing,
}

/// Bytes that are not what they should be. Nothing was allocated for the part that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What was wrong.
    pub kind: DecodeErrorKind,
    /// The field or thing being read.
    pub what: &'static str,
    /// The offending value.
    pub value: i64,
    /// What it would have had to keep to.
    pub bound: i64,
    /// The position, in bytes from the start of the reader's input.
    pub at: usize,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DecodeError { kind, what, value, bound, at } = self;
        write!(f, "reading {what} at byte {at}: ")?;
        match kind {
            DecodeErrorKind::Truncated => write!(f, "{value} bytes needed and {bound} left"),
            DecodeErrorKind::Length => write!(f, "a length of {value} where 0 to {bound} are possible"),
            DecodeErrorKind::Varint => write!(f, "a varint that does not end within {bound} bytes"),
            DecodeErrorKind::Null => write!(f, "null, which this version does not allow"),
            DecodeErrorKind::Utf8 => {
                write!(f, "a string of {value} bytes is not UTF-8 from its byte {bound} on")
            }
            DecodeErrorKind::Version => write!(f, "version {value}, where the highest known is {bound}"),
            DecodeErrorKind::ApiKey => write!(f, "API key {value} is none of Kafka 4.4.0's"),
            DecodeErrorKind::RecordType => write!(f, "record type {value} is not known"),
            DecodeErrorKind::FrameVersion => write!(f, "frame version {value}, where only {bound} is known"),
            DecodeErrorKind::Memory => {
                write!(
                    f,
                    "the values would take {value} bytes of memory, where {bound} are allowed for this input"
                )
            }
            DecodeErrorKind::Trailing => write!(f, "{value} bytes stand behind its end"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// What kept a value from being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// The message has no version `value`; the highest is `bound`.
    Version,
    /// The field has a value of its own, and version `value` of the message lacks the field (Kafka's
    /// `ignorable` fields are left out in silence instead).
    Absent,
    /// The field is null, and the version allows none.
    Null,
    /// A length of `value`, where the wire form ends at `bound`.
    TooLong,
    /// The same tag, `value`, twice in one structure.
    DuplicateTag,
    /// A file range where only bytes in memory can stand.
    External,
}

/// A value that has no form in the version that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// What kept it.
    pub kind: EncodeErrorKind,
    /// The field or message.
    pub what: &'static str,
    /// The offending value.
    pub value: i64,
    /// What it would have had to keep to.
    pub bound: i64,
}

impl EncodeError {
    /// A field with a value of its own in a version that lacks it.
    #[cold]
    pub(crate) fn absent(what: &'static str, version: i16) -> EncodeError {
        EncodeError { kind: EncodeErrorKind::Absent, what, value: version.into(), bound: 0 }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EncodeError { kind, what, value, bound } = self;
        write!(f, "writing {what}: ")?;
        match kind {
            EncodeErrorKind::Version => write!(f, "version {value}, where the highest known is {bound}"),
            EncodeErrorKind::Absent => {
                write!(f, "version {value} has no such field; leave it at its default or use another version")
            }
            EncodeErrorKind::Null => write!(f, "null, which this version does not allow"),
            EncodeErrorKind::TooLong => {
                write!(f, "a length of {value}, where the form on the wire ends at {bound}")
            }
            EncodeErrorKind::DuplicateTag => write!(f, "tag {value} stands in it twice"),
            EncodeErrorKind::External => write!(f, "a file range, where only bytes in memory can stand"),
        }
    }
}

impl std::error::Error for EncodeError {}

pub(crate) fn check_decode_version(
    what: &'static str,
    version: i16,
    lo: i16,
    hi: i16,
) -> Result<(), DecodeError> {
    if (lo..=hi).contains(&version) {
        return Ok(());
    }
    Err(DecodeError { kind: DecodeErrorKind::Version, what, value: version.into(), bound: hi.into(), at: 0 })
}

pub(crate) fn check_encode_version(
    what: &'static str,
    version: i16,
    lo: i16,
    hi: i16,
) -> Result<(), EncodeError> {
    if (lo..=hi).contains(&version) {
        return Ok(());
    }
    Err(EncodeError { kind: EncodeErrorKind::Version, what, value: version.into(), bound: hi.into() })
}
