//! Log directories: started, stopped, several at once, and on the machine's own disk.

use std::path::Path;
use std::sync::Arc;

use millstream_disk::Disk;
use millstream_log::log_dir::{Loading, checkpoint_offsets, load_all};
use millstream_log::*;
use millstream_types::{NodeId, TopicPartition, Uuid};

use crate::world::*;

fn identity() -> DirIdentity {
    DirIdentity { cluster_id: Some("c".into()), node_id: NodeId(1), new_directory_id: Uuid([3; 16]) }
}

fn config() -> Arc<LogConfig> {
    Arc::new(small())
}

#[test]
fn several_directories_are_recovered_at_once_and_closed_cleanly() {
    let temp = tempfile::tempdir().unwrap();
    let paths = [temp.path().join("a"), temp.path().join("b")];
    let open_dirs = || paths.iter().map(|p| LogDir::open(p, identity()).unwrap()).collect::<Vec<_>>();
    let lookup = |p: &TopicPartition| (&*p.topic == "t").then(|| (Uuid([7; 16]), config()));
    let mut before = Vec::new();
    for round in 0..4 {
        let dirs = open_dirs();
        assert!(LogDir::open(&paths[0], identity()).is_err(), "locked");
        let loading = Loading { dirs: &dirs, threads_per_dir: 2, lookup: &lookup, now: NOW };
        let loaded = load_all(&loading).unwrap();
        let mut logs: Vec<(usize, Log)> = loaded
            .into_iter()
            .map(|l| {
                assert!(l.known);
                (l.dir, l.log.unwrap())
            })
            .collect();
        if round == 0 {
            for i in 0..20 {
                let dir = i as usize % 2;
                logs.push((
                    dir,
                    dirs[dir].open_log(TopicPartition::new("t", i), Uuid([7; 16]), config(), NOW).unwrap(),
                ));
            }
            for (_, log) in &mut logs {
                (0..20).for_each(|i| assert!(append(log, &values(&[&format!("v{i}")])).is_ok()));
            }
            before = logs.iter().map(|(_, l)| (l.partition().clone(), knowledge(l))).collect();
            before.sort();
        }
        let mut now: Vec<_> = logs.iter().map(|(_, l)| (l.partition().clone(), knowledge(l))).collect();
        now.sort();
        assert_eq!(now, before, "round {round}");
        assert_eq!(dirs[0].was_clean(), round == 3, "round {round}");
        if round == 2 {
            for (at, dir) in dirs.into_iter().enumerate() {
                dir.close(logs.iter_mut().filter(|(d, _)| *d == at).map(|(_, l)| l), 5, NOW).unwrap();
            }
            let marker = std::fs::read_to_string(paths[0].join(".kafka_cleanshutdown")).unwrap();
            assert_eq!(marker, "{\"version\":0,\"brokerEpoch\":5}");
        }
    }
}

#[test]
fn one_flush_serves_many_logs() {
    let temp = tempfile::tempdir().unwrap();
    let dir = LogDir::open(temp.path(), identity()).unwrap();
    let mut logs: Vec<Log> = (0..50)
        .map(|i| dir.open_log(TopicPartition::new("t", i), Uuid([7; 16]), config(), NOW).unwrap())
        .collect();
    for log in &mut logs {
        append(log, &values(&["a"])).unwrap();
        assert_eq!(log.flushed_end_offset(), 0);
    }
    let mut tickets: Vec<FlushTicket> = logs.iter_mut().filter_map(|l| l.begin_flush().unwrap()).collect();
    // Appends go on while the flush runs.
    append(&mut logs[0], &values(&["b"])).unwrap();
    let result = flush_all(&**dir.disk(), &tickets);
    for (log, ticket) in logs.iter_mut().zip(tickets.drain(..)) {
        log.complete_flush(ticket, &result);
        assert_eq!(log.flushed_end_offset(), 1);
    }
    assert!(logs[0].needs_flush() && !logs[1].needs_flush());
    let points = checkpoint_offsets(&dir, &mut logs).unwrap();
    assert_eq!(points[&TopicPartition::new("t", 0)], 1);
}

#[test]
fn a_deleted_partition_is_renamed_and_may_be_made_anew() {
    let disk = disk();
    let dir = LogDir::open_on(Arc::new(disk.clone()), &parent(), identity()).unwrap();
    let open = |id| dir.open_log(TopicPartition::new("t", 0), Uuid([id; 16]), config(), NOW).unwrap();
    let mut log = open(1);
    append(&mut log, &values(&["a"])).unwrap();
    log.flush().unwrap();
    let doomed = dir.delete_log(&mut log, Uuid([0xcd; 16])).unwrap().unwrap();
    assert!(doomed.ends_with(Path::new("t-0.cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd-delete")));
    assert!(append(&mut log, &values(&["b"])).is_err());
    assert_eq!(dir.partitions().unwrap(), []);
    let mut again = open(2);
    assert_eq!(again.log_end_offset(), 0);
    append(&mut again, &values(&["c"])).unwrap();
    assert_eq!(dir.doomed().unwrap(), std::slice::from_ref(&doomed));
    dir.remove_doomed(&doomed).unwrap();
    assert!(disk.lookup(&doomed).unwrap().is_none());
    assert_eq!(read_values(&again, 0), ["c"]);
    // A directory of another topic's is not taken over.
    drop(again);
    let other = dir.open_log(TopicPartition::new("t", 0), Uuid([3; 16]), config(), NOW);
    assert!(other.unwrap_err().to_string().contains("topic id"));
    // A partition that never had an append has nothing to delete.
    let mut empty = dir.open_log(TopicPartition::new("t", 1), Uuid([3; 16]), config(), NOW).unwrap();
    assert_eq!(dir.delete_log(&mut empty, Uuid([1; 16])).unwrap(), None);
}
