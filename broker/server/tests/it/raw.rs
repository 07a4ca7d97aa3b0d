//! A connection on which a test says every byte itself, and the requests that most tests make.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millstream_batch::{BatchBuilder, BatchConfig, Decompressor, RecordRef, batches};
use millstream_net::{FrameReader, Stream};
use millstream_types::{ErrorCode, Uuid};
use millstream_wire::frame::{decode_body, decode_response_header, encode_request};
use millstream_wire::message::fetch_request::{FetchPartition, FetchTopic};
use millstream_wire::message::fetch_response::{FetchResponse, PartitionData};
use millstream_wire::message::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_wire::message::produce_response::PartitionProduceResponse;
use millstream_wire::message::{FetchRequest, MetadataRequest, ProduceRequest, metadata_request};
use millstream_wire::{Reader, Records, Request, Segment};
use tokio::io::AsyncWriteExt;

/// An answer that is not here by then never comes.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// See the module.
pub struct Raw {
    stream: Stream,
    reader: FrameReader,
    correlation_id: i32,
}

impl Raw {
    pub async fn connect(address: &str) -> Raw {
        let stream = Stream::connect(address).await.unwrap();
        Raw { stream, reader: FrameReader::new(64 << 20), correlation_id: 0 }
    }

    /// Writes bytes as they are; whether the other side still takes them.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Tells the other side that nothing more comes.
    pub async fn shut(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next frame without its size, or `None` where the connection is closed.
    pub async fn frame(&mut self) -> Option<Bytes> {
        let next = tokio::time::timeout(ANSWER_MAX, self.reader.next(&mut self.stream));
        next.await.expect("no answer comes").unwrap_or(None)
    }

    pub async fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        self.correlation_id += 1;
        let segments = encode_request(self.correlation_id, Some("test"), request, version)
            .unwrap_or_else(|e| panic!("{} {version}: {e}", R::NAME));
        for segment in segments {
            match segment {
                Segment::Bytes(bytes) => assert!(self.write(&bytes).await, "the connection is closed"),
                Segment::External { .. } => unreachable!("requests have no file ranges"),
            }
        }
        self.correlation_id
    }

    pub async fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let frame = self.frame().await;
        let frame = frame.unwrap_or_else(|| panic!("{} {version}: the connection is closed", R::NAME));
        let mut reader = Reader::new(frame);
        let header = decode_response_header(&mut reader, R::API_KEY, version).unwrap();
        let body = decode_body(&mut reader, version).unwrap_or_else(|e| panic!("{} {version}: {e}", R::NAME));
        (header.correlation_id, body)
    }

    pub async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let sent = self.send(request, version).await;
        let (answered, response) = self.receive::<R>(version).await;
        assert_eq!(answered, sent, "{} {version}", R::NAME);
        response
    }

    pub async fn topic_id(&mut self, topic: &str) -> Uuid {
        let asked =
            metadata_request::MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() };
        let request = MetadataRequest { topics: Some(vec![asked]), ..Default::default() };
        self.call(&request, 12).await.topics[0].topic_id
    }

    /// Produces one batch, and returns what is said of it.
    pub async fn produce(&mut self, to: &Place, records: Records, version: i16) -> PartitionProduceResponse {
        let request = produce_request(to, records, version, -1, None);
        self.call(&request, version).await.responses[0].partition_responses[0].clone()
    }

    /// Fetches without waiting; what the partition answers.
    pub async fn fetch(&mut self, from: &Place, offset: i64, version: i16) -> PartitionData {
        let response = self.call(&fetch_request(from, offset, version), version).await;
        only(response)
    }

    /// As [`Raw::fetch`] in the newest version, for a read_committed reader.
    pub async fn fetch_committed(&mut self, from: &Place, offset: i64) -> PartitionData {
        let mut request = fetch_request(from, offset, 17);
        request.isolation_level = 1;
        only(self.call(&request, 17).await)
    }
}

fn only(response: FetchResponse) -> PartitionData {
    assert_eq!(code(response.error_code), ErrorCode::None);
    response.responses[0].partitions[0].clone()
}

/// A partition, by both of its topic's names.
#[derive(Clone)]
pub struct Place {
    pub topic: Arc<str>,
    pub id: Uuid,
    pub partition: i32,
}

impl Place {
    pub async fn of(raw: &mut Raw, topic: &Arc<str>, partition: i32) -> Place {
        Place { topic: Arc::clone(topic), id: raw.topic_id(topic).await, partition }
    }
}

pub fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or_else(|| panic!("{code} is no error code"))
}

pub fn produce_request(
    to: &Place,
    records: Records,
    version: i16,
    acks: i16,
    transactional_id: Option<&str>,
) -> ProduceRequest {
    ProduceRequest {
        transactional_id: transactional_id.map(str::to_owned),
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: if version < 13 { to.topic.to_string() } else { String::new() },
            topic_id: if version < 13 { Uuid::ZERO } else { to.id },
            partition_data: vec![PartitionProduceData {
                index: to.partition,
                records: Some(records),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn fetch_topic(from: &Place, offset: i64, version: i16) -> FetchTopic {
    FetchTopic {
        topic: if version < 13 { from.topic.to_string() } else { String::new() },
        topic_id: if version < 13 { Uuid::ZERO } else { from.id },
        partitions: vec![FetchPartition {
            partition: from.partition,
            fetch_offset: offset,
            partition_max_bytes: 8 << 20,
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn fetch_request(from: &Place, offset: i64, version: i16) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 32 << 20,
        topics: vec![fetch_topic(from, offset, version)],
        ..Default::default()
    }
}

/// A batch of values of now.
pub fn batch(values: &[&str], config: BatchConfig) -> Records {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    batch_at(now, values, config)
}

/// A batch of values, a millisecond apart.
pub fn batch_at(from: i64, values: &[&str], config: BatchConfig) -> Records {
    let mut builder = BatchBuilder::new(BatchConfig { batch_bytes_max: 64 << 20, ..config });
    for (i, value) in values.iter().enumerate() {
        let record =
            RecordRef { timestamp: from + i as i64, key: None, value: Some(value.as_bytes()), headers: &[] };
        builder.append(&record).unwrap();
    }
    Records::Bytes(builder.build().unwrap())
}

/// A batch of a producer, which numbers its records from `sequence` on.
pub fn numbered(values: &[&str], (id, epoch): (i64, i16), sequence: i32, transactional: bool) -> Records {
    let config = BatchConfig {
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: sequence,
        transactional,
        ..Default::default()
    };
    batch(values, config)
}

/// The offsets and values of a fetch's data records.
pub fn found(data: &PartitionData) -> Vec<(i64, String)> {
    assert_eq!(code(data.error_code), ErrorCode::None);
    let bytes = data.records.as_ref().and_then(Records::as_bytes).cloned().unwrap_or_default();
    let mut scratch = Decompressor::new(64 << 20);
    let mut all = Vec::new();
    for batch in batches(&bytes) {
        // The last batch may be cut by the limit.
        let Ok(batch) = batch else { break };
        batch.check_crc().unwrap();
        if batch.header().attributes.is_control() {
            continue;
        }
        for record in batch.records(&mut scratch).unwrap() {
            let record = record.unwrap();
            let value = String::from_utf8_lossy(record.value.unwrap()).into_owned();
            all.push((record.offset, value));
        }
    }
    all
}

/// The values alone.
pub fn texts(data: &PartitionData) -> Vec<String> {
    found(data).into_iter().map(|(_, value)| value).collect()
}
