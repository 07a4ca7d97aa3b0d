//! Kafka's rules for producers, as cases.

use millstream_batch::header::{Attributes, MAGIC};

use super::*;

fn batch(id: i64, epoch: i16, sequence: i32, count: i32, offset: i64) -> BatchHeader {
    BatchHeader {
        base_offset: offset,
        batch_length: 100,
        partition_leader_epoch: 0,
        magic: MAGIC,
        crc: 0,
        attributes: Attributes::default(),
        last_offset_delta: count - 1,
        base_timestamp: 1000,
        max_timestamp: 1000,
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: sequence,
        record_count: count,
    }
}

fn transactional(mut header: BatchHeader) -> BatchHeader {
    header.attributes = header.attributes.with_transactional(true);
    header
}

fn marker(id: i64, epoch: i16, outcome: TxnOutcome, coordinator_epoch: i32) -> TxnMarker {
    TxnMarker { producer_id: id, producer_epoch: epoch, outcome, coordinator_epoch }
}

fn name(result: &Result<Checked, LogError>) -> &'static str {
    match result {
        Ok(Checked::New) => "new",
        Ok(Checked::Duplicate(_)) => "duplicate",
        Ok(Checked::MarkerRepeated) => "repeated",
        Err(LogError::OutOfOrderSequence { .. }) => "out of order",
        Err(LogError::InvalidProducerEpoch { .. }) => "fenced",
        Err(LogError::InvalidTxnState { .. }) => "txn state",
        Err(LogError::CoordinatorFenced { .. }) => "coordinator fenced",
        Err(_) => "other",
    }
}

#[test]
fn sequences() {
    const MAX: i32 = i32::MAX;
    // What was appended (epoch, sequence, count), then what comes (epoch, sequence, count) and what is said of it.
    type Case = (&'static [(i16, i32, i32)], (i16, i32, i32), &'static str);
    let cases: &[Case] = &[
        (&[], (0, 7, 1), "new"),
        (&[(0, 0, 2)], (0, 2, 1), "new"),
        (&[(0, 0, 2)], (0, 3, 1), "out of order"),
        (&[(0, 0, 2)], (0, 0, 2), "duplicate"),
        (&[(0, 0, 2)], (0, 0, 1), "out of order"),
        (&[(0, 0, 2)], (0, 1, 1), "out of order"),
        (&[(0, 0, 1), (0, 1, 1), (0, 2, 1), (0, 3, 1), (0, 4, 1)], (0, 0, 1), "duplicate"),
        (&[(0, 0, 1), (0, 1, 1), (0, 2, 1), (0, 3, 1), (0, 4, 1), (0, 5, 1)], (0, 0, 1), "out of order"),
        (&[(0, MAX - 1, 2)], (0, 0, 1), "new"),
        (&[(0, MAX, 2)], (0, 1, 1), "new"),
        (&[(0, MAX, 2)], (0, MAX, 2), "duplicate"),
        (&[(0, 0, 5)], (1, 0, 1), "new"),
        (&[(0, 0, 5)], (1, 5, 1), "out of order"),
        (&[(3, 0, 5)], (2, 5, 1), "fenced"),
        (&[(3, 0, 5)], (2, 0, 5), "fenced"),
    ];
    for (before, (epoch, sequence, count), expected) in cases {
        let mut states = ProducerStates::new();
        let mut offset = 0;
        for (epoch, sequence, count) in *before {
            states.apply(&batch(9, *epoch, *sequence, *count, offset));
            offset += i64::from(*count);
        }
        let result = states.check(&batch(9, *epoch, *sequence, *count, offset), AppendOrigin::Client);
        assert_eq!(name(&result), *expected, "{before:?} then {:?}", (epoch, sequence, count));
        let replicated =
            states.check(&batch(9, *epoch, *sequence, *count, offset), AppendOrigin::Replication);
        assert_eq!(name(&replicated), "new");
    }
}

#[test]
fn a_duplicate_is_answered_with_the_old_offsets() {
    let mut states = ProducerStates::new();
    states.apply(&batch(9, 0, 0, 3, 40));
    states.apply(&batch(9, 0, 3, 2, 50));
    let Ok(Checked::Duplicate(entry)) = states.check(&batch(9, 0, 0, 3, 99), AppendOrigin::Client) else {
        panic!()
    };
    assert_eq!((entry.first_offset(), entry.last_offset), (40, 42));
}

#[test]
fn transactions() {
    let mut states = ProducerStates::new();
    states.apply(&transactional(batch(1, 0, 0, 2, 10)));
    states.apply(&transactional(batch(2, 0, 0, 1, 12)));
    assert_eq!(states.first_unstable_offset(), Some(10));
    assert!(states.has_ongoing_txn(1, 0) && !states.has_ongoing_txn(1, 1));
    assert_eq!(name(&states.check(&batch(1, 0, 2, 1, 13), AppendOrigin::Client)), "txn state");
    let abort = marker(1, 1, TxnOutcome::Abort, 5);
    assert_eq!(name(&states.check_marker(abort, 2)), "new");
    let (completed, stable) = states.apply_marker(abort, 13, 0).unwrap();
    assert_eq!((completed.first_offset, completed.last_offset, stable), (10, 13, 12));
    assert_eq!(completed.aborted(stable).unwrap().last_stable_offset, 12);
    // Ended, but not below the high watermark yet.
    assert_eq!(states.first_unstable_offset(), Some(10));
    states.on_high_watermark(13);
    assert_eq!(states.first_unstable_offset(), Some(10));
    states.on_high_watermark(14);
    assert_eq!(states.first_unstable_offset(), Some(12));
    // The old epoch is fenced, the new one begins at 0.
    assert_eq!(name(&states.check(&transactional(batch(1, 0, 2, 1, 14)), AppendOrigin::Client)), "fenced");
    assert_eq!(name(&states.check(&transactional(batch(1, 1, 0, 1, 14)), AppendOrigin::Client)), "new");
    assert_eq!(
        name(&states.check(&transactional(batch(1, 1, 3, 1, 14)), AppendOrigin::Client)),
        "out of order"
    );
    // The marker comes once more.
    assert_eq!(name(&states.check_marker(abort, 2)), "repeated");
    assert_eq!(name(&states.check_marker(marker(1, 0, TxnOutcome::Commit, 5), 2)), "fenced");
    assert_eq!(name(&states.check_marker(marker(1, 1, TxnOutcome::Commit, 4), 0)), "coordinator fenced");
    assert_eq!(name(&states.check_marker(marker(1, 1, TxnOutcome::Commit, 5), 0)), "new");
    // Under version 2 a marker of the open transaction's own epoch would end the next one (KIP-890).
    assert_eq!(name(&states.check_marker(marker(2, 0, TxnOutcome::Commit, 5), 2)), "fenced");
    assert_eq!(name(&states.check_marker(marker(2, 0, TxnOutcome::Commit, 5), 1)), "new");
    let (_, stable) = states.apply_marker(marker(2, 1, TxnOutcome::Commit, 5), 14, 0).unwrap();
    assert_eq!(stable, 15);
    assert!(states.apply_marker(marker(2, 1, TxnOutcome::Commit, 5), 15, 0).is_none());
}

#[test]
fn a_snapshot_comes_back_and_damage_is_seen() {
    let mut states = ProducerStates::new();
    states.apply(&batch(7, 3, 4, 2, 100));
    states.apply(&transactional(batch(8, 0, 0, 1, 102)));
    states.apply_marker(marker(9, 2, TxnOutcome::Commit, 6), 103, 55);
    let bytes = snapshot::encode(&states);
    assert_eq!(bytes.len(), 10 + 3 * 46);
    let again = snapshot::decode(&bytes).unwrap();
    assert_eq!(again.entries(), states.entries());
    assert_eq!(again.first_unstable_offset(), Some(102));
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(snapshot::decode(&damaged).is_none(), "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert!(snapshot::decode(&bytes[..cut]).is_none(), "cut at {cut}");
    }
}

#[test]
fn idle_producers_are_forgotten_unless_a_transaction_is_open() {
    let mut states = ProducerStates::new();
    states.apply(&batch(1, 0, 0, 1, 0));
    states.apply(&transactional(batch(2, 0, 0, 1, 1)));
    states.expire(1001);
    assert_eq!(states.entries().keys().copied().collect::<Vec<_>>(), [2]);
}
