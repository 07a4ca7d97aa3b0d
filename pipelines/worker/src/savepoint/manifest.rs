//! What a savepoint is, as its manifest says it: the plan, and for each topic what was read of it and where each stage stood.
//! The manifest is written last, so that a savepoint without one is none. Pure. Never enters: where files are.
//!
//! Form: a line `millstream savepoint 1 <CRC-32C of the rest> <bytes of the rest>`, then JSON. Each file of records is named
//! with its length and checksum.
//!
//! Invariant SV-1: what is not, to the byte, what was written is refused, with the file and what was expected of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_client::crc32c;
use millstream_plan::Lock;
use serde::{Deserialize, Serialize};

/// The form that this build writes and reads.
const FORM: u32 = 1;
/// The most characters of a name.
const NAME_MAX: usize = 100;

/// A savepoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// The pipeline that it is of.
    pub pipeline: String,
    /// When it was taken, in milliseconds since 1970.
    pub taken_at_ms: i64,
    /// The version of the program that took it.
    pub version: String,
    /// The plan that ran, as [`Lock`] writes it.
    pub plan: String,
    /// What operators keep, by their stable ids: the live part of each changelog.
    pub state: BTreeMap<String, Content>,
    /// Where sources have come to, what they remember, and what stages have counted.
    pub positions: Content,
    /// The topics that stages read.
    pub topics: Vec<SavedTopic>,
}

/// Records of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// How many there are of each partition.
    pub records: BTreeMap<u32, u64>,
    /// The files that they are in, in order.
    pub files: Vec<File>,
}

impl Content {
    /// How many records there are.
    pub fn count(&self) -> u64 {
        self.records.values().sum()
    }

    /// How many bytes the files have.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// A file of records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name in the folder of content.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its CRC-32C.
    pub crc32c: u32,
}

impl File {
    /// A file of this content.
    pub fn of(name: String, content: &[u8]) -> File {
        File { name, bytes: content.len() as u64, crc32c: crc32c(content) }
    }

    /// Refuses content that is not this file's.
    pub fn check(&self, content: Option<&Bytes>) -> Result<(), String> {
        let Some(content) = content else { return Err(format!("file {} is not there", self.name)) };
        if content.len() as u64 != self.bytes {
            return Err(format!("file {} has {} bytes, of {}", self.name, content.len(), self.bytes));
        }
        let found = crc32c(content);
        if found != self.crc32c {
            return Err(format!(
                "file {} has the checksum {found:08x}, and was written with {:08x}",
                self.name, self.crc32c
            ));
        }
        Ok(())
    }
}

/// Whose records a topic has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A declared topic that the pipeline writes and reads.
    Between,
    /// A declared topic that only others write: noted, not copied.
    Outside,
    /// Rows on their way to sinks.
    ToSinks,
}

/// A topic that stages read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedTopic {
    /// Its id in the file; of rows to sinks, that of the step that they come from.
    pub id: String,
    /// Its name on the broker.
    pub name: String,
    /// The broker's id of it; a topic that was made anew has another.
    pub broker_id: String,
    /// Whose records it has.
    pub kind: Kind,
    /// Its partitions.
    pub partitions: Vec<SavedPartition>,
    /// The records that a reader had not committed yet; none of topics of others.
    pub content: Content,
}

/// A partition of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPartition {
    /// Where it ended.
    pub end: i64,
    /// Where each stage stood, by the stage's id.
    pub readers: BTreeMap<String, Reader>,
}

/// Where a stage stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// The offset that it goes on from.
    pub offset: i64,
    /// How many of the partition's records in the content lie before that.
    pub before: u64,
}

/// Whether a savepoint may have this name: it is part of files' names.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if first && name.len() <= NAME_MAX && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "{name:?} cannot be a savepoint's name: letters, digits, `-`, `_` and `.`, a letter or digit first, at most {NAME_MAX}"
    ))
}

impl Manifest {
    /// Its file.
    pub fn encode(&self) -> Bytes {
        let json = serde_json::to_vec_pretty(self).expect("a manifest is plain data");
        let mut out =
            format!("millstream savepoint {FORM} {:08x} {}\n", crc32c(&json), json.len()).into_bytes();
        out.extend_from_slice(&json);
        out.into()
    }

    /// Reads its file. The error says what is wrong with it.
    pub fn decode(file: &[u8]) -> Result<Manifest, String> {
        let no_head = || "it does not begin as the manifest of a savepoint does".to_owned();
        let end = file.iter().take(100).position(|byte| *byte == b'\n').ok_or_else(no_head)?;
        let (head, json) = (std::str::from_utf8(&file[..end]).map_err(|_| no_head())?, &file[end + 1..]);
        let words: Vec<&str> = head.split(' ').collect();
        let ["millstream", "savepoint", form, crc, bytes] = words.as_slice() else { return Err(no_head()) };
        if form.parse() != Ok(FORM) {
            return Err(format!(
                "it has form {form}, and this build reads {FORM}: use the one that wrote it"
            ));
        }
        if bytes.parse() != Ok(json.len()) {
            return Err(format!("it has {} bytes behind its first line, of {bytes}", json.len()));
        }
        let found = crc32c(json);
        if u32::from_str_radix(crc, 16) != Ok(found) {
            return Err(format!("it has the checksum {found:08x}, and was written with {crc}"));
        }
        let manifest: Manifest = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        manifest.lock()?;
        Ok(manifest)
    }

    /// The plan that ran.
    pub fn lock(&self) -> Result<Lock, String> {
        Lock::parse(&self.plan).map_err(|error| format!("its plan cannot be read: {error}"))
    }

    /// All content.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        let topics = self.topics.iter().map(|topic| &topic.content);
        self.state.values().chain([&self.positions]).chain(topics)
    }

    /// How many bytes all files have.
    pub fn bytes(&self) -> u64 {
        self.contents().map(Content::bytes).sum()
    }

    /// How many records operators keep their state in.
    pub fn state_records(&self) -> u64 {
        self.state.values().map(Content::count).sum()
    }

    /// How many records were between stages.
    pub fn in_flight(&self) -> u64 {
        self.topics.iter().map(|topic| topic.content.count()).sum()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::savepoint) fn example() -> Manifest {
        let content = |file: &str, records: &[(u32, u64)]| Content {
            records: records.iter().copied().collect(),
            files: vec![File::of(file.to_owned(), file.as_bytes())],
        };
        Manifest {
            name: "monday".to_owned(),
            pipeline: "sums".to_owned(),
            taken_at_ms: 1_700_000_000_000,
            version: "0.1.0".to_owned(),
            plan: "millstream plan 1 sums\nstate summed:53fd22f6239558df 4 sku\ntopic sales 4 declared\nstage sales sales\n"
                .to_owned(),
            state: BTreeMap::from([("summed:53fd22f6239558df".to_owned(), content("a-1", &[(0, 3), (2, 1)]))]),
            positions: content("a-2", &[(0, 2)]),
            topics: vec![SavedTopic {
                id: "sales".to_owned(),
                name: "sales".to_owned(),
                broker_id: "5c6f".to_owned(),
                kind: Kind::Between,
                partitions: vec![SavedPartition {
                    end: 20,
                    readers: BTreeMap::from([("sales".to_owned(), Reader { offset: 11, before: 0 })]),
                }],
                content: content("a-3", &[(0, 8)]),
            }],
        }
    }

    #[test]
    fn a_manifest_comes_back_from_its_file() {
        let manifest = example();
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
        assert_eq!((manifest.state_records(), manifest.in_flight(), manifest.bytes()), (4, 8, 9));
    }

    #[test]
    fn whatever_is_changed_of_it_is_seen() {
        let good = example().encode();
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 4;
            assert!(Manifest::decode(&bad).is_err(), "byte {at}");
            assert!(Manifest::decode(&good[..at]).is_err(), "cut at {at}");
        }
        let text = String::from_utf8(good.to_vec()).unwrap();
        for (from, to, wanted) in [
            ("millstream savepoint 1 ", "millstream savepoint 2 ", "form 2, and this build reads 1"),
            ("\"monday\"", "\"friday\"", "has the checksum"),
            ("\"monday\"", "\"sunday!\"", "bytes behind its first line, of"),
            ("millstream savepoint", "savepoint", "does not begin as"),
        ] {
            let error = Manifest::decode(text.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        let unplanned = Manifest { plan: "nonsense".to_owned(), ..example() };
        assert!(Manifest::decode(&unplanned.encode()).unwrap_err().contains("its plan cannot be read"));
    }

    #[test]
    fn a_file_is_what_was_written() {
        let file = File::of("m-1".to_owned(), b"records");
        assert_eq!(file.check(Some(&Bytes::from_static(b"records"))), Ok(()));
        for (content, wanted) in [
            (None, "m-1 is not there"),
            (Some("record"), "m-1 has 6 bytes, of 7"),
            (Some("recorde"), "m-1 has the checksum"),
        ] {
            let content = content.map(|text| Bytes::from_static(text.as_bytes()));
            assert!(file.check(content.as_ref()).unwrap_err().contains(wanted));
        }
    }

    #[test]
    fn names_are_plain() {
        for good in ["monday", "v1.2_before-the-move", "2026-11-22"] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in ["", ".hidden", "a/b", "a b", "../up", "é", &"x".repeat(101)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
