//! Every maximum of the system, in one file, with the relations between them asserted where they are defined.
//! Never enters: defaults that a user sets (each config struct has its own).

/// The largest request of an authenticated connection, in bytes (`socket.request.max.bytes`' default).
pub const REQUEST_BYTES_MAX: usize = 100 * 1024 * 1024;
/// The largest request before a connection is authenticated, in bytes.
pub const PRE_AUTH_REQUEST_BYTES_MAX: usize = 64 * 1024;
/// The largest record batch, in bytes, where nothing else is set (`message.max.bytes`' default: 1 MiB + 12).
pub const MESSAGE_BYTES_DEFAULT: usize = 1024 * 1024 + 12;
/// The most bytes that a compressed batch may hold when opened.
pub const BATCH_UNCOMPRESSED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most elements of an array, whatever the bytes that are left would allow.
pub const ARRAY_ELEMENTS_MAX: usize = 1 << 24;
/// The deepest nesting of structures in a message; Kafka's own have at most 6.
pub const NESTING_MAX: usize = 16;
/// The longest string of a message, in bytes (a length on the wire of the older versions is an i16).
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;
/// The most metadata that a committed offset carries, in bytes (`offset.metadata.max.bytes`' default).
pub const OFFSET_METADATA_BYTES_DEFAULT: usize = 4096;
/// The most partitions of a topic.
pub const PARTITIONS_PER_TOPIC_MAX: i32 = 100_000;
/// The most members of a consumer group of the classic kind, where nothing else is set.
pub const GROUP_MEMBERS_MAX: usize = 100_000;

const _: () = assert!(PRE_AUTH_REQUEST_BYTES_MAX < REQUEST_BYTES_MAX);
const _: () = assert!(MESSAGE_BYTES_DEFAULT < REQUEST_BYTES_MAX);
const _: () = assert!(MESSAGE_BYTES_DEFAULT < BATCH_UNCOMPRESSED_BYTES_MAX);
const _: () = assert!(REQUEST_BYTES_MAX < i32::MAX as usize);
