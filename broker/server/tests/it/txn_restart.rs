//! Transactions across the end of the broker, clean and by `kill -9`, at each of their steps: TX-1, TX-2, TX-3.

use std::path::Path;
use std::time::Duration;

use millstream_testkit::records::{topic, unique};
use millstream_testkit::{Process, run};
use millstream_types::ErrorCode;

use crate::raw::{Place, Raw};
use crate::txn::{Txn, committed, position};

/// After which step of the transaction the broker ends.
const STEPS: [&str; 6] = ["init", "first send", "second send", "offsets", "end asked", "end answered"];

#[test]
fn a_transaction_is_whole_or_nothing_wherever_the_broker_ends() {
    run(async {
        let mut broker = Process::start(Path::new(env!("CARGO_BIN_EXE_millstream-broker")), &[]);
        let name = topic(&broker.cluster(), 2).await;
        let mut raw = Raw::connect(broker.address()).await;
        let a = Place::of(&mut raw, &name, 0).await;
        let b = Place { partition: 1, ..a.clone() };
        let group = unique("group");
        let (mut expected, mut offset, mut at) = (Vec::new(), 0, -1);
        for (step, what) in STEPS.iter().enumerate() {
            for (commit, kill) in [(true, true), (false, true), (true, false), (false, false)] {
                let case = format!("{what}, commit {commit}, kill {kill}");
                offset += 1;
                let value = offset.to_string();
                let mut txn = Txn::init(&mut raw, "the-id", 60_000).await;
                let ends = async |raw: &mut Raw, broker: &mut Process, now: usize| {
                    if now != step {
                        return false;
                    }
                    if kill {
                        broker.kill()
                    } else {
                        assert!(broker.stop().success(), "{case}")
                    }
                    broker.start_again();
                    *raw = Raw::connect(broker.address()).await;
                    true
                };
                ends(&mut raw, &mut broker, 0).await;
                assert_eq!(txn.send(&mut raw, &a, &value).await, ErrorCode::None, "{case}");
                ends(&mut raw, &mut broker, 1).await;
                assert_eq!(txn.send(&mut raw, &b, &value).await, ErrorCode::None, "{case}");
                ends(&mut raw, &mut broker, 2).await;
                assert_eq!(txn.commit_offset(&mut raw, &group, &a, offset).await, ErrorCode::None, "{case}");
                ends(&mut raw, &mut broker, 3).await;
                let unanswered = txn.clone();
                if step == 4 {
                    raw.send(&txn.end_request(commit), 5).await;
                    ends(&mut raw, &mut broker, 4).await;
                }
                // Whether the request was heard is not known: it is said again, and is refused only if the opposite
                // had been done, which nobody asked for.
                assert_eq!(txn.end(&mut raw, commit).await, ErrorCode::None, "{case}");
                ends(&mut raw, &mut broker, 5).await;
                if commit {
                    expected.push(value.clone());
                    at = offset;
                }
                assert_eq!(committed(&mut raw, &a).await, expected, "{case}");
                assert_eq!(committed(&mut raw, &b).await, expected, "{case}");
                assert_eq!(position(&mut raw, &group, &a).await, at, "{case}");
                // A zombie of the transaction that ended can neither write nor end the next one.
                let mut zombie = unanswered;
                let error = zombie.send(&mut raw, &a, "zombie").await;
                assert_ne!(error, ErrorCode::None, "TX-3, {case}");
            }
        }
    });
}

#[test]
fn a_transaction_that_a_dead_producer_left_open_is_ended_by_its_successor_after_a_crash() {
    run(async {
        let mut broker = Process::start(Path::new(env!("CARGO_BIN_EXE_millstream-broker")), &[]);
        let name = topic(&broker.cluster(), 2).await;
        let mut raw = Raw::connect(broker.address()).await;
        let a = Place::of(&mut raw, &name, 0).await;
        for round in 0..3 {
            let mut dead = Txn::init(&mut raw, "the-id", 60_000).await;
            assert_eq!(dead.send(&mut raw, &a, "lost").await, ErrorCode::None, "{round}");
            broker.kill();
            broker.start_again();
            raw = Raw::connect(broker.address()).await;
            // It stays open, and holds readers, until somebody speaks for it.
            let data = raw.fetch_committed(&a, 0).await;
            assert!(data.last_stable_offset < data.high_watermark, "{round}");
            let mut next = Txn::init(&mut raw, "the-id", 60_000).await;
            assert_ne!(dead.send(&mut raw, &a, "zombie").await, ErrorCode::None, "TX-3");
            assert_eq!(next.send(&mut raw, &a, &round.to_string()).await, ErrorCode::None);
            assert_eq!(next.end(&mut raw, true).await, ErrorCode::None);
        }
        assert_eq!(committed(&mut raw, &a).await, ["0", "1", "2"]);
    });
}

#[test]
fn what_was_stable_is_stable_after_a_kill_though_nobody_writes() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let settings = ["log.flush.offset.checkpoint.interval.ms=1"];
        let program = Path::new(env!("CARGO_BIN_EXE_millstream-broker"));
        let mut broker = Process::on(program, data.path(), &settings);
        let name = topic(&broker.cluster(), 1).await;
        let mut raw = Raw::connect(broker.address()).await;
        let place = Place::of(&mut raw, &name, 0).await;
        let mut txn = Txn::init(&mut raw, "the-id", 60_000).await;
        assert_eq!(txn.send(&mut raw, &place, "1").await, ErrorCode::None);
        assert_eq!(txn.end(&mut raw, true).await, ErrorCode::None);
        // The high watermark that the next start finds is the log's end: the record and its marker.
        let checkpoint = data.path().join("replication-offset-checkpoint");
        let written =
            || std::fs::read_to_string(&checkpoint).is_ok_and(|c| c.contains(&format!("{name} 0 2")));
        while !written() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        broker.kill();
        broker.start_again();
        let mut raw = Raw::connect(broker.address()).await;
        let stable = tokio::time::timeout(Duration::from_secs(30), committed(&mut raw, &place)).await;
        assert_eq!(stable.expect("TX-4: the last stable offset stays below the end"), ["1"]);
    });
}
