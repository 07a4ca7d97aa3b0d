//! Rows of which not exactly once is promised, outside of the commit's transaction. At least once: they go as they come, and
//! are there before the positions behind them are committed. At most once: they go when the positions are committed, and
//! are not sent again. What comes with a commit (windows, groups, joins) is in its transaction whatever is promised: it would
//! not be there earlier, and a worker that was replaced without knowing it could put an old sum behind a new one. State and
//! positions are exact all the same. Never enters: what rows are.

use std::time::Duration;

use millstream_client::{Producer, ProducerConfig};
use millstream_spec::catalog::Delivery;

use super::{Driver, ProcessStage};
use crate::error::WorkerError;
use crate::outbox::Outbox;
use crate::run::StageContext;

/// What sends rows outside of transactions.
pub(super) struct Plain {
    producer: Option<Producer>,
    /// Batches that have to be there before the commit.
    early: Vec<millstream_client::Delivery>,
    /// And those that may be lost.
    late: Vec<millstream_client::Delivery>,
}

impl Plain {
    /// A producer, where an output wants one.
    pub(super) fn open(setup: &ProcessStage, context: &StageContext) -> Result<Plain, WorkerError> {
        let wanted = setup.outputs.iter().any(|output| output.delivery != Delivery::ExactlyOnce);
        let config = ProducerConfig {
            linger: Duration::ZERO,
            buffer_bytes: 64 << 20,
            request_bytes_max: 4 << 20,
            ..ProducerConfig::default()
        };
        let producer = wanted.then(|| Producer::new(&context.cluster, config)).transpose()?;
        Ok(Plain { producer, early: Vec::new(), late: Vec::new() })
    }

    /// Waits until all that has to be there before a commit is.
    pub(super) async fn arrived(&mut self) -> Result<(), WorkerError> {
        for delivery in self.early.drain(..) {
            delivery.wait().await?;
        }
        Ok(())
    }

    /// Waits for what is on its way.
    pub(super) async fn close(&mut self) {
        for delivery in self.late.drain(..) {
            if let Err(error) = delivery.wait().await {
                tracing::warn!(%error, "rows that are promised at most once were lost");
            }
        }
        if let Some(producer) = self.producer.take() {
            producer.close(Duration::from_secs(5)).await;
        }
    }
}

impl Driver {
    /// Sends rows that go as they come.
    pub(super) async fn send_early(&mut self) -> Result<(), WorkerError> {
        let mut rows = self.take_rows(Delivery::AtLeastOnce)?;
        if let Some(producer) = &self.plain.producer {
            self.plain.early.extend(rows.send(producer).await?);
        }
        Ok(())
    }

    /// Sends rows that waited for their commit, which has been made. What was sent after the one before is there by now, or
    /// lost.
    pub(super) async fn send_late(&mut self, mut rows: Outbox) -> Result<(), WorkerError> {
        self.late_arrived().await;
        if let Some(producer) = &self.plain.producer {
            self.plain.late = rows.send(producer).await?;
        }
        Ok(())
    }

    /// Waits until rows that were sent behind a commit are there, or lost.
    pub(super) async fn late_arrived(&mut self) {
        for delivery in std::mem::take(&mut self.plain.late) {
            if let Err(error) = delivery.wait().await {
                *self.out.counts.entry("lost_batches".to_owned()).or_default() += 1;
                tracing::warn!(stage = %self.context.stage, %error, "rows that are promised at most once were lost");
            }
        }
    }

    /// The rows of which this is promised, as records. Those that a format has no form for become dead letters of the next
    /// commit.
    pub(super) fn take_rows(&mut self, delivery: Delivery) -> Result<Outbox, WorkerError> {
        if self.plain.producer.is_none() {
            return Ok(Outbox::default());
        }
        let (now, levels) = (self.context.clock.wall_ms(), self.levels());
        self.out.records_of(now, &levels, delivery)
    }
}
