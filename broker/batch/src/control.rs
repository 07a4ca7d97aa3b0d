//! Control records: what a coordinator or the quorum writes into a partition beside its data. Owns the key that every
//! one of them has (version, type) and the transaction markers. Never enters: the values of quorum records, which are
//! messages (`millstream-wire`) and come in as bytes.

use bytes::Bytes;
use millstream_types::ids::NO_SEQUENCE;
use millstream_types::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId};

use crate::builder::{BatchBuilder, BatchConfig, RecordRef};
use crate::error::BatchError;
use crate::record::RecordView;

/// The kinds of control record, with Kafka's numbers (`ControlRecordType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum ControlType {
    /// A transaction was aborted.
    Abort = 0,
    /// A transaction was committed.
    Commit = 1,
    /// The quorum has a new leader.
    LeaderChange = 2,
    /// First record of a snapshot.
    SnapshotHeader = 3,
    /// Last record of a snapshot.
    SnapshotFooter = 4,
    /// The quorum's protocol version (KIP-853).
    KRaftVersion = 5,
    /// The quorum's voters (KIP-853).
    KRaftVoters = 6,
}

impl ControlType {
    /// The kind with this number.
    pub fn from_id(id: i16) -> Option<ControlType> {
        Some(match id {
            0 => ControlType::Abort,
            1 => ControlType::Commit,
            2 => ControlType::LeaderChange,
            3 => ControlType::SnapshotHeader,
            4 => ControlType::SnapshotFooter,
            5 => ControlType::KRaftVersion,
            6 => ControlType::KRaftVoters,
            _ => return None,
        })
    }

    /// The key of such a record: version 0, then the type, both i16.
    pub fn key(self) -> [u8; 4] {
        let [high, low] = (self as i16).to_be_bytes();
        [0, 0, high, low]
    }

    /// The kind that a key names; `None` for one of a later Kafka, which readers skip.
    ///
    /// # Errors
    /// Where the key is missing, shorter than 4 bytes, or of a negative version.
    pub fn from_key(key: Option<&[u8]>) -> Result<Option<ControlType>, BatchError> {
        let key = key.ok_or(BatchError::ControlRecord("it has no key"))?;
        let [a, b, c, d] =
            *key.first_chunk().ok_or(BatchError::ControlRecord("its key has under 4 bytes"))?;
        if i16::from_be_bytes([a, b]) < 0 {
            return Err(BatchError::ControlRecord("its key's version is negative"));
        }
        Ok(ControlType::from_id(i16::from_be_bytes([c, d])))
    }
}

/// The value of a commit or abort marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// The term of the transaction coordinator that decided.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// The value: version 0 (i16), then the coordinator's epoch (i32).
    pub fn to_bytes(self) -> [u8; 6] {
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        [0, 0, a, b, c, d]
    }

    /// The marker in a value.
    pub fn parse(value: Option<&[u8]>) -> Result<EndTxnMarker, BatchError> {
        let value = value.ok_or(BatchError::ControlRecord("a transaction marker has no value"))?;
        match value.first_chunk::<6>() {
            Some([high, _, a, b, c, d]) if *high < 0x80 => {
                Ok(EndTxnMarker { coordinator_epoch: i32::from_be_bytes([*a, *b, *c, *d]) })
            }
            _ => Err(BatchError::ControlRecord("a transaction marker's value is not of version 0 or above")),
        }
    }
}

/// A control record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRecord<'a> {
    /// A transaction was aborted.
    Abort(EndTxnMarker),
    /// A transaction was committed.
    Commit(EndTxnMarker),
    /// A record of the quorum, whose value is a message.
    Quorum(ControlType, &'a [u8]),
    /// A kind that this version does not know; skipped.
    Unknown,
}

impl<'a> ControlRecord<'a> {
    /// What a record of a control batch says.
    pub fn parse(record: &RecordView<'a>) -> Result<ControlRecord<'a>, BatchError> {
        Ok(match ControlType::from_key(record.key)? {
            Some(ControlType::Abort) => ControlRecord::Abort(EndTxnMarker::parse(record.value)?),
            Some(ControlType::Commit) => ControlRecord::Commit(EndTxnMarker::parse(record.value)?),
            Some(kind) => {
                let value = record.value.ok_or(BatchError::ControlRecord("a quorum record has no value"))?;
                ControlRecord::Quorum(kind, value)
            }
            None => ControlRecord::Unknown,
        })
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Its records count.
    Commit,
    /// Its records are to be skipped by read_committed readers.
    Abort,
}

/// Whose transaction a marker ends, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnMarker {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// How its transaction ended.
    pub outcome: TxnOutcome,
    /// The term of the coordinator.
    pub coordinator_epoch: i32,
}

/// The batch that marks the end of a transaction in one partition. The leader patches its offset in.
pub fn end_txn_batch(
    marker: TxnMarker,
    timestamp: Millis,
    leader_epoch: LeaderEpoch,
) -> Result<Bytes, BatchError> {
    let kind = match marker.outcome {
        TxnOutcome::Commit => ControlType::Commit,
        TxnOutcome::Abort => ControlType::Abort,
    };
    let config = BatchConfig {
        producer_id: marker.producer_id,
        producer_epoch: marker.producer_epoch,
        base_sequence: NO_SEQUENCE,
        partition_leader_epoch: leader_epoch,
        transactional: true,
        ..BatchConfig::default()
    };
    let value = EndTxnMarker { coordinator_epoch: marker.coordinator_epoch }.to_bytes();
    control_batch(config, timestamp, &[(kind, &value)])
}

/// A batch of the quorum's control records, at `base_offset`.
pub fn quorum_batch(
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    timestamp: Millis,
    records: &[(ControlType, &[u8])],
) -> Result<Bytes, BatchError> {
    let config = BatchConfig { base_offset, partition_leader_epoch: leader_epoch, ..BatchConfig::default() };
    control_batch(config, timestamp, records)
}

fn control_batch(
    config: BatchConfig,
    timestamp: Millis,
    records: &[(ControlType, &[u8])],
) -> Result<Bytes, BatchError> {
    let config = BatchConfig { control: true, batch_bytes_max: usize::MAX, ..config };
    let mut builder = BatchBuilder::new(config);
    for (kind, value) in records {
        let key = kind.key();
        builder.append(&RecordRef { timestamp, key: Some(&key), value: Some(value), headers: &[] })?;
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Decompressor;
    use crate::reader::BatchView;
    use crate::validate::{Limits, Origin, validate_for_append};

    #[test]
    fn a_marker_is_a_control_batch_that_comes_back() {
        for (outcome, coordinator_epoch) in [(TxnOutcome::Commit, 0), (TxnOutcome::Abort, i32::MAX)] {
            let marker = TxnMarker { producer_id: 4, producer_epoch: 2, outcome, coordinator_epoch };
            let bytes = end_txn_batch(marker, 1_000, 9).unwrap();
            let batch = BatchView::parse(&bytes).unwrap();
            assert!(batch.header().attributes.is_control() && batch.header().attributes.is_transactional());
            assert_eq!(batch.header().base_sequence, NO_SEQUENCE);
            let mut scratch = Decompressor::new(1_000);
            let record = batch.records(&mut scratch).unwrap().next().unwrap().unwrap();
            let value = EndTxnMarker { coordinator_epoch };
            let expected = match outcome {
                TxnOutcome::Commit => ControlRecord::Commit(value),
                TxnOutcome::Abort => ControlRecord::Abort(value),
            };
            assert_eq!(ControlRecord::parse(&record), Ok(expected));
            // A coordinator may append it; a client may not.
            assert_eq!(validate_for_append(&bytes, &Limits::default()), Err(BatchError::Control));
            let internal = Limits { origin: Origin::Internal, ..Limits::default() };
            assert!(validate_for_append(&bytes, &internal).unwrap().control);
        }
    }

    #[test]
    fn a_quorum_record_keeps_its_value_and_unknown_kinds_are_skipped() {
        let bytes = quorum_batch(17, 3, 5, &[(ControlType::LeaderChange, b"message")]).unwrap();
        let batch = BatchView::parse(&bytes).unwrap();
        assert_eq!(batch.header().base_offset, 17);
        let mut scratch = Decompressor::new(1_000);
        let record = batch.records(&mut scratch).unwrap().next().unwrap().unwrap();
        let expected = ControlRecord::Quorum(ControlType::LeaderChange, b"message");
        assert_eq!(ControlRecord::parse(&record), Ok(expected));
        assert_eq!(ControlType::from_key(Some(&[0, 0, 0, 99])), Ok(None));
        assert!(ControlType::from_key(Some(&[0, 0, 0])).is_err());
        assert!(ControlType::from_key(None).is_err());
        assert!(EndTxnMarker::parse(Some(&[0; 5])).is_err());
    }
}
