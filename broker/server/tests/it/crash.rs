//! `kill -9` while clients write: nothing that was acknowledged is lost, nothing is there twice (RP-3).

use std::path::Path;
use std::time::Duration;

use millstream_client::{Isolation, Producer, ProducerConfig};
use millstream_testkit::records::{record, topic, values};
use millstream_testkit::{Process, run};

#[test]
fn an_idempotent_producer_goes_through_kills_without_loss_or_repeat() {
    run(async {
        // Small segments, so that kills meet rolls too.
        let mut broker = Process::start(
            Path::new(env!("CARGO_BIN_EXE_millstream-broker")),
            &["log.segment.bytes=1048576"],
        );
        let cluster = broker.cluster();
        let name = topic(&cluster, 5).await;
        let producer = Producer::new(&cluster, ProducerConfig::default()).unwrap();
        let (mut kept, mut sent) = (Vec::new(), 0);
        let pad = "x".repeat(1_000);
        for round in 0..4 {
            let mut deliveries = Vec::new();
            for _ in 0..1_000 {
                let value = format!("{sent:06}{pad}");
                sent += 1;
                deliveries.push((value.clone(), producer.send(record(&name, &value, &value)).await.unwrap()));
            }
            // The first answers have come, the last requests are under way.
            let mut deliveries = deliveries.into_iter();
            for (value, delivery) in deliveries.by_ref().take(50 + round * 150) {
                delivery.wait().await.unwrap();
                kept.push(value);
            }
            broker.kill();
            broker.start_again();
            for (value, delivery) in deliveries {
                delivery.wait().await.unwrap();
                kept.push(value);
            }
        }
        producer.close(Duration::from_secs(5)).await;
        kept.sort();
        assert_eq!(values(&broker.cluster(), &name, Isolation::ReadUncommitted).await, kept);
        broker.kill();
        broker.start_again();
        assert_eq!(values(&broker.cluster(), &name, Isolation::ReadUncommitted).await, kept);
    });
}

#[test]
fn a_topic_whose_making_was_answered_is_there_after_a_kill() {
    run(async {
        let mut broker = Process::start(Path::new(env!("CARGO_BIN_EXE_millstream-broker")), &[]);
        for round in 0..3 {
            let name = topic(&broker.cluster(), 50).await;
            // Between the metadata record and the first append: no partition has written anything.
            broker.kill();
            broker.start_again();
            let cluster = broker.cluster();
            millstream_testkit::records::fill(&cluster, &name, 0..100).await;
            let expected = millstream_testkit::records::filled(0..100);
            assert_eq!(values(&cluster, &name, Isolation::ReadUncommitted).await, expected, "{round}");
        }
    });
}
