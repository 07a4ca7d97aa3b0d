//! An offset for each partition, in Kafka's checkpoint format: a line `topic partition offset` each. Never enters: what
//! the offset means.

use std::collections::BTreeMap;
use std::path::Path;

use millstream_disk::{Disk, DiskError, checkpoint};
use millstream_types::{Offset, TopicPartition};

use crate::error::LogError;

/// Offsets by partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetCheckpoint {
    offsets: BTreeMap<TopicPartition, Offset>,
}

impl OffsetCheckpoint {
    /// The offset of a partition.
    pub fn get(&self, partition: &TopicPartition) -> Option<Offset> {
        self.offsets.get(partition).copied()
    }

    /// Sets the offset of a partition.
    pub fn set(&mut self, partition: &TopicPartition, offset: Offset) {
        self.offsets.insert(partition.clone(), offset);
    }

    /// Sets the offset of a partition, or drops it where it is 0, which is what a partition that is not named has.
    pub fn set_if_positive(&mut self, partition: &TopicPartition, offset: Offset) {
        if offset > 0 {
            self.set(partition, offset);
        } else {
            self.offsets.remove(partition);
        }
    }

    /// All of them.
    pub fn into_map(self) -> BTreeMap<TopicPartition, Offset> {
        self.offsets
    }

    /// Reads a checkpoint; none is an empty one. A damaged one is empty too, with a warning: without it recovery reads
    /// more, and a log start falls back to the first segment.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<OffsetCheckpoint, LogError> {
        let damaged =
            |what: &str| tracing::warn!(path = %path.display(), what, "dropped a damaged checkpoint");
        let lines = match checkpoint::read(disk, path) {
            Ok(lines) => lines.unwrap_or_default(),
            Err(DiskError::Malformed { what, .. }) => {
                damaged(&what);
                return Ok(OffsetCheckpoint::default());
            }
            Err(e) => return Err(e.into()),
        };
        let mut found = OffsetCheckpoint::default();
        for line in lines {
            match parse(&line) {
                Some((partition, offset)) => found.set(&partition, offset),
                None => {
                    damaged(&line);
                    return Ok(OffsetCheckpoint::default());
                }
            }
        }
        Ok(found)
    }

    /// Replaces a checkpoint; durable when this returns.
    ///
    /// # Errors
    /// A disk that refuses; the old one stays then.
    pub fn write(&self, disk: &dyn Disk, path: &Path) -> Result<(), LogError> {
        let lines = self.offsets.iter().map(|(p, offset)| format!("{} {} {offset}", p.topic, p.partition));
        Ok(checkpoint::write(disk, path, lines)?)
    }
}

fn parse(line: &str) -> Option<(TopicPartition, Offset)> {
    let mut fields = line.split_whitespace();
    let topic = fields.next()?;
    let partition = fields.next()?.parse().ok()?;
    let offset: Offset = fields.next()?.parse().ok()?;
    (fields.next().is_none() && offset >= 0).then(|| (TopicPartition::new(topic, partition), offset))
}

#[cfg(test)]
mod tests {
    use millstream_disk::sim::SimDisk;

    use super::*;

    #[test]
    fn offsets_come_back_and_damage_is_empty() {
        let disk = SimDisk::new();
        let path = Path::new("/c");
        let mut offsets = OffsetCheckpoint::default();
        assert_eq!(OffsetCheckpoint::read(&disk, path).unwrap(), offsets);
        offsets.set(&TopicPartition::new("a-b", 3), 17);
        offsets.set_if_positive(&TopicPartition::new("a", 0), 0);
        offsets.write(&disk, path).unwrap();
        assert_eq!(millstream_disk::disk::read_file(&disk, path, 99).unwrap(), b"0\n1\na-b 3 17\n");
        assert_eq!(OffsetCheckpoint::read(&disk, path).unwrap(), offsets);
        for lines in [["a 1"], ["a x 1"], ["a 1 -4"], ["a 1 1 1"]] {
            checkpoint::write(&disk, path, lines).unwrap();
            assert_eq!(OffsetCheckpoint::read(&disk, path).unwrap(), OffsetCheckpoint::default());
        }
    }
}
