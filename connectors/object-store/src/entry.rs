//! The commit entry: what one commit of one partition consists of. Its name holds the offset at which the partition
//! stood, so that two owners who found it there want the same name, and the store lets one have it. Entries are never
//! changed or deleted: they are the fence. Its shape is a contract with stores of older versions.

use millstream_types::{Offset, TopicPartition};
use serde::{Deserialize, Serialize};

/// What one commit consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of this shape.
    pub v: u32,
    /// The owner's own number ([`millstream_connector::Context::instance`]); tells a lost answer from a lost race.
    pub instance: u64,
    /// The input's topic.
    pub topic: String,
    /// The input's partition.
    pub partition: i32,
    /// Where the partition stood before; 0 when the store had never heard of it.
    pub from_offset: Offset,
    /// Where it stands after.
    pub next_offset: Offset,
    /// The files.
    pub files: Vec<FilePlace>,
}

/// A file that an entry promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePlace {
    /// Its path under the sink's URL.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// How it becomes visible.
    #[serde(flatten)]
    pub staged: Staged,
}

/// A file that is written but not visible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Staged {
    /// A local file under another name, to be renamed.
    Aside {
        /// Its path under the sink's URL.
        aside: String,
    },
    /// A multipart upload, to be completed.
    Upload {
        /// The store's id of it.
        upload_id: String,
        /// The store's ids of its parts, in order.
        parts: Vec<String>,
    },
}

/// The version of [`Entry`].
pub const ENTRY_VERSION: u32 = 1;

/// The folder of everything that is not data. Readers of Parquet folders pass over names that begin with `_`.
pub const OWN_FOLDER: &str = "_millstream";

/// Where a sink keeps its entries for one partition.
pub fn folder(pipeline: &str, component: &str, partition: &TopicPartition) -> String {
    format!("{OWN_FOLDER}/{pipeline}/{component}/{partition}")
}

/// The entry's name in its folder: zeros in front, so that names sort as offsets do.
pub fn name(partition: &TopicPartition, from_offset: Offset) -> String {
    format!("{partition}-{from_offset:020}")
}

/// The offset in an entry's name; `None` for other names.
pub fn offset_in(partition: &TopicPartition, name: &str) -> Option<Offset> {
    let digits = name.strip_prefix(&format!("{partition}-"))?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_kept() {
        let entry = Entry {
            v: 1,
            instance: 7,
            topic: "unique".into(),
            partition: 3,
            from_offset: 100,
            next_offset: 250,
            files: vec![
                FilePlace {
                    path: "a.parquet".into(),
                    rows: 5,
                    bytes: 900,
                    staged: Staged::Aside { aside: "b".into() },
                },
                FilePlace {
                    path: "c.parquet".into(),
                    rows: 6,
                    bytes: 901,
                    staged: Staged::Upload { upload_id: "u".into(), parts: vec!["p".into()] },
                },
            ],
        };
        let text = r#"{"v":1,"instance":7,"topic":"unique","partition":3,"from_offset":100,"next_offset":250,"files":[{"path":"a.parquet","rows":5,"bytes":900,"aside":"b"},{"path":"c.parquet","rows":6,"bytes":901,"upload_id":"u","parts":["p"]}]}"#;
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
        assert_eq!(serde_json::from_str::<Entry>(text).unwrap(), entry);
        let partition = TopicPartition::new("unique", 3);
        assert_eq!(name(&partition, 100), "unique-3-00000000000000000100");
        assert_eq!(offset_in(&partition, "unique-3-00000000000000000100"), Some(100));
        for other in
            ["unique-3-100", "floor", "unique-31-00000000000000000100", "unique-3-0000000000000000010x"]
        {
            assert_eq!(offset_in(&partition, other), None, "{other}");
        }
    }
}
