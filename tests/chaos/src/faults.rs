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
    /// kill -9 and start, kills within a start included.
    pub kills: u32,
    /// SIGTERM and start.
    pub stops: u32,
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

/// How often each fault comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultPlan {
    /// kill -9.
    pub kills: u32,
    /// SIGTERM.
    pub stops: u32,
    /// SIGSTOP.
    pub pauses: u32,
}

/// Plays the plan in a random order.
pub async fn play(
    broker: &mut BrokerProcess,
    recorder: &Recorder,
    mut rng: SeededRng,
    plan: FaultPlan,
) -> io::Result<FaultReport> {
    let mut report = FaultReport::default();
    progress(recorder).await?;
    loop {
        let kills = plan.kills.saturating_sub(report.kills);
        let (stops, pauses) = (plan.stops - report.stops, plan.pauses - report.pauses);
        if kills + stops + pauses == 0 {
            return Ok(report);
        }
        tokio::time::sleep(Duration::from_millis(rng.below(3_000))).await;
        let at = rng.below(u64::from(kills + stops + pauses)) as u32;
        if at < kills + stops {
            if at < kills {
                recorder.fault("kill -9");
                broker.kill().await?;
                report.kills += 1;
            } else {
                recorder.fault("SIGTERM");
                broker.stop().await?;
                report.stops += 1;
            }
            tokio::time::sleep(Duration::from_millis(rng.below(1_000))).await;
            while report.kills < plan.kills && rng.below(4) == 0 {
                let after = Duration::from_millis(rng.below(400));
                recorder.fault(&format!("start, and kill -9 after {after:?}"));
                broker.start_and_kill(after).await?;
                report.kills += 1;
            }
            recorder.fault("start");
            report.ready.push(broker.start_again().await?);
            recorder.fault("ready");
        } else {
            // Now and then beyond the requests' time-out and the members' session.
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
}
