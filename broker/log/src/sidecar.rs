//! A sealed segment's sidecar, `.appendtimes`: what Kafka's format has no place for, with a checksum. First and last
//! append time (for `retention.time.source=append`), the largest timestamp, whether offsets have gaps, and what the
//! index files must be to be trusted. Ours; Kafka leaves files that it does not know alone. Lost or damaged, it is made
//! anew from the batches and the file's time. Never enters: an active segment.

use millstream_batch::crc::crc32c;
use millstream_types::{Millis, Offset};

const BYTES: usize = 5 * 8 + 3 * 4 + 1 + 4;
const COMPACTED: u8 = 1;
const GAPS: u8 = 2;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sidecar {
    pub first_append_ms: Millis,
    pub last_append_ms: Millis,
    pub max_timestamp: Millis,
    pub max_timestamp_offset: Offset,
    /// Bytes of whole batches in the `.log`.
    pub log_bytes: u64,
    pub index_entries: u32,
    pub time_index_crc: u32,
    pub txn_index_crc: u32,
    pub compacted: bool,
    pub gaps: bool,
}

impl Sidecar {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        for field in
            [self.first_append_ms, self.last_append_ms, self.max_timestamp, self.max_timestamp_offset]
        {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(self.log_bytes.to_be_bytes());
        for field in [self.index_entries, self.time_index_crc, self.txn_index_crc] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.push(if self.compacted { COMPACTED } else { 0 } | if self.gaps { GAPS } else { 0 });
        let crc = crc32c(&bytes);
        bytes.extend(crc.to_be_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Option<Sidecar> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if bytes.len() != BYTES || crc32c(body) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (longs, rest) = body.split_at(40);
        let long = |i: usize| longs.as_chunks::<8>().0.get(i).map(|b| i64::from_be_bytes(*b));
        let (ints, flags) = rest.split_at(12);
        let int = |i: usize| ints.as_chunks::<4>().0.get(i).map(|b| u32::from_be_bytes(*b));
        Some(Sidecar {
            first_append_ms: long(0)?,
            last_append_ms: long(1)?,
            max_timestamp: long(2)?,
            max_timestamp_offset: long(3)?,
            log_bytes: long(4)? as u64,
            index_entries: int(0)?,
            time_index_crc: int(1)?,
            txn_index_crc: int(2)?,
            compacted: flags.first()? & COMPACTED != 0,
            gaps: flags.first()? & GAPS != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_damage_is_seen() {
        let sidecar = Sidecar {
            first_append_ms: 1,
            last_append_ms: 2,
            max_timestamp: 3,
            max_timestamp_offset: 4,
            log_bytes: 5,
            index_entries: 6,
            time_index_crc: 7,
            txn_index_crc: 8,
            compacted: true,
            gaps: false,
        };
        let bytes = sidecar.encode();
        assert_eq!(Sidecar::decode(&bytes), Some(sidecar));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Sidecar::decode(&damaged), None, "bit {bit}");
        }
        assert_eq!(Sidecar::decode(&bytes[1..]), None);
        assert_eq!(Sidecar::decode(&[]), None);
    }
}
