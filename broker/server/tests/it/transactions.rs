//! Transactions on a broker that keeps running: what readers see, who is fenced, what time does, TX-1 to TX-4.

use millstream_testkit::records::{topic, unique};
use millstream_testkit::{InProcess, run};
use millstream_types::ErrorCode;
use millstream_wire::message::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use millstream_wire::message::{
    AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest, ListTransactionsRequest,
};

use crate::raw::{Place, Raw, batch, code, found, numbered, produce_request, texts};
use crate::txn::{Txn, committed, position, readable};

async fn start(settings: &[&str]) -> (InProcess, Raw, Place, Place) {
    let broker = InProcess::start(settings).await;
    let name = topic(&broker.cluster(), 2).await;
    let mut raw = Raw::connect(broker.address()).await;
    let first = Place::of(&mut raw, &name, 0).await;
    let second = Place { partition: 1, ..first.clone() };
    (broker, raw, first, second)
}

#[test]
fn readers_see_what_is_committed_and_nothing_before() {
    run(async {
        let (_broker, mut raw, a, b) = start(&[]).await;
        let mut txn = Txn::init(&mut raw, &unique("txn"), 60_000).await;
        raw.produce(&a, batch(&["plain"], Default::default()), 9).await;
        for (round, commit) in [true, false, true, false].into_iter().enumerate() {
            // The markers of the round before are there.
            committed(&mut raw, &a).await;
            let before = raw.fetch_committed(&a, 0).await;
            assert_eq!(txn.send(&mut raw, &a, &format!("a{round}")).await, ErrorCode::None);
            assert_eq!(txn.send(&mut raw, &b, &format!("b{round}")).await, ErrorCode::None);
            // Another producer's record behind it has to wait too.
            raw.produce(&a, batch(&[&format!("plain{round}")], Default::default()), 9).await;
            let data = raw.fetch_committed(&a, 0).await;
            assert_eq!(readable(&data), readable(&before), "{round}");
            assert_eq!(data.last_stable_offset, before.high_watermark, "TX-4, {round}");
            assert_eq!(crate::offsets::list(&mut raw, &a, -1, 1, 7).await, (-1, before.high_watermark));
            assert!(texts(&raw.fetch(&a, 0, 17).await).contains(&format!("a{round}")));
            assert_eq!(txn.end(&mut raw, commit).await, ErrorCode::None);
        }
        let expected = ["plain", "a0", "plain0", "plain1", "a2", "plain2", "plain3"];
        assert_eq!(committed(&mut raw, &a).await, expected);
        assert_eq!(committed(&mut raw, &b).await, ["b0", "b2"]);
        let aborted = raw.fetch_committed(&a, 0).await.aborted_transactions.unwrap();
        assert_eq!(aborted.len(), 2);
        // Uncommitted readers see all, and every batch of them has a place of its own.
        assert_eq!(found(&raw.fetch(&a, 0, 17).await).len(), 9);
    });
}

#[test]
fn a_second_producer_of_the_same_id_fences_the_first() {
    run(async {
        let (_broker, mut raw, a, b) = start(&[]).await;
        let id = unique("txn");
        let mut zombie = Txn::init(&mut raw, &id, 60_000).await;
        assert_eq!(zombie.send(&mut raw, &a, "zombie").await, ErrorCode::None);
        // The second one ends what the first left open.
        let mut next = Txn::init(&mut raw, &id, 60_000).await;
        assert_eq!(next.producer.0, zombie.producer.0);
        assert!(next.producer.1 > zombie.producer.1, "TX-3");
        for place in [&a, &b] {
            let error = zombie.send(&mut raw, place, "again").await;
            assert!(
                matches!(error, ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced),
                "{error:?}"
            );
        }
        for commit in [true, false] {
            let error = zombie.end(&mut raw, commit).await;
            assert!(
                matches!(error, ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced),
                "{error:?}"
            );
        }
        let error = zombie.commit_offset(&mut raw, "group", &a, 5).await;
        assert!(matches!(error, ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced), "{error:?}");
        assert_eq!(next.send(&mut raw, &b, "next").await, ErrorCode::None);
        assert_eq!(next.end(&mut raw, true).await, ErrorCode::None);
        assert_eq!(committed(&mut raw, &a).await, [""; 0]);
        assert_eq!(committed(&mut raw, &b).await, ["next"]);
    });
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    run(async {
        // It is looked for when its time has come, and not with the next of the looks from time to time.
        let never = "transaction.abort.timed.out.transaction.cleanup.interval.ms=3600000";
        let (_broker, mut raw, a, _) = start(&[never]).await;
        // Time enough to send within it.
        let mut slow = Txn::init(&mut raw, &unique("txn"), 2_000).await;
        assert_eq!(slow.send(&mut raw, &a, "slow").await, ErrorCode::None);
        // Waits until nothing is open any more.
        assert_eq!(committed(&mut raw, &a).await, [""; 0]);
        assert_ne!(slow.end(&mut raw, true).await, ErrorCode::None);
        assert_eq!(committed(&mut raw, &a).await, [""; 0]);
        let mut next = Txn::init(&mut raw, &slow.id, 60_000).await;
        assert_eq!(next.send(&mut raw, &a, "next").await, ErrorCode::None);
        assert_eq!(next.end(&mut raw, true).await, ErrorCode::None);
        assert_eq!(committed(&mut raw, &a).await, ["next"]);
    });
}

#[test]
fn positions_are_committed_with_the_transaction_or_not() {
    run(async {
        let (_broker, mut raw, a, b) = start(&[]).await;
        let mut txn = Txn::init(&mut raw, &unique("txn"), 60_000).await;
        let group = unique("group");
        for (offset, commit, expected) in [(3, false, -1), (5, true, 5), (9, false, 5), (7, true, 7)] {
            assert_eq!(txn.commit_offset(&mut raw, &group, &a, offset).await, ErrorCode::None);
            assert_eq!(txn.send(&mut raw, &b, &offset.to_string()).await, ErrorCode::None);
            assert_eq!(txn.end(&mut raw, commit).await, ErrorCode::None);
            assert_eq!(position(&mut raw, &group, &a).await, expected);
        }
        assert_eq!(committed(&mut raw, &b).await, ["5", "7"]);
    });
}

#[test]
fn producers_of_the_first_version_are_served() {
    run(async {
        let (_broker, mut raw, a, b) = start(&[]).await;
        let txn = Txn::init(&mut raw, &unique("old"), 60_000).await;
        for (round, commit) in [true, false].into_iter().enumerate() {
            // Not part of the transaction yet: the produce is refused, since partitions are only verified here.
            let sequence = round as i32;
            let records = || numbered(&["old"], txn.producer, sequence, true);
            if round == 0 {
                let refused = raw.call(&produce_request(&a, records(), 11, -1, Some(&txn.id)), 11).await;
                assert_ne!(refused.responses[0].partition_responses[0].error_code, 0);
            }
            let request = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: txn.id.clone(),
                v3_and_below_producer_id: txn.producer.0,
                v3_and_below_producer_epoch: txn.producer.1,
                v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                    name: a.topic.to_string(),
                    partitions: vec![0, 1],
                    ..Default::default()
                }],
                ..Default::default()
            };
            loop {
                let added = raw.call(&request, 3).await;
                let errors: Vec<ErrorCode> = added
                    .results_by_topic_v3_and_below
                    .iter()
                    .flat_map(|t| t.results_by_partition.iter().map(|p| code(p.partition_error_code)))
                    .collect();
                if errors == [ErrorCode::None, ErrorCode::None] {
                    break;
                }
                // The markers of the round before may still be under way.
                assert!(errors.contains(&ErrorCode::ConcurrentTransactions), "{errors:?}");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            for place in [&a, &b] {
                let sent = raw.call(&produce_request(place, records(), 11, -1, Some(&txn.id)), 11).await;
                assert_eq!(code(sent.responses[0].partition_responses[0].error_code), ErrorCode::None);
            }
            let request = EndTxnRequest {
                transactional_id: txn.id.clone(),
                producer_id: txn.producer.0,
                producer_epoch: txn.producer.1,
                committed: commit,
                ..Default::default()
            };
            assert_eq!(code(raw.call(&request, 3).await.error_code), ErrorCode::None);
        }
        assert_eq!(committed(&mut raw, &a).await, ["old"]);
        assert_eq!(committed(&mut raw, &b).await, ["old"]);
    });
}

#[test]
fn open_transactions_can_be_seen() {
    run(async {
        let (_broker, mut raw, a, _) = start(&[]).await;
        let mut txn = Txn::init(&mut raw, &unique("txn"), 60_000).await;
        assert_eq!(txn.send(&mut raw, &a, "open").await, ErrorCode::None);
        let request =
            DescribeTransactionsRequest { transactional_ids: vec![txn.id.clone()], ..Default::default() };
        let state = raw.call(&request, 0).await.transaction_states[0].clone();
        assert_eq!((code(state.error_code), state.transaction_state.as_str()), (ErrorCode::None, "Ongoing"));
        assert_eq!(state.producer_id, txn.producer.0);
        assert_eq!((&*state.topics[0].topic, &state.topics[0].partitions[..]), (&*a.topic, &[0][..]));
        let listed = raw.call(&ListTransactionsRequest::default(), 0).await;
        assert!(listed.transaction_states.iter().any(|t| t.transactional_id == txn.id));
        assert_eq!(txn.end(&mut raw, false).await, ErrorCode::None);
        assert_eq!(committed(&mut raw, &a).await, [""; 0]);
    });
}
