//! A clean stop and a new start: everything that was acknowledged is there, in its place.

use millstream_client::{Admin, Isolation};
use millstream_testkit::records::{fill, read_all, topic, unique};
use millstream_testkit::{InProcess, run};

#[test]
fn many_starts_keep_everything() {
    run(async {
        let mut broker = InProcess::start(&[]).await;
        let names = [topic(&broker.cluster(), 1).await, topic(&broker.cluster(), 7).await];
        let cluster_id = broker.node().broker().cluster_id.clone();
        let mut before = [Default::default(), Default::default()];
        for round in 0..4 {
            let cluster = broker.cluster();
            for (name, before) in names.iter().zip(&mut before) {
                assert_eq!(read_all(&cluster, name, Isolation::ReadUncommitted).await, *before, "{round}");
                fill(&cluster, name, round * 100..(round + 1) * 100).await;
                *before = read_all(&cluster, name, Isolation::ReadUncommitted).await;
            }
            broker.restart().await;
            assert_eq!(broker.node().broker().cluster_id, cluster_id);
        }
    });
}

#[test]
fn a_topic_without_records_is_there_after_a_start() {
    run(async {
        let mut broker = InProcess::start(&[]).await;
        let names: Vec<String> = (0..5).map(|_| unique("empty")).collect();
        for name in &names {
            let topic = millstream_client::admin::NewTopic::new(name, 20);
            Admin::new(&broker.cluster()).create_topics(&[topic]).await.unwrap();
        }
        broker.restart().await;
        let there = Admin::new(&broker.cluster()).list_topics().await.unwrap();
        for name in &names {
            assert_eq!(there[name.as_str()].partition_count(), 20);
            let name = name.as_str().into();
            fill(&broker.cluster(), &name, 0..40).await;
        }
    });
}
