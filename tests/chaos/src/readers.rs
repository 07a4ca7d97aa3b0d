//! Readers of named partitions: they begin anywhere, read on to the end, and begin again elsewhere. Never enters: groups.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_checker::{Function, Line, Stage};
use millstream_client::{Consumer, ConsumerConfig, Isolation, OffsetReset, Result};
use millstream_types::{Rng, SeededRng};

use crate::workload::Workload;

/// Reads until the run stops.
pub(crate) async fn watcher(load: Arc<Workload>, isolation: Isolation, mut rng: SeededRng) -> Result<()> {
    let partitions = load.partitions();
    let mut known = vec![0u64; partitions.len()];
    while !load.is_stopped() {
        let cluster = load.cluster(&mut rng)?;
        let config = ConsumerConfig {
            isolation,
            offset_reset: OffsetReset::Earliest,
            fetch_wait: Duration::from_millis(200),
            partition_bytes_max: 2_000 + rng.below(100_000) as i32,
            poll_bytes_max: 500 + rng.below(60_000) as usize,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(&cluster, config)?;
        consumer.assign(partitions.clone()).await?;
        let process = load.recorder.process();
        for _ in 0..1 + rng.below(4) {
            // From not far behind the end: a reader that always reads everything comes too late to see anything change.
            let starts: Vec<i64> =
                known.iter().map(|end| end.saturating_sub(rng.below(3_000).min(*end)) as i64).collect();
            for (partition, start) in partitions.iter().zip(&starts) {
                consumer.seek(partition, *start)?;
            }
            let offsets = load.names.iter().map(String::as_str).zip(starts.iter().copied()).collect();
            let uncommitted = isolation == Isolation::ReadUncommitted;
            let line = Line::new(0, process, Function::Assign, Stage::Ok);
            load.recorder.write(Line { offsets, uncommitted, ..line });
            let until = Instant::now() + Duration::from_millis(500 + rng.below(6_000));
            while Instant::now() < until && !load.is_stopped() {
                let records = match consumer.poll(Duration::from_millis(300)).await {
                    Ok(records) => records,
                    Err(error) => {
                        tracing::debug!(%error, "a poll failed");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let polls = load.polled(&records)?;
                for part in &records.partitions {
                    let known = &mut known[load.index(&part.partition)];
                    *known = (*known).max(part.next_offset.max(0) as u64);
                }
                if !polls.is_empty() {
                    load.recorder.write(Line { polls, ..Line::new(0, process, Function::Poll, Stage::Ok) });
                }
            }
        }
        if let Err(error) = consumer.close().await {
            tracing::debug!(%error, "closing a reader failed");
        }
    }
    Ok(())
}
