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

/// The newest snapshot of the metadata log in a broker's directory.
fn newest_snapshot(data: &std::path::Path) -> Option<String> {
    let files = std::fs::read_dir(data.join("__cluster_metadata-0")).expect("the metadata log").flatten();
    let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".checkpoint")).max()
}

#[test]
fn a_start_from_a_snapshot_of_the_metadata_log_finds_everything() {
    run(async {
        let mut broker = InProcess::start(&["metadata.log.max.record.bytes.between.snapshots=1500"]).await;
        let kept = topic(&broker.cluster(), 3).await;
        fill(&broker.cluster(), &kept, 0..50).await;
        let mut there = std::collections::BTreeSet::new();
        let mut newest = None;
        for round in 0..4 {
            for at in 0..12 {
                let name = unique("snap");
                let topic = millstream_client::admin::NewTopic::new(&name, 1 + at % 5);
                let admin = Admin::new(&broker.cluster());
                admin.create_topics(&[topic]).await.unwrap();
                if at % 3 == 0 {
                    admin.delete_topics(&[name.as_str()]).await.unwrap();
                } else {
                    there.insert(name);
                }
            }
            let last = newest_snapshot(broker.data());
            assert!(last > newest, "round {round}: {last:?} after {newest:?}");
            newest = last;
            broker.restart().await;
            let found = Admin::new(&broker.cluster()).list_topics().await.unwrap();
            let found: std::collections::BTreeSet<String> =
                found.keys().map(ToString::to_string).filter(|name| name.starts_with("snap")).collect();
            assert_eq!(found, there, "round {round}");
            fill(&broker.cluster(), &kept, (round + 1) * 50..(round + 2) * 50).await;
        }
        let all = read_all(&broker.cluster(), &kept, Isolation::ReadUncommitted).await;
        assert_eq!(all.values().map(Vec::len).sum::<usize>(), 250);
    });
}
