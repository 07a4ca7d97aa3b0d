//! The thread that compacts logs: of those that are worth it the dirtiest first, one at a time, read and written without
//! any partition's lock. Never enters: what a compaction keeps (`millstream-log`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use millstream_log::{CompactionPlan, LogError};

use crate::broker::Broker;
use crate::partition::Partition;

/// How often a waiting thread looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(500);

/// Starts the thread; it ends soon after `stop` is set and it is unparked.
///
/// # Errors
/// No thread can be started.
pub fn start(broker: Arc<Broker>, stop: Arc<AtomicBool>) -> std::io::Result<JoinHandle<()>> {
    crate::critical::spawn("cleaner", move || {
        let backoff = broker.config.number("log.cleaner.backoff.ms");
        let map_bytes = broker.config.number("log.cleaner.dedupe.buffer.size") as usize;
        let mut next = broker.clock.monotonic_ms() + backoff;
        while !stop.load(Ordering::Acquire) {
            if broker.clock.monotonic_ms() < next {
                std::thread::park_timeout(LOOK);
                continue;
            }
            match dirtiest(&broker) {
                // One that did not get on is not tried again at once.
                Some((partition, plan)) if clean(&broker, &partition, &plan, map_bytes) => {}
                _ => next = broker.clock.monotonic_ms() + backoff,
            }
        }
    })
}

fn dirtiest(broker: &Broker) -> Option<(Arc<Partition>, CompactionPlan)> {
    let wall = broker.clock.wall_ms();
    let mut best: Option<(Arc<Partition>, CompactionPlan)> = None;
    for partition in broker.replicas.all() {
        let plan = partition.look(|log, replica| log.plan_compaction(wall, replica.bounds().high_watermark));
        match plan {
            Ok(Some(plan)) if best.as_ref().is_none_or(|(_, b)| plan.dirty_ratio() > b.dirty_ratio()) => {
                best = Some((partition, plan));
            }
            Ok(_) => {}
            // A log that is offline or deleted is nothing to clean.
            Err(LogError::Closed(_) | LogError::FlushFailed { .. }) => {}
            Err(error) => {
                tracing::warn!(partition = %partition.name, %error, "a log cannot be looked at for compaction")
            }
        }
    }
    best
}

/// Compacts one log; whether anything came of it.
fn clean(broker: &Broker, partition: &Arc<Partition>, plan: &CompactionPlan, map_bytes: usize) -> bool {
    let wall = broker.clock.wall_ms();
    let result = plan.run(wall, map_bytes).and_then(|output| {
        partition.change(broker.clock.monotonic_ms(), |log, _| log.install_compaction(output, wall))
    });
    match result {
        Ok(Some(done)) => {
            tracing::info!(
                partition = %partition.name,
                bytes_before = done.bytes_before,
                bytes_after = done.bytes_after,
                records_before = done.records_before,
                records_after = done.records_after,
                "compacted"
            );
            true
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(partition = %partition.name, %error, "a compaction failed; the log is as it was");
            false
        }
    }
}
