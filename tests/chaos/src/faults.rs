//! What is done to the broker while the load runs, in which order and when, from a seed. After each fault it has to
//! acknowledge again, or the run has failed. Never enters: how a process is killed (`broker`).

use std::io;
use std::time::{Duration, Instant};

use millstream_types::{Rng, SeededRng};

use crate::broker::BrokerProcess;
use crate::recorder::Recorder;

/// How long a healed broker may take until it acknowledges.
const PROGRESS_WITHIN: Duration = Duration::from_secs(30);

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct FaultReport {
    /// kill -9 and start.
    pub kills: u32,
    /// SIGSTOP and SIGCONT.
    pub pauses: u32,
    /// From exec to `ready`, each time.
    pub ready: Vec<Duration>,
    /// From `ready`, or SIGCONT, to the next acknowledged record, each time.
    pub progress: Vec<Duration>,
}

/// Waits until a record is acknowledged that was not before.
async fn progress(recorder: &Recorder) -> io::Result<Duration> {
    let (begun, before) = (Instant::now(), recorder.acknowledged());
    while recorder.acknowledged() == before {
        if begun.elapsed() > PROGRESS_WITHIN {
            let text =
                format!("stuck: nothing was acknowledged {PROGRESS_WITHIN:?} after a fault was healed");
            return Err(io::Error::other(text));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(begun.elapsed())
}

/// Kills `kills` times and pauses `pauses` times, mixed.
pub async fn play(
    broker: &mut BrokerProcess,
    recorder: &Recorder,
    mut rng: SeededRng,
    kills: u32,
    pauses: u32,
) -> io::Result<FaultReport> {
    let mut report = FaultReport::default();
    progress(recorder).await?;
    while report.kills < kills || report.pauses < pauses {
        tokio::time::sleep(Duration::from_millis(rng.below(3_000))).await;
        let left = u64::from(kills - report.kills);
        if rng.below(left + u64::from(pauses - report.pauses)) < left {
            recorder.fault("kill -9");
            broker.kill().await?;
            tokio::time::sleep(Duration::from_millis(rng.below(1_000))).await;
            recorder.fault("start");
            report.ready.push(broker.start_again().await?);
            recorder.fault("ready");
            report.kills += 1;
        } else {
            // Beyond the request time-out, the session time-out and, rarely, the transactions'.
            let ms = if rng.below(3) == 0 { 4_000 + rng.below(8_000) } else { 100 + rng.below(2_000) };
            recorder.fault(&format!("SIGSTOP for {ms} ms"));
            broker.pause()?;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            broker.resume()?;
            recorder.fault("SIGCONT");
            report.pauses += 1;
        }
        report.progress.push(progress(recorder).await?);
    }
    Ok(report)
}
