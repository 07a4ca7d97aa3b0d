//! A log's directory and small files: made at the first append, written when they change, removed with their segment.

use std::path::PathBuf;

use millstream_disk::{DiskError, Open, checkpoint, durable};
use millstream_types::{Millis, Offset, Uuid};

use super::Log;
use crate::names;
use crate::segment::{EXTENSIONS, Segment};

impl Log {
    /// Makes the directory, `partition.metadata` and the first segment, if they are not there. Their entries are
    /// durable with the next flush: before it nothing in them was acknowledged.
    pub(super) fn ensure_created(&mut self, now: Millis) -> Result<(), DiskError> {
        if self.created {
            return Ok(());
        }
        self.disk.create_dir(&self.dir)?;
        self.write_metadata()?;
        let base = self.active().base;
        let segment = Segment::create(&*self.disk, &self.dir, base, now)?;
        self.segments.insert(base, segment);
        self.active_mut().dirty = true;
        self.unflushed.dirs.push(self.parent.clone());
        self.unflushed.dirs.push(self.dir.clone());
        self.created = true;
        Ok(())
    }

    /// Writes `partition.metadata`, where the topic's id is known.
    pub(crate) fn write_metadata(&mut self) -> Result<(), DiskError> {
        if self.topic_id.is_zero() {
            return Ok(());
        }
        let file = self.disk.open(&self.dir.join(names::PARTITION_METADATA), Open::Truncate)?;
        file.write_all_at(format!("version: 0\ntopic_id: {}", self.topic_id).as_bytes(), 0)?;
        self.unflushed.files.push(file);
        Ok(())
    }

    /// The topic's id in `partition.metadata`; `None` where the file is lost or torn, which a crash before the first
    /// flush leaves.
    pub(crate) fn read_metadata(&self) -> Result<Option<Uuid>, DiskError> {
        let path = self.dir.join(names::PARTITION_METADATA);
        match millstream_disk::disk::read_file(&*self.disk, &path, 4096) {
            Ok(bytes) => Ok(parse_metadata(&bytes)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(DiskError::Malformed { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Writes the leader epochs. Not synced before it is renamed: a crash may leave it torn, and recovery then reads
    /// the epochs from the batches; the next flush makes it durable.
    pub(crate) fn write_epochs(&mut self) -> Result<(), DiskError> {
        let path = self.dir.join(names::LEADER_EPOCHS);
        let aside = durable::aside(&path);
        let file = self.disk.open(&aside, Open::Truncate)?;
        file.write_all_at(&checkpoint::format(self.epochs.lines()), 0)?;
        self.disk.rename(&aside, &path)?;
        self.unflushed.files.push(file);
        self.unflushed.dirs.push(self.dir.clone());
        self.epochs_dirty = false;
        Ok(())
    }

    /// Writes the leader epochs if the file lacks something, where the log itself no longer needs them there: a full disk
    /// puts it off to the next append, and recovery cuts epochs to what the log holds.
    pub(super) fn write_epochs_if_dirty(&mut self) -> Result<(), DiskError> {
        if !self.epochs_dirty || !self.created {
            return Ok(());
        }
        match self.write_epochs() {
            Err(e) if e.is_no_space() => Ok(()),
            done => done,
        }
    }

    /// Writes the producers' state as of `offset`.
    pub(crate) fn write_snapshot(&mut self, offset: Offset) -> Result<(), DiskError> {
        let path = names::segment_file(&self.dir, offset, names::SNAPSHOT);
        let file = self.disk.open(&path, Open::Truncate)?;
        file.write_all_at(&crate::producer_state::snapshot::encode(&self.producers), 0)?;
        self.unflushed.files.push(file);
        self.unflushed.dirs.push(self.dir.clone());
        Ok(())
    }

    /// Removes producer snapshots of offsets that `doomed` picks.
    pub(crate) fn remove_snapshots(&mut self, doomed: impl Fn(Offset) -> bool) -> Result<(), DiskError> {
        for entry in self.disk.list(&self.dir)? {
            if let Some((offset, names::SNAPSHOT)) = names::parse_segment_file(&entry.name)
                && doomed(offset)
            {
                self.disk.remove(&self.dir.join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Removes a segment's files at once, the `.log` last: what is left of it after a crash is still a segment.
    pub(crate) fn remove_segment_files(&self, base: Offset) -> Result<(), DiskError> {
        for extension in EXTENSIONS.iter().rev() {
            self.disk.remove(&names::segment_file(&self.dir, base, extension))?;
        }
        Ok(())
    }

    /// Renames a segment's files from one suffix to another, durably. The `.log` comes last and alone: where its name is
    /// changed, the others are there, the note above all that its offsets have gaps.
    pub(super) fn rename_segment(&self, base: Offset, from: &str, to: &str) -> Result<(), DiskError> {
        let (log, others) = EXTENSIONS.split_first().expect("a segment has a `.log`");
        for some in [others, &[*log]] {
            for extension in some {
                let path = names::segment_file(&self.dir, base, extension);
                match self.disk.rename(&names::with_suffix(&path, from), &names::with_suffix(&path, to)) {
                    Err(e) if e.is_not_found() => {}
                    done => done?,
                }
            }
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// Renames a segment's files for deletion after `file.delete.delay.ms`, so that readers may finish. The `.log` goes
    /// first: without it the others mean nothing.
    pub(super) fn doom_segment(&mut self, base: Offset, now: Millis) -> Result<(), DiskError> {
        let mut paths: Vec<PathBuf> = Vec::new();
        for extension in EXTENSIONS {
            let from = names::segment_file(&self.dir, base, extension);
            let to = names::with_suffix(&from, names::DELETED);
            match self.disk.rename(&from, &to) {
                Ok(()) => paths.push(to),
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e),
            }
        }
        self.doomed.push((now.saturating_add(self.config.file_delete_delay_ms), paths));
        Ok(())
    }

    /// Unlinks files whose delay has passed. Returns when the next ones are due.
    pub fn delete_due_files(&mut self, now: Millis) -> Result<Option<Millis>, crate::LogError> {
        let disk = self.disk.clone();
        let mut kept = Vec::new();
        let mut result = Ok(());
        for (due, paths) in std::mem::take(&mut self.doomed) {
            if due > now || result.is_err() {
                kept.push((due, paths));
                continue;
            }
            result = paths.iter().try_for_each(|path| disk.remove(path));
        }
        self.doomed = kept;
        result?;
        Ok(self.doomed.iter().map(|(due, _)| *due).min())
    }
}

fn parse_metadata(bytes: &[u8]) -> Option<Uuid> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut version = None;
    let mut id = None;
    for line in text.lines() {
        match line.split_once(':').map(|(k, v)| (k.trim(), v.trim())) {
            Some(("version", v)) => version = v.parse::<u32>().ok(),
            Some(("topic_id", v)) => id = v.parse::<Uuid>().ok(),
            _ => {}
        }
    }
    (version == Some(0)).then_some(id).flatten()
}
