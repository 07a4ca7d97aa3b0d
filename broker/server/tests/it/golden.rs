//! Data directories of versions that were released, or nearly: each must open in every later version. One directory a
//! version under `tests/golden`; one that is there is never changed.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use millstream_client::{Admin, Isolation};
use millstream_testkit::records::{fill, read_all, values};
use millstream_testkit::{InProcess, run};

use crate::raw::{Place, Raw};
use crate::txn::position;

/// What was kept then is older than any retention by now.
const KEEP: [&str; 4] = [
    "log.retention.ms=-1",
    "offsets.retention.minutes=2147483647",
    "offsets.topic.num.partitions=50",
    "transaction.state.log.num.partitions=50",
];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What the directory's maker sent to partition `p` of `plain`, in order: twenty values for every codec, dealt out in turn,
/// and two transactions of five to the first partition, of which the second was aborted.
fn plain(p: usize, transactions: usize) -> Vec<String> {
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let dealt = codecs.iter().flat_map(|codec| (p..20).step_by(3).map(move |i| format!("{codec}-{i}")));
    let of_transactions = if p == 0 { 0..transactions } else { 0..0 };
    dealt.chain(of_transactions.flat_map(|t| (0..5).map(move |i| format!("txn-{t}-{i}")))).collect()
}

#[test]
fn the_data_of_0_1_opens() {
    run(async {
        let own = tempfile::tempdir().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/0.1"), own.path());
        let mut broker = InProcess::on(own.path(), &KEEP).await;
        let (name, compacted): (Arc<str>, Arc<str>) = ("plain".into(), "compacted".into());
        // The second round reads what this version has written down of it.
        for round in 0..2 {
            let cluster = broker.cluster();
            let topics = Admin::new(&cluster).list_topics().await.unwrap();
            let mut names: Vec<&str> = topics.keys().map(AsRef::as_ref).collect();
            names.sort_unstable();
            assert_eq!(names, ["__consumer_offsets", "__transaction_state", "compacted", "plain"], "{round}");
            for (isolation, transactions) in [(Isolation::ReadCommitted, 1), (Isolation::ReadUncommitted, 2)]
            {
                for (at, there) in read_all(&cluster, &name, isolation).await {
                    assert_eq!(there, plain(at.partition as usize, transactions), "{at:?} {round}");
                }
                let there = read_all(&cluster, &compacted, isolation).await.into_values().flatten();
                assert!(there.eq((0..30).map(|i| format!("v{i}"))), "{round}");
            }
            let mut raw = Raw::connect(broker.address()).await;
            for (partition, offset) in [7, 20, 33].into_iter().enumerate() {
                let place = Place::of(&mut raw, &name, partition as i32).await;
                assert_eq!(position(&mut raw, "readers", &place).await, offset, "{partition} {round}");
            }
            broker.restart().await;
        }
        let before = values(&broker.cluster(), &compacted, Isolation::ReadCommitted).await;
        fill(&broker.cluster(), &compacted, 100..150).await;
        let after = values(&broker.cluster(), &compacted, Isolation::ReadCommitted).await;
        assert_eq!(after.len(), before.len() + 50);
    });
}
