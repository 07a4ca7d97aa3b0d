//! The thread that looks after logs: retention, files whose deletion is due, checkpoints, producers that were silent for
//! too long. Never enters: serving.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::broker::Broker;

/// How often the thread looks whether something is due.
const LOOK: Duration = Duration::from_millis(500);

/// Starts the thread; it ends soon after `stop` is set and it is unparked.
///
/// # Errors
/// No thread can be started.
pub fn start(broker: Arc<Broker>, stop: Arc<AtomicBool>) -> std::io::Result<JoinHandle<()>> {
    crate::critical::spawn("housekeeping", move || {
        let now = broker.clock.monotonic_ms();
        let (mut retention, mut checkpoint, mut producers) = (now, now, now);
        while !stop.load(Ordering::Acquire) {
            std::thread::park_timeout(LOOK);
            let now = broker.clock.monotonic_ms();
            broker.replicas.remove_doomed();
            if now - checkpoint >= broker.config.number("log.flush.offset.checkpoint.interval.ms") {
                checkpoint = now;
                broker.replicas.checkpoint();
            }
            if now - retention >= broker.config.number("log.retention.check.interval.ms") {
                retention = now;
                keep_within_bounds(&broker);
            }
            if now - producers >= 600_000 {
                producers = now;
                let expiration_ms = broker.config.number("producer.id.expiration.ms");
                let wall = broker.clock.wall_ms();
                for replica in broker.replicas.all() {
                    replica.change(now, |log, _| log.expire_producers(wall, expiration_ms));
                }
            }
        }
    })
}

fn keep_within_bounds(broker: &Broker) {
    let (wall, now) = (broker.clock.wall_ms(), broker.clock.monotonic_ms());
    for replica in broker.replicas.all() {
        let result = replica.change(now, |log, bounds| {
            let retained = log.apply_retention(wall, bounds.high_watermark)?;
            log.delete_due_files(wall)?;
            Ok::<_, millstream_log::LogError>(retained)
        });
        match result {
            Ok(retained) if retained.segments > 0 => {
                tracing::info!(partition = %replica.name, segments = retained.segments, bytes = retained.bytes, "retention");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(partition = %replica.name, %error, "retention failed"),
        }
    }
}
