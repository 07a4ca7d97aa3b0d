//! A short run against a broker process that is killed and paused: nothing acknowledged is lost, nothing is wrong. The long
//! runs are the same program with other numbers.

use std::path::PathBuf;
use std::time::Duration;

use millstream_chaos::broker::BrokerCommand;
use millstream_chaos::faults::FaultPlan;
use millstream_chaos::run::Target;
use millstream_chaos::{RunOptions, run};

#[test]
fn kills_stops_and_pauses_lose_nothing() {
    let seed = std::env::var("MILLSTREAM_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed={seed}");
    let dir = tempfile::tempdir().expect("a folder");
    let options = RunOptions {
        target: Target::Broker(BrokerCommand {
            program: PathBuf::from(env!("CARGO_BIN_EXE_millstream-chaos")),
            arguments: vec!["broker".to_owned()],
            data: dir.path().join("data"),
            settings: Vec::new(),
            log: dir.path().join("broker.log"),
        }),
        seconds: 20,
        faults: FaultPlan { kills: 5, stops: 1, pauses: 2 },
        seed,
        history: dir.path().join("history.jsonl"),
        partitions: 4,
        writers: 2,
        transactional: 2,
        pace_max: Duration::from_millis(30),
        groups: true,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.expect("threads").block_on(run(&options));
    let good = outcome.as_ref().is_ok_and(|outcome| outcome.verdict.is_good());
    if !good {
        // For whoever looks into it.
        let kept = dir.keep();
        panic!("seed {seed}, history and log in {}: {outcome:?}", kept.display());
    }
    let outcome = outcome.expect("good");
    println!("{}", outcome.verdict);
    assert!(outcome.verdict.acknowledged > 500 && outcome.verdict.committed > 20, "{}", outcome.verdict);
}
