//! A transactional producer that says each of its requests itself, so that a test can stand between any two of them.

use std::sync::Arc;
use std::time::Duration;

use millstream_types::ErrorCode;
use millstream_wire::message::find_coordinator_request::FindCoordinatorRequest;
use millstream_wire::message::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use millstream_wire::message::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use millstream_wire::message::{
    EndTxnRequest, InitProducerIdRequest, OffsetFetchRequest, TxnOffsetCommitRequest,
};

use crate::raw::{Place, Raw, code, numbered, produce_request};

/// Whether an answer asks to be asked again.
fn again(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::ConcurrentTransactions
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::UnstableOffsetCommit
    )
}

/// See the module; its transactions are of the second version (KIP-890).
#[derive(Clone)]
pub struct Txn {
    pub id: String,
    pub producer: (i64, i16),
    sequences: std::collections::BTreeMap<(Arc<str>, i32), i32>,
}

impl Txn {
    pub async fn init(raw: &mut Raw, id: &str, timeout_ms: i32) -> Txn {
        // Asking for the coordinator makes the internal topics.
        for (key, key_type) in [(id, 1), ("group", 0)] {
            let request = FindCoordinatorRequest {
                key_type,
                coordinator_keys: vec![key.to_owned()],
                ..Default::default()
            };
            while again(code(raw.call(&request, 6).await.coordinators[0].error_code)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let request = InitProducerIdRequest {
            transactional_id: Some(id.to_owned()),
            transaction_timeout_ms: timeout_ms,
            ..Default::default()
        };
        loop {
            let response = raw.call(&request, 5).await;
            match code(response.error_code) {
                ErrorCode::None => {
                    let producer = (response.producer_id, response.producer_epoch);
                    return Txn { id: id.to_owned(), producer, sequences: Default::default() };
                }
                error => assert!(again(error), "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends one record; what is said of it in the end.
    pub async fn send(&mut self, raw: &mut Raw, to: &Place, value: &str) -> ErrorCode {
        let place = (Arc::clone(&to.topic), to.partition);
        let sequence = *self.sequences.get(&place).unwrap_or(&0);
        loop {
            let records = numbered(&[value], self.producer, sequence, true);
            let request = produce_request(to, records, 12, -1, Some(&self.id));
            let error = code(raw.call(&request, 12).await.responses[0].partition_responses[0].error_code);
            if !again(error) {
                if error == ErrorCode::None {
                    self.sequences.insert(place, sequence + 1);
                }
                return error;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn end_request(&self, commit: bool) -> EndTxnRequest {
        EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            committed: commit,
            ..Default::default()
        }
    }

    /// Ends the transaction; what is said of it in the end.
    pub async fn end(&mut self, raw: &mut Raw, commit: bool) -> ErrorCode {
        loop {
            let response = raw.call(&self.end_request(commit), 5).await;
            let error = code(response.error_code);
            if error == ErrorCode::None {
                self.producer = (response.producer_id, response.producer_epoch);
                self.sequences.clear();
            }
            if !again(error) {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Commits a position as part of the transaction.
    pub async fn commit_offset(&mut self, raw: &mut Raw, group: &str, of: &Place, offset: i64) -> ErrorCode {
        let request = TxnOffsetCommitRequest {
            transactional_id: self.id.clone(),
            group_id: group.to_owned(),
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            generation_id_or_member_epoch: -1,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: of.topic.to_string(),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    partition_index: of.partition,
                    committed_offset: offset,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        loop {
            let error = code(raw.call(&request, 5).await.topics[0].partitions[0].error_code);
            if !again(error) {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A group's position, once no transaction holds it open.
pub async fn position(raw: &mut Raw, group: &str, of: &Place) -> i64 {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            member_epoch: -1,
            topics: Some(vec![OffsetFetchRequestTopics {
                name: of.topic.to_string(),
                partition_indexes: vec![of.partition],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        require_stable: true,
        ..Default::default()
    };
    loop {
        let group = raw.call(&request, 9).await.groups[0].clone();
        let error = if group.error_code == 0 {
            let row = &group.topics[0].partitions[0];
            if row.error_code == 0 {
                return row.committed_offset;
            }
            row.error_code
        } else {
            group.error_code
        };
        assert!(again(code(error)), "{:?}", code(error));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The values that a read_committed reader has, once no transaction is open on the partition.
pub async fn committed(raw: &mut Raw, place: &Place) -> Vec<String> {
    loop {
        let data = raw.fetch_committed(place, 0).await;
        if data.error_code == 0 && data.last_stable_offset == data.high_watermark {
            return readable(&data);
        }
        assert!(data.error_code == 0 || again(code(data.error_code)), "{:?}", code(data.error_code));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What a read_committed client makes of a fetch: batches of aborted transactions are passed over.
pub fn readable(data: &millstream_wire::message::fetch_response::PartitionData) -> Vec<String> {
    use millstream_batch::{ControlRecord, Decompressor, batches};
    let bytes = data.records.as_ref().and_then(|r| r.as_bytes()).cloned().unwrap_or_default();
    let mut aborted: Vec<(i64, i64)> =
        data.aborted_transactions.iter().flatten().map(|t| (t.first_offset, t.producer_id)).collect();
    aborted.sort();
    let mut open = std::collections::BTreeSet::new();
    let mut scratch = Decompressor::new(64 << 20);
    let mut out = Vec::new();
    for batch in batches(&bytes) {
        let batch = batch.unwrap();
        let header = *batch.header();
        // TX-4: nothing beyond the last stable offset is given to a read_committed reader.
        assert!(header.last_offset() < data.last_stable_offset);
        while aborted.first().is_some_and(|(first, _)| *first <= header.last_offset()) {
            open.insert(aborted.remove(0).1);
        }
        for record in batch.records(&mut scratch).unwrap() {
            let record = record.unwrap();
            if header.attributes.is_control() {
                if let ControlRecord::Abort(_) = ControlRecord::parse(&record).unwrap() {
                    open.remove(&header.producer_id);
                }
            } else if !(header.attributes.is_transactional() && open.contains(&header.producer_id)) {
                out.push(String::from_utf8_lossy(record.value.unwrap()).into_owned());
            }
        }
    }
    out
}
