//! The names of a partition's directory and of the files in it, as Kafka spells them. Owns every suffix. Never enters:
//! what the files hold.

use std::path::{Path, PathBuf};

use millstream_types::{Offset, TopicPartition, Uuid};

/// Record batches, back to back.
pub const LOG: &str = "log";
/// The sparse offset index.
pub const INDEX: &str = "index";
/// The sparse time index.
pub const TIME_INDEX: &str = "timeindex";
/// Aborted transactions.
pub const TXN_INDEX: &str = "txnindex";
/// Producer state at an offset.
pub const SNAPSHOT: &str = "snapshot";
/// A sealed segment's sidecar (`sidecar.rs`): ours; Kafka leaves files that it does not know alone.
pub const APPEND_TIMES: &str = "appendtimes";

/// Compaction's output, not complete: dropped at start.
pub const CLEANED: &str = ".cleaned";
/// Compaction's output, complete: put in place at start.
pub const SWAP: &str = ".swap";
/// Waiting for `file.delete.delay.ms`: removed at start.
pub const DELETED: &str = ".deleted";
/// The end of the name of a partition's directory that is to be deleted.
pub const DELETE_DIR: &str = "-delete";
/// The end of the name of a directory that takes a partition over from another log directory.
pub const FUTURE_DIR: &str = "-future";
/// The end of the name of a partition's directory that the cluster does not know.
pub const STRAY_DIR: &str = "-stray";

/// The topic's id.
pub const PARTITION_METADATA: &str = "partition.metadata";
/// Leader epochs and where each began.
pub const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";

/// The longest name of a directory, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// `<20 digits>.<extension>` in `dir`.
pub fn segment_file(dir: &Path, base_offset: Offset, extension: &str) -> PathBuf {
    dir.join(format!("{base_offset:020}.{extension}"))
}

/// The path with a suffix behind the whole of it.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The offset and the rest (without its dot) of a name such as `00000000000000000042.log`.
pub fn parse_segment_file(name: &str) -> Option<(Offset, &str)> {
    let (digits, extension) = name.split_once('.')?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, extension))
}

/// The directory of a partition: `<topic>-<partition>`.
pub fn partition_dir(partition: &TopicPartition) -> String {
    partition.to_string()
}

/// The partition that a directory's name stands for; `None` for names of another kind.
pub fn parse_partition_dir(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    if partition.is_empty() || !partition.bytes().all(|b| b.is_ascii_digit()) || topic.is_empty() {
        return None;
    }
    Some(TopicPartition::new(topic, partition.parse().ok()?))
}

/// `<topic>-<partition>.<32 hexadecimal digits>-delete`, the topic cut where the whole would be too long.
pub fn delete_dir(partition: &TopicPartition, unique: Uuid) -> String {
    let hex: String = unique.0.iter().map(|b| format!("{b:02x}")).collect();
    let tail = format!("-{}.{hex}{DELETE_DIR}", partition.partition);
    let mut keep = partition.topic.len().min(NAME_BYTES_MAX - tail.len());
    while !partition.topic.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}{tail}", &partition.topic[..keep])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        let t = TopicPartition::new("a-b.c", 7);
        assert_eq!(partition_dir(&t), "a-b.c-7");
        assert_eq!(parse_partition_dir("a-b.c-7"), Some(t.clone()));
        for bad in ["a", "a-", "-1", "a-7.00-delete", "a-x", "a-7-future"] {
            assert_eq!(parse_partition_dir(bad), None, "{bad}");
        }
        let path = segment_file(Path::new("/d"), 42, LOG);
        assert_eq!(path, Path::new("/d/00000000000000000042.log"));
        assert_eq!(parse_segment_file("00000000000000000042.log"), Some((42, "log")));
        assert_eq!(parse_segment_file("00000000000000000042.log.swap"), Some((42, "log.swap")));
        assert_eq!(parse_segment_file("42.log"), None);
        let name = delete_dir(&TopicPartition::new("x".repeat(249), 12), Uuid([0xab; 16]));
        assert_eq!(name.len(), 255);
        assert!(name.ends_with("x-12.abababababababababababababababab-delete"));
    }
}
