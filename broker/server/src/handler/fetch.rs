//! Fetch: what each partition has from an offset on, as ranges of its files; where that is less than the client wants,
//! the answer waits for more, at most as long as the client allows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millstream_net::{FileRange, OutSegment};
use millstream_replica::ReadAs;
use millstream_types::ErrorCode;
use millstream_wire::message::FetchRequest;
use millstream_wire::message::fetch_response::{
    AbortedTransaction, FetchResponse, FetchableTopicResponse, PartitionData,
};
use millstream_wire::{Records, Segment};

use crate::broker::Broker;
use crate::connection::Begun;
use crate::dispatch::Context;
use crate::fetch_session::{Place, SessionFetch, Told, Wanted};
use crate::handler::replica;
use crate::metrics::Metrics;
use crate::partition::{Fetched, Partition, SegmentFile};
use crate::waiter::{Wait, Waited, Waiter};

/// A request with all that it needs to be read again.
struct Fetch {
    cx: Context,
    session: SessionFetch,
    as_: ReadAs,
    bytes_min: usize,
    bytes_max: usize,
    wait: Duration,
}

/// One partition as it was read.
struct Read {
    place: Place,
    result: Result<Fetched, ErrorCode>,
}

/// Serves Fetch.
pub fn begin(broker: &Arc<Broker>, cx: Context, request: FetchRequest) -> Begun {
    Metrics::add(&broker.metrics.fetch_requests, 1);
    let refuse = |error: ErrorCode| FetchResponse { error_code: error.code(), ..Default::default() };
    let replica_id = if cx.version >= 15 { request.replica_state.replica_id } else { request.replica_id };
    if replica_id >= 0 {
        // A follower's fetch is taken from brokers alone, which have to be authenticated; there are none yet.
        return cx.ready(&refuse(ErrorCode::ClusterAuthorizationFailed));
    }
    let mut wanted = Vec::new();
    for topic in &request.topics {
        for p in &topic.partitions {
            let place =
                Place { topic: topic.topic.clone(), topic_id: topic.topic_id, partition: p.partition };
            let want = Wanted {
                offset: p.fetch_offset,
                bytes_max: p.partition_max_bytes,
                leader_epoch: p.current_leader_epoch,
            };
            wanted.push((place, want));
        }
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        forgotten.extend(topic.partitions.iter().map(|partition| Place {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partition: *partition,
        }));
    }
    let (id, epoch) = if cx.version >= 7 { (request.session_id, request.session_epoch) } else { (0, -1) };
    let session = match broker.sessions.take_up(id, epoch, wanted, &forgotten) {
        Ok(session) => session,
        Err(error) => return cx.ready(&refuse(error)),
    };
    let limit = broker.config.number("fetch.max.bytes") as usize;
    let fetch = Fetch {
        as_: if request.isolation_level == 1 { ReadAs::Committed } else { ReadAs::Uncommitted },
        bytes_min: usize::try_from(request.min_bytes).unwrap_or(0),
        bytes_max: usize::try_from(request.max_bytes).unwrap_or(0).min(limit),
        wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        cx,
        session,
    };
    let (reads, bytes, at_once) = fetch.read(broker);
    if at_once || bytes >= fetch.bytes_min || fetch.wait.is_zero() {
        return fetch.ready(broker, reads);
    }
    let deadline = Instant::now() + fetch.wait;
    let (wait, (reads, bytes, at_once)) = fetch.enter_wait(broker, bytes, deadline);
    if at_once || bytes >= fetch.bytes_min {
        return fetch.ready(broker, reads);
    }
    let broker = Arc::clone(broker);
    Begun::Later(Box::pin(async move {
        Metrics::add(&broker.metrics.purgatory_fetch, 1);
        let (mut wait, mut bytes) = (wait, bytes);
        // One wait is over at the first bytes of its partition; the fetch is when there are enough of them.
        let reads = loop {
            let waited = wait.await;
            let (reads, now, at_once) = fetch.read(&broker);
            if at_once || now >= fetch.bytes_min || waited == Waited::TimedOut {
                break reads;
            }
            bytes = bytes.max(now);
            let (next, (reads, now, at_once)) = fetch.enter_wait(&broker, bytes, deadline);
            if at_once || now >= fetch.bytes_min {
                break reads;
            }
            wait = next;
        };
        Metrics::sub(&broker.metrics.purgatory_fetch, 1);
        fetch.answer(&broker, reads)
    }))
}

/// Partitions as they were read, their bytes, and whether the answer may not wait.
type Found = (Vec<Read>, usize, bool);

impl Fetch {
    /// Enters a wait for what is missing of `bytes_min`, and reads again: what was appended in between is seen by one
    /// of the two.
    fn enter_wait(&self, broker: &Arc<Broker>, bytes: usize, deadline: Instant) -> (Wait, Found) {
        let waiter = Waiter::new(self.bytes_min.saturating_sub(bytes).max(1) as u64);
        let partitions = self.partitions(broker);
        for partition in &partitions {
            partition.wait_for_bytes(&waiter, self.as_);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = Wait::new(waiter, partitions, Arc::clone(&broker.timer), left);
        (wait, self.read(broker))
    }

    fn ready(&self, broker: &Broker, reads: Vec<Read>) -> Begun {
        let segments = self.answer(broker, reads);
        if segments.is_empty() { Begun::Close } else { Begun::Ready(segments) }
    }

    fn partitions(&self, broker: &Broker) -> Vec<Arc<Partition>> {
        let image = broker.image();
        let places = self.session.partitions.iter().map(|(place, _)| place);
        places.filter_map(|p| replica(broker, &image, &p.topic, p.topic_id, p.partition).ok()).collect()
    }

    /// Reads every partition; also how many bytes there are, and whether the answer may not wait (an error).
    fn read(&self, broker: &Broker) -> Found {
        let image = broker.image();
        let mut left = self.bytes_max;
        let mut total = 0;
        let mut at_once = self.session.partitions.is_empty();
        let mut reads = Vec::with_capacity(self.session.partitions.len());
        for (place, wanted) in &self.session.partitions {
            let found = replica(broker, &image, &place.topic, place.topic_id, place.partition);
            let result = found.and_then(|partition| {
                let bytes_max = usize::try_from(wanted.bytes_max).unwrap_or(0).min(left);
                // The first batch of an answer is given whole, however large, so that a consumer goes on (KIP-74).
                let min_one_batch = total == 0;
                let claimed = (wanted.leader_epoch >= 0).then_some(wanted.leader_epoch);
                partition.read(wanted.offset, bytes_max, min_one_batch, self.as_, claimed)
            });
            match &result {
                Ok(fetched) => {
                    let bytes = fetched.read.slice.as_ref().map_or(0, |s| s.len);
                    total += bytes;
                    left = left.saturating_sub(bytes);
                }
                Err(_) => at_once = true,
            }
            reads.push(Read { place: place.clone(), result });
        }
        (reads, total, at_once)
    }

    fn answer(&self, broker: &Broker, reads: Vec<Read>) -> Vec<OutSegment> {
        let mut ranges: Vec<Option<FileRange>> = Vec::new();
        let mut answer = FetchResponse { session_id: self.session.session_id, ..Default::default() };
        for Read { place, result } in reads {
            let data = match result {
                Ok(fetched) => {
                    let told = Told {
                        high_watermark: fetched.high_watermark,
                        log_start: fetched.read.log_start_offset,
                    };
                    if !self.session.has_news(&place, fetched.read.slice.is_some(), false, told) {
                        continue;
                    }
                    self.found(broker, place.partition, fetched, &mut ranges)
                }
                Err(error) => {
                    let told = Told { high_watermark: -1, log_start: -1 };
                    self.session.has_news(&place, false, true, told);
                    PartitionData {
                        partition_index: place.partition,
                        error_code: error.code(),
                        high_watermark: -1,
                        last_stable_offset: -1,
                        log_start_offset: -1,
                        records: Some(Records::Bytes(Bytes::new())),
                        ..Default::default()
                    }
                }
            };
            let same = |t: &FetchableTopicResponse| t.topic == place.topic && t.topic_id == place.topic_id;
            match answer.responses.last_mut().filter(|t| same(t)) {
                Some(topic) => topic.partitions.push(data),
                None => answer.responses.push(FetchableTopicResponse {
                    topic: place.topic,
                    topic_id: place.topic_id,
                    partitions: vec![data],
                    ..Default::default()
                }),
            }
        }
        let encoded =
            millstream_wire::frame::encode_response(self.cx.correlation_id, &answer, self.cx.version);
        match encoded {
            Ok(segments) => segments.into_iter().filter_map(|s| with_range(s, &mut ranges)).collect(),
            Err(error) => {
                tracing::error!(version = self.cx.version, %error, "a fetch's answer cannot be written");
                Vec::new()
            }
        }
    }

    fn found(
        &self,
        broker: &Broker,
        partition: i32,
        fetched: Fetched,
        ranges: &mut Vec<Option<FileRange>>,
    ) -> PartitionData {
        let aborted = |(producer_id, first_offset): &(i64, i64)| AbortedTransaction {
            producer_id: *producer_id,
            first_offset: *first_offset,
            ..Default::default()
        };
        let records = match fetched.read.slice {
            Some(slice) => {
                Metrics::add(&broker.metrics.bytes_out, slice.len as u64);
                let len = slice.len;
                let source = Arc::new(SegmentFile(slice.file));
                ranges.push(Some(FileRange { source, position: slice.position, len }));
                Records::External { slot: ranges.len() as u32 - 1, len: len as u32 }
            }
            None => Records::Bytes(Bytes::new()),
        };
        PartitionData {
            partition_index: partition,
            high_watermark: fetched.high_watermark,
            last_stable_offset: fetched.last_stable_offset,
            // Versions before 5 have no field for it.
            log_start_offset: if self.cx.version >= 5 { fetched.read.log_start_offset } else { -1 },
            aborted_transactions: (self.as_ == ReadAs::Committed)
                .then(|| fetched.aborted.iter().map(aborted).collect()),
            records: Some(records),
            ..Default::default()
        }
    }
}

fn with_range(segment: Segment, ranges: &mut [Option<FileRange>]) -> Option<OutSegment> {
    match segment {
        Segment::Bytes(bytes) => Some(OutSegment::Bytes(bytes)),
        Segment::External { slot, .. } => ranges.get_mut(slot as usize)?.take().map(OutSegment::File),
    }
}
