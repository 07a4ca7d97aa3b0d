//! Several log directories: partitions are spread over them, and found again.

use std::fs;

use millstream_client::Isolation;
use millstream_testkit::records::{fill, filled, topic, values};
use millstream_testkit::{InProcess, run};

#[test]
fn partitions_are_spread_over_the_directories_and_found_again() {
    run(async {
        let place = tempfile::tempdir().unwrap();
        let (a, b) = (place.path().join("a"), place.path().join("b"));
        let dirs = format!("log.dirs={},{}", a.display(), b.display());
        let mut broker = InProcess::on(place.path(), &[&dirs]).await;
        let name = topic(&broker.cluster(), 8).await;
        fill(&broker.cluster(), &name, 0..200).await;
        let count = |dir: &std::path::Path| {
            let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            entries.filter(|e| e.starts_with(&*name)).count()
        };
        assert_eq!((count(&a), count(&b)), (4, 4));
        let id = |dir: &std::path::Path, key: &str| {
            let text = fs::read_to_string(dir.join("meta.properties")).unwrap();
            text.lines().find(|l| l.starts_with(key)).unwrap().to_owned()
        };
        assert_eq!(id(&a, "cluster.id"), id(&b, "cluster.id"));
        assert_ne!(id(&a, "directory.id"), id(&b, "directory.id"));
        for round in 1..3 {
            broker.restart().await;
            let cluster = broker.cluster();
            assert_eq!(
                values(&cluster, &name, Isolation::ReadUncommitted).await,
                filled(0..round * 200),
                "{round}"
            );
            fill(&cluster, &name, round * 200..(round + 1) * 200).await;
            assert_eq!((count(&a), count(&b)), (4, 4));
        }
    });
}
