//! Numbers in as many bytes as they need, seven bits in each, the lowest first: as Avro and Protobuf write them. Never
//! enters: reading them, where each format says what is wrong in its own words.

/// The number that a zig-zag varint stands for.
#[inline]
pub(crate) fn unzigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

/// A number as a zig-zag varint stands for it: small ones of either sign are short.
#[inline]
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Appends a varint.
#[inline]
pub(crate) fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
