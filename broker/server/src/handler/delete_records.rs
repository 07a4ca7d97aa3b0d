//! DeleteRecords: the log's start moves up, at most to the high watermark.

use std::sync::Arc;

use millstream_types::{ErrorCode, Uuid};
use millstream_wire::message::DeleteRecordsRequest;
use millstream_wire::message::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use crate::broker::Broker;
use crate::connection::Begun;
use crate::dispatch::Context;
use crate::handler::replica;

/// The offset that stands for the high watermark.
const TO_HIGH_WATERMARK: i64 = -1;

/// Serves DeleteRecords.
pub fn begin(broker: &Arc<Broker>, cx: Context, request: DeleteRecordsRequest) -> Begun {
    let image = broker.image();
    let now = broker.clock.monotonic_ms();
    let mut answer = DeleteRecordsResponse::default();
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for p in &topic.partitions {
            let mut row = DeleteRecordsPartitionResult {
                partition_index: p.partition_index,
                low_watermark: -1,
                ..Default::default()
            };
            let found = replica(broker, &image, &topic.name, Uuid::ZERO, p.partition_index);
            let result = found.and_then(|partition| {
                partition.look(|log, state| {
                    state.check_leader(None)?;
                    // Kafka refuses it for compacted topics: what is deleted there is for the cleaner to say.
                    if log.config().cleanup_policy.delete { Ok(()) } else { Err(ErrorCode::PolicyViolation) }
                })?;
                partition.change(now, |log, bounds| {
                    let high_watermark = bounds.high_watermark;
                    let to = if p.offset == TO_HIGH_WATERMARK { high_watermark } else { p.offset };
                    if to < 0 {
                        return Err(ErrorCode::OffsetOutOfRange);
                    }
                    log.advance_log_start(to, high_watermark).map_err(|e| e.error_code())?;
                    Ok(log.log_start_offset())
                })
            });
            match result {
                Ok(low) => row.low_watermark = low,
                Err(error) => row.error_code = error.code(),
            }
            partitions.push(row);
        }
        let name = topic.name.clone();
        answer.topics.push(DeleteRecordsTopicResult { name, partitions, ..Default::default() });
    }
    cx.ready(&answer)
}
