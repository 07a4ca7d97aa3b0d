//! One broker transaction of a stage: its records, the positions of its group, the end.
//!
//! Invariant WK-4: the records are in their logs before the group takes the positions. A member that was replaced is
//! refused there; one that was not has its records where its successor, who reads to the end that a reader of
//! uncommitted records sees, waits for them. Were the order another, a successor could read positions or state without
//! those of a transaction that commits afterwards. Never enters: what is written.

use std::collections::BTreeMap;
use std::time::Instant;

use millstream_client::{ConsumerHandle, OffsetAndMetadata, Producer};
use millstream_types::TopicPartition;

use crate::error::WorkerError;
use crate::failpoint;
use crate::outbox::Outbox;

/// What a transaction holds.
pub struct Transaction {
    /// The stage, for failpoints and the log.
    pub stage: String,
    /// Records.
    pub outbox: Outbox,
    /// Positions of the group.
    pub offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
    /// The member whose positions they are.
    pub consumer: ConsumerHandle,
}

impl Transaction {
    /// Commits it. After an error its outcome may be unknown: begin again from what was committed.
    pub async fn commit(mut self, producer: &Producer) -> Result<(), WorkerError> {
        let began = Instant::now();
        producer.begin_transaction()?;
        failpoint::reach(&self.stage, "before_send");
        for delivery in self.outbox.send(producer).await? {
            delivery.wait().await?;
        }
        let sent = Instant::now();
        failpoint::reach(&self.stage, "before_offsets");
        let member = self.consumer.group_metadata()?;
        if member.epoch < 0 {
            // Positions without a member would be taken as set by hand, and fence nobody.
            let text = "this worker is not in its group any more, and its commit does not count".to_owned();
            return Err(WorkerError::Transient(text));
        }
        producer.send_offsets_to_transaction(&self.offsets, &member).await?;
        let positioned = Instant::now();
        failpoint::reach(&self.stage, "before_commit");
        producer.commit_transaction().await?;
        tracing::debug!(
            stage = %self.stage,
            send_ms = sent.duration_since(began).as_millis(),
            offsets_ms = positioned.duration_since(sent).as_millis(),
            commit_ms = positioned.elapsed().as_millis(),
            "committed"
        );
        failpoint::reach(&self.stage, "after_commit");
        Ok(())
    }
}
