//! Records as Kafka writes them into its own logs, apart from the batches around them: typed and versioned by a
//! few bytes in front. Owns those bytes and the enums over each log's types. Never enters: what a record does.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;
use bytes::Bytes;
use std::fmt::Debug;

pub mod data;
pub mod group;
pub mod metadata;
pub mod remote_log;
pub mod share;
pub mod txn;

/// A record's structure in versions.
pub trait Data: Default + Clone + PartialEq + Debug + Sized {
    /// Kafka's name for it.
    const NAME: &'static str;
    /// The lowest version that has a form.
    const MIN_VERSION: i16;
    /// The highest version that has a form.
    const MAX_VERSION: i16;

    /// Reads the fields in the form of `version`. Bytes behind them are left in the reader.
    fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    /// Writes the fields in the form of `version`.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// The version in two bytes, then the fields: the form of coordinator values, producer snapshots, transaction
    /// index entries, end-of-transaction markers and the consumer protocol's subscription and assignment.
    fn to_versioned_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        w.i16(version);
        self.encode(&mut w, version)?;
        w.into_bytes()
    }

    /// Reads what [`Data::to_versioned_bytes`] writes, and the version with it. Bytes left over are an error.
    fn from_versioned_bytes(bytes: Bytes) -> Result<(Self, i16), DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.i16(Self::NAME)?;
        let data = Self::decode(&mut r, version)?;
        r.expect_end(Self::NAME)?;
        Ok((data, version))
    }

    /// The fields alone, where the version is written elsewhere or among them (control records).
    fn to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        self.encode(&mut w, version)?;
        w.into_bytes()
    }

    /// Reads what [`Data::to_bytes`] writes. Bytes left over are an error.
    fn from_bytes(bytes: Bytes, version: i16) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let data = Self::decode(&mut r, version)?;
        r.expect_end(Self::NAME)?;
        Ok(data)
    }
}

macro_rules! data_records {
    ($($record:ident $lo:literal $hi:literal;)*) => {
        $(
            impl $crate::record::Data for $record {
                const NAME: &'static str = stringify!($record);
                const MIN_VERSION: i16 = $lo;
                const MAX_VERSION: i16 = $hi;

                fn decode(r: &mut $crate::Reader, version: i16) -> Result<Self, $crate::DecodeError> {
                    $record::decode(r, version)
                }

                fn encode(&self, w: &mut $crate::Writer, version: i16) -> Result<(), $crate::EncodeError> {
                    $record::encode(self, w, version)
                }
            }
        )*
    };
}
pub(crate) use data_records;

/// The only version of the frame around a typed log record.
const FRAME_VERSION: u32 = 1;

fn record_type(what: &'static str, value: i64, at: usize) -> DecodeError {
    DecodeError { kind: crate::DecodeErrorKind::RecordType, what, value, bound: 0, at }
}

fn read_frame(r: &mut Reader, what: &'static str) -> Result<(u32, i16), DecodeError> {
    let frame = r.uvarint(what)?;
    if frame != FRAME_VERSION {
        let (kind, bound) = (crate::DecodeErrorKind::FrameVersion, FRAME_VERSION.into());
        return Err(DecodeError { kind, what, value: frame.into(), bound, at: 0 });
    }
    let record_type = r.uvarint(what)?;
    let version = r.uvarint(what)?;
    let too_high = |_| DecodeError {
        kind: crate::DecodeErrorKind::Version,
        what,
        value: version.into(),
        bound: i16::MAX.into(),
        at: r.position(),
    };
    Ok((record_type, i16::try_from(version).map_err(too_high)?))
}

fn write_frame(w: &mut Writer, record_type: u16, version: i16) {
    w.uvarint(FRAME_VERSION);
    w.uvarint(record_type.into());
    // A negative version fails in the record's own check, which comes next.
    w.uvarint(version.max(0) as u32);
}

macro_rules! log_records {
    ($any:ident; $($type:literal $variant:ident $record:ident $lo:literal $hi:literal;)*) => {
        $crate::record::data_records! { $($record $lo $hi;)* }

        /// A record of this log: a frame version (1), the record type and its version, each a varint, then the
        /// fields.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant)]
        #[non_exhaustive]
        pub enum $any {
            $(#[doc = concat!("Type ", stringify!($type), ", `", stringify!($record), "`.")] $variant($record),)*
        }

        impl $any {
            /// The number that says which record follows.
            pub fn record_type(&self) -> u16 {
                match self {
                    $($any::$variant(_) => $type,)*
                }
            }

            /// The highest version that its fields have a form in.
            pub fn max_version(&self) -> i16 {
                match self {
                    $($any::$variant(_) => $hi,)*
                }
            }

            /// Kafka's name for it.
            pub fn name(&self) -> &'static str {
                match self {
                    $($any::$variant(_) => stringify!($record),)*
                }
            }

            /// Reads a record's value, and the version that it was written in. A type that this log does not have
            /// is an error of its own kind with the number in it; bytes left over are an error.
            pub fn decode(bytes: bytes::Bytes) -> Result<($any, i16), $crate::DecodeError> {
                let mut r = $crate::Reader::new(bytes);
                let (record_type, version) = $crate::record::read_frame(&mut r, stringify!($any))?;
                let record = match record_type {
                    $($type => $any::$variant($record::decode(&mut r, version)?),)*
                    other => return Err($crate::record::record_type(stringify!($any), other.into(), r.position())),
                };
                r.expect_end(record.name())?;
                Ok((record, version))
            }

            /// A record's value in the form of `version`.
            pub fn encode(&self, version: i16) -> Result<bytes::Bytes, $crate::EncodeError> {
                let mut w = $crate::Writer::new();
                $crate::record::write_frame(&mut w, self.record_type(), version);
                match self {
                    $($any::$variant(record) => record.encode(&mut w, version)?,)*
                }
                w.into_bytes()
            }
        }

        $(
            impl From<$record> for $any {
                fn from(record: $record) -> $any {
                    $any::$variant(record)
                }
            }
        )*
    };
}
pub(crate) use log_records;

macro_rules! coordinator_records {
    ($any_key:ident $any_value:ident; $($type:literal $variant:ident $key:ident $value:ident $lo:literal $hi:literal;)*) => {
        $crate::record::data_records! { $($key 0 0; $value $lo $hi;)* }

        /// A record's key: its type in two bytes, then the fields, which have one version.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant)]
        #[non_exhaustive]
        pub enum $any_key {
            $(#[doc = concat!("Type ", stringify!($type), ", `", stringify!($key), "`.")] $variant($key),)*
        }

        /// A record's value: its version in two bytes, then the fields. Which value it is, the key's type says.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant)]
        #[non_exhaustive]
        pub enum $any_value {
            $(#[doc = concat!("Type ", stringify!($type), ", `", stringify!($value), "`.")] $variant($value),)*
        }

        impl $any_key {
            /// The number that says which key and value these are.
            pub fn record_type(&self) -> i16 {
                match self {
                    $($any_key::$variant(_) => $type,)*
                }
            }

            /// Reads a record's key. A type that this log does not have is an error of its own kind with the number
            /// in it; bytes left over are an error.
            pub fn decode(bytes: bytes::Bytes) -> Result<$any_key, $crate::DecodeError> {
                const WHAT: &str = stringify!($any_key);
                let mut r = $crate::Reader::new(bytes);
                let key = match r.i16(WHAT)? {
                    $($type => $any_key::$variant($key::decode(&mut r, 0)?),)*
                    other => return Err($crate::record::record_type(WHAT, other.into(), 0)),
                };
                r.expect_end(WHAT)?;
                Ok(key)
            }

            /// A record's key.
            pub fn encode(&self) -> Result<bytes::Bytes, $crate::EncodeError> {
                let mut w = $crate::Writer::new();
                w.i16(self.record_type());
                match self {
                    $($any_key::$variant(key) => key.encode(&mut w, 0)?,)*
                }
                w.into_bytes()
            }
        }

        impl $any_value {
            /// The number that the key beside it has.
            pub fn record_type(&self) -> i16 {
                match self {
                    $($any_value::$variant(_) => $type,)*
                }
            }

            /// The highest version that its fields have a form in.
            pub fn max_version(&self) -> i16 {
                match self {
                    $($any_value::$variant(_) => $hi,)*
                }
            }

            /// Reads the value beside a key of `record_type`. Bytes left over are an error.
            pub fn decode(record_type: i16, bytes: bytes::Bytes) -> Result<$any_value, $crate::DecodeError> {
                const WHAT: &str = stringify!($any_value);
                let mut r = $crate::Reader::new(bytes);
                let value = match record_type {
                    $($type => {
                        let version = r.i16(stringify!($value))?;
                        $any_value::$variant($value::decode(&mut r, version)?)
                    })*
                    other => return Err($crate::record::record_type(WHAT, other.into(), 0)),
                };
                r.expect_end(WHAT)?;
                Ok(value)
            }

            /// A record's value in the form of `version`.
            pub fn encode(&self, version: i16) -> Result<bytes::Bytes, $crate::EncodeError> {
                let mut w = $crate::Writer::new();
                w.i16(version);
                match self {
                    $($any_value::$variant(value) => value.encode(&mut w, version)?,)*
                }
                w.into_bytes()
            }
        }

        $(
            impl From<$key> for $any_key {
                fn from(key: $key) -> $any_key {
                    $any_key::$variant(key)
                }
            }

            impl From<$value> for $any_value {
                fn from(value: $value) -> $any_value {
                    $any_value::$variant(value)
                }
            }
        )*
    };
}
pub(crate) use coordinator_records;
