//! Idempotent producers outside of transactions. One that failed is replaced, under a new process number. Never enters:
//! transactions.

use std::sync::Arc;
use std::time::Duration;

use millstream_checker::{Function, Line, Stage};
use millstream_client::{Producer, Result};
use millstream_types::{Rng, SeededRng};

use crate::workload::Workload;

/// Sends until the run stops.
pub(crate) async fn idempotent(load: Arc<Workload>, mut rng: SeededRng) -> Result<()> {
    while !load.is_stopped() {
        let cluster = load.cluster(&mut rng)?;
        let producer = Producer::new(&cluster, load.producer_config(&mut rng))?;
        let process = load.recorder.process();
        while !load.is_stopped() {
            let plan = load.plan(&mut rng, 24, 6);
            let line = Line::new(0, process, Function::Send, Stage::Invoke);
            load.recorder.write(Line { sends: load.invoked(&plan), ..line });
            let mut deliveries = Vec::new();
            for planned in &plan {
                deliveries.push(load.send(&producer, *planned).await);
            }
            let (sends, failed) = load.outcomes(&plan, deliveries).await;
            let stage = if failed.is_some() { Stage::Info } else { Stage::Ok };
            load.recorder.acknowledge(sends.iter().filter(|sent| sent.2.is_some()).count() as u64);
            let note = failed.as_ref().map(ToString::to_string);
            load.recorder.write(Line { sends, note, ..Line::new(0, process, Function::Send, stage) });
            if failed.is_some() || rng.below(400) == 0 {
                break;
            }
            load.pace(&mut rng).await;
        }
        producer.close(Duration::from_secs(1)).await;
    }
    Ok(())
}
